"""What each event does to the accounts, written as an accountant would."""

from __future__ import annotations

import msgspec
import pytest

from ledger import rules
from ledger.chart import BUCKETS, Kind
from ledger.decide import StoredEntry, StoredLine, repeats
from ledger.entries import AccountRef, Entry, Outcome
from ledger.memory import MemoryLedger
from ledger.validate import is_storable, problem_of
from tests.support.ledger import deposit, reversal, user
from tests.support.ledger_faults import INVALID, TENANT


def lines_of(entry: Entry) -> list[tuple[str, str, int]]:
    return [
        (
            f"{line.debit.asset} {line.debit.bucket}",
            f"{line.credit.asset} {line.credit.bucket}",
            line.amount_minor,
        )
        for line in entry.lines
    ]


def test_a_deposit_is_debited_to_the_wallets_and_credited_to_the_user() -> None:
    entry = deposit(TENANT, "alice", 100, 17)
    assert lines_of(entry) == [("ETH deposit_wallets", "ETH available", 100)]
    assert (entry.kind, entry.idempotency_key) == (Kind.DEPOSIT, "deposit:17:credit:0")


def test_a_deposit_of_nobody_is_kept_in_suspense_and_credited_from_there() -> None:
    mined = {"deposit_id": 17, "revision": 2}
    kept = rules.deposit_unassigned(TENANT, "ETH", 100, **mined)
    given = rules.deposit_assigned(TENANT, "alice", "ETH", 100, **mined)
    gone = rules.unassigned_reversed(TENANT, "ETH", 100, **mined)
    assert lines_of(kept) == [("ETH deposit_wallets", "ETH suspense", 100)]
    assert lines_of(given) == [("ETH suspense", "ETH available", 100)]
    assert lines_of(gone) == [("ETH suspense", "ETH deposit_wallets", 100)]
    assert kept.idempotency_key == "deposit:17:credit:2", "as if it had been credited to somebody"
    assert given.lines[0].repays == user(TENANT, "alice", "receivable")


def test_a_network_cost_is_an_expense_of_its_wallet_and_may_come_back() -> None:
    mined = {"cost_id": 5, "revision": 0}
    cost = rules.network_cost(TENANT, "ETH", "deposit_wallets", 7, **mined)
    undone = rules.network_cost_reversed(TENANT, "ETH", "deposit_wallets", 7, **mined)
    gain = rules.network_cost(TENANT, "ETH", "hot_wallet", -7, **mined)
    assert lines_of(cost) == [("ETH network_fees", "ETH deposit_wallets", 7)]
    assert lines_of(undone) == [("ETH deposit_wallets", "ETH network_fees", 7)]
    assert lines_of(gain) == [("ETH hot_wallet", "ETH network_fees", 7)]


def test_a_settled_withdrawal_pays_the_user_the_fee_and_the_gas() -> None:
    entry = rules.withdrawal_settled(
        TENANT,
        "alice",
        "USDT",
        90,
        fee_minor=10,
        withdrawal_id=4,
        revision=1,
        native_asset="ETH",
        gas_minor=3,
    )
    assert lines_of(entry) == [
        ("USDT pending", "USDT hot_wallet", 90),
        ("USDT pending", "USDT withdrawal_fees", 10),
        ("ETH network_fees", "ETH hot_wallet", 3),
    ]
    assert entry.idempotency_key == "withdrawal:4:settle:1"


def test_a_failed_withdrawal_costs_gas_and_nothing_else() -> None:
    entry = rules.withdrawal_failed_on_chain(
        TENANT,
        "alice",
        "ETH",
        90,
        fee_minor=10,
        withdrawal_id=4,
        revision=0,
        native_asset="ETH",
        gas_minor=3,
    )
    assert lines_of(entry) == [
        ("ETH pending", "ETH available", 100),
        ("ETH network_fees", "ETH hot_wallet", 3),
    ]


def test_without_fee_and_gas_there_are_no_empty_lines() -> None:
    entry = rules.withdrawal_settled(
        TENANT,
        "alice",
        "ETH",
        90,
        fee_minor=0,
        withdrawal_id=4,
        revision=0,
        native_asset="ETH",
        gas_minor=0,
    )
    assert lines_of(entry) == [("ETH pending", "ETH hot_wallet", 90)]


def one_of_each() -> list[Entry]:
    order = {"fee_minor": 1, "withdrawal_id": 1}
    mined = {"deposit_id": 1, "revision": 0}
    settled = rules.withdrawal_settled(
        TENANT, "a", "ETH", 5, **order, revision=0, native_asset="ETH", gas_minor=1
    )
    failed = rules.withdrawal_failed_on_chain(
        TENANT, "a", "ETH", 5, **order, revision=0, native_asset="ETH", gas_minor=1
    )
    return [
        rules.deposit_credited(TENANT, "a", "ETH", 5, **mined),
        rules.deposit_reversed(TENANT, "a", "ETH", 5, **mined),
        rules.deposit_assigned(TENANT, "a", "ETH", 5, **mined),
        rules.network_cost(TENANT, "ETH", "hot_wallet", 5, cost_id=1, revision=0),
        rules.network_cost_reversed(TENANT, "ETH", "hot_wallet", 5, cost_id=1, revision=0),
        rules.withdrawal_held(TENANT, "a", "ETH", 5, **order),
        rules.withdrawal_released(TENANT, "a", "ETH", 5, **order),
        settled,
        failed,
        rules.withdrawal_unsettled(settled),
        rules.withdrawal_unsettled(failed),
        rules.hold(TENANT, "a", "ETH", 5, reason="BID_LOCK", hold_id="1"),
        rules.unhold(TENANT, "a", "ETH", 5, reason="BID_LOCK", hold_id="1"),
    ]


def test_each_event_has_a_key_of_its_own() -> None:
    events = one_of_each()
    assert len({entry.idempotency_key for entry in events}) == len(events)
    assert all(problem_of(entry) == "" for entry in events)


def test_a_freeze_holds_up_what_a_user_orders_and_nothing_that_happened() -> None:
    held_up = {entry.kind for entry in one_of_each() if entry.enforce_frozen}
    assert held_up == {Kind.WITHDRAWAL_HELD, Kind.BID_LOCK}


def test_money_from_outside_is_capital_until_its_block_leaves_the_chain() -> None:
    mined = {"deposit_id": 17, "revision": 1}
    funded = rules.wallet_funded(TENANT, "ETH", "hot_wallet", 5, **mined)
    gone = rules.wallet_funding_reversed(TENANT, "ETH", "hot_wallet", 5, **mined)
    assert lines_of(funded) == [("ETH hot_wallet", "ETH capital", 5)]
    assert lines_of(gone) == [("ETH capital", "ETH hot_wallet", 5)]
    assert (problem_of(funded), problem_of(gone)) == ("", "")


async def balances_after(*batches: list[Entry]) -> dict[str, int]:
    ledger = MemoryLedger([TENANT], ["ETH", "USDT"])
    for batch in batches:
        for result in await ledger.post(batch):
            assert result.outcome is Outcome.POSTED, result
    assert ledger.difference_minor() == 0
    return {
        bucket: balance
        for bucket, meaning in BUCKETS.items()
        if (
            balance := ledger.balance_minor(
                AccountRef(TENANT, "alice" if meaning.of_user else "", "ETH", bucket)
            )
        )
    }


async def test_a_withdrawal_settled_and_reorganised_away_is_pending_again() -> None:
    held = rules.withdrawal_held(TENANT, "alice", "ETH", 90, fee_minor=10, withdrawal_id=4)
    settled = rules.withdrawal_settled(
        TENANT,
        "alice",
        "ETH",
        90,
        fee_minor=10,
        withdrawal_id=4,
        revision=0,
        native_asset="ETH",
        gas_minor=3,
    )
    assert await balances_after(
        [deposit(TENANT, "alice", 100, 1)], [held, settled], [rules.withdrawal_unsettled(settled)]
    ) == {"pending": 100, "deposit_wallets": 100}


async def test_a_spent_deposit_that_is_reversed_is_owed_and_freezes_the_user() -> None:
    ledger = MemoryLedger([TENANT], ["ETH"])
    held = rules.withdrawal_held(TENANT, "alice", "ETH", 70, fee_minor=0, withdrawal_id=1)
    again = rules.withdrawal_held(TENANT, "alice", "ETH", 1, fee_minor=0, withdrawal_id=2)
    results = await ledger.post(
        [deposit(TENANT, "alice", 100, 1), held, reversal(TENANT, "alice", 100, 1), again]
    )
    assert [r.outcome.value for r in results] == ["posted", "posted", "posted", "frozen"]
    assert results[2].shortfall_minor == 70
    assert ledger.balance_minor(user(TENANT, "alice", "available")) == 0
    assert ledger.balance_minor(user(TENANT, "alice", "receivable")) == 70

    results = await ledger.post([deposit(TENANT, "alice", 50, 2), again])
    assert [r.outcome.value for r in results] == ["posted", "frozen"]
    assert ledger.balance_minor(user(TENANT, "alice", "receivable")) == 20

    results = await ledger.post([deposit(TENANT, "alice", 50, 3), again])
    assert [r.outcome.value for r in results] == ["posted", "posted"]
    assert ledger.balance_minor(user(TENANT, "alice", "receivable")) == 0
    assert ledger.balance_minor(user(TENANT, "alice", "available")) == 29


async def test_a_release_repays_a_debt_before_it_frees_money() -> None:
    held = rules.withdrawal_held(TENANT, "alice", "ETH", 70, fee_minor=0, withdrawal_id=1)
    released = rules.withdrawal_released(TENANT, "alice", "ETH", 70, fee_minor=0, withdrawal_id=1)
    assert (
        await balances_after(
            [deposit(TENANT, "alice", 100, 1), held, reversal(TENANT, "alice", 100, 1)], [released]
        )
        == {}
    )


@pytest.mark.parametrize("fault", INVALID)
async def test_an_entry_that_can_never_be_posted_is_named_and_harms_no_other(fault: str) -> None:
    ledger = MemoryLedger([TENANT, "other"], ["ETH", "USDT"])
    good = deposit(TENANT, "alice", 100, 1)
    results = await ledger.post([INVALID[fault], good])
    assert [r.outcome for r in results] == [Outcome.INVALID, Outcome.POSTED]
    assert results[0].detail


WALLETS, ALICE, DEBT = (
    AccountRef(TENANT, "", "ETH", "deposit_wallets"),
    user(TENANT, "alice", "available"),
    user(TENANT, "alice", "receivable"),
)


@pytest.mark.parametrize(
    ("lines", "same"),
    [
        ([(ALICE, WALLETS, 100)], True),
        ([(DEBT, WALLETS, 100)], True),  # all of it was spent
        ([(DEBT, WALLETS, 30), (ALICE, WALLETS, 70)], True),
        ([(ALICE, WALLETS, 99)], False),
        ([(ALICE, WALLETS, 101)], False),
        ([(DEBT, WALLETS, 30), (ALICE, WALLETS, 71)], False),
        ([(DEBT, WALLETS, 30)], False),
        ([(ALICE, WALLETS, 100), (ALICE, WALLETS, 1)], False),
        ([(WALLETS, ALICE, 100)], False),
        ([(user(TENANT, "bob", "available"), WALLETS, 100)], False),
        ([], False),
    ],
)
def test_an_entry_under_a_key_that_is_taken_repeats_it_only_line_by_line(
    lines: list[tuple[AccountRef, AccountRef, int]], *, same: bool
) -> None:
    stored = StoredEntry(1, Kind.DEPOSIT_REVERSED, [StoredLine(*line) for line in lines])
    assert repeats(reversal(TENANT, "alice", 100, 1), stored) is same
    assert not repeats(reversal(TENANT, "alice", 100, 1), stored._replace(kind=Kind.DEPOSIT))


def test_a_credit_that_repaid_a_debt_is_known_again_and_one_to_somebody_else_is_not() -> None:
    split = [StoredLine(WALLETS, DEBT, 30), StoredLine(WALLETS, ALICE, 70)]
    others = [StoredLine(WALLETS, user(TENANT, "bob", "available"), 100)]
    credit = deposit(TENANT, "alice", 100, 1)
    twice = msgspec.structs.replace(credit, lines=credit.lines * 2)
    assert repeats(credit, StoredEntry(1, Kind.DEPOSIT, split))
    assert repeats(twice, StoredEntry(1, Kind.DEPOSIT, split * 2))
    assert not repeats(credit, StoredEntry(1, Kind.DEPOSIT, others))


def test_texts_postgres_cannot_hold_are_known() -> None:
    assert is_storable("Grüße\n")
    assert not is_storable("a\0")
    assert not is_storable("\udfff")
