"""How a difference is told from work in progress, and whom it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agents.parts.reconcile_look import NotFollowed
from agents.reconcile_chain import RETRY_S, Patience, ReconcileChain, reconcile_network
from agents.runtime.loop import Loop
from agents.runtime.run_loop import run_loop
from chain_adapters.simulated import FEE_MINOR, Mischief
from chain_adapters.types import Holding, NodeUnavailable
from sql import reconciliation as tables
from sql import stream
from sql.pool import Pool
from tests.support.books import QUICK, Books
from tests.support.deposits import CONFIRMATIONS, World


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


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
        await stream.fill_outbox(conn, [("x", books.network, b"")])
        await conn.execute("UPDATE outbox SET created_at = now() - interval '1 minute'")
    report = await books.reconcile()
    assert not report.settled
    assert report.differences == ()
    assert [found.account for found in report.unsettled] == [books.hot]
    await books.pipeline.relay()


async def test_a_node_without_old_states_proves_nothing_while_we_are_behind(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await books.deposit(700)
    books.chain.mint(address, None, 50)
    books.chain.mine()
    answer_for_the_tip(books, monkeypatch)
    report = await books.reconcile()
    assert not report.settled
    assert report.differences == ()
    assert [found.account for found in report.unsettled] == [address]
    await books.follow()
    assert (await books.reconcile()).clean


async def test_a_difference_is_told_though_the_node_is_ahead_whenever_we_look(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.chain.state_at(-1).add(books.hot, None, 11)
    answer_for_the_tip(books, monkeypatch, running=True)
    assert [found.account for found in (await books.reconcile()).differences] == [books.hot]


def answer_for_the_tip(
    books: Books, monkeypatch: pytest.MonkeyPatch, *, running: bool = False
) -> None:
    """Keep no old states; a running chain has a new block in each look, and we have it soon."""
    at_height = books.adapter.fetch_balances

    async def at_tip(holdings: Sequence[Holding], _: int) -> list[int]:
        if running:
            books.chain.mine()
        balances = await at_height(holdings, len(books.chain.blocks) - 1)
        if running:
            await books.follow()
        return balances

    monkeypatch.setattr(books.adapter, "fetch_balances", at_tip)


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
    pause_s = await loop.run_once()
    async with books.pool.acquire() as conn:
        runs = {run.network: run for run in await tables.last_runs(conn)}
    assert runs[books.network].settled
    assert runs[books.network].height == len(books.chain.blocks) - 1
    assert runs[None].figures > 0
    assert pause_s == books.pipeline.context.settings.reconcile_every_s


async def test_a_network_whose_node_is_away_is_tried_again_soon_and_the_books_now(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def be_away(holdings: Sequence[Holding], height: int) -> list[int]:
        raise NodeUnavailable(f"no answer for {len(holdings)} at {height}")

    async def last_runs() -> dict[str | None, int]:
        async with books.pool.acquire() as conn:
            return {run.network: run.run_id for run in await tables.last_runs(conn)}

    await books.reconcile()
    before = await last_runs()
    monkeypatch.setattr(books.adapter, "fetch_balances", be_away)
    loop = ReconcileChain(books.pipeline.context)
    pause_s = await loop.run_once()
    after = await last_runs()
    assert after[books.network] == before[books.network]
    assert after[None] != before.get(None)
    assert pause_s == RETRY_S < books.pipeline.context.settings.reconcile_every_s


async def test_a_loop_comes_again_when_its_round_said(books: Books) -> None:
    class Impatient(Loop):
        name = "impatient"
        every_s = 3600.0
        rounds = 0
        came_again = asyncio.Event()

        async def run_once(self) -> float | None:
            self.rounds += 1
            if self.rounds == 2:
                self.came_again.set()
                return None
            return 0.0

    context = books.pipeline.context
    running = asyncio.create_task(run_loop(Impatient(context), context))
    async with asyncio.timeout(20):
        await Impatient.came_again.wait()
    running.cancel()
    await asyncio.wait([running])


async def test_a_limit_leaves_addresses_for_another_time_and_says_so(books: Books) -> None:
    for _ in range(3):
        await books.deposit(100)
    report = await reconcile_network(
        books.pool, books.adapter, topic_prefix="x.", addresses_max=2, patience=QUICK
    )
    assert report.clean
    assert report.figures_total - report.figures == 2 * 4 - 2
