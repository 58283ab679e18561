"""TRON transactions equal recorded ones byte by byte."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import coincurve
import msgspec
import pytest

from chain_adapters.tron.adapter import TronAdapter
from chain_adapters.tron.address import parse_address
from chain_adapters.tron.pay import Terms, encode_payment
from chain_adapters.tron.protobuf import encode_call, encode_raw, encode_transaction
from chain_adapters.types import Payment, PaymentRefused, Quote, UnsignedTransaction
from devstack.chains.tron_protobuf import read_transaction
from tests.support.tron_vectors import load

KEY = coincurve.PrivateKey(bytes.fromhex(load("signed_transfer")["private_key"]))
SENDER = "415cd0fb0ab3ce40f3051414c604b27756e69e43db"
RECIPIENT = "41521ea197907927725ef36d70f25f850d1659c7c7"
TOKEN = "41a614f803b6fd780986a42c78ec9c7f77e6ded13c"
REF_BLOCK = "00000000002f7b3bb21ace8d6ac20e7e" + 32 * "0"
PAYMENT = Payment(SENDER, RECIPIENT, None, 2_000_000)
TERMS = Terms(REF_BLOCK, 1_539_295_479_000, 1_539_331_479_000)


def adapter(fee_minor_max: int = 10**8) -> TronAdapter:
    return TronAdapter("tron:0x2b6653dc", ["http://127.0.0.1:1"], fee_minor_max=fee_minor_max)


def quote(terms: Terms = TERMS, fee_minor_max: int = 268_000) -> Quote:
    return Quote(fee_minor_max, None, msgspec.json.encode(terms), 10**9, 10**9)


def build(payment: Payment = PAYMENT, terms: Terms = TERMS) -> UnsignedTransaction:
    return adapter().build(payment, quote(terms), None)


def sign(unsigned: UnsignedTransaction, key: coincurve.PrivateKey = KEY) -> tuple[bytes, ...]:
    return tuple(key.sign_recoverable(p, hasher=None) for p in unsigned.signing_payloads)


def recorded_transfer() -> dict[str, Any]:
    recorded: dict[str, Any] = load("signed_transactions_various_contracts")[1]
    return recorded


def test_a_signed_transfer_of_trx_equals_the_recorded_one() -> None:
    recorded, expected = recorded_transfer(), load("signed_transfer")
    unsigned = build()
    assert unsigned.body.hex() == recorded["raw_data_hex"]
    signed = adapter().assemble(unsigned, sign(unsigned))
    assert signed.transaction_id == recorded["txID"] == expected["id"]
    assert read_transaction(signed.raw).signatures == (bytes.fromhex(expected["signature"]),)
    assert parse_address(expected["sender"]) == SENDER


@pytest.mark.parametrize("position", [5, 6])
def test_calls_equal_recorded_ones(position: int) -> None:
    recorded = load("signed_transactions_various_contracts")[position]
    value = recorded["raw_data"]["contract"][0]["parameter"]["value"]
    contract = encode_call(
        *(bytes.fromhex(value[k]) for k in ("owner_address", "contract_address", "data"))
    )
    block_id = bytes.fromhex(REF_BLOCK)
    raw = encode_raw(
        (block_id[6:8], block_id[8:16]), TERMS.expiration_ms, contract, TERMS.timestamp_ms
    )
    assert raw.hex() == recorded["raw_data_hex"]


def test_a_call_with_fee_limit_equals_the_recorded_one() -> None:
    recorded = load("triggersmartcontract_unsigned")["transaction"]
    data = recorded["raw_data"]["contract"][0]["parameter"]["value"]["data"]
    contract = encode_call(
        bytes.fromhex("41fd49eda0f23ff7ec1d03b52c3a45991c24cd440e"),
        bytes.fromhex("4142a1e39aefa49290f2b3f9ed688d7cecf86cd6e0"),
        bytes.fromhex(data),
    )
    raw = encode_raw(
        (bytes.fromhex("e70f"), bytes.fromhex("bde2c956cedbf2ae")),
        recorded["raw_data"]["expiration"],
        contract,
        recorded["raw_data"]["timestamp"],
        recorded["raw_data"]["fee_limit"],
    )
    assert raw.hex() == recorded["raw_data_hex"]
    assert sha256(raw).hexdigest() == recorded["txID"]


def test_a_token_payment_calls_transfer_with_20_byte_addresses() -> None:
    terms = msgspec.structs.replace(TERMS, fee_limit_minor=15_000_000)
    signed = adapter().assemble(
        unsigned := build(Payment(SENDER, RECIPIENT, TOKEN, 1000), terms=terms), sign(unsigned)
    )
    read = read_transaction(signed.raw)
    assert (read.kind, read.fee_limit) == ("TriggerSmartContract", 15_000_000)
    assert read.content == {
        "owner_address": SENDER,
        "contract_address": TOKEN,
        "data": "a9059cbb" + RECIPIENT[2:].rjust(64, "0") + f"{1000:064x}",
    }


def test_the_simulated_nodes_reader_finds_what_the_adapter_wrote() -> None:
    payment = Payment(SENDER, RECIPIENT, None, 2**63 - 1)
    read = read_transaction(encode_transaction(encode_payment(payment, TERMS), bytes(65)))
    assert read.content == {
        "owner_address": SENDER,
        "to_address": RECIPIENT,
        "amount": 2**63 - 1,
    }
    assert (read.expiration_ms, read.timestamp_ms) == (TERMS.expiration_ms, TERMS.timestamp_ms)
    assert (read.ref_block_bytes.hex(), read.ref_block_hash.hex()) == ("7b3b", "b21ace8d6ac20e7e")


def test_the_last_clock_that_can_carry_it_is_before_its_expiration() -> None:
    assert build().valid_until == TERMS.expiration_ms - 1


def test_equal_payments_with_quotes_of_their_own_have_ids_of_their_own() -> None:
    later = msgspec.structs.replace(TERMS, timestamp_ms=TERMS.timestamp_ms + 1)
    assert build(terms=later).signing_payloads != build().signing_payloads


def test_building_is_pure() -> None:
    assert build() == build()


def test_a_fee_above_the_cap_is_refused() -> None:
    with pytest.raises(PaymentRefused) as refused:
        adapter(fee_minor_max=267_999).build(Payment(SENDER, RECIPIENT, None, 5), quote(), None)
    assert refused.value.reason == "fee_above_cap"


def test_there_is_no_nonce() -> None:
    with pytest.raises(ValueError, match="nonce"):
        adapter().build(Payment(SENDER, RECIPIENT, None, 5), quote(), 0)


def test_signatures_that_are_not_the_senders_are_refused() -> None:
    unsigned = build()
    good = sign(unsigned)[0]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(good[32:64])).to_bytes(32)
    wrong: list[tuple[bytes, ...]] = [
        (),
        (good, good),
        (good[:64],),
        (good[:64] + b"\x1b",),
        (good[:32] + high_s + bytes([1 - good[64]]),),
        (bytes(65),),
        sign(unsigned, coincurve.PrivateKey(bytes(31) + b"\x01")),
    ]
    for signatures in wrong:
        with pytest.raises(ValueError, match="signature"):
            adapter().assemble(unsigned, signatures)
