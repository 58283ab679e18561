"""What can be spent on Stellar, what a trustline takes, and what is bid, to the stroop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chain_adapters.stellar.quoting import choose_fee, held_of, judge_token, reserve_of
from chain_adapters.stellar.wire import WireAccount, WireBalance, WireFees, WireFeeStats, WireLedger
from chain_adapters.types import Payment, PaymentRefused

SENDER, RECIPIENT, ISSUER = (f"G{letter * 55}" for letter in "ABC")
USD = f"USD:{ISSUER}"
CAP = 10**6
LEDGER = WireLedger(
    sequence=5,
    hash="0" * 64,
    prev_hash="0" * 64,
    closed_at=datetime(2026, 11, 22, tzinfo=UTC),
    successful_transaction_count=0,
    operation_count=0,
    base_fee_in_stroops=100,
    base_reserve_in_stroops=5_000_000,
)


def lumens(balance: str, selling: str = "0") -> WireBalance:
    return WireBalance(balance, "native", selling_liabilities=selling)


def line(balance: str, **changes: Any) -> WireBalance:  # noqa: ANN401
    usual = {"asset_code": "USD", "asset_issuer": ISSUER, "limit": "100"}
    return WireBalance(balance, "credit_alphanum4", **{**usual, **changes})


def account(*balances: WireBalance, entries: int = 0, **changes: Any) -> WireAccount:  # noqa: ANN401
    return WireAccount(SENDER, "7", entries, list(balances), **changes)


@pytest.mark.parametrize(
    ("entries", "sponsoring", "sponsored", "reserves"),
    [(0, 0, 0, 2), (3, 0, 0, 5), (3, 2, 0, 7), (3, 0, 2, 3), (3, 2, 5, 2)],
)
def test_entries_and_what_is_sponsored_for_others_must_stay_and_not_what_others_sponsor(
    entries: int, sponsoring: int, sponsored: int, reserves: int
) -> None:
    held = account(
        lumens("10"), entries=entries, num_sponsoring=sponsoring, num_sponsored=sponsored
    )
    assert reserve_of(held, LEDGER) == reserves * 5_000_000
    assert held_of(held, None, LEDGER) == 100_000_000 - reserves * 5_000_000


def test_what_offers_sell_cannot_be_spent_and_a_token_has_no_reserve() -> None:
    held = account(line("9", selling_liabilities="2.5"), lumens("10", "3"))
    assert held_of(held, USD, LEDGER) == 65_000_000
    assert held_of(held, None, LEDGER) == 100_000_000 - 30_000_000 - 10_000_000
    assert held_of(account(lumens("0.1")), None, LEDGER) == 0
    assert held_of(held, f"EUR:{ISSUER}", LEDGER) == 0
    assert held_of(held, f"USD:{RECIPIENT}", LEDGER) == 0


def judge(amount_minor: int, theirs: WireBalance, ours: WireBalance | None = None) -> None:
    own = line("50") if ours is None else ours
    judge_token(Payment(SENDER, RECIPIENT, USD, amount_minor), account(own), account(theirs))


def refusal_of(amount_minor: int, theirs: WireBalance, ours: WireBalance | None = None) -> str:
    with pytest.raises(PaymentRefused) as refused:
        judge(amount_minor, theirs, ours)
    return refused.value.reason


@pytest.mark.parametrize(
    ("theirs", "room_minor"),
    [
        (line("0"), 1_000_000_000),
        (line("40"), 600_000_000),
        (line("40", buying_liabilities="10"), 500_000_000),
        (line("0", limit="0.0000005"), 5),
    ],
)
def test_a_trustline_takes_its_limit_less_what_it_has_and_what_offers_buy(
    theirs: WireBalance, room_minor: int
) -> None:
    judge(room_minor, theirs)
    assert refusal_of(room_minor + 1, theirs) == "trustline_limit"


def test_a_payment_to_oneself_fills_no_trustline() -> None:
    full = account(line("100"))
    judge_token(Payment(SENDER, SENDER, USD, 10**9), full, full)


def test_both_trustlines_must_be_authorized() -> None:
    closed = line("10", is_authorized=False)
    assert refusal_of(1, closed) == "trustline_not_authorized"
    assert refusal_of(1, line("10"), closed) == "trustline_not_authorized"
    judge(1, line("10", is_authorized=True), line("10", is_authorized=True))


def stats(base: int, mode: int, p95: int) -> WireFeeStats:
    return WireFeeStats(str(base), WireFees(str(p95), str(mode)))


@pytest.mark.parametrize(
    ("base", "mode", "p95", "bid"),
    [
        (100, 100, 100, 200),
        (100, 100, 700, 1_400),
        (300, 100, 100, 600),
        (100, 400, 100, 800),
        (0, 0, 0, 2),
        (100, 100, 600_000, CAP),
        (100, CAP, 100, CAP),
    ],
)
def test_twice_the_usual_fee_is_bid_and_at_most_the_cap(
    base: int, mode: int, p95: int, bid: int
) -> None:
    assert choose_fee(stats(base, mode, p95), CAP) == bid


@pytest.mark.parametrize(("base", "mode"), [(CAP + 1, 0), (100, CAP + 1)])
def test_a_going_rate_above_the_cap_is_refused(base: int, mode: int) -> None:
    with pytest.raises(PaymentRefused) as refused:
        choose_fee(stats(base, mode, 0), CAP)
    assert refused.value.reason == "fee_above_cap"
