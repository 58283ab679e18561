"""Building and signing: against published envelopes and the reference library."""

from __future__ import annotations

from base64 import b64decode, b64encode
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from stellar_sdk import HashMemo, IdMemo, Keypair, ReturnHashMemo, TextMemo, TransactionEnvelope
from stellar_sdk import Payment as PaymentOperation

from chain_adapters.stellar import pay
from chain_adapters.stellar.adapter import StellarAdapter
from chain_adapters.stellar.amounts import to_minor
from chain_adapters.stellar.network import AMOUNT_MINOR_MAX
from chain_adapters.stellar.pay import Body, Kind, Terms
from chain_adapters.types import (
    Coin,
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)
from tests.support.stellar_vectors import ISSUER, PUBNET, RECIPIENT, USD, load

KEY = Keypair.from_raw_ed25519_seed(b"k" * 32)
SENDER = KEY.public_key
ADAPTER = StellarAdapter("stellar:pubnet", ["http://127.0.0.1:1"], fee_minor_max=10_000)
VALID_UNTIL = 1_720_139_604


def published() -> list[Any]:
    """Return test, private key and signed envelope of each published payment."""
    found = []
    for test in load("walletcore_stellar_any_signer") + load("walletcore_stellar_signed_envelopes"):
        values = {literal["near"]: literal["value"] for literal in test["literals"]}
        signed = [v for v in values.values() if v.startswith("AAAAA")]
        key = values.get("PrivateKey(parse_hex(") or values.get("parse_hex(")
        if signed and key is not None and len(key) == 64:
            found.append(pytest.param(key, signed[0], id=test["test"]))
    return found


def memo_text(envelope: TransactionEnvelope) -> str | None:
    memo = envelope.transaction.memo
    match memo:
        case IdMemo():
            return f"id:{memo.memo_id}"
        case TextMemo():
            return f"text:{memo.memo_text.decode()}"
        case HashMemo():
            return f"hash:{memo.memo_hash.hex()}"
        case ReturnHashMemo():
            return f"return:{memo.memo_return.hex()}"
    return None


@pytest.mark.parametrize(("private_key", "encoded"), published())
def test_published_payments_are_signed_to_the_byte(private_key: str, encoded: str) -> None:
    theirs = TransactionEnvelope.from_xdr(encoded, PUBNET)
    (operation,) = theirs.transaction.operations
    assert isinstance(operation, PaymentOperation)
    asset = operation.asset
    payment = Payment(
        theirs.transaction.source.account_id,
        operation.destination.account_id,
        None if asset.is_native() else f"{asset.code}:{asset.issuer}",
        to_minor(operation.amount),
        memo_text(theirs),
    )
    terms = Terms("payment", theirs.transaction.fee, None)
    ours = pay.make_envelope(Body(payment, theirs.transaction.sequence, terms), PUBNET)
    ours.sign(Keypair.from_raw_ed25519_seed(bytes.fromhex(private_key)))
    ours.transaction.v1 = False  # they are of the form before CAP-15; what is signed is the same
    assert ours.to_xdr() == encoded


def quote(kind: Kind = "payment", fee_minor: int = 200) -> Quote:
    terms = Terms(kind, fee_minor, VALID_UNTIL)
    return Quote(fee_minor, 7, msgspec.json.encode(terms), 10**18, 10**18)


def build(
    contract: str | None = None,
    quoted: Quote | None = None,
    *,
    nonce: int | None = 7,
    memo: str | None = None,
    replaces: UnsignedTransaction | None = None,
) -> UnsignedTransaction:
    payment = Payment(SENDER, RECIPIENT, contract, 5, memo)
    return ADAPTER.build(payment, quoted or quote(), nonce, replaces=replaces)


def sign(unsigned: UnsignedTransaction, key: Keypair = KEY) -> SignedTransaction:
    (payload,) = unsigned.signing_payloads
    return ADAPTER.assemble(unsigned, (key.sign(payload),))


def decoded(signed: SignedTransaction) -> TransactionEnvelope:
    return TransactionEnvelope.from_xdr(b64encode(signed.raw).decode(), PUBNET)


@pytest.mark.parametrize(
    "memo", [None, "id:0", f"id:{2**64 - 1}", "text:é", "hash:" + 64 * "a", "return:" + 64 * "0"]
)
@pytest.mark.parametrize("contract", [None, USD, f"ABCDEFGHIJ12:{ISSUER}"])
def test_what_was_built_is_what_the_reference_library_reads(
    contract: str | None, memo: str | None
) -> None:
    unsigned = build(contract, memo=memo)
    signed = sign(unsigned)
    envelope = decoded(signed)
    transaction = envelope.transaction
    assert envelope.hash_hex() == signed.transaction_id
    assert (transaction.source.account_id, transaction.sequence) == (SENDER, 7)
    assert transaction.fee == unsigned.fee_minor_max == 200
    assert transaction.preconditions is not None
    bounds = transaction.preconditions.time_bounds
    assert bounds is not None
    assert (bounds.min_time, bounds.max_time) == (0, VALID_UNTIL)
    assert unsigned.valid_until == VALID_UNTIL
    assert memo_text(envelope) == memo
    (operation,) = transaction.operations
    assert isinstance(operation, PaymentOperation)
    assert operation.destination.account_id == RECIPIENT
    assert Decimal(operation.amount).scaleb(7) == 5


def test_a_new_account_is_created_with_its_payment() -> None:
    (operation,) = decoded(sign(build(quoted=quote("create_account")))).transaction.operations
    fields = vars(operation)
    assert fields["destination"] == RECIPIENT
    assert Decimal(fields["starting_balance"]).scaleb(7) == 5


def test_nothing_of_an_asset_to_oneself_is_a_trustline_without_limit() -> None:
    payment = Payment(SENDER, SENDER, USD, 0)
    unsigned = ADAPTER.build(payment, quote("change_trust"), 7)
    (operation,) = decoded(sign(unsigned)).transaction.operations
    fields = vars(operation)
    assert to_minor(fields["limit"]) == AMOUNT_MINOR_MAX
    assert (fields["asset"].code, fields["asset"].issuer) == ("USD", ISSUER)


def test_the_signature_is_checked_and_carries_the_keys_hint() -> None:
    unsigned = build()
    signed = sign(unsigned)
    (signature,) = decoded(signed).signatures
    assert signature.signature_hint == KEY.raw_public_key()[-4:]
    for wrong in (Keypair.random().sign(unsigned.signing_payloads[0]), bytes(64), b"", bytes(65)):
        with pytest.raises(ValueError, match="signature"):
            ADAPTER.assemble(unsigned, (wrong,))
    good = KEY.sign(unsigned.signing_payloads[0])
    for wrong_count in ((), (good, good)):
        with pytest.raises(ValueError, match="one signature"):
            ADAPTER.assemble(unsigned, wrong_count)


def test_the_same_transaction_of_another_network_has_another_hash() -> None:
    testnet = StellarAdapter("stellar:testnet", ["http://127.0.0.1:1"], fee_minor_max=10_000)
    payment = Payment(SENDER, RECIPIENT, None, 5)
    ours, theirs = (a.build(payment, quote(), 7) for a in (ADAPTER, testnet))
    assert ours.signing_payloads != theirs.signing_payloads


def test_a_replacement_has_the_same_sequence_and_bids_twice() -> None:
    first = build()
    second = build(quoted=quote(fee_minor=150), replaces=first)
    assert (second.nonce, second.fee_minor_max) == (7, 400)
    dearer = build(quoted=quote(fee_minor=5000), replaces=first)
    assert dearer.fee_minor_max == 5000


def test_a_replacement_bids_no_more_than_the_cap() -> None:
    first = build(quoted=quote(fee_minor=9000))
    assert build(quoted=quote(fee_minor=9000), replaces=first).fee_minor_max == 10_000


def test_a_fee_above_the_cap_is_refused() -> None:
    with pytest.raises(PaymentRefused) as refused:
        build(quoted=quote(fee_minor=10_001))
    assert refused.value.reason == "fee_above_cap"


def test_arguments_that_do_not_fit_are_errors() -> None:
    first = build()
    other = msgspec.structs.replace(first, payment=Payment(RECIPIENT, SENDER, None, 5))
    for nonce, replaces in ((None, None), (8, first), (7, other)):
        with pytest.raises(ValueError, match=r"nonce|sender"):
            build(nonce=nonce, replaces=replaces)
    with pytest.raises(ValueError, match="coins"):
        ADAPTER.build(first.payment, quote(), 7, coins=[Coin("a:0", 5)])


def test_a_memo_without_type_is_never_built() -> None:
    for memo in ("7", "bytes:ff", "memo:7"):
        with pytest.raises(ValueError, match=r"type|memo"):
            build(memo=memo)


def test_bytes_do_not_depend_on_anything_but_the_arguments() -> None:
    assert build() == build()
    assert sign(build()).raw == sign(build()).raw
    assert b64decode(decoded(sign(build())).to_xdr()) == sign(build()).raw
