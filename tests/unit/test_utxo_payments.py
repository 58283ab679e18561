"""Payments of coins: which coins, which fee, which bytes."""

from __future__ import annotations

import secrets

import coincurve
import msgspec
import pytest

from chain_adapters.bitcoin.chains import MAINNET as BITCOIN
from chain_adapters.dogecoin.chains import MAINNET as DOGECOIN
from chain_adapters.litecoin.chains import MAINNET as LITECOIN
from chain_adapters.types import (
    Coin,
    InvalidAddress,
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)
from chain_adapters.utxo import pay, raw
from chain_adapters.utxo.address import (
    address_of,
    derive_address,
    hash_key,
    p2pkh_script,
    p2sh_script,
    script_of,
    witness_script,
)
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.pay import Bid, dust_below
from chain_adapters.utxo.transaction import Draft, encode_signature, virtual_size
from tests.support.oracles import Transaction

CHAINS = [BITCOIN, LITECOIN, DOGECOIN]
every_chain = pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.name)
NAMES = {"Bitcoin": "bitcoin", "Litecoin": "litecoin", "Dogecoin": "dogecoin"}
KEY = coincurve.PrivateKey(b"\1" * 32)
STRANGER = coincurve.PrivateKey(b"\2" * 32)
CAP = 10**10


def own(chain: UtxoChain) -> str:
    return derive_address(chain, KEY.public_key.format())


def other(chain: UtxoChain) -> str:
    return derive_address(chain, STRANGER.public_key.format())


def coin(amount_minor: int, number: int = 0) -> Coin:
    return Coin(f"{number:064x}:{number % 7}", amount_minor)


def bid_of(chain: UtxoChain, times: int = 1) -> Quote:
    bid = Bid(chain.fee_rate_min * times, chain.fee_rate_step)
    return Quote(0, None, msgspec.json.encode(bid), None, None)


def payment_of(chain: UtxoChain, amount_minor: int, recipient: str | None = None) -> Payment:
    return Payment(own(chain), recipient or other(chain), None, amount_minor)


def build(
    chain: UtxoChain,
    amount_minor: int,
    coins: list[Coin],
    *,
    times: int = 1,
    replaces: UnsignedTransaction | None = None,
    cap: int = CAP,
) -> UnsignedTransaction:
    payment = payment_of(chain, amount_minor)
    return pay.build(chain, payment, bid_of(chain, times), coins, replaces, fee_minor_cap=cap)


def draft_of(unsigned: UnsignedTransaction) -> Draft:
    return msgspec.json.decode(unsigned.body, type=Draft)


def sign(
    chain: UtxoChain, unsigned: UnsignedTransaction, key: coincurve.PrivateKey = KEY
) -> SignedTransaction:
    signatures = [
        key.sign_recoverable(payload, hasher=None) for payload in unsigned.signing_payloads
    ]
    return pay.assemble(chain, unsigned, tuple(signatures))


def refusal(chain: UtxoChain, amount_minor: int, coins: list[Coin], cap: int = CAP) -> str:
    with pytest.raises(PaymentRefused) as refused:
        build(chain, amount_minor, coins, cap=cap)
    assert str(refused.value)
    return refused.value.reason


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
def test_coins_of_another_than_the_sender_are_not_spent(chain: UtxoChain) -> None:
    unsigned = build(chain, 10**8, [coin(3 * 10**8)])
    theirs = msgspec.structs.replace(unsigned.payment, sender=other(chain))
    with pytest.raises(ValueError, match="not the sender's"):
        sign(chain, msgspec.structs.replace(unsigned, payment=theirs))


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


@every_chain
def test_signed_bytes_are_read_as_meant_by_another_implementation(chain: UtxoChain) -> None:
    for count in (1, 3):
        coins = [coin(10**8, n + 1) for n in range(count)]
        unsigned = build(chain, 10**8 * count - 10**7, coins)
        signed = sign(chain, unsigned)
        script = draft_of(unsigned).script
        theirs = Transaction.parse_hex(signed.raw.hex(), network=NAMES[chain.name])
        for given in theirs.inputs:
            given.value = 10**8
            given.locking_script = script
            assert given.keys[0].public_hex == KEY.public_key.format().hex()
        assert theirs.verify() or chain.bech32_prefix  # it needs more than bytes for witnesses
        assert theirs.txid == signed.transaction_id
        assert theirs.version_int == 2
        assert all(given.sequence == 0xFFFFFFFD for given in theirs.inputs)


@every_chain
def test_what_is_signed_is_what_another_implementation_would_sign(chain: UtxoChain) -> None:
    unsigned = build(chain, 10**8, [coin(10**8, 1), coin(10**8, 2)])
    draft = draft_of(unsigned)
    kind = "segwit" if chain.bech32_prefix else "legacy"
    theirs = Transaction(network=NAMES[chain.name], witness_type=kind, version=2)
    for spent in draft.coins:
        id_, _, number = spent.id.partition(":")
        theirs.add_input(
            id_,
            int(number),
            keys=KEY.public_key.format().hex(),
            value=spent.amount_minor,
            witness_type=kind,
            sequence=0xFFFFFFFD,
        )
    for output in draft.outputs:
        theirs.add_output(output.amount_minor, lock_script=output.script)
    assert unsigned.signing_payloads == tuple(
        theirs.signature_hash(position, 1, kind) for position in range(2)
    )


@every_chain
def test_our_own_bytes_are_read_back(chain: UtxoChain) -> None:
    unsigned = build(chain, 10**8, [coin(3 * 10**8, 4)])
    signed = sign(chain, unsigned)
    read, end = raw.read_transaction(signed.raw, 0)
    assert (read.id, end) == (signed.transaction_id, len(signed.raw))
    assert tuple(f"{id_}:{number}" for id_, number in read.spends) == unsigned.coins
    assert tuple(read.outputs) == draft_of(unsigned).outputs


@every_chain
def test_a_signature_of_another_key_is_refused(chain: UtxoChain) -> None:
    unsigned = build(chain, 10**8, [coin(10**8, 1), coin(10**8, 2)])
    with pytest.raises(ValueError, match="not the sender's"):
        sign(chain, unsigned, STRANGER)
    right = tuple(KEY.sign_recoverable(p, hasher=None) for p in unsigned.signing_payloads)
    with pytest.raises(ValueError, match="signature"):
        pay.assemble(chain, unsigned, right[::-1])
    with pytest.raises(ValueError, match="signatures"):
        pay.assemble(chain, unsigned, right[:1])


@pytest.mark.parametrize("wrong", [b"", b"\0" * 65, b"\1" * 64, b"\1" * 64 + b"\4", b"\xff" * 65])
def test_what_is_no_signature_is_refused(wrong: bytes) -> None:
    unsigned = build(BITCOIN, 10**8, [coin(3 * 10**8)])
    with pytest.raises(ValueError, match="signature"):
        pay.assemble(BITCOIN, unsigned, (wrong,))


def test_a_signature_with_a_large_s_is_refused() -> None:
    unsigned = build(BITCOIN, 10**8, [coin(3 * 10**8)])
    signature = KEY.sign_recoverable(unsigned.signing_payloads[0], hasher=None)
    order = 2 * pay.HALF_ORDER + 1
    s = order - int.from_bytes(signature[32:64])
    twin = signature[:32] + s.to_bytes(32) + bytes((signature[64] ^ 1,))
    with pytest.raises(ValueError, match="low-s"):
        pay.assemble(BITCOIN, unsigned, (twin,))


@pytest.mark.parametrize(
    ("signature", "der"),
    [
        ("01".rjust(64, "0") + "02".rjust(64, "0"), "300602010102010201"),
        ("80".ljust(64, "0") + "7f".ljust(64, "0"), "3045022100" + "80" + "0" * 62 + "0220" + "7f"),
    ],
)
def test_signatures_are_written_in_der(signature: str, der: str) -> None:
    assert encode_signature(bytes.fromhex(signature + "00")).hex().startswith(der)


def test_coins_at_other_kinds_of_addresses_cannot_be_spent() -> None:
    for script in (p2sh_script(b"\1" * 20), witness_script(1, b"\1" * 32)):
        sender = address_of(BITCOIN, script) or ""
        payment = Payment(sender, own(BITCOIN), None, 10**6)
        with pytest.raises(ValueError, match="P2WPKH and P2PKH"):
            pay.build(BITCOIN, payment, bid_of(BITCOIN), [coin(10**8)], None, fee_minor_cap=CAP)


def test_old_coins_are_spent_where_there_are_witnesses_too() -> None:
    sender = address_of(BITCOIN, p2pkh_script(hash_key(KEY.public_key.format()))) or ""
    payment = Payment(sender, own(BITCOIN), None, 10**6)
    unsigned = pay.build(BITCOIN, payment, bid_of(BITCOIN), [coin(10**8)], None, fee_minor_cap=CAP)
    signed = sign(BITCOIN, unsigned)
    theirs = Transaction.parse_hex(signed.raw.hex(), network="bitcoin")
    theirs.inputs[0].locking_script = script_of(BITCOIN, sender)
    assert theirs.verify()


def test_tokens_memos_and_foreign_addresses_are_not_paid() -> None:
    with pytest.raises(ValueError, match="neither tokens nor memos"):
        pay.require_payable(BITCOIN, Payment(own(BITCOIN), other(BITCOIN), "x", 10**6))
    with pytest.raises(ValueError, match="neither tokens nor memos"):
        pay.require_payable(BITCOIN, Payment(own(BITCOIN), other(BITCOIN), None, 10**6, "x"))
    with pytest.raises(InvalidAddress):
        pay.require_payable(BITCOIN, Payment(own(BITCOIN), other(LITECOIN), None, 10**6))
