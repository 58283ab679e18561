"""Deep reorganisations on a real Ethereum node, before and after money was credited or paid out."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cli.playground import Playground
from devstack.chains.ethereum import EthereumChain
from sql import withdrawals as withdrawals_sql
from tests.faults.figures import Figure, check
from tests.faults.worlds import open_world

SMALL_MINOR = 10**15
"""Credited after one confirmation: already credited when its block is dropped."""
BIG_MINOR = 10**18
"""Credited after three: not yet credited when its block is dropped."""
CONFIRMATIONS = [
    {"from_minor": "0", "confirmations": 1},
    {"from_minor": str(BIG_MINOR), "confirmations": 3},
]
FATES = ("dropped", "moved", "later")
"""For ever; mined again in another block of the new branch; mined again long after it."""
MINE_EVERY_S = 0.2


class Fate(NamedTuple):
    """A depositor of one round, and what becomes of the transaction."""

    owner: str
    fate: str
    amount_minor: int

    @property
    def final_minor(self) -> int:
        """What the owner has in the end."""
        return 0 if self.fate == "dropped" else self.amount_minor

    @property
    def heard(self) -> Counter[str]:
        """The webhooks about crediting, by type, once all is settled."""
        credited = int(self.amount_minor < BIG_MINOR)
        again = int(self.fate != "dropped")
        wanted = {"deposit.confirmed": credited + again, "deposit.reversed": credited}
        return +Counter(wanted)


class Reorganiser:
    """Plays rounds, each with one reorganisation; notes what is not as it must be."""

    def __init__(self, world: Playground, seed: int) -> None:
        self.world = world
        self.ground = world.grounds["ethereum"]
        chain = self.ground.chain
        assert isinstance(chain, EthereumChain)
        self.chain = chain
        self.wrong: Counter[str] = Counter()
        self.rounds = 0
        self.frozen = 0
        self.depositors: list[Fate] = []
        self.orders: dict[str, tuple[int, str]] = {}
        """Amount and recipient by order."""
        self._chance = random.Random(seed)
        self._payers: dict[str, str] = {}

    async def prepare(self) -> None:
        """Open the tenant; give each fate a payer of its own, since nonces must not depend."""
        world = self.world
        await world.open_tenant()
        await self.ground.fund_hot_wallet(100)
        accounts = await self.chain.call("eth_accounts")
        self._payers = dict(zip(FATES, accounts[1:4], strict=True))
        [rich] = await self.ground.new_addresses(["rich"])
        await self.chain.pay(rich, 10 * BIG_MINOR)
        await self.chain.mine(3)
        await world.until_balance("rich", "ETH", "available", 10 * BIG_MINOR)
        await self.chain.call("evm_setAutomine", False)

    async def round(self, depth: int) -> None:
        """Deposit and withdraw, reorganise `depth` blocks of it away, and look at the end."""
        self.rounds += 1
        await self.chain.mine(depth + 1)
        spender = await self._spend(depth) if depth > 1 else None
        orders = [await self._order("rich", SMALL_MINOR + depth)]
        if spender is not None:
            orders.append(await self._order(spender.owner, spender.amount_minor))
        await self._until_status(orders, "broadcast")
        depositors = [
            Fate(f"{fate}-{size}-{depth}", fate, amount_minor + depth)
            for fate in FATES
            for size, amount_minor in (("small", SMALL_MINOR), ("big", BIG_MINOR))
        ]
        sent = await self._pay_in(depositors)
        await self._until_detected_and_credited(depositors)
        await self._until_status(orders, "confirmed")
        await self._reorganise(depth, sent, orders)
        await self._until_settled(depositors, orders, spender)
        self.depositors += depositors

    async def _spend(self, depth: int) -> Fate:
        """Credit a user whose deposit will be dropped after the money was paid out."""
        spender = Fate(f"spender-{depth}", "dropped", SMALL_MINOR + depth)
        await self._pay_in([spender])
        await self.world.until_balance(spender.owner, "ETH", "available", spender.amount_minor)
        return spender

    async def _pay_in(self, depositors: Iterable[Fate]) -> dict[str, list[str]]:
        """Deposit, all in one block; return the raw transactions by fate."""
        wanted = list(depositors)
        addresses = await self.ground.new_addresses([fate.owner for fate in wanted])
        raw: dict[str, list[str]] = {fate: [] for fate in FATES}
        chain = self.chain
        for depositor, address in zip(wanted, addresses, strict=True):
            payment = {
                "from": self._payers[depositor.fate],
                "to": address,
                "value": hex(depositor.amount_minor),
            }
            transaction_id = await chain.call("eth_sendTransaction", payment)
            raw[depositor.fate].append(
                await chain.call("eth_getRawTransactionByHash", transaction_id)
            )
        await chain.mine()
        return raw

    async def _order(self, owner: str, amount_minor: int) -> str:
        order, recipient = f"order-{len(self.orders)}", "0x" + secrets.token_hex(20)
        self.orders[order] = (amount_minor, recipient)
        await self.world.command(order, owner, "ETH", amount_minor, recipient)
        return order

    async def _reorganise(self, depth: int, sent: dict[str, list[str]], orders: list[str]) -> None:
        again = list(sent["moved"])
        if self._chance.random() < 0.5:  # else they have to be sent again by ourselves
            again += await self._raw_of(orders)
        offsets = sorted(self._chance.randrange(depth) for _ in again)
        plan = [[raw, offset] for raw, offset in zip(again, offsets, strict=True)]
        await self.chain.call("anvil_reorg", depth, plan)
        await self.chain.mine(self._chance.randint(1, 3))
        for raw in sent["later"]:
            await self.chain.call("eth_sendRawTransaction", raw)

    async def _raw_of(self, orders: list[str]) -> list[str]:
        query = (
            "SELECT t.raw FROM transactions AS t INNER JOIN withdrawals AS w USING (withdrawal_id)"
            " WHERE w.tenant = $1 AND w.idempotency_key = any($2) ORDER BY t.nonce"
        )
        async with self.world.pool.acquire() as conn:
            rows = await conn.fetch(query, self.world.tenant, orders)
        return ["0x" + bytes(row["raw"]).hex() for row in rows]

    async def _until_status(self, orders: list[str], status: str) -> None:
        async def look() -> bool | None:
            statuses = await self._statuses()
            return all(statuses.get(order) == status for order in orders) or None

        await self.world.until(look, f"withdrawals {orders} are {status}")

    async def _statuses(self) -> dict[str, str]:
        async with self.world.pool.acquire() as conn:
            rows = await withdrawals_sql.list_withdrawals(
                conn, self.world.tenant, None, None, 100_000
            )
        return {row.idempotency_key: row.status for row in rows}

    async def _until_detected_and_credited(self, depositors: list[Fate]) -> None:
        small = [fate for fate in depositors if fate.amount_minor < BIG_MINOR]
        for fate in small:
            await self.world.until_balance(fate.owner, "ETH", "available", fate.amount_minor)
        for fate in depositors:
            await self.world.hear("deposit.detected", owner=fate.owner)

    async def _until_settled(
        self, depositors: list[Fate], orders: list[str], spender: Fate | None
    ) -> None:
        """Mine until everything is as it should be, and then a little longer."""
        deadline = asyncio.get_running_loop().time() + 60
        while wrong := await self._deviations(depositors, orders, spender):
            if asyncio.get_running_loop().time() > deadline:
                self.wrong.update(wrong)
                return
            await self.chain.mine()
            await asyncio.sleep(MINE_EVERY_S)
        self.frozen += spender is not None

    async def _deviations(
        self, depositors: list[Fate], orders: list[str], spender: Fate | None
    ) -> list[str]:
        world = self.world
        wrong: list[str] = []
        for fate in depositors:
            if await world.balance(fate.owner, "ETH", "available") != fate.final_minor:
                wrong.append("balances")
            if self._heard(fate.owner) != fate.heard:
                wrong.append("credits or reversals")
        statuses = await self._statuses()
        for order in orders:
            amount_minor, recipient = self.orders[order]
            if statuses[order] != "confirmed":
                wrong.append("withdrawals not paid")
            if await self.chain.balance(recipient) != amount_minor:
                wrong.append("withdrawals paid wrongly")
        if spender is not None and not await self._is_frozen(spender):
            wrong.append("accounts not frozen")
        return wrong

    def _heard(self, owner: str) -> Counter[str]:
        return Counter(
            event["type"]
            for event in self.world.sink.events.values()
            if event["data"].get("owner") == owner
            and event["type"] in ("deposit.confirmed", "deposit.reversed")
        )

    async def _is_frozen(self, spender: Fate) -> bool:
        owed_minor = await self.world.balance(spender.owner, "ETH", "receivable")
        return owed_minor == spender.amount_minor and any(
            event["type"] == "account.frozen" and event["data"].get("owner") == spender.owner
            for event in self.world.sink.events.values()
        )

    async def prove(self) -> list[Figure]:
        """Look at everything once more, after all reorganisations, and close the books."""
        self.wrong.update(await self._deviations(self.depositors, list(self.orders), None))
        report = await self.ground.reconcile()
        async with self.world.pool.acquire() as conn:
            unbalanced = await conn.fetchval(
                "SELECT count(*) FROM trial_balance WHERE debits_minor <> credits_minor"
            )
            parked = await conn.fetchval("SELECT count(*) FROM dead_letters")
        return [
            Figure("reorganisations", str(self.rounds), self.rounds > 0),
            Figure("deposits dropped, moved or late", str(len(self.depositors)), True),
            Figure("withdrawals unmade and paid once", str(len(self.orders)), True),
            Figure("accounts frozen, money gone", str(self.frozen), True),
            check("deviations", dict(self.wrong), {}),
            check("figures that differ between chain and ledger", len(report.differences), 0),
            check("trial balance", unbalanced, 0),
            check("dead letters", parked, 0),
        ]


async def run_reorgs(folder: Path, *, depths: Iterable[int], seed: int) -> list[Figure]:
    """Reorganise to each of these depths, one round each."""
    async with open_world(
        folder,
        ["ethereum"],
        with_tokens=False,
        coin={"confirmations_by_amount": CONFIRMATIONS},
        rebroadcast_after_s=1.0,
        reorg_depth_max=64,
    ) as world:
        reorganiser = Reorganiser(world, seed)
        await reorganiser.prepare()
        for depth in depths:
            await reorganiser.round(depth)
        return await reorganiser.prove()
