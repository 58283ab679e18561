"""What reconciliation finds, and names: real stages and Postgres on a simulated chain."""

from __future__ import annotations

import secrets

import pytest

from agents import reconcile_chain
from agents.parts import reconcile_look
from chain_adapters.simulated import FEE_MINOR, Order, Pooled
from chain_adapters.types import Payment
from ledger import rules
from sql.pool import Pool
from tests.support.books import OUTSIDER, Books
from tests.support.clocks import put_ahead
from tests.support.deposits import CONFIRMATIONS, TOKEN


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
    assert report.clean
    assert await books.balance("network_fees") == FEE_MINOR
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
    # Its fee is known, as a cost of the wallet.
    assert (found.account, found.actual_minor - found.expected_minor) == (books.hot, -900_000)


async def test_a_deleted_deposit_is_found_at_its_address_and_in_the_ledger(books: Books) -> None:
    address = await books.deposit(700)
    async with books.past_the_guards() as conn:
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


async def test_nothing_is_overdue_by_the_clock_of_the_worker(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await books.watch()
    books.chain.mint(address, None, 700)
    books.pipeline.stages = [s for s in books.pipeline.stages if s.name != "post_ledger"]
    await books.pipeline.start()
    await books.confirm()
    put_ahead(monkeypatch, reconcile_chain, reconcile_look)
    assert (await books.reconcile()).clean


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
