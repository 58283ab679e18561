"""A business on the development stack: what the demo plays with and the fault runs torment."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

from agents.assign_deposit import assign_deposit
from agents.roles import ROLES
from agents.runtime.kafka_io import Publisher
from agents.runtime.transact import transact_on
from chain_adapters.registry import open_adapter
from cli.playground_chain import Ground, Unit
from cli.setup import set_up
from cli.stack import ROLE_KEYS, wait_for_workers
from custody.box import SecretBox
from devstack.chains.chain import DevChain
from devstack.chains.registry import NODES
from devstack.stack import Stack
from devstack.webhook_sink import WebhookSink
from notifications.endpoints import register_endpoint
from settings.model import Settings
from sql import ledger as ledger_sql
from sql import tenants as tenants_sql
from sql.pool import Pool, open_pool
from topics.withdrawals import WITHDRAWAL_COMMANDS

ResultT = TypeVar("ResultT")
NOTHING: Mapping[str, Any] = MappingProxyType({})


class NotInTime(Exception):
    """What was waited for did not come about."""


class Playground:
    """One tenant with a webhook endpoint, a token on each chain that has them, all workers.

    Give it a stack whose servers run. `network` changes how every chain is followed, `coin` the
    settings of the native assets; `tell` hears how the workers get ready.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        wait_s: float = 30.0,
        with_tokens: bool = True,
        network: Mapping[str, Any] = NOTHING,
        coin: Mapping[str, Any] = NOTHING,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.stack = stack
        self.wait_s = wait_s
        self.tenant = f"acme-{secrets.token_hex(3)}"
        self.sink = WebhookSink()
        self.grounds: dict[str, Ground] = {}
        """By kind of chain."""
        self.settings: Settings
        self.pool: Pool
        self._with_tokens = with_tokens
        self._network = network
        self._coin = coin
        self._tell = tell
        self._publisher: Publisher
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Issue tokens, set everything up and start the workers."""
        chains = [await self._open_chain(kind) for kind in self.stack.chains]
        await self._resources.enter_async_context(self.sink)
        coins = self.stack.native_assets()
        tokens = [
            await self._issue_token(kind, chain, coin)
            for kind, chain, coin in zip(self.stack.chains, chains, coins, strict=True)
        ]
        self.settings = self._configure(coins, [token for token in tokens if token is not None])
        await set_up(self.settings, lambda _: None)
        own = {name: os.environ[name] for name in ("MILLRACE_NETWORKS", "MILLRACE_ASSETS")}
        keys = {role: {name: os.environ[name]} for role, name in ROLE_KEYS.items()}
        self.stack.run_workers(ROLES, own, keys)
        self.pool = await open_pool(self.settings.database_url.get_secret_value(), 4)
        self._resources.push_async_callback(self.pool.close)
        for kind, chain in zip(self.stack.chains, chains, strict=True):
            self.grounds[kind] = await self._open_ground(kind, chain)
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

    async def _open_chain(self, kind: str) -> DevChain:
        return await self._resources.enter_async_context(self.stack.open_chain(kind))

    async def _issue_token(
        self, kind: str, chain: DevChain, coin: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return the settings of a new token, None on a chain without tokens."""
        if not (self._with_tokens and NODES[kind].has_tokens):
            return None
        return {
            "asset": f"{coin['asset']}-TOKEN-{secrets.token_hex(3)}",
            "network": coin["network"],
            "contract": await chain.issue_token("DEMO"),
            "decimals": NODES[kind].token_decimals,
        }

    def _configure(self, coins: list[dict[str, Any]], tokens: list[dict[str, Any]]) -> Settings:
        """Put the configuration where settings are read from, for us and for the workers."""
        networks = [{**network, **self._network} for network in self.stack.networks]
        assets = [{**coin, **self._coin} for coin in coins] + tokens
        environ = self.stack.environment()
        ours = {name: value for name, value in environ.items() if name.startswith("MILLRACE_")}
        for name in [name for name in os.environ if name.startswith("MILLRACE_KAFKA_")]:
            if name not in ours:  # a password for another broker, of no use to our own
                del os.environ[name]
        os.environ.update(
            ours
            | {
                "MILLRACE_NETWORKS": json.dumps(networks),
                "MILLRACE_ASSETS": json.dumps(assets),
                **{name: secrets.token_urlsafe(32) for name in ROLE_KEYS.values()},
            }
        )
        return Settings()

    async def _open_ground(self, kind: str, chain: DevChain) -> Ground:
        [network] = [network for network in self.settings.networks if network.kind == kind]
        adapter = open_adapter(network, self.settings.contracts(network.network))
        self._resources.push_async_callback(adapter.close)
        units = [
            Unit(a.asset, a.decimals, a.contract and adapter.parse_contract(a.contract))
            for a in self.settings.assets
            if a.network == network.network
        ]
        return Ground(self, chain, adapter, network, units)

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
        await self._publisher.publish([(topic, self.tenant.encode(), body)])

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
