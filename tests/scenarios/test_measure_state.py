"""The shared metrics show what the database holds."""

from __future__ import annotations

import pytest

from agents.measure_state import MeasureState
from agents.reconcile_chain import reconcile_books
from ledger import rules
from ledger.post import post
from metrics.catalogue import CATALOGUE, SHARED_REGISTRY
from sql import chain as chain_sql
from sql import ledger as ledger_sql
from sql import stream
from sql import wallets as wallets_sql
from sql.pool import Pool
from tests.support.books import Books
from tests.support.deposits import CONFIRMATIONS
from topics.events import EVENTS, HotWalletLow

SHARED = sorted(name for name, entry in CATALOGUE.items() if entry.shared)


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


def shown(name: str, **labels: str) -> float | None:
    """Return what a metric shows, None if it does not."""
    return SHARED_REGISTRY.get_sample_value(f"millrace_{name}", labels)


async def measure(books: Books) -> MeasureState:
    loop = MeasureState(books.pipeline.context)
    await loop.run_once()
    return loop


async def test_every_shared_metric_of_the_catalogue_is_set(books: Books) -> None:
    for family in SHARED_REGISTRY.collect():
        for sample in family.samples:
            if not sample.labels:
                SHARED_REGISTRY._names_to_collectors[sample.name].set(-1)  # type: ignore[attr-defined]
    await measure(books)
    samples = {
        sample.name: sample.value
        for family in SHARED_REGISTRY.collect()
        for sample in family.samples
    }
    assert sorted(samples) == SHARED
    assert [name for name, value in samples.items() if value == -1] == []


async def test_a_network_that_is_no_longer_configured_is_not_shown(books: Books) -> None:
    gone = f"{books.network}-gone"
    async with books.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO networks (network, kind, native_asset, confirmations)"
            " VALUES ($1, 'simulated', 'GONE', 1)",
            gone,
        )
        await conn.execute(
            "INSERT INTO cursors (network, height, node_height, matched_height)"
            " VALUES ($1, 7, 7, 7)",
            gone,
        )
    await measure(books)
    assert shown("network_halted", network=books.network) == 0
    assert shown("head_height", network=gone) is None
    assert shown("reconciliation_last_success_timestamp_seconds", network=gone) is None


async def test_heights_and_lag_are_those_of_the_cursor(books: Books) -> None:
    books.chain.mine(4)
    await books.follow()
    async with books.pool.acquire() as conn:
        await conn.execute(
            "UPDATE cursors SET node_height = node_height + 5, matched_height = matched_height - 2"
            " WHERE network = $1",
            books.network,
        )
        await chain_sql.halt_network(conn, books.network, "for the test")
    await measure(books)
    tip = len(books.chain.blocks) - 1
    assert shown("head_height", network=books.network) == tip + 5
    assert shown("followed_height", network=books.network) == tip
    assert shown("matched_height", network=books.network) == tip - 2
    assert shown("head_lag_blocks", network=books.network) == 7
    assert shown("network_halted", network=books.network) == 1


async def test_halted_wallets_are_counted(books: Books) -> None:
    async with books.pool.acquire() as conn:
        await wallets_sql.lock_nonces(conn, books.network, {books.hot: 0})
        await wallets_sql.halt_wallet(conn, books.network, books.hot, "for the test", None)
        await measure(books)
        assert shown("wallets_halted", network=books.network) == 1
        assert await wallets_sql.resume_wallet(conn, books.network, books.tenant)
    await measure(books)
    assert shown("wallets_halted", network=books.network) == 0


async def test_a_network_nobody_followed_shows_no_heights(books: Books) -> None:
    async with books.pool.acquire() as conn:
        await conn.execute("DELETE FROM cursors WHERE network = $1", books.network)
    await measure(books)
    assert shown("head_height", network=books.network) is None
    assert shown("network_halted", network=books.network) == 0


async def test_a_deposit_that_has_its_confirmations_and_is_not_confirmed_is_shown_until_it_is(
    books: Books,
) -> None:
    address = await books.watch()
    async with books.pool.acquire() as conn:
        await conn.execute(
            "UPDATE networks SET finality = 'finalized' WHERE network = $1", books.network
        )
    await books.pipeline.start()
    books.chain.mint(address, None, 500)
    books.chain.mine(1)
    await books.follow()
    await measure(books)
    assert shown("deposit_oldest_due_seconds", network=books.network) == 0, "it is not due yet"
    books.chain.mine(CONFIRMATIONS)
    await books.follow()
    async with books.pool.acquire() as conn:
        await conn.execute(
            "UPDATE deposits SET detected_at = now() - interval '2 hours' WHERE network = $1",
            books.network,
        )
    await measure(books)
    assert (shown("deposit_oldest_due_seconds", network=books.network) or 0) >= 7200
    books.chain.mine(books.chain.finality_depth)
    await books.follow()
    await measure(books)
    assert shown("deposit_oldest_due_seconds", network=books.network) == 0


async def test_open_withdrawals_are_counted_and_gone_when_they_are_done(books: Books) -> None:
    await books.deposit(700)
    await books.withdraw(300)
    await measure(books)
    labels = {"network": books.network, "status": "signed"}
    assert shown("withdrawals_open", **labels) == 1
    assert (shown("withdrawal_oldest_seconds", status="signed") or 0) > 0
    await books.confirm()
    await measure(books)
    assert shown("withdrawals_open", **labels) == 0


async def test_a_hot_wallet_that_cannot_pay_is_short_and_its_tenant_told_once(
    books: Books,
) -> None:
    labels = {"network": books.network, "asset": books.coin}
    await books.deposit(3_000_000)
    await measure(books)
    assert shown("hot_wallet_balance", **labels) == 1_000_000 / 10**18
    assert shown("hot_wallets_short", **labels) == 0
    await books.withdraw(2_000_000)
    loop = await measure(books)
    assert shown("hot_wallets_short", **labels) == 1
    await loop.run_once()
    await books.pipeline.settle()
    log = books.pipeline.kafka.topics[books.pipeline.kafka.prefix + EVENTS.name]
    found = [event for record in log for event in EVENTS.decode(record.value or b"").events]
    (told,) = [event for event in found if isinstance(event, HotWalletLow)]
    assert told.tenant == books.tenant
    assert (told.data.balance_minor, told.data.threshold_minor) == ("1000000", "2000000")


async def test_what_reconciliation_found_is_shown_by_whoever_measures(books: Books) -> None:
    labels = {"network": books.network, "asset": books.coin}
    await measure(books)
    at = "reconciliation_last_success_timestamp_seconds"
    assert shown(at, network=books.network) == 0
    books.chain.state_at(-1).add(books.hot, None, 11)
    await books.reconcile()
    await measure(books)
    assert shown("reconciliation_differences", **labels) == 1
    assert (shown(at, network=books.network) or 0) > 1.7e9
    books.chain.state_at(-1).add(books.hot, None, -11)
    await books.reconcile()
    await measure(books)
    assert shown("reconciliation_differences", **labels) == 0


async def test_books_that_were_tampered_with_are_shown(books: Books) -> None:
    await books.deposit(700)
    change = (
        "UPDATE accounts SET balance_minor = balance_minor + $1::numeric"
        " WHERE tenant = $2 AND bucket = 'available'"
    )
    for amount, flag in ((7, 1), (-7, 0)):
        async with books.past_the_guards() as conn:
            await conn.execute(change, amount, books.tenant)
        await reconcile_books(books.pool, topic_prefix=books.pipeline.kafka.prefix)
        await measure(books)
        assert shown("ledger_differing_accounts") == flag
        assert shown("ledger_unbalanced") == flag


async def owe(books: Books, owner: str) -> None:
    """Let an owner spend a deposit that leaves the chain, and so be frozen."""
    money = (books.tenant, owner, books.coin, 7)
    async with books.pool.acquire() as conn, conn.transaction():
        await post(
            conn,
            [
                rules.deposit_credited(*money, deposit_id=10**9, revision=0),
                rules.withdrawal_held(*money, fee_minor=0, withdrawal_id=10**9),
                rules.deposit_reversed(*money, deposit_id=10**9, revision=0),
            ],
        )


async def test_who_owes_keys_and_queues_are_counted(books: Books) -> None:
    await measure(books)
    before = {
        name: shown(name) or 0 for name in ("accounts_frozen", "outbox_depth", "dead_letters_open")
    }
    keys_wanted = books.pipeline.context.settings.address_pool_min
    await books.deposit(700)
    await owe(books, "debtor")
    async with books.pool.acquire() as conn:
        await ledger_sql.freeze_account(
            conn, books.tenant, "suspect", asset=books.coin, reason="court order"
        )
        await conn.execute(
            "INSERT INTO dead_letters (stage, topic, partition, record_offset, error)"
            " VALUES ('s', 't', 0, 0, 'odd')"
        )
        await stream.fill_outbox(conn, [("x", "k", b"")])
        await conn.execute("UPDATE outbox SET created_at = now() - interval '1 minute'")
        await conn.executemany(
            "INSERT INTO key_pool (network, branch, key_index, key_path, public_key)"
            " VALUES ($1, 0, $2, 'm', '')",
            [(books.network, index) for index in range(5)],
        )
    await measure(books)
    assert {name: (shown(name) or 0) - count for name, count in before.items()} == dict.fromkeys(
        before, 1
    )
    assert (shown("outbox_oldest_seconds") or 0) >= 60
    assert shown("key_pool_free", network=books.network) == 5
    assert shown("key_pool_wanted", network=books.network) == keys_wanted
    await books.pipeline.relay()
