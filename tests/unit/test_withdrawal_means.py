"""What may be signed now: not more than a wallet holds, nor at a nonce that may be used already."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.parts.finality import final_height_of
from agents.parts.landings import sort_landings
from chain_adapters.types import PaymentRefused, Quote
from custody.pay import (
    Ready,
    leave_room,
    require_means,
    usable_nonce,
    within_means,
    without_twins,
)
from sql.chain import Cursor
from sql.transactions import NewTransaction, OpenTransaction, PaymentRow
from sql.wallets import NonceRow

HELD = {"token": 30, None: 20}
WALLETS = ("one", "other")


@st.composite
def payments(draw: st.DrawFn, held_minor: int | None = HELD["token"]) -> Ready:
    """Draw a payment of a wallet that holds 30 of a token and 20 of the coin."""
    contract = draw(st.sampled_from(["token", None]))
    amount_minor, fee_minor = draw(st.integers(1, 12)), draw(st.integers(0, 4))
    sender = draw(st.sampled_from(WALLETS))
    held = None if held_minor is None else HELD[contract]
    native = None if held_minor is None else HELD[None]
    row = PaymentRow(1, "acme", "X", "to", amount_minor, None, contract, sender, "m/0", None, None)
    return Ready(row, Quote(fee_minor, 0, b"", held, native), sender, "m/0")


def taken_by(payment: Ready) -> Counter[tuple[str, str | None]]:
    """What leaves a wallet at most, by wallet and contract."""
    taken = Counter({(payment.sender, payment.row.contract): payment.row.amount_minor})
    taken[payment.sender, None] += payment.quote.fee_minor_max
    return taken


PROMISED = st.dictionaries(
    st.tuples(st.sampled_from(WALLETS), st.sampled_from(["token", None])), st.integers(0, 25)
)


@given(st.lists(payments(), max_size=12), PROMISED)
def test_a_wallet_signs_all_that_it_can_pay_and_nothing_else(
    wanted: list[Ready], promised: dict[tuple[str, str | None], int]
) -> None:
    ready, short = within_means(wanted, promised)
    lacking = {id(one.payment): one for one in short}
    left = iter(ready)
    spent = Counter(promised)
    for payment in wanted:
        after = spent + taken_by(payment)
        enough = all(
            after[payment.sender, contract] <= HELD[contract] for _, contract in taken_by(payment)
        )
        if enough:
            assert next(left) is payment
            spent = after
            continue
        shortage = lacking.pop(id(payment))
        key = (payment.sender, shortage.contract)
        assert (shortage.held_minor, shortage.needed_minor) == (HELD[key[1]], after[key])
        assert shortage.needed_minor > shortage.held_minor
    assert not [*left, *lacking]


@given(st.lists(payments(held_minor=None), max_size=5))
def test_where_money_is_coins_building_the_transaction_tells_what_can_be_paid(
    wanted: list[Ready],
) -> None:
    assert within_means(wanted, {("one", None): 10**9}) == (wanted, [])


def priced(contract: str | None, held_native_minor: int | None) -> Ready:
    row = PaymentRow(1, "acme", "X", "to", 70, None, contract, "one", "m/0", None, None)
    return Ready(row, Quote(30, 0, b"", 100, held_native_minor), "one", "m/0")


@pytest.mark.parametrize(
    ("payment", "fee_minor_max", "enough"),
    [
        (priced(None, 100), 30, True),
        (priced(None, 100), 31, False),
        (priced("token", 100), 100, True),  # only the fee is paid in the coin
        (priced("token", 100), 101, False),
        (priced(None, None), 10**9, True),  # money held as coins: building tells
    ],
)
def test_a_dearer_fee_is_signed_for_as_long_as_the_wallet_has_it_beside_the_amount(
    payment: Ready, fee_minor_max: int, *, enough: bool
) -> None:
    with nullcontext() if enough else pytest.raises(PaymentRefused, match="cannot pay the fee"):
        require_means(payment, fee_minor_max)


@given(
    st.lists(payments(), max_size=8),
    st.dictionaries(st.sampled_from(WALLETS), st.integers(0, 4)),
    st.integers(1, 3),
)
def test_no_wallet_has_more_on_its_way_than_its_chain_takes(
    wanted: list[Ready], in_flight: dict[str, int], most: int
) -> None:
    sent = leave_room(wanted, in_flight, most)
    for wallet in WALLETS:
        waiting = [payment for payment in wanted if payment.sender == wallet]
        room = max(0, most - in_flight.get(wallet, 0))
        assert [payment for payment in sent if payment.sender == wallet] == waiting[:room]


@pytest.mark.parametrize(
    ("chain_nonce", "row", "final_clock", "usable"),
    [
        (5, NonceRow(5, None), None, 5),
        (4, NonceRow(5, None), 99, None),  # a payment took it
        (4, NonceRow(5, None, 4, 10), 11, 4),
        (4, NonceRow(5, None, 4, 10), 10, None),  # a block of that clock may have it yet
        (4, NonceRow(5, None, 4, 10), None, None),
        (4, NonceRow(5, None, 4, None), 11, None),  # it never expires
        (4, NonceRow(5, None, 3, 10), 11, None),  # the preparation was an earlier one
        (3, NonceRow(5, None, 4, 10), 11, None),  # one before it is on its way as well
        (3, NonceRow(5, None, 3, 10), 11, None),  # a payment took the one after it
    ],
)
def test_a_nonce_is_taken_again_only_if_nothing_with_it_can_land(
    chain_nonce: int, row: NonceRow, final_clock: int | None, usable: int | None
) -> None:
    assert usable_nonce(chain_nonce, row, final_clock) == usable


def signed(transaction_id: str, withdrawal_id: int) -> NewTransaction:
    return NewTransaction(transaction_id, withdrawal_id, "one", None, None, (), 1, 0, b"", b"", 0)


def test_of_payments_that_would_be_one_transaction_the_first_is_made() -> None:
    first, twin, other, known = signed("a", 1), signed("a", 2), signed("b", 3), signed("c", 4)
    assert without_twins([first, twin, other, known], {"c"}) == [first, other]


def landing(transaction_id: str, withdrawal_id: int, *, is_paid: bool = False) -> OpenTransaction:
    return OpenTransaction(
        transaction_id, withdrawal_id, "order", "one", "X", 1, False, False, is_paid
    )


def test_a_second_transaction_of_a_withdrawal_in_blocks_is_told_from_its_payment() -> None:
    payment, second = landing("a", 1), landing("b", 1)
    paid_before, other = landing("c", 2, is_paid=True), landing("d", 3)
    landings = sort_landings([payment, second, paid_before, other])
    assert landings.first == {"a": payment, "d": other}
    assert landings.second == [second, paid_before]


@pytest.mark.parametrize(
    ("given_up", "nonce_released", "opens"),
    [(False, False, False), (True, False, True), (True, True, False)],
)
def test_only_what_was_given_up_and_keeps_its_nonce_is_opened_again(
    *, given_up: bool, nonce_released: bool, opens: bool
) -> None:
    found = landing("a", 1)._replace(given_up=given_up, nonce_released=nonce_released)
    assert bool(sort_landings([found]).reopened) is opens


@pytest.mark.parametrize(
    ("finality", "safe", "finalized", "height"),
    [
        ("depth", None, None, 100),
        ("depth", 90, 80, 100),
        ("safe", 90, 80, 90),
        ("safe", None, 80, -1),  # the node has not said: nothing is
        ("finalized", 90, 80, 80),
        ("finalized", 90, None, -1),
        ("finalized", 0, 0, 0),
    ],
)
def test_what_a_chain_has_not_called_final_is_not(
    finality: str, safe: int | None, finalized: int | None, height: int
) -> None:
    cursor = Cursor(100, safe, finalized, 100, None, None, None)
    assert final_height_of(cursor, finality) == height
