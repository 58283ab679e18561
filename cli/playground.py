"""A business on the development stack: what the demo plays with and the fault runs torment."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any, Self

from agents.roles import ROLES
from agents.runtime.publisher import Publisher
from chain_adapters.registry import open_adapter
from cli.playground_chain import Ground, Unit
from cli.playground_tenant import Business
from cli.setup import set_up
from cli.stack import ROLE_KEYS, wait_for_workers
from devstack.chains.chain import DevChain
from devstack.chains.registry import NODES
from devstack.stack import Stack
from settings.model import Settings
from sql.pool import open_pool

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Playground(Business):
    """One tenant with a webhook endpoint, a token on each chain that has them, all workers.

    Give it a stack whose servers run. `network` changes how every chain is followed, `coin` the
    settings of the native assets; `each` is how many workers a role has, `tell` hears how they get
    ready.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        wait_s: float = 30.0,
        with_tokens: bool = True,
        network: Mapping[str, Any] = NOTHING,
        coin: Mapping[str, Any] = NOTHING,
        each: int = 1,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(wait_s)
        self.stack = stack
        self.grounds: dict[str, Ground] = {}
        """By kind of chain."""
        self._with_tokens = with_tokens
        self._network = network
        self._coin = coin
        self._each = each
        self._tell = tell
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Issue tokens, set everything up and start the workers; or close all that was opened."""
        try:
            await self._start()
        except BaseException:
            await self._resources.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def _start(self) -> None:
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
        self.stack.run_workers(ROLES, own, keys, each=self._each)
        self.pool = await open_pool(self.settings.database_url.get_secret_value(), 4)
        self._resources.push_async_callback(self.pool.close)
        for kind, chain in zip(self.stack.chains, chains, strict=True):
            self.grounds[kind] = await self._open_ground(kind, chain)
        self.publisher = Publisher(self.settings)
        self._resources.push_async_callback(self.publisher.stop)
        await self.publisher.start()
        await wait_for_workers(self.stack, asyncio.Event(), self._tell)

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
