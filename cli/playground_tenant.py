"""The business that plays on a development stack: its orders, its balances, what it hears."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from agents.by_operator.assign_deposit import assign_deposit
from agents.runtime.publisher import Publisher
from agents.runtime.transact import transact_on
from custody.box import SecretBox
from devstack.webhook_sink import WebhookSink
from notifications.endpoints import register_endpoint
from settings.model import Settings
from sql import ledger as ledger_sql
from sql import tenants as tenants_sql
from sql.pool import Pool
from topics.withdrawals import WITHDRAWAL_COMMANDS

ResultT = TypeVar("ResultT")


class NotInTime(Exception):
    """What was waited for did not come about."""


class Business:
    """One tenant with a webhook endpoint. Whoever makes it gives it what the bare names are."""

    settings: Settings
    pool: Pool
    publisher: Publisher

    def __init__(self, wait_s: float) -> None:
        """Whatever is waited for is waited for so long."""
        self.wait_s = wait_s
        self.tenant = f"acme-{secrets.token_hex(3)}"
        self.sink = WebhookSink()

    async def open_tenant(self) -> None:
        """Take the tenant in and register the sink as its endpoint."""
        key = self.settings.webhook_enc_key
        assert key is not None
        box = SecretBox(key.get_secret_value())
        async with self.pool.acquire() as conn:
            await tenants_sql.add_tenant(conn, self.tenant, "Acme")
            endpoint = await register_endpoint(
                conn, box, self.tenant, self.sink.url, datetime.now(UTC), allow_private=True
            )
        self.sink.trust(endpoint.secret)

    async def command(
        self, order: str, owner: str, asset: str, amount_minor: int, recipient: str
    ) -> None:
        """Order a withdrawal as any producer would; the recipient is in the customary form."""
        command = {
            "type": "withdrawal.request",
            "tenant": self.tenant,
            "id": order,
            "owner": owner,
            "asset": asset,
            "amount_minor": str(amount_minor),
            "address": recipient,
        }
        topic = self.settings.topic_prefix + WITHDRAWAL_COMMANDS.name
        body = json.dumps(command).encode()
        await self.publisher.publish([(topic, self.tenant.encode(), body)])

    async def assign_deposit(self, deposit_id: int, owner: str) -> None:
        """Say whose a deposit is, as an operator would."""
        prefix = self.settings.topic_prefix
        async with transact_on(self.pool, prefix) as work:
            await assign_deposit(work, self.tenant, deposit_id, owner, "playground")

    async def balance(self, owner: str, asset: str, bucket: str) -> int:
        """Return one balance of the tenant ("") or of a user."""
        async with self.pool.acquire() as conn:
            return await ledger_sql.fetch_account_balance(conn, self.tenant, owner, asset, bucket)

    async def until_balance(self, owner: str, asset: str, bucket: str, amount_minor: int) -> None:
        """Wait until a balance is just this."""

        async def look() -> bool | None:
            return await self.balance(owner, asset, bucket) == amount_minor or None

        await self.until(look, f"{owner or 'the tenant'} has {amount_minor} {asset} {bucket}")

    async def hear(self, event_type: str, **fields: str) -> dict[str, Any]:
        """Return the data of a verified webhook of this type with these fields."""

        def matches(data: dict[str, Any]) -> bool:
            return all(data.get(name) == value for name, value in fields.items())

        try:
            event = await self.sink.expect(event_type, matches, self.wait_s)
        except TimeoutError:
            others = [
                f"{event['type']} ({event['data'].get('reason', '')})"
                for event in self.sink.events.values()
                if matches(event["data"])
            ]
            raise NotInTime(
                f"no webhook {event_type} {fields} in {self.wait_s:.0f} s, but {', '.join(others)}"
            ) from None
        data: dict[str, Any] = event["data"]
        return data

    async def until(self, look: Callable[[], Awaitable[ResultT | None]], what: str) -> ResultT:
        """Look again and again until there is an answer; NotInTime if there is none."""
        deadline = time.monotonic() + self.wait_s
        while (found := await look()) is None:
            if time.monotonic() > deadline:
                raise NotInTime(f"not within {self.wait_s:.0f} s: {what}")
            await asyncio.sleep(0.1)
        return found
