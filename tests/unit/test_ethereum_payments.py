"""Building and signing: against published vectors and an independent library."""

from __future__ import annotations

import json
from typing import Any

import coincurve
import eth_account
import msgspec
import pytest
import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak

from chain_adapters.ethereum import pay
from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.ethereum.address import derive_address
from chain_adapters.ethereum.pay import Bid, Body
from chain_adapters.types import (
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)
from tests.support.ethereum_vectors import FOLDER

SIGNED = json.loads((FOLDER / "signed_transactions.json").read_text())
KEY = coincurve.PrivateKey.from_int(0xC0FFEE)
SENDER = derive_address(KEY.public_key.format())
RECIPIENT, TOKEN = "0x" + 40 * "2", "0x" + 40 * "3"


def body_of(encoded: bytes) -> Body:
    """Take a signed transaction of a vector apart."""
    typed = encoded[0] == 2
    items = rlp.decode(encoded[1:] if typed else encoded)
    numbers = [int.from_bytes(item) if isinstance(item, bytes) else 0 for item in items]
    if typed:
        chain_id, nonce, tip, price, gas, _, value = numbers[:7]
        to, data = items[5], items[7]
        return Body(chain_id, nonce, "0x" + to.hex(), value, data, Bid(gas, price, tip))
    nonce, price, gas, _, value = numbers[:5]
    bid = Bid(gas, price, price, legacy=True)
    return Body((numbers[6] - 35) // 2, nonce, "0x" + items[3].hex(), value, items[5], bid)


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["name"])
def test_published_transactions_are_signed_to_the_byte(vector: dict[str, str]) -> None:
    encoded = bytes.fromhex(vector["encoded"])
    body = body_of(encoded)
    unsigned = pay.encode_unsigned(body)
    assert keccak(unsigned).hex() == vector["signing_hash"]
    key = coincurve.PrivateKey(bytes.fromhex(vector["private_key"]))
    signature = key.sign_recoverable(keccak(unsigned), hasher=None)
    assert pay.encode_signed(body, signature) == encoded


def quote(*, price: int = 100, tip: int = 10, gas: int = 21_000, legacy: bool = False) -> Quote:
    bid = Bid(gas, price, tip, legacy)
    return Quote(bid.fee_minor_max, 0, msgspec.json.encode(bid), 10**30, 10**30)


def build(
    contract: str | None = None,
    quoted: Quote | None = None,
    *,
    nonce: int | None = 7,
    replaces: UnsignedTransaction | None = None,
    fee_minor_cap: int = 10**18,
) -> UnsignedTransaction:
    payment = Payment(SENDER, RECIPIENT, contract, 10**30)
    return pay.build(
        payment, quoted or quote(), nonce, replaces, chain_id=31337, fee_minor_cap=fee_minor_cap
    )


def sign(unsigned: UnsignedTransaction, key: coincurve.PrivateKey = KEY) -> SignedTransaction:
    (payload,) = unsigned.signing_payloads
    return pay.assemble(unsigned, (key.sign_recoverable(payload, hasher=None),))


@pytest.mark.parametrize("contract", [None, TOKEN])
@pytest.mark.parametrize("legacy", [False, True])
def test_an_independent_library_signs_the_same_bytes(contract: str | None, legacy: bool) -> None:
    unsigned = build(contract, quote(price=100, tip=100 if legacy else 10, legacy=legacy))
    fields: dict[str, Any] = {"nonce": 7, "gas": 21_000, "chainId": 31337, "to": RECIPIENT}
    fields |= {"value": 10**30, "data": b""}
    if contract is not None:
        data = "0xa9059cbb" + RECIPIENT[2:].rjust(64, "0") + f"{10**30:064x}"
        fields |= {"to": TOKEN, "value": 0, "data": data}
    if legacy:
        fields |= {"gasPrice": 100}
    else:
        fields |= {"maxFeePerGas": 100, "maxPriorityFeePerGas": 10, "type": 2}
    theirs = eth_account.Account.from_key(KEY.secret).sign_transaction(fields)
    ours = sign(unsigned)
    assert ours.raw == bytes(theirs.raw_transaction)
    assert ours.transaction_id == "0x" + bytes(theirs.hash).hex()


def test_building_is_pure() -> None:
    assert build() == build()


def test_an_unsigned_transaction_survives_being_stored() -> None:
    unsigned = build(TOKEN)
    stored = msgspec.json.decode(msgspec.json.encode(unsigned), type=UnsignedTransaction)
    assert sign(stored) == sign(unsigned)


def bid_of(unsigned: UnsignedTransaction) -> Bid:
    return msgspec.json.decode(unsigned.body, type=Body).bid


@pytest.mark.parametrize("legacy", [False, True])
def test_every_replacement_bids_enough_more_of_both(legacy: bool) -> None:
    quoted = quote(price=101, tip=101 if legacy else 9, legacy=legacy)
    previous = build(quoted=quoted)
    for _ in range(10):
        replacement = build(quoted=quoted, replaces=previous)
        old, new = bid_of(previous), bid_of(replacement)
        assert new.price_minor_max * 1000 >= old.price_minor_max * 1125
        assert new.tip_minor * 1000 >= old.tip_minor * 1125
        assert new.tip_minor <= new.price_minor_max
        assert (replacement.nonce, sign(replacement)) != (previous.nonce, sign(previous))
        previous = replacement


def test_a_replacement_is_never_below_a_fresh_quote() -> None:
    replacement = build(quoted=quote(price=1000, tip=500), replaces=build())
    assert (bid_of(replacement).price_minor_max, bid_of(replacement).tip_minor) == (1000, 500)


def test_a_replacement_has_gas_for_what_it_replaces_and_keeps_to_the_cap() -> None:
    """Its price may be quoted for a payment of nothing, which takes less."""
    previous = build(TOKEN, quoted=quote(price=100, tip=2, gas=90_000))
    quoted = quote(price=1000, tip=3, gas=21_000)
    bid = bid_of(build(TOKEN, quoted=quoted, replaces=previous, fee_minor_cap=90_000 * 400))
    assert (bid.gas_limit, bid.price_minor_max, bid.tip_minor) == (90_000, 400, 3)


def test_a_legacy_transaction_is_outbid_by_a_typed_one_in_both() -> None:
    previous = build(quoted=quote(price=100, tip=100, legacy=True))
    bid = bid_of(build(quoted=quote(price=50, tip=1), replaces=previous))
    assert (bid.price_minor_max, bid.tip_minor) == (113, 113)


def test_no_transaction_bids_more_than_the_cap() -> None:
    cap_minor = 2_200_000
    first = build(fee_minor_cap=cap_minor)
    with pytest.raises(PaymentRefused) as refused:
        build(replaces=first, fee_minor_cap=cap_minor)
    assert refused.value.reason == "fee_above_cap"


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="nonce"):
        build(nonce=None)
    with pytest.raises(ValueError, match="nonce"):
        build(nonce=8, replaces=build(nonce=7))


def test_a_signature_of_another_key_is_refused() -> None:
    with pytest.raises(ValueError, match="not the sender's"):
        sign(build(), coincurve.PrivateKey.from_int(5))


def test_a_signature_over_another_transaction_is_refused() -> None:
    (payload,) = build(nonce=8).signing_payloads
    with pytest.raises(ValueError, match="not the sender's"):
        pay.assemble(build(), (KEY.sign_recoverable(payload, hasher=None),))


def test_signatures_of_the_wrong_form_are_refused() -> None:
    unsigned = build()
    good = KEY.sign_recoverable(unsigned.signing_payloads[0], hasher=None)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(good[32:64])).to_bytes(32)
    wrong: list[tuple[bytes, ...]] = [
        (),
        (good, good),
        (good[:64],),
        (good[:64] + b"\x1b",),
        (good[:32] + high_s + bytes([1 - good[64]]),),
        (b"\xff" * 32 + good[32:],),
        (bytes(65),),
    ]
    for signatures in wrong:
        with pytest.raises(ValueError, match="signature"):
            pay.assemble(unsigned, signatures)


def test_only_networks_of_its_own_kind_are_opened() -> None:
    with pytest.raises(ValueError, match="network"):
        EthereumAdapter("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", ["http://127.0.0.1:1"])
