"""What a payment on TRON is said to cost, to the sun, and what of a token is a refusal."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from chain_adapters.tron import tokens, wire
from chain_adapters.tron.prices import Prices
from chain_adapters.tron.quoting import (
    JITTER_MS,
    LIFETIME_MS,
    Cost,
    Moments,
    check_payment,
    has_bandwidth,
    price_call,
    price_native,
)
from chain_adapters.types import Payment, PaymentRefused

SENDER, RECIPIENT, TOKEN = (f"41{digit * 40}" for digit in "123")
PRICES = Prices(
    byte_minor=1_000,
    energy_minor=100,
    account_minor=1_000_000,
    account_bandwidth_minor=100_000,
    fee_limit_minor_max=15_000_000_000,
)
NOTHING = wire.ResourceAnswer()
ENERGY = tokens.Energy(used=65_000, limit=100_000)
CAP = 10**9


def free(left: int) -> wire.ResourceAnswer:
    """A sender who used up all but so much of the free bandwidth, and staked for none."""
    return wire.ResourceAnswer(
        free_net_limit=600, free_net_used=600 - left, net_limit=50, net_used=50
    )


def staked(left: int) -> wire.ResourceAnswer:
    """A sender who used up all but so much of the staked bandwidth, and all that is free."""
    return wire.ResourceAnswer(
        free_net_limit=600, free_net_used=600, net_limit=900, net_used=900 - left
    )


@pytest.mark.parametrize("kind", [free, staked])
def test_bandwidth_pays_for_a_whole_transaction_or_for_none(
    kind: Callable[[int], wire.ResourceAnswer],
) -> None:
    assert has_bandwidth(kind(268), 268)
    assert not has_bandwidth(kind(267), 268)
    assert price_native(268, kind(268), PRICES, activates=False) == Cost(268_000, 0)
    assert price_native(268, kind(267), PRICES, activates=False) == Cost(268_000, 268_000)


def test_a_new_account_is_paid_for_and_only_staked_bandwidth_makes_it_cheaper() -> None:
    dear, cheap = Cost(1_100_000, 1_100_000), Cost(1_100_000, 1_000_000)
    assert price_native(268, free(600), PRICES, activates=True) == dear
    assert price_native(268, staked(267), PRICES, activates=True) == dear
    assert price_native(268, staked(268), PRICES, activates=True) == cheap


def test_a_call_burns_energy_and_bandwidth_and_no_more_than_its_limits() -> None:
    cost, limit_minor = price_call(345, ENERGY, NOTHING, PRICES, CAP)
    assert limit_minor == 10_000_000
    assert cost == Cost(10_345_000, 6_845_000)


def test_of_a_call_what_is_staked_is_not_burned() -> None:
    half = wire.ResourceAnswer(energy_limit=40_000, energy_used=5_000)
    assert price_call(345, ENERGY, half, PRICES, CAP)[0].minor_now == 3_345_000
    energy_and_bytes = msgspec.structs.replace(half, energy_limit=80_000, net_limit=345)
    assert price_call(345, ENERGY, energy_and_bytes, PRICES, CAP)[0].minor_now == 0


@pytest.mark.parametrize("by_network", [False, True])
def test_a_call_that_just_fits_is_paid_with_the_limit_that_is_allowed(by_network: bool) -> None:
    prices, cap = PRICES, 6_845_000
    if by_network:
        prices, cap = msgspec.structs.replace(PRICES, fee_limit_minor_max=6_500_000), CAP
    cost, limit_minor = price_call(345, ENERGY, NOTHING, prices, cap)
    assert (limit_minor, cost.minor_max) == (6_500_000, 6_845_000)
    tighter = msgspec.structs.replace(prices, fee_limit_minor_max=6_499_999)
    with pytest.raises(PaymentRefused, match="6845000 sun") as refused:
        price_call(345, ENERGY, NOTHING, tighter, cap)
    assert refused.value.reason == "fee_above_cap"


def test_no_two_quotes_have_the_same_time_even_if_the_clock_stands_or_goes_back() -> None:
    clock = iter([5_000, 5_000, 4_000, 9_000])
    moments = Moments(lambda: next(clock), lambda _: 7)
    assert [moments.take(100)[0] for _ in range(4)] == [5_000, 5_001, 5_002, 9_000]


def test_a_payment_can_land_for_its_lifetime_and_a_little_more_by_chance() -> None:
    latest = Moments(lambda: 1, lambda below: below - 1)
    assert latest.take(50_000)[1] == 50_000 + LIFETIME_MS + JITTER_MS - 1
    soonest = Moments(lambda: 1, lambda _: 0)
    assert soonest.take(50_000)[1] == 50_000 + LIFETIME_MS


def test_tokens_can_be_paid_to_oneself_and_trx_cannot() -> None:
    check_payment(Payment(SENDER, SENDER, TOKEN, 5))
    with pytest.raises(PaymentRefused) as refused:
        check_payment(Payment(SENDER, SENDER, None, 5))
    assert refused.value.reason == "recipient_is_sender"


PAYMENT = Payment(SENDER, RECIPIENT, TOKEN, 5)
FALSE, TRUE = 64 * "0", 63 * "0" + "1"


def said(result: list[str], *recipients: str) -> wire.ConstantAnswer:
    """A call's result, and the Transfer events that it made."""
    topic = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    logs = [
        wire.Log(TOKEN[2:], [topic, SENDER[2:].rjust(64, "0"), to[2:].rjust(64, "0")], TRUE)
        for to in recipients
    ]
    answer = wire.CallResult(result=True)
    return wire.ConstantAnswer(result=answer, constant_result=result, logs=logs)


@pytest.mark.parametrize(
    "answer",
    [said([TRUE]), said([]), said([FALSE], RECIPIENT), said([FALSE], SENDER, RECIPIENT)],
    ids=["true", "nothing", "false, and moved", "false, and moved with a fee"],
)
def test_a_transfer_that_moves_the_money_is_made_whatever_the_token_answers(
    answer: wire.ConstantAnswer,
) -> None:
    tokens.check_result(answer, PAYMENT)


@pytest.mark.parametrize("answer", [said([FALSE]), said([FALSE], SENDER)], ids=["", "to another"])
def test_a_transfer_that_answers_false_and_moves_nothing_is_refused(
    answer: wire.ConstantAnswer,
) -> None:
    with pytest.raises(PaymentRefused) as refused:
        tokens.check_result(answer, PAYMENT)
    assert refused.value.reason == "token_transfer_reverts"
