"""Payments of coins: which coins, which fee, which outputs."""

from __future__ import annotations

import secrets

import pytest

from chain_adapters.bitcoin.chains import MAINNET as BITCOIN
from chain_adapters.dogecoin.chains import MAINNET as DOGECOIN
from chain_adapters.litecoin.chains import MAINNET as LITECOIN
from chain_adapters.types import InvalidAddress, Payment, PaymentRefused
from chain_adapters.utxo import pay
from chain_adapters.utxo.address import (
    address_of,
    p2pkh_script,
    p2sh_script,
    script_of,
    witness_script,
)
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.pay import dust_below
from chain_adapters.utxo.transaction import virtual_size
from tests.support.oracles import Transaction
from tests.support.utxo_payments import (
    CAP,
    NAMES,
    bid_of,
    build,
    coin,
    draft_of,
    every_chain,
    other,
    own,
    payment_of,
    refusal,
    sign,
)


@every_chain
def test_what_is_left_goes_back_to_the_sender(chain: UtxoChain) -> None:
    draft = draft_of(build(chain, 10**8, [coin(3 * 10**8)]))
    paid, back = draft.outputs
    assert (address_of(chain, paid.script), paid.amount_minor) == (other(chain), 10**8)
    assert address_of(chain, back.script) == own(chain)
    assert back.amount_minor == 2 * 10**8 - draft.fee_minor


@every_chain
def test_the_fee_is_the_rate_for_the_size_and_hardly_more(chain: UtxoChain) -> None:
    for count in (1, 2, 5, 30):
        coins = [coin(10**8, n) for n in range(count)]
        unsigned = build(chain, 10**8 * count - 5 * 10**7, coins)
        signed = sign(chain, unsigned)
        size = other_size(chain, signed.raw)
        draft = draft_of(unsigned)
        assert len(draft.coins) == count
        assert draft.fee_minor * 1000 >= chain.fee_rate_min * size
        assert draft.fee_minor * 1000 <= chain.fee_rate_min * (size + 2 * count + 1)


def other_size(chain: UtxoChain, content: bytes) -> int:
    """The virtual size (BIP-141) by another implementation's bytes without witnesses."""
    transaction = Transaction.parse_hex(content.hex(), network=NAMES[chain.name])
    base = len(transaction.raw(witness_type="legacy"))
    return -(-(3 * base + len(content)) // 4)


@every_chain
def test_dust_change_goes_to_the_fee(chain: UtxoChain) -> None:
    fee_minor = draft_of(build(chain, 10**8, [coin(3 * 10**8)])).fee_minor
    dust_minor = dust_below(chain, script_of(chain, own(chain)))
    kept = draft_of(build(chain, 10**8, [coin(10**8 + fee_minor + dust_minor)]))
    given = draft_of(build(chain, 10**8, [coin(10**8 + fee_minor + dust_minor - 1)]))
    assert [output.amount_minor for output in kept.outputs] == [10**8, dust_minor]
    assert [output.amount_minor for output in given.outputs] == [10**8]
    assert given.fee_minor == fee_minor + dust_minor - 1


@every_chain
def test_the_last_minor_unit_decides_whether_coins_are_enough(chain: UtxoChain) -> None:
    size = virtual_size(script_of(chain, own(chain)), 1, (script_of(chain, other(chain)),))
    least = 10**8 + -(-chain.fee_rate_min * size // 1000)
    assert draft_of(build(chain, 10**8, [coin(least)])).fee_minor == least - 10**8
    assert refusal(chain, 10**8, [coin(least - 1)]) == "sender_lacks_funds"


@pytest.mark.parametrize(
    ("chain", "script", "least"),
    [
        (BITCOIN, p2pkh_script(bytes(20)), 546),
        (BITCOIN, p2sh_script(bytes(20)), 540),
        (BITCOIN, witness_script(0, bytes(20)), 294),
        (BITCOIN, witness_script(0, bytes(32)), 330),
        (BITCOIN, witness_script(1, bytes(32)), 330),
        (LITECOIN, p2pkh_script(bytes(20)), 5460),
        (DOGECOIN, p2pkh_script(bytes(20)), 1_000_000),
        (DOGECOIN, p2sh_script(bytes(20)), 1_000_000),
    ],
)
def test_dust_is_what_nodes_call_dust(chain: UtxoChain, script: bytes, least: int) -> None:
    assert dust_below(chain, script) == least
    recipient = address_of(chain, script)
    coins = [coin(10**9)]
    for amount_minor, refused in ((least, False), (least - 1, True)):
        payment = payment_of(chain, amount_minor, recipient)
        if refused:
            with pytest.raises(PaymentRefused) as error:
                pay.build(chain, payment, bid_of(chain), coins, None, fee_minor_cap=CAP)
            assert error.value.reason == "below_dust"
        else:
            assert pay.build(chain, payment, bid_of(chain), coins, None, fee_minor_cap=CAP).coins


@every_chain
def test_the_smallest_coin_that_is_enough_is_spent_alone(chain: UtxoChain) -> None:
    coins = [coin(n * 10**8, n) for n in (9, 2, 5, 3, 7)]
    assert build(chain, 4 * 10**8, coins).coins == (coin(5 * 10**8, 5).id,)


@every_chain
def test_otherwise_the_largest_coins_come_first(chain: UtxoChain) -> None:
    coins = [coin(n * 10**8, n) for n in (1, 2, 5, 3, 4)]
    assert build(chain, 8 * 10**8, coins).coins == tuple(coin(0, n).id for n in (5, 4))


@every_chain
def test_the_order_in_which_coins_are_given_changes_nothing(chain: UtxoChain) -> None:
    coins = [coin(10**8, n) for n in range(20)]
    shuffled = sorted(coins, key=lambda _: secrets.randbits(32))
    assert build(chain, 15 * 10**8, coins) == build(chain, 15 * 10**8, shuffled)


@every_chain
def test_a_coin_given_twice_is_spent_once(chain: UtxoChain) -> None:
    assert refusal(chain, 15 * 10**7, [coin(10**8)] * 2) == "sender_lacks_funds"


@every_chain
def test_coins_that_cost_more_than_they_hold_are_left_alone(chain: UtxoChain) -> None:
    worthless = [coin(chain.fee_rate_min * 60 // 1000, n) for n in range(1, 9)]
    assert build(chain, 10**8, [*worthless, coin(3 * 10**8)]).coins == (coin(0).id,)
    assert refusal(chain, 10**8, worthless) == "sender_lacks_funds"


@every_chain
def test_no_coins_are_no_money(chain: UtxoChain) -> None:
    assert refusal(chain, 10**8, []) == "sender_lacks_funds"


def test_more_coins_than_fit_into_a_transaction_are_refused() -> None:
    coins = [coin(2000, n) for n in range(2000)]
    assert refusal(BITCOIN, 3 * 10**6, coins) == "too_many_coins"


@every_chain
def test_a_fee_above_the_cap_is_refused(chain: UtxoChain) -> None:
    fee_minor = build(chain, 10**8, [coin(3 * 10**8)]).fee_minor_max
    assert build(chain, 10**8, [coin(3 * 10**8)], cap=fee_minor).fee_minor_max == fee_minor
    assert refusal(chain, 10**8, [coin(3 * 10**8)], cap=fee_minor - 1) == "fee_above_cap"


def test_an_amount_that_no_output_can_hold_is_refused() -> None:
    assert refusal(BITCOIN, 2**63, [coin(2**63)]) == "amount_too_large"


@every_chain
def test_a_replacement_spends_the_same_coins_and_pays_more(chain: UtxoChain) -> None:
    coins = [coin(10**8, n) for n in range(6)]
    first = build(chain, 25 * 10**7, coins)
    second = build(chain, 25 * 10**7, coins, replaces=first)
    assert second.coins == first.coins
    before, after = draft_of(first), draft_of(second)
    size = virtual_size(after.script, 3, tuple(o.script for o in after.outputs))
    assert after.fee_minor >= before.fee_minor + chain.fee_rate_step * size // 1000
    assert after.outputs[0] == before.outputs[0]


@every_chain
def test_a_replacement_is_never_below_a_fresh_bid(chain: UtxoChain) -> None:
    coins = [coin(3 * 10**8)]
    first = build(chain, 10**8, coins)
    fresh = build(chain, 10**8, coins, times=20)
    assert build(chain, 10**8, coins, times=20, replaces=first).fee_minor_max >= fresh.fee_minor_max


@every_chain
def test_a_replacement_that_grows_pays_the_rate_of_the_one_before_for_its_whole_size(
    chain: UtxoChain,
) -> None:
    recipient = script_of(chain, other(chain))
    size = virtual_size(script_of(chain, own(chain)), 1, (recipient,))
    tight = coin(10**8 + -(-20 * chain.fee_rate_min * size // 1000), 9)
    first = build(chain, 10**8, [tight], times=20)
    second = draft_of(build(chain, 10**8, [tight, coin(10**9, 1)], replaces=first))
    grown = virtual_size(second.script, 2, tuple(o.script for o in second.outputs))
    assert grown > size
    least = -(-first.fee_minor_max * grown // size) + -(-chain.fee_rate_step * grown // 1000)
    assert second.fee_minor == least


@every_chain
def test_a_replacement_takes_a_further_coin_if_it_must(chain: UtxoChain) -> None:
    script = script_of(chain, own(chain))
    size = virtual_size(script, 1, (script_of(chain, other(chain)),))
    tight = coin(10**8 + -(-chain.fee_rate_min * size // 1000), 9)
    first = build(chain, 10**8, [tight])
    spare = coin(10**8, 1)
    assert build(chain, 10**8, [tight, spare], replaces=first).coins == (tight.id, spare.id)
    with pytest.raises(PaymentRefused) as refused:
        build(chain, 10**8, [tight], replaces=first)
    assert refused.value.reason == "sender_lacks_funds"


@every_chain
def test_a_replacement_may_be_of_another_payment(chain: UtxoChain) -> None:
    coins = [coin(3 * 10**8), coin(10**9, 5)]
    first = build(chain, 10**8, coins)
    second = build(chain, 5 * 10**8, coins, replaces=first)
    assert second.coins[0] == first.coins[0]
    assert draft_of(second).outputs[0].amount_minor == 5 * 10**8


@every_chain
def test_a_replacement_has_the_sender_of_what_it_replaces(chain: UtxoChain) -> None:
    first = build(chain, 10**8, [coin(3 * 10**8)])
    payment = Payment(other(chain), own(chain), None, 10**8)
    with pytest.raises(ValueError, match="sender"):
        pay.build(chain, payment, bid_of(chain), [coin(1)], first, fee_minor_cap=CAP)


def test_coins_at_other_kinds_of_addresses_cannot_be_spent() -> None:
    for script in (p2sh_script(b"\1" * 20), witness_script(1, b"\1" * 32)):
        sender = address_of(BITCOIN, script) or ""
        payment = Payment(sender, own(BITCOIN), None, 10**6)
        with pytest.raises(ValueError, match="P2WPKH and P2PKH"):
            pay.build(BITCOIN, payment, bid_of(BITCOIN), [coin(10**8)], None, fee_minor_cap=CAP)


def test_tokens_memos_and_foreign_addresses_are_not_paid() -> None:
    with pytest.raises(ValueError, match="neither tokens nor memos"):
        pay.require_payable(BITCOIN, Payment(own(BITCOIN), other(BITCOIN), "x", 10**6))
    with pytest.raises(ValueError, match="neither tokens nor memos"):
        pay.require_payable(BITCOIN, Payment(own(BITCOIN), other(BITCOIN), None, 10**6, "x"))
    with pytest.raises(InvalidAddress):
        pay.require_payable(BITCOIN, Payment(own(BITCOIN), other(LITECOIN), None, 10**6))
