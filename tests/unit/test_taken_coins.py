"""What a transaction that took a withdrawal's coin is to it, by what its bytes pay to whom."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from agents.parts.taken_coins import (
    Taking,
    first_coin,
    found_attempt,
    is_plain,
    judge,
    may_be_paid,
)
from chain_adapters.types import Payment, Spending, UnsignedTransaction
from sql.attempts import Attempt
from sql.coin_losses import Taker
from sql.withdrawals import Withdrawal

HOT, SHOP, OTHER = "hot", "shop", "other"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Outputs = tuple[tuple[str | None, int], ...]

ORDER = Withdrawal(
    withdrawal_id=1,
    tenant="acme",
    idempotency_key="order-1",
    owner="alice",
    asset="COIN",
    network="test:1",
    address=SHOP,
    memo=None,
    amount_minor=100,
    fee_minor=0,
    status="broadcast",
    reason=None,
    detail=None,
    revision=0,
    decided_by="limits",
    sender=HOT,
    nonce=None,
    created_at=NOW,
    updated_at=NOW,
)
FOREIGN = Taker(1, "taker", 9, "b9", ours=False)
OURS = FOREIGN._replace(ours=True)


def spent(*outputs: tuple[str | None, int], coins: tuple[str, ...] = ("a:0",)) -> Spending:
    return Spending("taker", b"raw", coins, outputs)


@pytest.mark.parametrize(
    ("outputs", "taking"),
    [
        (((SHOP, 100),), Taking.PAID),
        (((SHOP, 101),), Taking.PAID),
        (((SHOP, 40), (OTHER, 5), (SHOP, 60)), Taking.PAID),
        (((SHOP, 99),), Taking.DOUBT),
        (((SHOP, 1), (OTHER, 99)), Taking.DOUBT),
        (((OTHER, 100), (HOT, 100), (None, 100)), Taking.LOST),
        ((), Taking.LOST),
    ],
)
def test_the_recipient_has_what_was_ordered_or_nothing_or_somebody_has_to_look(
    outputs: Outputs, taking: Taking
) -> None:
    assert judge(ORDER, FOREIGN, spent(*outputs)) is taking
    assert judge(ORDER, OURS, spent(*outputs)) is Taking.LOST  # it pays another order


@pytest.mark.parametrize(
    ("others", "paid"),
    [
        ((), False),
        ((spent((OTHER, 100)), spent((HOT, 100), (None, 1))), False),
        ((spent((OTHER, 100)), spent((OTHER, 1), (SHOP, 1))), True),
        ((spent((OTHER, 100)), None), True),  # no node says what it pays
    ],
)
def test_whatever_pays_the_recipient_anything_may_be_the_payment(
    others: tuple[Spending | None, ...], *, paid: bool
) -> None:
    assert may_be_paid(ORDER, others) is paid


@pytest.mark.parametrize(
    ("outputs", "plain"),
    [
        (((SHOP, 100),), True),
        (((SHOP, 100), (HOT, 900)), True),
        (((SHOP, 101),), False),
        (((SHOP, 100), (OTHER, 1)), False),
        (((SHOP, 100), (SHOP, 100)), False),
        (((SHOP, 100), (None, 0)), False),
    ],
)
def test_a_payment_as_we_make_it_pays_what_was_ordered_and_gives_back_the_rest(
    outputs: Outputs, *, plain: bool
) -> None:
    assert is_plain(ORDER, spent(*outputs)) is plain


def latest(*coins: str) -> Attempt:
    payment = Payment(HOT, SHOP, None, 100)
    unsigned = UnsignedTransaction(payment, None, 7, (), b"", coins)
    return Attempt(1, "ours", 4, msgspec.json.encode(unsigned))


@pytest.mark.parametrize(
    ("coins", "coin"), [(("a:0",), "a:0"), (("b:0", "a:0"), "a:0"), (("b:0",), None)]
)
def test_what_was_found_in_a_block_is_one_more_attempt_and_shares_the_first_coin_if_it_spends_it(
    coins: tuple[str, ...], coin: str | None
) -> None:
    before = latest("a:0", "b:0")
    assert first_coin(before) == "a:0"
    found = found_attempt(ORDER, before, spent((SHOP, 100), coins=coins), 3)
    assert (found.transaction_id, found.withdrawal_id, found.sender) == ("taker", 1, HOT)
    assert (found.coin, found.coins, found.nonce, found.valid_until) == (coin, coins, None, None)
    assert (found.attempt, found.unsigned, found.raw) == (5, before.unsigned, b"raw")
    assert found.fee_minor_max == 3
