"""Deposits and withdrawals in numbers, and the proof that each happened exactly once."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter

from cli.playground import Playground
from sql import withdrawals as withdrawals_sql
from tests.faults.figures import Figure, check

MINE_EVERY_S = 0.25
FINAL = ("confirmed", "failed", "rejected")


class Load:
    """Users who pay in and draw out on a playground; amounts and recipients are all different."""

    def __init__(self, world: Playground, seed: int, owners: int = 20) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.owners = [f"user-{number}" for number in range(owners)]
        self.addresses: dict[str, str] = {}
        self.paid_in: Counter[str] = Counter()
        self.deposits = 0
        self.orders: dict[str, tuple[str, int, str]] = {}
        """By order id: owner, amount, recipient."""

    async def prepare(self) -> None:
        """Open the tenant, give everybody an address, and take mining into our own hands."""
        await self.world.open_tenant()
        await self.world.fund_hot_wallet(eth=100, tokens=0)
        made = await self.world.new_addresses(self.owners)
        self.addresses = dict(zip(self.owners, made, strict=True))
        await self.world.chain.call("evm_setAutomine", False)
        for owner in self.owners:
            await self._pay_in(owner)

    async def mine(self) -> None:
        """Mine for ever."""
        while True:
            await self.world.chain.mine()
            await asyncio.sleep(MINE_EVERY_S)

    async def pay_in(self, count: int, rate_s: float) -> None:
        """Send deposits from the bank, so many a second."""
        for _ in range(count):
            await self._pay_in(self.chance.choice(self.owners))
            await asyncio.sleep(1 / rate_s)

    async def _pay_in(self, owner: str) -> None:
        self.deposits += 1
        amount_minor = 10**15 + self.deposits
        await self.world.chain.pay(self.addresses[owner], amount_minor)
        self.paid_in[owner] += amount_minor

    async def draw_out(self, count: int, rate_s: float) -> None:
        """Order withdrawals, every fifth command twice, so many a second."""
        for number in range(count):
            owner = self.chance.choice(self.owners)
            order, recipient = f"order-{number}", "0x" + secrets.token_hex(20)
            amount_minor = 10**13 + number
            self.orders[order] = (owner, amount_minor, recipient)
            for _ in range(2 if number % 5 == 0 else 1):
                await self._command(order)
            await asyncio.sleep(1 / rate_s)

    async def _command(self, order: str) -> None:
        owner, amount_minor, recipient = self.orders[order]
        while True:
            try:
                await self.world.command(order, owner, "ETH", amount_minor, recipient)
            except Exception:  # the broker is being killed; a producer tries again
                await asyncio.sleep(0.5)
            else:
                return

    async def settle(self) -> None:
        """Wait until all that was paid in is credited and all orders are final."""

        async def credited() -> bool | None:
            balances = [await self._held(owner) for owner in self.owners]
            return sum(balances) == self._expected_total(await self._statuses()) or None

        async def decided() -> bool | None:
            statuses = await self._statuses()
            done = len(statuses) == len(self.orders)
            return (done and all(status in FINAL for status in statuses.values())) or None

        await self.world.until(decided, "all withdrawals are final")
        await self.world.until(credited, "all deposits are credited")

    def _expected_total(self, statuses: dict[str, str]) -> int:
        drawn = sum(self.orders[key][1] for key, s in statuses.items() if s == "confirmed")
        return self.paid_in.total() - drawn

    async def _held(self, owner: str) -> int:
        available = await self.world.balance(owner, "ETH", "available")
        return available + await self.world.balance(owner, "ETH", "pending")

    async def _statuses(self) -> dict[str, str]:
        async with self.world.pool.acquire() as conn:
            rows = await withdrawals_sql.list_withdrawals(
                conn, self.world.tenant, None, None, 100_000
            )
        return {row.idempotency_key: row.status for row in rows}

    async def prove(self) -> list[Figure]:
        """Compare what was done with the ledger, the chain and what the subscriber heard."""
        statuses = await self._statuses()
        paid = {
            order: await self.world.chain.balance(recipient)
            for order, (_, _, recipient) in self.orders.items()
        }
        expected_paid = {
            order: amount_minor if statuses.get(order) == "confirmed" else 0
            for order, (_, amount_minor, _) in self.orders.items()
        }
        wrong = {order for order in self.orders if paid[order] != expected_paid[order]}
        heard = Counter(event["type"] for event in self.world.sink.events.values())
        report = await self.world.reconcile()
        confirmed = sum(status == "confirmed" for status in statuses.values())
        return [
            check("deposits credited", await self._count_credits(), self.deposits),
            check("owners whose money is not what it should be", await self._wrong_owners(), 0),
            check("withdrawals answered", len(statuses), len(self.orders)),
            Figure("withdrawals paid", str(confirmed), confirmed == len(self.orders)),
            check("withdrawals paid wrongly, twice or not at all", len(wrong), 0),
            check("deposits the subscriber heard of", heard["deposit.confirmed"], self.deposits),
            check("payments it heard of", heard["withdrawal.confirmed"], confirmed),
            check("webhooks with a wrong signature", self.world.sink.refused, 0),
            check("figures that differ between chain and ledger", len(report.differences), 0),
            check("trial balance", await self._trial_balance(), 0),
            check("dead letters", await self._dead_letters(), 0),
        ]

    async def until_heard(self) -> None:
        """Wait until the subscriber has heard of everything, as far as it will."""
        statuses = await self._statuses()
        confirmed = sum(status == "confirmed" for status in statuses.values())

        async def look() -> bool | None:
            heard = Counter(event["type"] for event in self.world.sink.events.values())
            everything = (heard["deposit.confirmed"], heard["withdrawal.confirmed"])
            return everything == (self.deposits, confirmed) or None

        await self.world.until(look, "the subscriber has heard of everything")

    async def _wrong_owners(self) -> int:
        statuses = await self._statuses()
        expected = Counter(self.paid_in)
        for order, status in statuses.items():
            owner, amount_minor, _ = self.orders[order]
            expected[owner] -= amount_minor if status == "confirmed" else 0
        held = {owner: await self._held(owner) for owner in self.owners}
        return sum(held[owner] != expected[owner] for owner in self.owners)

    async def _count_credits(self) -> int:
        return await self._count(
            "SELECT count(*) FROM journal_lines WHERE tenant = $1 AND kind = 'DEPOSIT'",
            self.world.tenant,
        )

    async def _trial_balance(self) -> int:
        return await self._count(
            "SELECT count(*) FROM trial_balance WHERE debits_minor <> credits_minor"
        )

    async def _dead_letters(self) -> int:
        return await self._count("SELECT count(*) FROM dead_letters")

    async def _count(self, query: str, *arguments: str) -> int:
        async with self.world.pool.acquire() as conn:
            return int(await conn.fetchval(query, *arguments))
