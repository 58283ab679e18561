"""Deposits and withdrawals in numbers, and the proof that each happened exactly once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, NamedTuple

from chain_adapters.types import Holding
from cli.playground import Playground
from cli.playground_chain import Ground, Unit
from devstack.chains.ethereum import EthereumChain
from tests.faults.figures import Figure, check

MINE_EVERY_S = 0.25
REORGANISE_EVERY = 40
"""Blocks, on the average."""
DEPTH_MAX = 5
"""Deep enough to undo what is credited after three confirmations."""
OWNERS = 10
STAKE = 50
"""Each owner's first deposit pays for so many withdrawals."""
HOT_COINS = 5
"""Payments into the hot wallet: where money is held as coins, so many withdrawals can wait."""
BALANCES_A_CALL = 100
FINAL = ("confirmed", "failed", "rejected")


class Order(NamedTuple):
    """A withdrawal that was commanded. `held_minor` is what the recipient had before."""

    owner: str
    amount_minor: int
    recipient: str
    held_minor: int


class Deposit(NamedTuple):
    """Money on its way to an owner."""

    owner: str
    unit: Unit
    amount_minor: int


class ChainLoad:
    """Users who pay in and draw out on one chain; all amounts are different."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground = ground
        self.kind = ground.node.kind
        self.chance = random.Random(f"{seed} {self.kind}")
        self.owners = [f"{self.kind}-{number}" for number in range(OWNERS)]
        self.orders: dict[str, Order] = {}
        self.deposits: list[Deposit] = []
        """Those in blocks, or on their way into one; not those that a reorganisation dropped."""
        self.dropped = 0
        self.reorganisations = 0
        self._addresses: dict[str, str] = {}
        self._fresh: list[Deposit] = []
        """Sent since the last block."""
        self._blocks: list[list[Deposit]] = []
        self._number = 0
        self._mining = asyncio.Lock()

    @property
    def small_minor(self) -> int:
        """An amount that any new address can be paid."""
        return self.ground.node.account_minor + self.ground.coin.minor(1) // 1000

    @property
    def units(self) -> list[Unit]:
        """What can be paid to a deposit address just so."""
        ground = self.ground
        return [ground.coin] if ground.adapter.opt_in_tokens else ground.units

    async def prepare(self) -> None:
        """Fund the hot wallet, give everybody an address and some money."""
        ground = self.ground
        await ground.fund_hot_wallet(10 * HOT_COINS)
        for _ in range(HOT_COINS - 1):
            await ground.pay(ground.hot_wallet, ground.coin, ground.coin.minor(10))
        await ground.chain.mine()
        made = await ground.new_addresses(self.owners)
        self._addresses = dict(zip(self.owners, made, strict=True))
        if isinstance(ground.chain, EthereumChain):  # it alone makes a block of each transaction
            await ground.chain.call("evm_setAutomine", False)
        for owner in self.owners:
            await self._pay_in(owner, ground.coin, STAKE * self.small_minor)
        await self._mine()
        self._blocks = []

    async def mine(self) -> None:
        """Make blocks for ever; where the chain has reorganisations, drop some of them again."""
        while True:
            async with self._mining:
                await self._mine()
                if self.ground.node.reorganises and not self.chance.randrange(REORGANISE_EVERY):
                    await self._reorganise(self.chance.randint(1, DEPTH_MAX))
            await asyncio.sleep(MINE_EVERY_S)

    async def _mine(self) -> None:
        self._blocks.append(self._fresh)
        self._fresh = []
        await self.ground.chain.mine()

    async def _reorganise(self, depth: int) -> None:
        """Drop blocks with all deposits in them, but none from before the load."""
        if depth > len(self._blocks):
            return
        await self.ground.chain.reorganise(depth)
        lost = [deposit for block in self._blocks[-depth:] for deposit in block]
        self.deposits = [deposit for deposit in self.deposits if deposit not in lost]
        self.dropped += len(lost)
        self.reorganisations += 1
        self._blocks[-depth:] = [[] for _ in range(depth)]

    async def pay_in(self, count: int, rate_s: float) -> None:
        """Send deposits from the bank, so many a second, every fourth in tokens."""
        units = self.units
        for number in range(count):
            unit = units[-1] if number % 4 == 0 else units[0]
            base_minor = self.small_minor if unit.contract is None else unit.minor(1)
            await self._pay_in(self.chance.choice(self.owners), unit, base_minor)
            await asyncio.sleep(1 / rate_s)

    async def _pay_in(self, owner: str, unit: Unit, base_minor: int) -> None:
        async with self._mining:
            self._number += 1
            deposit = Deposit(owner, unit, base_minor + self._number)
            await self.ground.pay(self._addresses[owner], unit, deposit.amount_minor)
            self.deposits.append(deposit)
            self._fresh.append(deposit)

    async def draw_out(self, count: int, rate_s: float) -> None:
        """Order withdrawals, every fifth command twice, so many a second."""
        for number in range(count):
            key = f"{self.kind}-order-{number}"
            async with self._mining:
                recipient = await self.ground.chain.new_recipient()
            held_minor = await self.ground.held(recipient, self.ground.coin)
            owner, amount_minor = self.chance.choice(self.owners), self.small_minor + number
            self.orders[key] = Order(owner, amount_minor, recipient, held_minor)
            for _ in range(2 if number % 5 == 0 else 1):
                await self._command(key)
            await asyncio.sleep(1 / rate_s)

    async def _command(self, key: str) -> None:
        owner, amount_minor, recipient, _ = self.orders[key]
        shown = self.ground.adapter.show_address(recipient)
        while True:
            try:
                await self.ground.world.command(
                    key, owner, self.ground.coin.asset, amount_minor, shown
                )
            except Exception:  # the broker is being killed; a producer tries again
                await asyncio.sleep(0.5)
            else:
                return

    async def settle(self) -> None:
        """Wait until all that was paid in is credited and all orders are final."""

        async def decided() -> bool | None:
            statuses = await self._statuses()
            done = len(statuses) == len(self.orders)
            return (done and all(status in FINAL for status in statuses.values())) or None

        async def credited() -> bool | None:
            return not await self.count_wrong_accounts() or None

        async def heard() -> bool | None:
            return self._heard() == await self._expected_to_hear() or None

        world = self.ground.world
        await world.until(decided, f"all withdrawals on {self.kind} are final")
        await world.until(credited, f"all deposits on {self.kind} are credited")
        await world.until(heard, f"the subscriber has heard of everything on {self.kind}")

    async def prove(self) -> Figure:
        """Compare what was done with the ledger, the chain and what the subscriber heard."""
        statuses = await self._statuses()
        report = await self.ground.reconcile()
        paid = sum(status == "confirmed" for status in statuses.values())
        wrong = {
            "orders without an answer": len(self.orders) - len(statuses),
            "orders not paid": len(statuses) - paid,
            "recipients without just their money": await self._wrong_recipients(statuses),
            "accounts without just their money": await self.count_wrong_accounts(),
            "deposits not credited just once": await self._credits() - len(self.deposits),
            "webhooks missing or too many": int(self._heard() != await self._expected_to_hear()),
            "figures that differ between chain and ledger": len(report.differences),
        }
        done = (
            f"{len(self.deposits)} deposits credited, {paid} of {len(self.orders)} orders paid once"
        )
        if self.ground.node.reorganises:
            done += f", {self.dropped} deposits dropped by {self.reorganisations} reorganisations"
        broken = {what: count for what, count in wrong.items() if count}
        return Figure(self.kind, f"{done}; {broken}" if broken else done, not broken)

    async def count_wrong_accounts(self) -> int:
        """Return how many accounts do not hold what was paid to them and not drawn out."""
        expected: Counter[tuple[str, str]] = Counter()
        for deposit in self.deposits:
            expected[deposit.owner, deposit.unit.asset] += deposit.amount_minor
        coin = self.ground.coin.asset
        for key, status in (await self._statuses()).items():
            if status == "confirmed":
                expected[self.orders[key].owner, coin] -= self.orders[key].amount_minor
        held = await self._held()
        return sum(held[account] != expected[account] for account in held.keys() | expected.keys())

    async def _held(self) -> Counter[tuple[str, str]]:
        query = (
            "SELECT owner, asset, sum(balance_minor) AS held FROM accounts WHERE tenant = $1"
            " AND asset = ANY($2) AND bucket IN ('available', 'pending') GROUP BY owner, asset"
        )
        rows = await self._fetch(query, self._assets)
        return Counter({(row["owner"], row["asset"]): int(row["held"]) for row in rows})

    async def _wrong_recipients(self, statuses: dict[str, str]) -> int:
        expected = {
            order.recipient: order.held_minor
            + (order.amount_minor if statuses.get(key) == "confirmed" else 0)
            for key, order in self.orders.items()
        }
        height = await self.ground.chain.height()
        recipients = list(expected)
        held: list[int] = []
        for start in range(0, len(recipients), BALANCES_A_CALL):
            asked = [Holding(recipient) for recipient in recipients[start:][:BALANCES_A_CALL]]
            held += await self.ground.adapter.fetch_balances(asked, height)
        return sum(expected[r] != minor for r, minor in zip(recipients, held, strict=True))

    async def _statuses(self) -> dict[str, str]:
        query = (
            "SELECT idempotency_key, status FROM withdrawals"
            " WHERE tenant = $1 AND idempotency_key LIKE $2"
        )
        rows = await self._fetch(query, f"{self.kind}-order-%")
        return {row["idempotency_key"]: row["status"] for row in rows}

    async def _credits(self) -> int:
        """Return how many deposits are credited now: once more than they are reversed."""
        query = (
            "SELECT count(*) FILTER (WHERE kind = 'DEPOSIT')"
            " - count(*) FILTER (WHERE kind = 'DEPOSIT_REVERSED') AS credits"
            " FROM journal_lines WHERE tenant = $1 AND asset = ANY($2) AND line = 0"
        )
        [row] = await self._fetch(query, self._assets)
        return int(row["credits"])

    async def _fetch(self, query: str, argument: object) -> list[Any]:
        world = self.ground.world
        async with world.pool.acquire() as conn:
            rows: list[Any] = await conn.fetch(query, world.tenant, argument)
        return rows

    @property
    def _assets(self) -> list[str]:
        return [unit.asset for unit in self.ground.units]

    def _heard(self) -> tuple[int, int]:
        """Return how many credits (less reversals) and payments the subscriber heard of."""
        heard = Counter(
            event["type"]
            for event in self.ground.world.sink.events.values()
            if event["data"].get("asset") in self._assets
        )
        credits_heard = heard["deposit.confirmed"] - heard["deposit.reversed"]
        return credits_heard, heard["withdrawal.confirmed"] - heard["withdrawal.reversed"]

    async def _expected_to_hear(self) -> tuple[int, int]:
        statuses = (await self._statuses()).values()
        return len(self.deposits), sum(status == "confirmed" for status in statuses)


async def prove_common(world: Playground) -> list[Figure]:
    """Return the figures that are not of one chain."""
    async with world.pool.acquire() as conn:
        unbalanced = await conn.fetchval(
            "SELECT count(*) FROM trial_balance WHERE debits_minor <> credits_minor"
        )
        parked = await conn.fetchval("SELECT count(*) FROM dead_letters")
    return [
        check("webhooks with a wrong signature", world.sink.refused, 0),
        check("trial balance", unbalanced, 0),
        check("dead letters", parked, 0),
    ]
