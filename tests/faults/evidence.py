"""What the chain, the ledger and the subscriber say of a load, held against what was done."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any, NamedTuple

from chain_adapters.types import Holding
from cli.playground import Playground
from devstack.webhook_sink import WebhookSink
from sql.chain import read_cursor
from tests.faults.figures import Figure, check
from tests.faults.load import ChainLoad

BALANCES_A_CALL = 100
BEHIND_MAX = 300
"""Deposits of one chain."""
FINAL = ("confirmed", "failed", "rejected")
CREDITS = {"deposit.confirmed": 1, "deposit.reversed": -1}
PAYMENTS = {"withdrawal.confirmed": 1, "withdrawal.reversed": -1}


class Credit(NamedTuple):
    """Money given to an owner."""

    owner: str
    asset: str
    amount_minor: int


class Heard:
    """What a subscriber heard of, each event once: what was credited, and which orders were paid.

    What was taken back counts against it.
    """

    def __init__(self, sink: WebhookSink) -> None:
        self.credited: Counter[Credit] = Counter()
        self.credits: Counter[str] = Counter()
        """How many, by asset."""
        self.paid: Counter[str] = Counter()
        """By the producer's id."""
        self._sink = sink
        self._read = 0

    def listen(self) -> None:
        """Take in what came since the last time."""
        for event in islice(self._sink.events.values(), self._read, None):
            self._read += 1
            kind, data = event["type"], event["data"]
            if kind in CREDITS:
                credit = Credit(data["owner"], data["asset"], int(data["amount_minor"]))
                self.credited[credit] += CREDITS[kind]
                self.credits[credit.asset] += CREDITS[kind]
            elif kind in PAYMENTS:
                self.paid[data["idempotency_key"]] += PAYMENTS[kind]


def count_wrong(found: Counter[Any], expected: Counter[Any]) -> int:
    """Return how many are missing or too many; what is there not at all may be counted as 0."""
    return sum(abs(found[key] - expected[key]) for key in found.keys() | expected.keys())


class Evidence:
    """Compares what was done on one chain with all who should know of it."""

    def __init__(self, load: ChainLoad, heard: Heard) -> None:
        self.load = load
        self.heard = heard
        self._assets = [unit.asset for unit in load.ground.units]
        self._prefix = f"{load.kind}-order-"

    async def count_open(self) -> Counter[str]:
        """Return how much has not come about yet, or is wrong, by what it is."""
        statuses = await self._statuses()
        return +Counter(
            {
                "reorganisations unread": int(await self._may_undo()),
                "orders without an answer": len(self.load.orders) - len(statuses),
                "orders not final": sum(status not in FINAL for status in statuses.values()),
                "deposits not credited just once": await self._count_wrong_credits(),
                "accounts without just their money": await self._count_wrong_accounts(statuses),
                "webhooks of deposits missing": self._count_unheard_credits(),
                "webhooks of withdrawals missing": self._count_unheard_payments(statuses),
            }
        )

    async def _may_undo(self) -> bool:
        """Whether Millrace may not have heard yet of the last reorganisation, which undoes some."""
        ground, calm_above = self.load.ground, self.load.calm_above
        if calm_above is None:
            return False
        async with ground.world.pool.acquire() as conn:
            cursor = await read_cursor(conn, ground.network)
        return cursor is None or cursor.height <= calm_above

    def is_behind(self) -> bool:
        """Whether much of what was paid in was not heard of yet."""
        self.heard.listen()
        heard = sum(self.heard.credits[asset] for asset in self._assets)
        return len(self.load.deposits) - heard > BEHIND_MAX

    async def prove(self) -> list[Figure]:
        """Return the chain's figures; only the last looks into books of ours alone."""
        load, statuses = self.load, await self._statuses()
        kind = load.kind
        paid = [key for key, status in statuses.items() if status == "confirmed"]
        tokens = sum(deposit.unit.contract is not None for deposit in load.deposits)
        wrong_paid = await self._count_wrong_recipients(set(paid))
        report = await load.ground.reconcile()
        open_ = await self.count_open()
        unpaid = len(load.orders) - len(paid)
        lost = f", {load.dropped} more dropped by {load.reorganisations} reorganisations"
        leapt = f", {await self._count_replaced()} replaced, expiry passed {load.leaps} times"
        return [
            Figure(
                f"{kind}: deposits credited once",
                f"{len(load.deposits)} ({tokens} of tokens)"
                + (lost if load.ground.node.reorganises else ""),
                load.reorganisations > 0 or not load.ground.node.reorganises,
            ),
            Figure(
                f"{kind}: orders paid once",
                f"{len(paid)} of {len(load.orders)}{leapt}",
                not unpaid,
            ),
            check(f"{kind}: recipients on chain without just their money", wrong_paid, 0),
            check(f"{kind}: chain against ledger, differences", len(report.differences), 0),
            check(f"{kind}: lost, doubled or unheard", dict(open_), {}),
        ]

    async def _count_wrong_credits(self) -> int:
        """Each deposit is of its own amount, so that none can stand for another."""
        query = (
            "SELECT asset, sum(CASE kind WHEN 'DEPOSIT' THEN amount_minor ELSE -amount_minor END)"
            " AS credited FROM journal_lines WHERE tenant = $1 AND asset = ANY($2)"
            " AND kind IN ('DEPOSIT', 'DEPOSIT_REVERSED') GROUP BY asset, reference_id"
        )
        rows = await self._fetch(query, self._assets)
        found = Counter((row["asset"], int(row["credited"])) for row in rows if row["credited"])
        expected = Counter((d.unit.asset, d.amount_minor) for d in self.load.deposits)
        return count_wrong(found, expected)

    async def _count_wrong_accounts(self, statuses: dict[str, str]) -> int:
        """Return how many do not hold what was paid to them and not drawn out."""
        expected: Counter[tuple[str, str]] = Counter()
        for deposit in self.load.deposits:
            expected[deposit.owner, deposit.unit.asset] += deposit.amount_minor
        for key, status in statuses.items():
            if status == "confirmed":
                order = self.load.orders[key]
                expected[order.owner, order.unit.asset] -= order.amount_minor
        held = await self._held()
        return sum(held[account] != expected[account] for account in held.keys() | expected.keys())

    async def _held(self) -> Counter[tuple[str, str]]:
        query = (
            "SELECT owner, asset, sum(balance_minor) AS held FROM accounts WHERE tenant = $1"
            " AND asset = ANY($2) AND bucket IN ('available', 'pending') GROUP BY owner, asset"
        )
        rows = await self._fetch(query, self._assets)
        return Counter({(row["owner"], row["asset"]): int(row["held"]) for row in rows})

    async def _count_wrong_recipients(self, paid: set[str]) -> int:
        """Ask the node what each recipient holds: no order's recipient is another's."""
        orders = list(self.load.orders.items())
        height = await self.load.ground.chain.height()
        wrong = 0
        for start in range(0, len(orders), BALANCES_A_CALL):
            asked = orders[start : start + BALANCES_A_CALL]
            holdings = [Holding(o.recipient, o.unit.contract) for _, o in asked]
            held = await self.load.ground.adapter.fetch_balances(holdings, height)
            wrong += sum(
                minor != order.held_minor + (order.amount_minor if key in paid else 0)
                for (key, order), minor in zip(asked, held, strict=True)
            )
        return wrong

    async def _statuses(self) -> dict[str, str]:
        query = (
            "SELECT idempotency_key, status FROM withdrawals"
            " WHERE tenant = $1 AND idempotency_key LIKE $2"
        )
        rows = await self._fetch(query, self._prefix + "%")
        return {row["idempotency_key"]: row["status"] for row in rows}

    async def _count_replaced(self) -> int:
        """Return how many transactions were made beyond the first of each withdrawal."""
        query = (
            "SELECT count(*) - count(DISTINCT t.withdrawal_id) AS more FROM transactions AS t"
            " INNER JOIN withdrawals AS w USING (withdrawal_id)"
            " WHERE w.tenant = $1 AND w.idempotency_key LIKE $2"
        )
        [row] = await self._fetch(query, self._prefix + "%")
        return int(row["more"])

    async def _fetch(self, query: str, argument: object) -> list[Any]:
        world = self.load.ground.world
        async with world.pool.acquire() as conn:
            rows: list[Any] = await conn.fetch(query, world.tenant, argument)
        return rows

    def _count_unheard_credits(self) -> int:
        self.heard.listen()
        heard = {c: n for c, n in self.heard.credited.items() if c.asset in self._assets}
        expected = Counter(
            Credit(d.owner, d.unit.asset, d.amount_minor) for d in self.load.deposits
        )
        return count_wrong(Counter(heard), expected)

    def _count_unheard_payments(self, statuses: dict[str, str]) -> int:
        self.heard.listen()
        heard = {k: n for k, n in self.heard.paid.items() if k.startswith(self._prefix)}
        paid = [key for key, status in statuses.items() if status == "confirmed"]
        return count_wrong(Counter(heard), Counter(paid))


async def prove_common(world: Playground) -> list[Figure]:
    """Return the figures that are not of one chain."""
    async with world.pool.acquire() as conn:
        unbalanced = await conn.fetchval(
            "SELECT count(*) FROM trial_balance WHERE debits_minor <> credits_minor"
        )
        parked = await conn.fetchval("SELECT count(*) FROM dead_letters")
    repeated = world.sink.arrivals - len(world.sink.events)
    return [
        Figure("webhooks heard", f"{len(world.sink.events)}, {repeated} of them again", True),
        check("webhooks with a wrong signature", world.sink.refused, 0),
        check("assets with debits unlike credits", unbalanced, 0),
        check("dead letters", parked, 0),
    ]
