"""What proves that a transaction is an order's payment, and what a wallet's nonce becomes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.by_operator.adoption import (
    NotAdoptable,
    account_for,
    adopted_transaction,
    prove_payment,
)
from chain_adapters.types import Block, Payment, Spending, Transaction, Transfer

HOT, SHOP, OTHER, TOKEN, SPAM = "hot", "shop", "other", "token", "spam"
LISTED = frozenset({None, TOKEN})
ID = "0xa1"


def moved(address: str, amount_minor: int, contract: str | None = None, **more: object) -> Transfer:
    plain = Transfer("value", HOT, address, contract, amount_minor)
    return msgspec.structs.replace(plain, **more)


def block_of(*transfers: Transfer, **more: object) -> Block:
    paid = Transaction(ID, HOT, succeeded=True, fee_minor=3, transfers=transfers)
    return Block(7, "b7", "b6", 0, (msgspec.structs.replace(paid, **more),))


def prove(block: Block, **more: object) -> Transaction:
    order = msgspec.structs.replace(Payment(HOT, SHOP, None, 10), **more)
    return prove_payment(block, ID, order, LISTED)


@pytest.mark.parametrize("contract", [None, TOKEN])
@pytest.mark.parametrize("memo", [None, "id:7"])
def test_exactly_the_payment_is_proven(contract: str | None, memo: str | None) -> None:
    block = block_of(moved(SHOP, 10, contract, memo=memo))
    assert prove(block, contract=contract, memo=memo).id == ID


def test_change_and_what_anybody_may_write_is_no_payment() -> None:
    change = moved(HOT, 5)
    spam = moved(OTHER, 1, SPAM)
    passed_on = moved(OTHER, 10, sender=SHOP)
    assert prove(block_of(moved(SHOP, 10), change, spam, passed_on)).id == ID


def test_several_transfers_to_the_recipient_are_one_payment() -> None:
    assert prove(block_of(moved(SHOP, 4), moved(SHOP, 6))).id == ID


def test_what_a_chain_of_coins_does_not_tell_the_sender_of_is_the_payers() -> None:
    assert prove(block_of(moved(SHOP, 10, sender=None), moved(HOT, 5, sender=None))).id == ID


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (block_of(moved(SHOP, 10), id="0xb2"), "block 7 has no 0xa1"),
        (block_of(succeeded=False), "without effect"),
        (block_of(moved(SHOP, 10), payer=OTHER), "paid for by other, not by the hot wallet hot"),
        (block_of(moved(SHOP, 10), payer=None), "paid for by nobody, or several"),
        (block_of(), "no payment of the hot wallet's by itself"),
        (block_of(moved(SHOP, 10, sender=OTHER)), "no payment of the hot wallet's by itself"),
        (block_of(moved(HOT, 10)), "no payment of the hot wallet's by itself"),
        (block_of(moved(OTHER, 10)), "pays other, not the order's recipient alone"),
        (block_of(moved(SHOP, 10), moved(OTHER, 1)), "pays other, not"),
        (block_of(moved(SHOP, 10), moved(OTHER, 1, TOKEN)), "pays other, not"),
        (block_of(moved(SHOP, 10, TOKEN)), "in another asset"),
        (block_of(moved(SHOP, 10), moved(SHOP, 1, TOKEN)), "in another asset"),
        (block_of(moved(SHOP, 10, memo="id:8")), "another memo"),
        (block_of(moved(SHOP, 4), moved(SHOP, 6, memo="id:8")), "another memo"),
        (block_of(moved(SHOP, 9)), "pays 9 minor units, not 10"),
        (block_of(moved(SHOP, 11)), "pays 11 minor units, not 10"),
        (block_of(moved(SHOP, 10), moved(SHOP, 10)), "pays 20 minor units, not 10"),
    ],
)
def test_anything_else_is_refused_in_words(block: Block, why: str) -> None:
    with pytest.raises(NotAdoptable, match=why):
        prove(block)


def test_an_order_with_a_memo_is_not_paid_by_a_payment_without() -> None:
    with pytest.raises(NotAdoptable, match="another memo"):
        prove(block_of(moved(SHOP, 10)), memo="id:7")


@given(ours=st.integers(0, 2**62), ahead=st.integers(-5, 5), adopted=st.integers(0, 8))
@example(ours=7, ahead=2, adopted=1)
@example(ours=7, ahead=-2, adopted=1)
def test_a_wallet_stays_behind_the_chain_until_all_it_forgot_is_adopted_and_never_beyond(
    ours: int, ahead: int, adopted: int
) -> None:
    chain, counted = ours + ahead, ours
    for _ in range(adopted):
        counted = account_for(counted, chain)
    assert counted == max(ours, min(ours + adopted, chain))


def test_what_was_adopted_has_no_slot_of_its_own_and_cannot_be_made_again() -> None:
    proven = prove(block_of(moved(SHOP, 10)))
    plain = adopted_transaction(5, HOT, proven, None)
    assert (plain.nonce, plain.coin, plain.coins) == (None, None, ())
    assert (plain.unsigned, plain.raw, plain.fee_minor_max) == (b"", b"", 3)
    spent = adopted_transaction(5, HOT, proven, Spending(ID, b"bytes", ("c:0", "c:1"), ()))
    assert (spent.nonce, spent.coin, spent.coins, spent.raw) == (
        None,
        None,
        ("c:0", "c:1"),
        b"bytes",
    )


def test_a_fee_that_came_back_is_none() -> None:
    proven = prove(block_of(moved(SHOP, 10), fee_minor=-3))
    assert adopted_transaction(5, HOT, proven, None).fee_minor_max == 0
