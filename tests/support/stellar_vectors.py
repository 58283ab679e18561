"""Ledgers of Stellar as Horizon would tell of them: crafted, recorded, or made from core's own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from stellar_sdk import FeeBumpTransactionEnvelope, TransactionEnvelope, xdr
from stellar_sdk.strkey import StrKey

from chain_adapters.stellar import wire
from chain_adapters.stellar.decode import normalise_ledger
from chain_adapters.types import Block

FOLDER = Path(__file__).parent.parent / "vectors" / "stellar"
PUBNET = "Public Global Stellar Network ; September 2015"
HEIGHT = 100
Json = dict[str, Any]


def account(letter: str) -> str:
    """Return a valid account."""
    return StrKey.encode_ed25519_public_key(letter.encode() * 32)


def muxed(letter: str, number: int) -> str:
    """Return the muxed form of `account`."""
    return StrKey.encode_med25519_public_key(letter.encode() * 32 + number.to_bytes(8))


SENDER, RECIPIENT, ISSUER, OTHER = (account(letter) for letter in "abcd")
USD = f"USD:{ISSUER}"
NATIVE: Json = {"asset_type": "native"}
IN_USD: Json = {"asset_type": "credit_alphanum4", "asset_code": "USD", "asset_issuer": ISSUER}


def load(name: str) -> Any:  # noqa: ANN401 - any JSON
    """Return a recorded answer."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def place_of(position: int, number: int = 0, height: int = HEIGHT) -> int:
    """Return Horizon's id of a transaction or operation."""
    return (height << 32) | (position << 12) | number


def hash_of(position: int) -> str:
    """Return a transaction's hash."""
    return f"{position:064x}"


def transaction(position: int = 1, operations: int = 1, **changes: object) -> Json:
    """Return a usual transaction's record."""
    usual = {
        "hash": hash_of(position),
        "ledger": HEIGHT,
        "successful": True,
        "paging_token": str(place_of(position)),
        "source_account": SENDER,
        "fee_account": SENDER,
        "fee_charged": "100",
        "operation_count": operations,
        "memo_type": "none",
    }
    return {**usual, **changes}


def operation(position: int = 1, number: int = 1, **changes: object) -> Json:
    """Return the record of a usual payment of 1.5 XLM."""
    usual = {
        "id": str(place_of(position, number)),
        "transaction_hash": hash_of(position),
        "transaction_successful": True,
        "source_account": SENDER,
        "type": "payment",
        **NATIVE,
        "from": SENDER,
        "to": RECIPIENT,
        "amount": "1.5000000",
    }
    return {**usual, **changes}


def effect(position: int = 1, number: int = 1, order: int = 1, **changes: object) -> Json:
    """Return the record of a usual credit of 2 XLM."""
    place = place_of(position, number)
    usual = {
        "id": f"{place:019d}-{order:010d}",
        "paging_token": f"{place}-{order}",
        "type": "account_credited",
        "account": RECIPIENT,
        **NATIVE,
        "amount": "2.0000000",
    }
    return {**usual, **changes}


def ledger(transactions: Sequence[Json], **changes: object) -> Json:
    """Return the record of a ledger that has just these transactions."""
    succeeded = [t for t in transactions if t["successful"]]
    usual = {
        "sequence": HEIGHT,
        "hash": "a" * 64,
        "prev_hash": "b" * 64,
        "closed_at": "2024-07-05T00:33:24Z",
        "successful_transaction_count": len(succeeded),
        "failed_transaction_count": len(transactions) - len(succeeded),
        "operation_count": sum(t["operation_count"] for t in succeeded),
        "base_fee_in_stroops": 100,
        "base_reserve_in_stroops": 5_000_000,
    }
    return {**usual, **changes}


def encode_page(records: Sequence[Json]) -> bytes:
    """Return a page as it comes over the wire."""
    return json.dumps({"_embedded": {"records": records}}).encode()


def read_block(
    transactions: Sequence[Json],
    operations: Sequence[Json] = (),
    effects: Sequence[Json] = (),
    **changes: object,
) -> Block:
    """Let the adapter's decoder read the answers from their bytes."""
    return normalise_ledger(
        wire.decode_ledger(json.dumps(ledger(transactions, **changes)).encode()),
        wire.decode_transactions(encode_page(transactions)).embedded.records,
        wire.decode_operations(encode_page(operations)).embedded.records,
        wire.decode_effects(encode_page(effects)).embedded.records,
    )


@cache
def load_meta() -> xdr.LedgerCloseMetaV1:
    """Return ledger 53312000 of the public network as core gives it."""
    raw = gzip.decompress((FOLDER / "ledger_close_meta_pubnet_53312000.xdr.gz").read_bytes())
    found = xdr.LedgerCloseMetaBatch.from_xdr_bytes(raw).ledger_close_metas[0].v1
    assert found is not None
    return found


Envelope = TransactionEnvelope | FeeBumpTransactionEnvelope


@cache
def envelopes() -> dict[str, Envelope]:
    """Return that ledger's envelopes by hash."""
    phases = load_meta().tx_set.v1_tx_set
    assert phases is not None
    components = [c for phase in phases.phases for c in phase.v0_components or []]
    found: dict[str, Envelope] = {}
    for component in components:
        assert component.txs_maybe_discounted_fee is not None
        for sent in component.txs_maybe_discounted_fee.txs:
            bumped = sent.type is xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP
            kind = FeeBumpTransactionEnvelope if bumped else TransactionEnvelope
            envelope: Envelope = kind.from_xdr_object(sent, PUBNET)
            found[envelope.hash_hex()] = envelope
    return found


def inner_of(envelope: Envelope) -> TransactionEnvelope:
    """Return what a fee bump carries, or the envelope itself."""
    if isinstance(envelope, FeeBumpTransactionEnvelope):
        return envelope.transaction.inner_transaction_envelope
    return envelope


def results() -> Iterator[tuple[int, xdr.TransactionResultMeta, Envelope]]:
    """Yield that ledger's transactions as applied: position, result and envelope."""
    for position, meta in enumerate(load_meta().tx_processing, 1):
        yield position, meta, envelopes()[meta.result.transaction_hash.hash.hex()]
