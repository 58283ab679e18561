"""One chain of a playground: addresses, money and blocks there, in that chain's own units."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, TypeVar

from agents.parts.reconcile_figures import Report
from agents.reconcile_chain import reconcile_network
from agents.runtime.context import wallet_passphrase
from chain_adapters.adapter import ChainAdapter
from chain_adapters.types import Destination, Holding
from cli.output import whole
from cli.playground_tenant import Business
from custody.addresses import NoFreeKeys, assign_addresses, assign_memos
from custody.hot_wallet import NoWalletKey, ensure_hot_wallet
from custody.keystore import open_signer
from custody.prepare import prepare_wallet
from devstack.chains.chain import DevChain
from devstack.chains.registry import NODES
from settings.model import Network
from sql.custody import list_system_wallets

ResultT = TypeVar("ResultT")
PAUSE_S = 0.1
"""Between the blocks that confirm something, so that the count of confirmations can be seen."""
IDLE_PAUSE_S = 0.5
"""Between the blocks after those, should something want more of them."""


class Unit(NamedTuple):
    """An asset of the playground."""

    asset: str
    decimals: int
    contract: str | None = None

    def minor(self, amount: int) -> int:
        """Return whole units in minor units."""
        return amount * int(10**self.decimals)

    def show(self, amount_minor: int) -> str:
        """Return an amount as people write it."""
        return f"{whole(amount_minor, self.decimals)} {self.asset}"


class Ground:
    """What the tenant of a playground does on one chain."""

    def __init__(
        self,
        world: Business,
        chain: DevChain,
        adapter: ChainAdapter,
        network: Network,
        units: list[Unit],
    ) -> None:
        """Take what the playground opened; `units` are the native asset and perhaps a token."""
        self.world = world
        self.node = NODES[network.kind]
        self.chain = chain
        self.adapter = adapter
        self.settings = network
        self.units = units
        self.hot_wallet = ""

    @property
    def network(self) -> str:
        """The chain's CAIP-2 id."""
        return self.settings.network

    @property
    def coin(self) -> Unit:
        """The native asset."""
        return self.units[0]

    @property
    def tokens(self) -> list[Unit]:
        """The token, or nothing on a chain without."""
        return self.units[1:]

    async def pay(self, destination: Destination | str, unit: Unit, amount_minor: int) -> str:
        """Pay out of the node's bank, as a customer would; return an id."""
        address, memo = (
            (destination, None)
            if isinstance(destination, str)
            else (destination.address, destination.memo)
        )
        if unit.contract is None:
            return await self.chain.pay(address, amount_minor, memo)
        return await self.chain.pay_token(unit.contract, address, amount_minor, memo)

    async def new_addresses(self, owners: Iterable[str]) -> list[str]:
        """Return a new deposit address for each owner, once the signer has made keys."""
        world, wanted = self.world, list(owners)

        async def assign() -> list[str] | None:
            try:
                async with world.pool.acquire() as conn, conn.transaction():
                    made = await assign_addresses(
                        conn, self.adapter, self.network, world.tenant, wanted
                    )
            except NoFreeKeys:
                return None
            return [new.address for new in made]

        return await world.until(assign, "the signer makes keys")

    async def new_memos(self, owners: Iterable[str]) -> list[Destination]:
        """Return a memo on the tenant's pooled address for each owner."""
        world, wanted = self.world, list(owners)

        async def assign() -> list[Destination] | None:
            try:
                async with world.pool.acquire() as conn, conn.transaction():
                    made = await assign_memos(
                        conn, self.adapter, self.network, world.tenant, wanted
                    )
            except NoFreeKeys:
                return None
            return [Destination(new.address, new.memo) for new in made]

        return await world.until(assign, "the signer makes keys")

    async def open_hot_wallet(self) -> str:
        """Return the address of the tenant's hot wallet, once the signer has made its key."""
        world = self.world

        async def ensure() -> str | None:
            try:
                async with world.pool.acquire() as conn, conn.transaction():
                    wallet = await ensure_hot_wallet(conn, self.adapter, world.tenant, self.network)
            except NoWalletKey:
                return None
            return wallet.address

        self.hot_wallet = await world.until(ensure, "the signer makes the wallet's key")
        return self.hot_wallet

    async def fund_hot_wallet(self, coins: int, tokens: int = 0) -> None:
        """Send whole coins and tokens to the hot wallet and wait until they are booked."""
        address = await self.open_hot_wallet()
        await self.pay(address, self.coin, self.coin.minor(coins))
        await self.mine_until(self._until_booked(self.coin))
        for token in self.tokens if tokens else []:
            await self.opt_in(token)
            await self.pay(address, token, token.minor(tokens))
            await self.mine_until(self._until_booked(token))

    async def _until_booked(self, unit: Unit) -> None:
        async def look() -> bool | None:
            return await self.world.balance("", unit.asset, "hot_wallet") > 0 or None

        await self.world.until(look, f"the hot wallet's {unit.asset} are booked")

    async def opt_in(self, token: Unit) -> None:
        """Let the tenant's own wallets receive a token, where the chain asks for that."""
        world = self.world
        if not self.adapter.opt_in_tokens or token.contract is None:
            return
        async with world.pool.acquire() as conn:
            wallets = await list_system_wallets(conn, world.tenant, self.network)
            signer = await open_signer(
                conn, wallet_passphrase(world.settings), {self.adapter.key_scheme}
            )
        for wallet in wallets:
            await prepare_wallet(world.pool, self.adapter, signer, wallet, token.contract)
        await self.chain.mine()

    async def mine_until(
        self, what: Awaitable[ResultT], tell: Callable[[str], None] = lambda _: None
    ) -> ResultT:
        """Make blocks until something has come about; return it. Raises what it raises."""
        waiting = asyncio.ensure_future(what)
        count = 0
        try:
            while not waiting.done():
                await self.chain.mine()
                count += 1
                tell(f"block {count}")
                pause_s = PAUSE_S if count <= self.settings.confirmations else IDLE_PAUSE_S
                await asyncio.wait([waiting], timeout=pause_s)
            return await waiting
        finally:
            waiting.cancel()

    async def held(self, address: str, unit: Unit) -> int:
        """Return what the node finds at an address now, in minor units."""
        height = await self.chain.height()
        [held_minor] = await self.adapter.fetch_balances([Holding(address, unit.contract)], height)
        return held_minor

    async def reconcile(self) -> Report:
        """Compare chain and ledger until stages have settled; return the settled report."""
        world = self.world

        async def look() -> Report | None:
            report = await reconcile_network(
                world.pool, self.adapter, topic_prefix=world.settings.topic_prefix
            )
            return report if report.settled else None

        return await world.until(look, "the books settle")
