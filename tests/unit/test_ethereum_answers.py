"""What nodes' words mean: outcomes of broadcasts, refusals of payments, choice of fees."""

from __future__ import annotations

import msgspec
import pytest

from chain_adapters.ethereum import quoting, sending
from chain_adapters.ethereum.identity import require_chain
from chain_adapters.ethereum.pay import Bid
from chain_adapters.rpc import Fault, Reply, RpcClient
from chain_adapters.types import BroadcastOutcome, NodeUnavailable, Payment, PaymentRefused

NATIVE = Payment("0x" + 40 * "1", "0x" + 40 * "2", None, 5)
TOKEN = msgspec.structs.replace(NATIVE, contract="0x" + 40 * "3")
ID = "0x" + 64 * "a"


def answer(result: object) -> Reply:
    return Reply(1, msgspec.Raw(msgspec.json.encode(result)))


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("already known", BroadcastOutcome.ACCEPTED),
        ("ALREADY_EXISTS: already known", BroadcastOutcome.ACCEPTED),
        ("AlreadyKnown", BroadcastOutcome.ACCEPTED),
        ("transaction already imported", BroadcastOutcome.ACCEPTED),
        ("Known transaction", BroadcastOutcome.ACCEPTED),
        ("known transaction: 5c", BroadcastOutcome.ACCEPTED),
        ("unknown transaction type", None),
        ("nonce too low: next nonce 5, tx nonce 4", BroadcastOutcome.NONCE_USED),
        ("OldNonce", BroadcastOutcome.NONCE_USED),
        ("replacement transaction underpriced", BroadcastOutcome.REFUSED),
        ("INTERNAL_ERROR: could not replace existing tx", BroadcastOutcome.REFUSED),
        ("transaction underpriced: tip needed 1, tip permitted 0", BroadcastOutcome.REFUSED),
        ("insufficient funds for gas * price + value", BroadcastOutcome.REFUSED),
        ("InsufficientFunds, Account balance: 0", BroadcastOutcome.REFUSED),
        ("max fee per gas less than block base fee", BroadcastOutcome.REFUSED),
        ("intrinsic gas too low", BroadcastOutcome.REFUSED),
        ("internal error", None),
        ("header not found", None),
    ],
)
def test_words_of_nodes_are_understood(words: str, outcome: BroadcastOutcome | None) -> None:
    assert sending.classify(Fault(-32000, words)) is outcome


@pytest.mark.parametrize("code", [-32005, 429, -32601])
def test_a_limit_or_a_missing_method_says_nothing_of_the_transaction(code: int) -> None:
    assert sending.classify(Fault(code, "insufficient funds")) is None


def test_an_answer_that_is_not_understood_is_no_outcome() -> None:
    with pytest.raises(NodeUnavailable):
        sending.read_answer(Reply(1, error=Fault(-32000, "internal error")), ID)


def test_the_hash_of_another_transaction_is_no_outcome() -> None:
    with pytest.raises(NodeUnavailable):
        sending.read_answer(answer("0x" + 64 * "b"), ID)


@pytest.mark.parametrize(
    ("payment", "fault", "reason"),
    [
        (NATIVE, Fault(3, "execution reverted"), "recipient_reverts"),
        (NATIVE, Fault(-32000, "invalid opcode: INVALID"), "recipient_reverts"),
        (TOKEN, Fault(3, "execution reverted: paused"), "token_transfer_reverts"),
        (TOKEN, Fault(3, "paused"), "token_transfer_reverts"),
        (TOKEN, Fault(-32015, "VM execution error. Reverted"), "token_transfer_reverts"),
        (NATIVE, Fault(-32000, "insufficient funds for transfer"), "sender_lacks_funds"),
    ],
)
def test_a_refusal_to_estimate_names_its_reason(
    payment: Payment, fault: Fault, reason: str
) -> None:
    refused = quoting.refusal(payment, fault)
    assert isinstance(refused, PaymentRefused)
    assert refused.reason == reason


def test_a_refusal_that_is_not_understood_blames_the_node() -> None:
    assert isinstance(quoting.refusal(NATIVE, Fault(-32000, "header not found")), NodeUnavailable)


def test_the_bid_covers_a_doubled_base_fee_and_the_usual_tip() -> None:
    gwei = 10**9
    rewards = [[hex(gwei)], [hex(3 * gwei)], [hex(2 * gwei)]]
    fees = answer({"baseFeePerGas": [hex(20 * gwei), hex(22 * gwei)], "reward": rewards})
    assert quoting.choose_bid(fees, answer("0x1"), 21_000) == Bid(21_000, 46 * gwei, 2 * gwei)


@pytest.mark.parametrize("reward", [None, [], [[]]])
def test_without_tips_of_others_the_least_is_bid(reward: object) -> None:
    fees = answer({"baseFeePerGas": ["0x7"], "reward": reward})
    bid = quoting.choose_bid(fees, answer("0x1"), 21_000)
    assert (bid.tip_minor, bid.price_minor_max) == (10**8, 14 + 10**8)
    assert quoting.current_price(fees, bid) == 7 + 10**8


def test_without_base_fee_the_bid_is_a_legacy_gas_price() -> None:
    bid = quoting.choose_bid(Reply(1, error=Fault(-32601, "?")), answer("0x8"), 21_000)
    assert bid == Bid(21_000, 9, 9, legacy=True)


def test_a_fee_history_that_fails_is_no_chain_without_base_fee() -> None:
    with pytest.raises(NodeUnavailable):
        quoting.choose_bid(Reply(1, error=Fault(-32005, "limit exceeded")), answer("0x8"), 21_000)


def test_a_balance_longer_than_a_word_is_none() -> None:
    assert quoting.balance_of(answer("0x" + "0" * 63 + "5")) == 5
    assert quoting.balance_of(answer("0x")) == 0
    with pytest.raises(NodeUnavailable):
        quoting.balance_of(answer("0x" + "0" * 127 + "5"))


def test_the_price_is_lowered_to_the_cap_but_not_below_what_is_mined() -> None:
    bid = Bid(10, 100, 1)
    assert quoting.cap_bid(bid, 600, 51).price_minor_max == 60
    assert quoting.cap_bid(bid, 510, 51).price_minor_max == 51
    with pytest.raises(PaymentRefused) as refused:
        quoting.cap_bid(bid, 500, 51)
    assert refused.value.reason == "fee_above_cap"


@pytest.mark.parametrize(("estimate", "limit"), [(21_000, 21_000), (50_000, 60_000)])
def test_gas_has_room_where_code_runs(estimate: int, limit: int) -> None:
    assert quoting.read_gas(NATIVE, answer(hex(estimate))) == limit


@pytest.mark.parametrize("estimate", ["0x0", "0x1", "-0x5208", "gas"])
def test_an_estimate_that_no_transaction_has_blames_the_node(estimate: str) -> None:
    with pytest.raises((NodeUnavailable, ValueError)):
        quoting.read_gas(NATIVE, answer(estimate))


@pytest.mark.parametrize("nonce", ["-0x1", "0x8000000000000000", "0x" + 64 * "f"])
def test_a_nonce_that_no_wallet_has_blames_the_node(nonce: str) -> None:
    with pytest.raises(NodeUnavailable):
        quoting.read_nonce(answer(nonce))
    assert quoting.read_nonce(answer("0x7fffffffffffffff")) == 2**63 - 1


@pytest.mark.parametrize("base_fee", ["-0x1", "-0xffffffffff"])
def test_a_negative_base_fee_blames_the_node(base_fee: str) -> None:
    fees = answer({"baseFeePerGas": [base_fee], "reward": []})
    with pytest.raises(NodeUnavailable):
        quoting.choose_bid(fees, answer("0x1"), 21_000)


async def test_an_amount_beyond_256_bits_is_given_up_before_a_node_is_asked() -> None:
    client = RpcClient("eip155:1", ["http://127.0.0.1:9"], identify=require_chain(1))
    payment = msgspec.structs.replace(TOKEN, amount_minor=2**256)
    with pytest.raises(PaymentRefused) as refused:
        await quoting.quote(client.endpoints[0], payment, 10**18)
    assert refused.value.reason == "amount_too_large"


GAS = answer("0xc350")
WORD = {False: "0x" + 64 * "0", True: "0x" + 63 * "0" + "1"}


def test_a_token_that_answers_nothing_or_true_pays() -> None:
    for called in ("0x", WORD[True]):
        quoting.check_token(TOKEN, answer("0x60"), answer("0x5"), answer(called), GAS)


@pytest.mark.parametrize(
    ("code", "held", "called", "reason"),
    [
        ("0x", "0x", "0x", "token_missing"),
        ("0x60", "0x4", WORD[True], "sender_lacks_funds"),
        ("0x60", "0x5", WORD[False], "token_transfer_reverts"),
    ],
)
def test_a_token_payment_that_would_move_nothing_is_refused(
    code: str, held: str, called: str, reason: str
) -> None:
    with pytest.raises(PaymentRefused) as refused:
        quoting.check_token(TOKEN, answer(code), answer(held), answer(called), GAS)
    assert refused.value.reason == reason


def test_a_payment_that_fails_on_one_of_two_states_is_not_given_up() -> None:
    reverted = Reply(1, error=Fault(3, "execution reverted: exceeds balance"))
    for called, estimate in ((answer(WORD[True]), reverted), (reverted, GAS)):
        with pytest.raises(NodeUnavailable, match="contradicts itself"):
            quoting.check_token(TOKEN, answer("0x60"), answer("0x5"), called, estimate)
    with pytest.raises(PaymentRefused):
        quoting.check_token(TOKEN, answer("0x60"), answer("0x5"), reverted, reverted)


def test_a_sender_without_ether_is_no_contradiction() -> None:
    poor = Reply(1, error=Fault(-32000, "insufficient funds for gas * price + value"))
    quoting.check_token(TOKEN, answer("0x60"), answer("0x5"), answer(WORD[True]), poor)
