"""What counts as a difference, and when."""

from __future__ import annotations

from agents.parts.reconcile_figures import (
    Persistence,
    compare_addresses,
    compare_books,
    compare_wallets,
    total_wallets,
)
from sql.ledger import Imbalance, WrongAccount, WrongPosting
from sql.reconciliation import AddressFigure, DifferenceRow, WalletBalance, WalletFigure

BIG = 10**30
"""More than a float holds exactly."""


def differ(actual_minor: int, *, account: str = "a", expected_minor: int = 0) -> DifferenceRow:
    return DifferenceRow("chain", "acme", "ETH", account, expected_minor, actual_minor, "")


def figure(reason: str, recorded: int, booked: int, *ids: str) -> WalletFigure:
    return WalletFigure("acme", "ETH", "hot_wallet", reason, 1, recorded, booked, ids)


def wallet(balance_minor: int) -> WalletBalance:
    return WalletBalance("acme", "ETH", "hot_wallet", balance_minor)


def compare(figures: list[WalletFigure], balance_minor: int) -> list[DifferenceRow]:
    return compare_wallets(total_wallets(figures, [wallet(balance_minor)]), figures)


def test_addresses_are_compared_to_the_last_unit() -> None:
    figures = [AddressFigure("acme", address, "ETH", None, BIG) for address in "ab"]
    (found,) = compare_addresses(figures, [BIG, BIG + 1])
    assert (found.account, found.expected_minor, found.actual_minor) == ("b", BIG, BIG + 1)


def test_what_is_in_transit_explains_the_distance_between_chain_and_ledger() -> None:
    figures = [
        figure("settled", 100, 100),
        figure("detected", 7, 0),
        figure("unreversed", 0, 30),
    ]
    assert compare(figures, 130) == []
    (total,) = total_wallets(figures, [wallet(130)])
    assert (total.recorded_minor, total.in_transit_minor) == (107, -23)


def test_an_unexplained_movement_is_never_taken_for_one_in_transit() -> None:
    figures = [figure("settled", 100, 100), figure("unexplained", 0, 5, "deposit 9")]
    (found,) = compare(figures, 105)
    assert (found.expected_minor, found.actual_minor) == (100, 105)
    assert found.account == "ETH:hot_wallet"
    assert "deposit 9" in found.detail


def test_a_balance_that_moved_without_the_journal_differs() -> None:
    (found,) = compare([figure("settled", 100, 100)], 101)
    assert found.actual_minor - found.expected_minor == 1


def test_a_wallet_account_without_any_record_differs_unless_it_is_empty() -> None:
    assert compare([], 0) == []
    assert len(compare([], 5)) == 1


def test_a_wallet_without_an_account_differs_once_something_is_to_be_on_it() -> None:
    figures = [figure("overdue", 100, 0, "deposit 1")]
    (found,) = compare_wallets(total_wallets(figures, []), figures)
    assert (found.expected_minor, found.actual_minor) == (100, 0)


def test_books_name_the_account_and_its_owner() -> None:
    wrong = [
        WrongAccount(3, "acme", "alice", "ETH", "available", 5, 4),
        WrongAccount(4, "acme", "", "ETH", "hot_wallet", 5, 4),
        WrongAccount(5, None, None, None, None, None, 4),
    ]
    posting = WrongPosting(12, 1, "acme", "bob", "ETH", "pending", 6, 5)
    found = compare_books(wrong, [posting], [Imbalance("acme", "ETH", 1)])
    assert [difference.account for difference in found] == [
        "ETH:available:alice",
        "ETH:hot_wallet",
        "account 5",
        "ETH:pending:bob",
        "trial balance",
    ]
    assert [difference.scope for difference in found] == ["balance"] * 4 + ["ledger"]
    assert "entry 12, line 1" in found[3].detail


def test_a_difference_counts_once_it_was_there_in_three_looks() -> None:
    persistence = Persistence(3)
    assert persistence.look([differ(5)], settled=True) == ([], [differ(5)])
    assert persistence.look([differ(5)], settled=True) == ([], [differ(5)])
    assert persistence.look([differ(5)], settled=True) == ([differ(5)], [])


def test_figures_may_move_as_long_as_their_gap_stays() -> None:
    persistence = Persistence(2)
    persistence.look([differ(5)], settled=True)
    moved = differ(1005, expected_minor=1000)
    assert persistence.look([moved], settled=True) == ([moved], [])


def test_a_gap_that_changes_or_pauses_starts_anew() -> None:
    persistence = Persistence(2)
    persistence.look([differ(5)], settled=True)
    assert persistence.look([differ(6)], settled=True) == ([], [differ(6)])
    persistence.look([], settled=True)
    assert persistence.look([differ(6)], settled=True) == ([], [differ(6)])


def test_looks_while_stages_are_behind_do_not_count() -> None:
    persistence = Persistence(2)
    for _ in range(5):
        assert persistence.look([differ(5)], settled=False) == ([], [differ(5)])
    persistence.look([differ(5)], settled=True)
    assert persistence.look([differ(5)], settled=True) == ([differ(5)], [])


def test_one_difference_does_not_wait_for_another() -> None:
    persistence = Persistence(2)
    persistence.look([differ(5)], settled=True)
    old, new = differ(5), differ(5, account="b")
    assert persistence.look([old, new], settled=True) == ([old], [new])
