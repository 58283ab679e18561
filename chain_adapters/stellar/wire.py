"""The parts of Horizon's answers that are read, as typed records of raw JSON.

Names and forms: Horizon's API reference (developers.stellar.org) and its recorded answers.
Amounts are texts with up to seven decimals. Everything not named here is skipped undecoded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec

Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Account = Annotated[str, msgspec.Meta(min_length=56, max_length=56)]
Party = Annotated[str, msgspec.Meta(min_length=56, max_length=72)]
"""An account, a contract (C…), or a muxed form of an account (M…, 69 characters)."""
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Sequence = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Number = int | Token
"""A 64-bit number: a text since Horizon 1.0, a JSON number before."""

RecordT = TypeVar("RecordT")


class Records(msgspec.Struct, Generic[RecordT], gc=False):
    """What a page holds."""

    records: list[RecordT]


class Page(msgspec.Struct, Generic[RecordT], gc=False):
    """One page of a collection."""

    embedded: Records[RecordT] = msgspec.field(name="_embedded")


class WireRoot(msgspec.Struct):
    """The server's account of itself."""

    network_passphrase: str


class WireLedger(msgspec.Struct, gc=False):
    """One closed ledger. `operation_count` counts those of successful transactions only."""

    sequence: Sequence
    hash: Hash
    prev_hash: Hash
    closed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    successful_transaction_count: Count
    operation_count: Count
    base_fee_in_stroops: Count
    base_reserve_in_stroops: Count
    failed_transaction_count: Count = 0


class WireLanded(msgspec.Struct):
    """A transaction that was looked up, by its own hash or by that of the one inside it."""

    hash: Hash
    inner_transaction: WireInner | None = None


class WireInner(msgspec.Struct, gc=False):
    """The transaction inside a fee bump (CAP-15)."""

    hash: Hash


class WireTransaction(msgspec.Struct, gc=False):
    """One transaction, successful or failed. Accounts are base accounts, never muxed."""

    hash: Hash
    ledger: Sequence
    successful: bool
    paging_token: Token
    source_account: Account
    fee_account: Account
    fee_charged: Number
    operation_count: Count
    memo_type: str = "none"
    memo: str | None = None
    memo_bytes: str | None = None
    inner_transaction: WireInner | None = None


class WireBalanceChange(msgspec.Struct, gc=False):
    """One movement of an asset inside a contract call, by an asset's own contract (CAP-46-6)."""

    type: str
    amount: Token
    asset_type: str
    asset_code: str | None = None
    asset_issuer: str | None = None
    sender: Party | None = msgspec.field(name="from", default=None)
    to: Party | None = None
    destination_muxed_id: Number | None = None
    destination_muxed_id_type: str | None = None


class WireOperation(msgspec.Struct, gc=False):
    """One operation of any type; each type has only some of the fields."""

    id: Token
    transaction_hash: Hash
    transaction_successful: bool
    type: str
    source_account: Account
    asset_type: str | None = None
    asset_code: str | None = None
    asset_issuer: str | None = None
    amount: Token | None = None
    sender: Account | None = msgspec.field(name="from", default=None)
    to: Account | None = None
    to_muxed_id: Number | None = None
    source_amount: Token | None = None
    source_asset_type: str | None = None
    source_asset_code: str | None = None
    source_asset_issuer: str | None = None
    account: Account | None = None
    funder: Account | None = None
    starting_balance: Token | None = None
    into: Account | None = None
    asset_balance_changes: list[WireBalanceChange] = []


class WireEffect(msgspec.Struct, gc=False):
    """One effect. Its id is the operation's, padded with zeros, and its own number behind a dash.

    Some effects belong to no account and have no amount.
    """

    id: Token
    type: str
    paging_token: Token
    account: str | None = None
    account_muxed_id: Number | None = None
    amount: Token | None = None
    asset_type: str | None = None
    asset_code: str | None = None
    asset_issuer: str | None = None


class WireBalance(msgspec.Struct):
    """What an account holds of one asset; the last one of each account is the native asset."""

    balance: Token
    asset_type: str = ""
    asset_code: str | None = None
    asset_issuer: str | None = None
    limit: Token | None = None
    buying_liabilities: Token = "0"
    selling_liabilities: Token = "0"
    is_authorized: bool | None = None


class WireAccount(msgspec.Struct):
    """One account as of the server's latest ledger. Values in `data` are base64."""

    account_id: Account
    sequence: Number
    subentry_count: Count
    balances: list[WireBalance]
    data: dict[str, str] = {}
    num_sponsoring: Count = 0
    num_sponsored: Count = 0


class WireFees(msgspec.Struct):
    """Fees per operation that were charged in the last five ledgers, in stroops."""

    p95: Number
    mode: Number


class WireFeeStats(msgspec.Struct):
    """Answer of /fee_stats."""

    last_ledger_base_fee: Number
    fee_charged: WireFees


class WireResultCodes(msgspec.Struct):
    """What core answered, e.g. "tx_bad_seq"."""

    transaction: str = ""
    operations: list[str] | None = None


class WireExtras(msgspec.Struct):
    """The part of a problem that says what was wrong with a transaction."""

    result_codes: WireResultCodes | None = None


class WireAsset(msgspec.Struct):
    """An issued asset that some account accepts or holds."""

    asset_code: str
    asset_issuer: Account


class WireProblem(msgspec.Struct):
    """Horizon's form of an error (RFC 7807)."""

    type: str = ""
    title: str = ""
    extras: WireExtras | None = None


class WireSubmission(msgspec.Struct):
    """Answer of POST /transactions_async and, with only a hash, of POST /transactions."""

    hash: str = ""
    tx_status: str = ""
    error_result_xdr: str | None = None


decode_root = msgspec.json.Decoder(WireRoot).decode
decode_ledger = msgspec.json.Decoder(WireLedger).decode
decode_ledgers = msgspec.json.Decoder(Page[WireLedger]).decode
decode_transactions = msgspec.json.Decoder(Page[WireTransaction]).decode
decode_landed = msgspec.json.Decoder(WireLanded).decode
decode_operations = msgspec.json.Decoder(Page[WireOperation]).decode
decode_effects = msgspec.json.Decoder(Page[WireEffect]).decode
decode_account = msgspec.json.Decoder(WireAccount).decode
decode_assets = msgspec.json.Decoder(Page[WireAsset]).decode
decode_fee_stats = msgspec.json.Decoder(WireFeeStats).decode
decode_problem = msgspec.json.Decoder(WireProblem).decode
decode_submission = msgspec.json.Decoder(WireSubmission).decode
