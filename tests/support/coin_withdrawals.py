"""A tenant that pays out in coins, on a real node that mines when told to."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import combinations
from typing import Any, NamedTuple

import asyncpg
import msgspec

from chain_adapters.types import Broadcast, Coin, Payment, SignedTransaction
from chain_adapters.utxo.pay import Bid
from chain_adapters.utxo.raw import read_transaction
from devstack.chains.bitcoin import CoreNode
from devstack.postgres import Postgres
from settings.model import Network
from sql import wallets as wallets_sql
from sql.pool import Pool, open_pool
from tests.support.chain_worlds.bitcoin import CoreWorld, open_core_world
from tests.support.withdrawals import AT_ONCE_S, CONFIRMATIONS, PayingWorld

ALICE_MINOR = 10**11
REORG_DEPTH_MAX = 40
ENDS = ("confirmed", "failed", "rejected")
WHOLE = 10**6
"""A coin of the wallet."""
PAID = 400_000
"""An order that one such coin pays."""


class Spending(NamedTuple):
    """A transaction of ours: whose it is, which coins it spends, and its bytes."""

    withdrawal_id: int
    transaction_id: str
    coins: frozenset[str]
    raw: bytes


class PayingCoinWorld(PayingWorld):
    """A hot wallet whose money is coins."""

    def __init__(self, pool: Pool, database_url: str, node: CoreWorld) -> None:
        self.node = node
        network = Network(
            network=node.adapter.network,
            kind=node.kind,  # type: ignore[arg-type] # as open_adapter knows it
            rpc_urls=("core",),
            native_asset=node.adapter.native_symbol,
            confirmations=CONFIRMATIONS,
            reorg_depth_max=REORG_DEPTH_MAX,
            rebroadcast_after_s=AT_ONCE_S,
            replace_after_s=AT_ONCE_S,
        )
        super().__init__(pool, database_url, node.adapter, network, node.kind)

    async def start(self) -> None:
        """Also follow from here on, set no limits, and give alice money."""
        await super().start()
        async with self.pool.acquire() as conn:
            await conn.execute(
                "UPDATE assets SET withdrawal_minor_max = NULL, withdrawal_approval_minor = NULL"
            )
        await self.credit("alice", self.coin, ALICE_MINOR)
        await self.mine()

    async def fund(self, *amounts: int) -> None:
        """Give the hot wallet a confirmed coin of each amount."""
        for amount_minor in amounts:
            await self.node.chain.pay(self.hot_wallet, amount_minor)
        await self.mine(CONFIRMATIONS)

    def command(
        self, order_id: str, amount_minor: int = 100_000, **changes: object
    ) -> dict[str, Any]:
        return super().command(
            order_id, amount_minor, **{"address": self.node.new_address(), **changes}
        )

    async def follow(self) -> None:
        """Read the chain to its tip and settle."""
        async with aclosing(self.node.adapter.watch_tip()) as tips:
            tip = await anext(tips)
        await self.follower.catch_up(tip)
        await self.settle()

    async def mine(self, count: int = 1) -> None:
        """Mine blocks one by one and follow each."""
        for _ in range(count):
            await self.node.mine()
            await self.follow()

    async def reorganise(self, depth: int) -> None:
        """Replace blocks by as many empty ones and another, and follow; the pool is lost too."""
        await self.node.reorganise(depth)
        await self.mine()

    async def land(self, *transactions: Spending) -> None:
        """Let the next block hold just these transactions: the pool forgets all others."""
        await self.node.chain.clear_pool()
        for transaction in transactions:
            assert (await self.submit(transaction)).outcome == "accepted"
        await self.mine()

    async def submit(self, transaction: Spending) -> Broadcast:
        """Hand a transaction to the node, whatever it says."""
        signed = SignedTransaction(transaction.transaction_id, transaction.raw)
        return await self.node.adapter.broadcast(signed)

    async def sign_elsewhere(self, recipient: str, amount_minor: int, *coins: Coin) -> Spending:
        """Return what somebody else signs who has the wallet's key, at a rate of his own."""
        payment = Payment(self.hot_wallet, recipient, None, amount_minor)
        bid = msgspec.json.encode(Bid(rate=7_000, step=1_000))
        quote = msgspec.structs.replace(await self.adapter.quote(payment), parameters=bid)
        unsigned = self.adapter.build(payment, quote, None, coins=coins)
        async with self.pool.acquire() as conn:
            path = await conn.fetchval(
                "SELECT key_path FROM addresses WHERE address = $1", self.hot_wallet
            )
        scheme = self.adapter.key_scheme
        signatures = [self.signer.sign(path, p, scheme) for p in unsigned.signing_payloads]
        signed = self.adapter.assemble(unsigned, tuple(signatures))
        return Spending(0, signed.transaction_id, coins_of(signed.raw), signed.raw)

    async def halted(self) -> str | None:
        """Return why nothing is signed from the wallet, if so."""
        async with self.pool.acquire() as conn:
            [wallet] = await wallets_sql.list_wallets(conn, self.tenant)
        return wallet.halted_reason

    async def finish(self) -> None:
        """Send again, mine, replace what that did not help, until every withdrawal is settled."""
        for _ in range(12):
            await self.retry()
            await self.mine(CONFIRMATIONS)
            if all(w.status in ENDS for w in await self.withdrawals()):
                return
            await self.replace_due()
        raise AssertionError(await self._unfinished())

    async def _unfinished(self) -> str:
        """Return what is known of every withdrawal that has not come to its end."""
        lines = []
        for order in await self.withdrawals():
            if order.status not in ENDS:
                lines.append(f"{order.idempotency_key} is {order.status}: {order}")
                lines += map(str, await self.attempts(order.idempotency_key))
                lines += map(str, await self.spendings(order.idempotency_key))
        lines.append(f"claims: {await self.claims()}")
        return "\n".join(lines)

    async def spendings(self, order_id: str | None = None) -> list[Spending]:
        """Return all transactions of the tenant, or of one order, oldest first."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch(
                "SELECT t.withdrawal_id, t.transaction_id, t.raw FROM transactions AS t"
                " JOIN withdrawals AS w ON w.withdrawal_id = t.withdrawal_id"
                " WHERE w.tenant = $1 AND ($2::text IS NULL OR w.idempotency_key = $2)"
                " ORDER BY t.withdrawal_id, t.attempt",
                self.tenant,
                order_id,
            )
        return [Spending(w, id_, coins_of(raw), raw) for w, id_, raw in rows]

    async def claims(self) -> dict[str, int]:
        """Return which withdrawal each claimed coin is kept for."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch(
                "SELECT k.coin, k.withdrawal_id FROM coin_claims AS k"
                " JOIN withdrawals AS w ON w.withdrawal_id = k.withdrawal_id WHERE w.tenant = $1",
                self.tenant,
            )
        return {row["coin"]: row["withdrawal_id"] for row in rows}

    async def paid(self, address: str) -> list[int]:
        """Return the amounts of the coins that an address holds in blocks."""
        return [coin.amount_minor for coin in await self.node.coins(address)]

    async def check_no_double_payment(self) -> None:
        """Assert that of each withdrawal one transaction can land at most, and of all that may
        land none takes another withdrawal's coin; that what is confirmed was paid exactly once."""
        spendings = await self.spendings()
        for one, other in combinations(spendings, 2):
            if one.withdrawal_id == other.withdrawal_id:
                assert one.coins & other.coins, "two attempts could both be mined"
        claims = await self.claims()
        for one in await self._live(spendings):
            assert {claims.get(coin) for coin in one.coins} == {one.withdrawal_id}, one
        for order in await self.withdrawals():
            paid = await self.paid(order.address)
            assert paid in ([], [order.amount_minor]), order
            assert order.status != "confirmed" or paid, order

    async def _live(self, spendings: list[Spending]) -> list[Spending]:
        """Return those that we send, or that are in blocks."""
        async with self.pool.acquire() as conn:
            live = await conn.fetch(
                "SELECT transaction_id FROM transactions"
                " WHERE network = $1 AND state IN ('signed', 'broadcast', 'mined')",
                self.network,
            )
        ids = {row["transaction_id"] for row in live}
        return [one for one in spendings if one.transaction_id in ids]

    async def check_books(self) -> None:
        """Assert that the ledger knows the hot wallet's balance to the last minor unit."""
        assert await self.parked_facts() == 0
        assert await self.balance("pending") == 0
        held = await self.balance("hot_wallet", owner="")
        assert held == sum(await self.paid(self.hot_wallet))
        paid = [w for w in await self.withdrawals() if w.status == "confirmed"]
        spent = sum(w.amount_minor + w.fee_minor for w in paid)
        assert await self.balance("available") == ALICE_MINOR - spent

    async def states(self, order_id: str) -> Counter[str]:
        """Return how many attempts at an order are in each state."""
        return Counter(attempt.state for attempt in await self.attempts(order_id))


async def order(world: PayingCoinWorld, order_id: str, amount_minor: int = PAID) -> str:
    """Order a payment and return the address that is to be paid."""
    command = world.command(order_id, amount_minor)
    await world.request(command)
    return str(command["address"])


async def order_twice_tried(
    world: PayingCoinWorld, order_id: str, amount_minor: int = PAID
) -> tuple[str, Spending, Spending]:
    """Order a payment and have it replaced; return the address and both transactions."""
    address = await order(world, order_id, amount_minor)
    await world.replace_due()
    early, late = await world.spendings(order_id)
    return address, early, late


def coins_of(raw: bytes) -> frozenset[str]:
    """Return the ids of the coins that signed bytes spend."""
    transaction, _ = read_transaction(raw, 0)
    return frozenset(f"{id_}:{number}" for id_, number in transaction.spends)


@asynccontextmanager
async def open_coin_world(
    postgres: Postgres, template: str, node: CoreNode
) -> AsyncIterator[PayingCoinWorld]:
    """A world with a database of its own: networks of this kind have fixed names."""
    name = f"coins_{secrets.token_hex(6)}"
    await _execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE {template}")
    chain = await open_core_world(node)
    url = postgres.url_of(name)
    try:
        async with await open_pool(url, size=5) as pool:
            world = PayingCoinWorld(pool, url, chain)
            await world.start()
            yield world
    finally:
        await chain.close()
        await _execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
