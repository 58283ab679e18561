"""Payments of coins: which bytes are signed and sent, and with whose key."""

from __future__ import annotations

import msgspec
import pytest

from chain_adapters.bitcoin.chains import MAINNET as BITCOIN
from chain_adapters.types import Payment
from chain_adapters.utxo import pay, raw
from chain_adapters.utxo.address import address_of, hash_key, p2pkh_script, script_of
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.transaction import encode_signature
from tests.support.oracles import Transaction
from tests.support.utxo_payments import (
    CAP,
    KEY,
    NAMES,
    STRANGER,
    bid_of,
    build,
    coin,
    draft_of,
    every_chain,
    other,
    own,
    sign,
)


@every_chain
def test_coins_of_another_than_the_sender_are_not_spent(chain: UtxoChain) -> None:
    unsigned = build(chain, 10**8, [coin(3 * 10**8)])
    theirs = msgspec.structs.replace(unsigned.payment, sender=other(chain))
    with pytest.raises(ValueError, match="not the sender's"):
        sign(chain, msgspec.structs.replace(unsigned, payment=theirs))


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


def test_old_coins_are_spent_where_there_are_witnesses_too() -> None:
    sender = address_of(BITCOIN, p2pkh_script(hash_key(KEY.public_key.format()))) or ""
    payment = Payment(sender, own(BITCOIN), None, 10**6)
    unsigned = pay.build(BITCOIN, payment, bid_of(BITCOIN), [coin(10**8)], None, fee_minor_cap=CAP)
    signed = sign(BITCOIN, unsigned)
    theirs = Transaction.parse_hex(signed.raw.hex(), network="bitcoin")
    theirs.inputs[0].locking_script = script_of(BITCOIN, sender)
    assert theirs.verify()
