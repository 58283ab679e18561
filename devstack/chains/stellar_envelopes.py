"""Envelopes and records of a simulated Stellar: what is sent, and how Horizon would show it.

Records come without the XDR of results and metas, as Horizon can be run too. Part of a test
double, see `stellar_node`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stellar_sdk import (
    FeeBumpTransactionEnvelope,
    HashMemo,
    IdMemo,
    Keypair,
    ReturnHashMemo,
    TextMemo,
    TransactionEnvelope,
)
from stellar_sdk import xdr as stellar_xdr
from stellar_sdk.exceptions import BadSignatureError

from devstack.chains.stellar_operations import Fields, party, show_amount
from devstack.chains.stellar_state import BASE_FEE, State

PASSPHRASE = "Standalone Network ; February 2017"  # noqa: S105 - public, a network's name

Envelope = TransactionEnvelope | FeeBumpTransactionEnvelope


class Invalid(Exception):
    """Core does not take a transaction; `code` is its result, e.g. "txBAD_SEQ"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Sent:
    """One transaction as it was sent, and the one inside it if it is a fee bump."""

    raw: str
    outer: Envelope
    inner: TransactionEnvelope

    @property
    def hash(self) -> str:
        """What the transaction is known by."""
        return self.outer.hash_hex()

    @property
    def source(self) -> str:
        """The account whose sequence number is used."""
        return self.inner.transaction.source.account_id

    @property
    def fee_account(self) -> str:
        """The account that pays."""
        if isinstance(self.outer, FeeBumpTransactionEnvelope):
            return self.outer.transaction.fee_source.account_id
        return self.source

    @property
    def fee_units(self) -> int:
        """How many base fees it costs: a fee bump counts as one more operation (CAP-15)."""
        return len(self.inner.transaction.operations) + (self.outer is not self.inner)

    @property
    def bid(self) -> int:
        """The most that it may cost."""
        return int(self.outer.transaction.fee)


def parse(raw: str) -> Sent:
    """Decode an envelope. ValueError if it is none."""
    try:
        decoded = stellar_xdr.TransactionEnvelope.from_xdr(raw)
        if decoded.type is stellar_xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP:
            bump = FeeBumpTransactionEnvelope.from_xdr_object(decoded, PASSPHRASE)
            return Sent(raw, bump, bump.transaction.inner_transaction_envelope)
        plain = TransactionEnvelope.from_xdr_object(decoded, PASSPHRASE)
    except Exception as error:
        raise ValueError("no envelope") from error
    return Sent(raw, plain, plain)


def is_signed(envelope: Envelope, accounts: set[str]) -> bool:
    """Whether the envelope has a signature of each account's own key, and no other."""
    digest, left = envelope.hash(), set(accounts)
    for one in envelope.signatures:
        signers = [a for a in accounts if verifies(a, digest, one.signature)]
        if not signers:
            return False
        left.difference_update(signers)
    return not left


def verifies(account: str, digest: bytes, signature: bytes) -> bool:
    """Whether a signature is the account's."""
    try:
        Keypair.from_public_key(account).verify(digest, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def check_bounds(envelope: TransactionEnvelope, at: int) -> None:
    """Raise Invalid if a transaction's time bounds do not allow this close time."""
    conditions = envelope.transaction.preconditions
    bounds = None if conditions is None else conditions.time_bounds
    if bounds is None:
        return
    if at < bounds.min_time:
        raise Invalid("txTOO_EARLY")
    if bounds.max_time and at > bounds.max_time:
        raise Invalid("txTOO_LATE")


def show_time(seconds: int) -> str:
    """Return Unix seconds as Horizon writes them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def memo_fields(envelope: TransactionEnvelope) -> Fields:
    """Return a memo as Horizon shows it."""
    memo = envelope.transaction.memo
    if isinstance(memo, TextMemo):
        shown = memo.memo_text.decode(errors="replace")
        encoded = base64.b64encode(memo.memo_text).decode()
        return {"memo_type": "text", "memo": shown, "memo_bytes": encoded}
    if isinstance(memo, IdMemo):
        return {"memo_type": "id", "memo": str(memo.memo_id)}
    if isinstance(memo, HashMemo):
        return {"memo_type": "hash", "memo": base64.b64encode(memo.memo_hash).decode()}
    if isinstance(memo, ReturnHashMemo):
        return {"memo_type": "return", "memo": base64.b64encode(memo.memo_return).decode()}
    return {"memo_type": "none"}


def transaction_record(
    sent: Sent, number: int, place: int, closed_at: int, successful: bool
) -> Fields:
    """Return Horizon's record of a transaction, without results and metas."""
    transaction = sent.inner.transaction
    record: Fields = {
        **memo_fields(sent.inner),
        "id": sent.hash,
        "paging_token": str(place),
        "successful": successful,
        "hash": sent.hash,
        "ledger": number,
        "created_at": show_time(closed_at),
        **party("source_account", transaction.source),
        "source_account_sequence": str(transaction.sequence),
        "fee_account": sent.fee_account,
        "fee_charged": str(BASE_FEE * sent.fee_units),
        "max_fee": str(sent.bid),
        "operation_count": len(transaction.operations),
        "envelope_xdr": sent.raw,
        "signatures": show_signatures(sent.outer),
    }
    if sent.outer is not sent.inner:
        record["fee_bump_transaction"] = {
            "hash": sent.hash,
            "signatures": show_signatures(sent.outer),
        }
        record["inner_transaction"] = {
            "hash": sent.inner.hash_hex(),
            "signatures": show_signatures(sent.inner),
            "max_fee": str(transaction.fee),
        }
    return record


def show_signatures(envelope: Envelope) -> list[str]:
    """Return the signatures in base64."""
    return [base64.b64encode(one.signature).decode() for one in envelope.signatures]


def show_result(code: str) -> str:
    """Return a TransactionResult without operations in base64 XDR."""
    result = stellar_xdr.TransactionResult(
        fee_charged=stellar_xdr.Int64(0),
        result=stellar_xdr.TransactionResultResult(stellar_xdr.TransactionResultCode[code]),
        ext=stellar_xdr.TransactionResultExt(0),
    )
    return str(result.to_xdr())


def account_record(address: str, state: State) -> dict[str, Any] | None:
    """Return Horizon's record of an account, None if there is none."""
    account = state.find(address)
    if account is None:
        return None
    none = {"buying_liabilities": show_amount(0), "selling_liabilities": show_amount(0)}
    balances = []
    for name, line in account.lines.items():
        code, issuer = name.split(":")
        balances.append(
            {
                "balance": show_amount(line.balance),
                "limit": show_amount(line.limit),
                **none,
                "is_authorized": line.authorized,
                "is_authorized_to_maintain_liabilities": line.authorized,
                "asset_type": "credit_alphanum4" if len(code) <= 4 else "credit_alphanum12",
                "asset_code": code,
                "asset_issuer": issuer,
            }
        )
    balances.append({"balance": show_amount(account.balance), **none, "asset_type": "native"})
    return {
        "id": address,
        "account_id": address,
        "sequence": str(account.sequence),
        "subentry_count": account.entries,
        "thresholds": {"low_threshold": 0, "med_threshold": 0, "high_threshold": 0},
        "flags": {"auth_required": account.auth_required, "auth_revocable": False},
        "balances": balances,
        "signers": [{"weight": 1, "key": address, "type": "ed25519_public_key"}],
        "data": {n: base64.b64encode(v).decode() for n, v in account.data.items()},
        "num_sponsoring": 0,
        "num_sponsored": 0,
        "paging_token": address,
    }
