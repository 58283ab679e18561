"""Reconciliation on real stages and Postgres with a simulated chain: what it finds, and names."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.reconcile_chain import (
    NotFollowed,
    Patience,
    ReconcileChain,
    reconcile_books,
    reconcile_network,
)
from agents.reconcile_figures import Report
from chain_adapters.simulated import FEE_MINOR, Mischief, Order, Pooled
from chain_adapters.types import NodeUnavailable, Payment
from ledger import rules
from ledger.entries import Entry, Outcome
from ledger.post import post
from sql import deposits as deposits_sql
from sql import reconciliation as tables
from sql import transactions as transactions_sql
from sql.pool import Connection, Pool
from sql.reconciliation import DifferenceRow
from tests.scenarios.test_deposits import CONFIRMATIONS, TOKEN, World
from topics.event_data import Difference
from topics.events import EVENTS, ReconciliationDifference

QUICK = Patience(pause_s=0)
OUTSIDER = "0x" + "0d" * 20


class Books(World):
    """A world with a funded hot wallet, whose withdrawals are confirmed too."""

    hot: str

    async def start(self) -> None:
        self.pipeline.stages = [*self.pipeline.stages, ConfirmWithdrawals(self.pipeline.context)]
        await super().start()
        self.hot = "0x" + secrets.token_hex(20)
        async with self.pool.acquire() as conn, conn.transaction():
            await deposits_sql.lock_counter(conn, self.network)
            await deposits_sql.add_addresses(
                conn, self.network, self.tenant, "hot", [(self.hot, "", "m/1", None)]
            )
            await deposits_sql.advance_counter(conn, self.network, 1, 0)
        self.chain.mint(self.hot, None, 1_000_000)
        await self.confirm()

    async def confirm(self) -> None:
        """Mine and follow until all that was sent is deep enough."""
        self.chain.mine(CONFIRMATIONS)
        await self.follow()

    async def deposit(self, amount_minor: int, contract: str | None = None) -> str:
        address = await self.watch()
        self.chain.mint(address, contract, amount_minor)
        await self.confirm()
        return address

    async def post(self, entry: Entry) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            (result,) = await post(conn, [entry])
        assert result.outcome is Outcome.POSTED

    async def withdraw(self, amount_minor: int, *, to: str = OUTSIDER) -> Pooled:
        """Order, sign and send a withdrawal of alice, and do not mine it."""
        async with self.pool.acquire() as conn:
            withdrawal_id, nonce = await self._order(conn, amount_minor, to)
        await self.post(
            rules.withdrawal_held(
                self.tenant,
                "alice",
                self.coin,
                amount_minor,
                fee_minor=0,
                withdrawal_id=withdrawal_id,
            )
        )
        order = Order(Payment(self.hot, to, None, amount_minor), nonce, FEE_MINOR)
        digest = hashlib.sha256(f"{self.network} {withdrawal_id}".encode()).hexdigest()
        pooled = Pooled("0x" + digest, order)
        async with self.pool.acquire() as conn, conn.transaction():
            await transactions_sql.sign_withdrawals(conn, [(withdrawal_id, self.hot, nonce)])
            await conn.execute(
                "INSERT INTO transactions (network, transaction_id, withdrawal_id, sender, nonce,"
                " attempt, unsigned, raw, fee_minor_max)"
                " VALUES ($1, $2, $3, $4, $5, 0, '', '', $6)",
                self.network,
                pooled.id,
                withdrawal_id,
                self.hot,
                nonce,
                FEE_MINOR,
            )
        self.chain.submit(pooled)
        return pooled

    async def _order(self, conn: Connection, amount_minor: int, to: str) -> tuple[int, int]:
        withdrawal_id = await conn.fetchval(
            "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset, network,"
            " address, amount_minor, fee_minor)"
            " VALUES ($1, $2, '', 'alice', $3, $4, $5, $6, 0) RETURNING withdrawal_id",
            self.tenant,
            secrets.token_hex(8),
            self.coin,
            self.network,
            to,
            amount_minor,
        )
        await conn.execute(
            "UPDATE withdrawals SET status = 'approved', decided_by = 'limits'"
            " WHERE withdrawal_id = $1",
            withdrawal_id,
        )
        nonce = await conn.fetchval(
            "SELECT count(*) FROM transactions WHERE network = $1", self.network
        )
        return withdrawal_id, nonce

    async def reconcile(self, patience: Patience = QUICK) -> Report:
        return await reconcile_network(
            self.pool,
            self.adapter,
            topic_prefix=self.pipeline.kafka.prefix,
            patience=patience,
        )

    async def wrong_in_books(self) -> list[DifferenceRow]:
        """Reconcile the books, and leave out what other tests have tampered with."""
        report = await reconcile_books(self.pool, topic_prefix=self.pipeline.kafka.prefix)
        return [found for found in report.differences if found.tenant == self.tenant]

    async def alarms(self) -> list[Difference]:
        """Return what the tenant was told."""
        await self.pipeline.settle()
        log = self.pipeline.kafka.topics[self.pipeline.kafka.prefix + EVENTS.name]
        found = [event for record in log for event in EVENTS.decode(record.value or b"").events]
        return [event.data for event in found if isinstance(event, ReconciliationDifference)]

    @asynccontextmanager
    async def past_the_guards(self) -> AsyncIterator[Connection]:
        """A transaction in which no trigger fires, as only a superuser can have it."""
        async with self.pool.acquire() as conn, conn.transaction():
            await conn.execute("SET LOCAL session_replication_role = replica")
            yield conn


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


async def test_deposits_fundings_and_withdrawals_reconcile(books: Books) -> None:
    await books.deposit(700)
    await books.deposit(30, TOKEN)
    await books.withdraw(400)
    await books.confirm()
    report = await books.reconcile()
    assert report.clean
    assert {(w.asset, w.bucket): w.ledger_minor for w in report.wallets} == {
        (books.coin, "deposit_wallets"): 700,
        (books.coin, "hot_wallet"): 1_000_000 - 400 - FEE_MINOR,
        (books.token, "deposit_wallets"): 30,
    }
    assert all(wallet.in_transit_minor == 0 for wallet in report.wallets)
    assert await books.wrong_in_books() == []
    assert await books.alarms() == []


async def test_what_is_under_way_is_no_difference(books: Books) -> None:
    address = await books.deposit(700)
    books.chain.mint(address, None, 5)
    books.chain.mint(address, None, 50)
    await books.withdraw(400)
    books.chain.mine()
    await books.follow()
    report = await books.reconcile()
    assert report.clean
    in_transit = {w.bucket: w.in_transit for w in report.wallets if w.in_transit}
    assert in_transit == {
        "deposit_wallets": {"detected": 50, "ignored": 5},
        "hot_wallet": {"unconfirmed": -400 - FEE_MINOR},
    }


async def test_facts_on_their_way_to_the_journal_are_no_difference(books: Books) -> None:
    await books.deposit(700)
    async with books.pool.acquire() as conn:
        await conn.execute(
            "UPDATE deposits SET status = 'orphaned' WHERE network = $1 AND owner = 'alice'",
            books.network,
        )
    books.chain.reorganise(CONFIRMATIONS + 1, length=2 * CONFIRMATIONS)
    await books.follower.catch_up(books.chain.tip)
    report = await books.reconcile()
    assert report.clean
    wallets = {w.bucket: w.in_transit for w in report.wallets}
    assert wallets["deposit_wallets"] == {"unreversed": -700}


async def test_a_reorganisation_leaves_clean_books(books: Books) -> None:
    await books.deposit(700)
    await books.withdraw(100)
    await books.confirm()
    books.chain.reorganise(CONFIRMATIONS, length=2 * CONFIRMATIONS)
    await books.follow()
    await books.confirm()
    report = await books.reconcile()
    assert report.clean
    assert sum(w.ledger_minor for w in report.wallets) == 1_000_700 - 100 - FEE_MINOR
    assert await books.wrong_in_books() == []


async def test_a_withdrawal_without_effect_costs_its_fee_and_reconciles(books: Books) -> None:
    await books.deposit(700)
    books.chain.reverting.add(OUTSIDER)
    await books.withdraw(100)
    await books.confirm()
    report = await books.reconcile()
    assert report.clean
    assert await books.available() == 700
    wallets = {w.bucket: w.ledger_minor for w in report.wallets}
    assert wallets["hot_wallet"] == 1_000_000 - FEE_MINOR


async def test_money_moved_between_our_own_addresses_is_followed(books: Books) -> None:
    address = await books.deposit(5_000)
    payment = Payment(address, books.hot, None, 3_000)
    books.chain.submit(Pooled("0x" + secrets.token_hex(32), Order(payment, 0, FEE_MINOR)))
    await books.confirm()
    report = await books.reconcile()
    # Its fee alone is unknown: the transaction is none of Millrace's.
    assert [(d.account, d.expected_minor, d.actual_minor) for d in report.differences] == [
        (address, 2_000, 2_000 - FEE_MINOR)
    ]
    in_transit = {w.bucket: w.in_transit for w in report.wallets}
    assert in_transit == {
        "deposit_wallets": {"ignored": -3_000},
        "hot_wallet": {"ignored": 3_000},
    }


async def test_money_that_no_block_told_us_of_is_found_and_its_address_named(books: Books) -> None:
    used, unused = await books.deposit(700), await books.watch()
    books.chain.mine()
    for address in (used, unused):
        books.chain.state_at(-1).add(address, None, 11)
    await books.follow()
    report = await books.reconcile()
    assert not report.clean
    assert {(d.scope, d.account, d.expected_minor, d.actual_minor) for d in report.differences} == {
        ("chain", used, 700, 711),
        ("chain", unused, 0, 11),
    }
    assert {(a.account, a.difference_minor) for a in await books.alarms()} == {
        (used, "11"),
        (unused, "11"),
    }


async def test_a_payment_that_is_not_ours_is_found(books: Books) -> None:
    theft = Payment(books.hot, OUTSIDER, None, 900_000)
    books.chain.submit(Pooled("0x" + secrets.token_hex(32), Order(theft, 0, FEE_MINOR)))
    await books.confirm()
    (found,) = (await books.reconcile()).differences
    assert (found.account, found.actual_minor - found.expected_minor) == (
        books.hot,
        -900_000 - FEE_MINOR,
    )


async def test_a_deleted_deposit_is_found_at_its_address_and_in_the_ledger(books: Books) -> None:
    address = await books.deposit(700)
    async with books.pool.acquire() as conn:
        deposit_id = await conn.fetchval(
            "DELETE FROM deposits WHERE address = $1 RETURNING deposit_id", address
        )
    differences = {d.account: d for d in (await books.reconcile()).differences}
    account = f"{books.coin}:deposit_wallets"
    assert set(differences) == {address, account}
    assert (differences[address].expected_minor, differences[address].actual_minor) == (0, 700)
    assert (differences[account].expected_minor, differences[account].actual_minor) == (0, 700)
    assert f"deposit {deposit_id}" in differences[account].detail


async def test_an_entry_posted_by_hand_is_found_and_named(books: Books) -> None:
    entry = rules.wallet_funded(
        books.tenant, books.coin, "hot_wallet", 50, deposit_id=987_654_321, revision=0
    )
    await books.post(entry)
    (found,) = (await books.reconcile()).differences
    assert found.account == f"{books.coin}:hot_wallet"
    assert found.actual_minor - found.expected_minor == 50
    assert "deposit 987654321" in found.detail


async def test_two_faults_that_cancel_each_other_out_are_found(books: Books) -> None:
    for deposit_id, turn in (
        (111_111_111, rules.wallet_funded),
        (222_222_222, rules.wallet_funding_reversed),
    ):
        await books.post(
            turn(books.tenant, books.coin, "hot_wallet", 50, deposit_id=deposit_id, revision=0)
        )
    (found,) = (await books.reconcile()).differences
    assert found.actual_minor == found.expected_minor
    assert "deposit 111111111, deposit 222222222" in found.detail


async def test_a_credit_that_never_reaches_the_journal_is_found(books: Books) -> None:
    address = await books.watch()
    books.chain.mint(address, None, 700)
    books.pipeline.stages = [s for s in books.pipeline.stages if s.name != "post_ledger"]
    await books.pipeline.start()
    await books.confirm()
    assert (await books.reconcile()).clean
    async with books.pool.acquire() as conn:
        deposit_id = await conn.fetchval(
            "UPDATE deposits SET confirmed_at = now() - interval '1 hour' WHERE address = $1"
            " RETURNING deposit_id",
            address,
        )
    (found,) = (await books.reconcile()).differences
    assert (found.account, found.expected_minor, found.actual_minor) == (
        f"{books.coin}:deposit_wallets",
        700,
        0,
    )
    assert found.detail == f"1 overdue, first deposit {deposit_id}"


async def test_a_changed_balance_is_found_although_no_trigger_fired(books: Books) -> None:
    await books.deposit(700)
    change = (
        "UPDATE accounts SET balance_minor = balance_minor + $1::numeric"
        " WHERE tenant = $2 AND bucket = 'available'"
    )
    async with books.past_the_guards() as conn:
        await conn.execute(change, 7, books.tenant)
    found = {d.scope: d for d in await books.wrong_in_books()}
    assert set(found) == {"balance", "ledger"}
    assert found["balance"].account == f"{books.coin}:available:alice"
    assert (found["balance"].expected_minor, found["balance"].actual_minor) == (700, 707)
    assert found["ledger"].actual_minor == -7
    assert {a.scope for a in await books.alarms()} == {"balance", "ledger"}
    async with books.past_the_guards() as conn:
        await conn.execute(change, -7, books.tenant)
    assert await books.wrong_in_books() == []


async def test_a_difference_is_told_once_and_kept_with_every_run(books: Books) -> None:
    books.chain.state_at(-1).add(books.hot, None, 11)
    for _ in range(2):
        assert len((await books.reconcile()).differences) == 1
    assert len(await books.alarms()) == 1
    async with books.pool.acquire() as conn:
        (run,) = [run for run in await tables.last_runs(conn) if run.network == books.network]
        (kept,) = (await tables.run_differences(conn, [run.run_id]))[run.run_id]
    assert run.settled
    assert (kept.account, kept.expected_minor, kept.actual_minor) == (
        books.hot,
        1_000_000,
        1_000_011,
    )


async def test_a_difference_that_passes_by_itself_raises_no_alarm(books: Books) -> None:
    state = books.chain.state_at(-1)
    state.add(books.hot, None, 11)
    looks = 0

    def watch(done: int, total: int) -> None:
        nonlocal looks
        if done == total:
            looks += 1
            if looks == 2:
                state.add(books.hot, None, -11)

    report = await reconcile_network(
        books.pool, books.adapter, topic_prefix="x.", progress=watch, patience=QUICK
    )
    assert report.clean
    assert looks == 3


async def test_while_stages_are_behind_nothing_is_said_to_differ(books: Books) -> None:
    books.chain.state_at(-1).add(books.hot, None, 11)
    async with books.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO outbox (topic, key, payload, created_at)"
            " VALUES ('x', $1, '', now() - interval '1 minute')",
            books.network,
        )
    report = await books.reconcile()
    assert not report.settled
    assert report.differences == ()
    assert [found.account for found in report.unsettled] == [books.hot]
    await books.pipeline.relay()


async def test_a_payment_not_looked_at_yet_is_no_difference(books: Books) -> None:
    await books.deposit(700)
    await books.withdraw(400)
    await books.confirm()
    async with books.pool.acquire() as conn:
        # As if confirm_withdrawals had been away since the payment was sent.
        await conn.execute(
            "UPDATE transactions SET state = 'broadcast', height = NULL, block_id = NULL,"
            " succeeded = NULL, fee_minor = NULL, confirm_height = NULL, mined_at = NULL"
            " WHERE network = $1",
            books.network,
        )
        behind = (
            "UPDATE inbox SET next_offset = next_offset + $2, updated_at = now()"
            " WHERE stage = 'confirm_withdrawals' AND cluster_id = $1"
        )
        await conn.execute(behind, books.pipeline.cluster_id, -1)
    report = await books.reconcile()
    assert not report.settled
    assert books.hot in [found.account for found in report.unsettled]
    async with books.pool.acquire() as conn:
        await conn.execute(behind, books.pipeline.cluster_id, 1)
    assert books.hot in [found.account for found in (await books.reconcile()).differences]


async def test_a_chain_that_reorganises_under_our_eyes_is_read_again(books: Books) -> None:
    turned = False

    def turn(done: int, total: int) -> None:
        nonlocal turned
        if not turned:
            turned = True
            books.chain.reorganise(1, length=2)

    report = await reconcile_network(
        books.pool,
        books.adapter,
        topic_prefix="x.",
        progress=turn,
        patience=Patience(looks_max=2, pause_s=0),
    )
    assert not report.settled
    assert report.differences == ()
    await books.follow()
    assert (await books.reconcile()).clean


async def test_an_unreachable_node_proves_nothing(books: Books) -> None:
    books.adapter.order_mischief([Mischief.UNAVAILABLE])
    with pytest.raises(NodeUnavailable):
        await books.reconcile()


async def test_a_network_that_was_never_followed_cannot_be_reconciled(
    pool: Pool, database_url: str
) -> None:
    world = World(pool, database_url)
    with pytest.raises(NotFollowed):
        await reconcile_network(pool, world.adapter, topic_prefix="x.")


async def test_the_loop_reconciles_every_network_and_the_books(books: Books) -> None:
    loop = ReconcileChain(books.pipeline.context)
    await loop.run_once()
    async with books.pool.acquire() as conn:
        runs = {run.network: run for run in await tables.last_runs(conn)}
    assert runs[books.network].settled
    assert runs[books.network].height == len(books.chain.blocks) - 1
    assert runs[None].figures > 0
    assert loop.every_s == books.pipeline.context.settings.reconcile_every_s


async def test_a_limit_leaves_addresses_for_another_time_and_says_so(books: Books) -> None:
    for _ in range(3):
        await books.deposit(100)
    report = await reconcile_network(
        books.pool, books.adapter, topic_prefix="x.", addresses_max=2, patience=QUICK
    )
    assert report.clean
    assert report.figures_total - report.figures == 2 * 4 - 2
