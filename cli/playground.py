"""A business on the development stack: what the demo plays with and the fault runs torment."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from agents.parts.reconcile_figures import Report
from agents.reconcile_chain import reconcile_network
from agents.roles import ROLES
from agents.runtime.kafka_io import Publisher
from chain_adapters.adapter import ChainAdapter
from chain_adapters.registry import open_adapter
from cli.setup import set_up
from cli.stack import wait_for_workers
from custody.addresses import NoFreeKeys, assign_addresses
from custody.box import SecretBox
from custody.hot_wallet import NoWalletKey, ensure_hot_wallet
from devstack.chains.chain import DevChain
from devstack.stack import Stack
from devstack.webhook_sink import WebhookSink
from notifications.endpoints import register_endpoint
from settings.model import Settings
from sql import ledger as ledger_sql
from sql import tenants as tenants_sql
from sql.pool import Pool, open_pool
from topics.withdrawals import WITHDRAWAL_COMMANDS

COIN = 10**18
ROLE_KEYS = {"signer": "MILLRACE_WALLET_ENC_KEY", "notify": "MILLRACE_WEBHOOK_ENC_KEY"}
ResultT = TypeVar("ResultT")


class NotInTime(Exception):
    """What was waited for did not come about."""


class Playground:
    """One tenant with a webhook endpoint, a token and workers of all roles.

    Give it a stack whose servers run. `environ` changes what settings are made of, here and in the
    workers; `tell` hears how the workers get ready.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        wait_s: float = 30.0,
        confirmations: int = 3,
        tell: Callable[[str], None] = lambda _: None,
        **environ: str,
    ) -> None:
        self.stack = stack
        self.wait_s = wait_s
        self.confirmations = confirmations
        self.tenant = f"acme-{secrets.token_hex(3)}"
        self.token = f"DEMO-{secrets.token_hex(3)}"
        self.contract = ""
        self.sink = WebhookSink()
        self.chain: DevChain
        self.settings: Settings
        self.pool: Pool
        self.adapter: ChainAdapter
        self._environ = environ
        self._tell = tell
        self._publisher: Publisher
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Issue a token, set everything up and start the workers."""
        self.chain = await self._resources.enter_async_context(self.stack.open_chain("ethereum"))
        await self._resources.enter_async_context(self.sink)
        self.contract = await self.chain.issue_token("DEMO")
        self.settings = self._configure()
        await set_up(self.settings, lambda _: None)
        own = {name: os.environ[name] for name in ("MILLRACE_NETWORKS", "MILLRACE_ASSETS")}
        keys = {role: {name: os.environ[name]} for role, name in ROLE_KEYS.items()}
        self.stack.run_workers(ROLES, own | self._environ, keys)
        self.pool = await open_pool(self.settings.database_url.get_secret_value(), 4)
        self._resources.push_async_callback(self.pool.close)
        self.adapter = open_adapter(
            self.settings.networks[0], self.settings.contracts(self.network)
        )
        self._resources.push_async_callback(self.adapter.close)
        self._publisher = Publisher(self.settings)
        await self._publisher.start()
        self._resources.push_async_callback(self._publisher.stop)
        await wait_for_workers(self.stack, asyncio.Event(), self._tell)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    @property
    def network(self) -> str:
        """The chain everything happens on."""
        return self.settings.networks[0].network

    def _configure(self) -> Settings:
        """Put the configuration where settings are read from, for us and for the workers."""
        environ = self.stack.environment()
        network = json.loads(environ["MILLRACE_NETWORKS"])[0]
        network |= {"confirmations": self.confirmations}
        coin = {"asset": "ETH", "network": network["network"], "decimals": 18}
        token = coin | {"asset": self.token, "contract": self.contract}
        ours = {name: value for name, value in environ.items() if name.startswith("MILLRACE_")}
        os.environ.update(
            ours
            | {
                "MILLRACE_NETWORKS": json.dumps([network]),
                "MILLRACE_ASSETS": json.dumps([coin, token]),
                **{name: secrets.token_urlsafe(32) for name in ROLE_KEYS.values()},
            }
            | self._environ
        )
        return Settings()

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

    async def new_addresses(self, owners: Iterable[str]) -> list[str]:
        """Return a new deposit address for each owner, once the signer has made keys."""
        wanted = list(owners)

        async def assign() -> list[str] | None:
            try:
                async with self.pool.acquire() as conn, conn.transaction():
                    made = await assign_addresses(
                        conn, self.adapter, self.network, self.tenant, wanted
                    )
            except NoFreeKeys:
                return None
            return [new.address for new in made]

        return await self.until(assign, "the signer makes keys")

    async def fund_hot_wallet(self, eth: int, tokens: int) -> str:
        """Send whole ETH and tokens to the tenant's hot wallet and wait until they are booked."""

        async def ensure() -> str | None:
            try:
                async with self.pool.acquire() as conn, conn.transaction():
                    wallet = await ensure_hot_wallet(conn, self.adapter, self.tenant, self.network)
            except NoWalletKey:
                return None
            return wallet.address

        address = await self.until(ensure, "the signer makes the wallet's key")
        await self.chain.pay(address, eth * COIN)
        await self.chain.pay_token(self.contract, address, tokens * COIN)
        await self.chain.mine(self.confirmations)
        await self.until_balance("", "ETH", "hot_wallet", eth * COIN)
        await self.until_balance("", self.token, "hot_wallet", tokens * COIN)
        return address

    async def command(
        self, order: str, owner: str, asset: str, amount_minor: int, recipient: str
    ) -> None:
        """Order a withdrawal as any producer would."""
        command = {
            "type": "withdrawal.request",
            "tenant": self.tenant,
            "id": order,
            "owner": owner,
            "asset": asset,
            "amount_minor": str(amount_minor),
            "address": self.adapter.show_address(recipient),
        }
        topic = self.settings.topic_prefix + WITHDRAWAL_COMMANDS.name
        body = json.dumps(command).encode()
        await self._publisher.publish([(topic, self.tenant.encode(), body)])

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
            raise NotInTime(f"no webhook {event_type} {fields} in {self.wait_s:.0f} s") from None
        data: dict[str, Any] = event["data"]
        return data

    async def reconcile(self) -> Report:
        """Compare chain and ledger until stages have settled; return the settled report."""

        async def look() -> Report | None:
            report = await reconcile_network(
                self.pool, self.adapter, topic_prefix=self.settings.topic_prefix
            )
            return report if report.settled else None

        return await self.until(look, "the books settle")

    async def until(self, look: Callable[[], Awaitable[ResultT | None]], what: str) -> ResultT:
        """Look again and again until there is an answer; NotInTime if there is none."""
        deadline = time.monotonic() + self.wait_s
        while (found := await look()) is None:
            if time.monotonic() > deadline:
                raise NotInTime(f"not within {self.wait_s:.0f} s: {what}")
            await asyncio.sleep(0.1)
        return found
