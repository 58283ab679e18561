"""The parts of a Solana node's answers that are read, as typed records of raw JSON.

Field names and forms: the node's JSON-RPC (solana.com/docs/rpc). Everything not named here is
skipped without being decoded.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

U64 = Annotated[int, msgspec.Meta(ge=0)]
Key = Annotated[str, msgspec.Meta(min_length=32, max_length=44)]
Digits = Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
Position = Annotated[int, msgspec.Meta(ge=0, lt=256)]


class WireAmount(msgspec.Struct, gc=False):
    """Minor units of a token; `uiAmount` beside it is a rounded number and never read."""

    amount: Digits


class WireTokenBalance(msgspec.Struct, gc=False, rename="camel"):
    """What one token account holds before or after a transaction.

    `owner` and `programId` are missing in blocks of 2021 and before.
    """

    account_index: Position
    mint: Key
    ui_token_amount: WireAmount
    owner: Key | None = None
    program_id: Key | None = None


class WireMeta(msgspec.Struct, gc=False, rename="camel"):
    """What a transaction did. `err` is null if it took effect, else an object or a text; if it is
    missing, nothing is known to have taken effect.
    """

    fee: U64
    pre_balances: list[U64]
    post_balances: list[U64]
    err: object = False
    pre_token_balances: list[WireTokenBalance] | None = None
    post_token_balances: list[WireTokenBalance] | None = None


class WireKey(msgspec.Struct, gc=False):
    """An account that a transaction names; whether it signs or is written to is not read."""

    pubkey: Key


class WireSigned(msgspec.Struct, gc=False, rename="camel"):
    """Signatures and accounts; the first signature is the transaction's id, and the first account
    pays the fee. Accounts out of lookup tables are the last ones.
    """

    account_keys: list[WireKey]
    signatures: Annotated[list[str], msgspec.Meta(min_length=1)]


class WireTransaction(msgspec.Struct, gc=False):
    """One element of a block, of any version."""

    transaction: WireSigned
    meta: WireMeta | None = None


class WireForeignSigned(msgspec.Struct):
    """What stands in the place of WireSigned where a node tells whole transactions."""

    message: dict[str, msgspec.Raw]


class WireForeignTransaction(msgspec.Struct):
    """One element of a block as a node tells it that does not know what was asked for."""

    transaction: WireForeignSigned


class WireHeader(msgspec.Struct, rename="camel"):
    """A block without its transactions. Blocks of before 2021 may lack time and height."""

    blockhash: Key
    previous_blockhash: Key
    parent_slot: U64
    block_height: U64 | None = None
    block_time: int | None = None


class WireBlock(WireHeader, kw_only=True):
    """A block; each transaction is decoded by itself, so that an odd one spoils no other."""

    transactions: list[msgspec.Raw]


class WireLatestBlockhash(msgspec.Struct, rename="camel"):
    """A blockhash and the last block height at which transactions may use it."""

    blockhash: Key
    last_valid_block_height: U64


class WireAccount(msgspec.Struct):
    """An account's lamports, owning program and data (base64)."""

    lamports: U64
    owner: Key
    data: tuple[str, str]
    executable: bool = False


class WireHeldAccount(msgspec.Struct):
    """One element of getTokenAccountsByOwner."""

    pubkey: Key
    account: WireAccount


class WirePriority(msgspec.Struct, rename="camel"):
    """One element of getRecentPrioritizationFees: micro-lamports for a compute unit."""

    prioritization_fee: U64


class WireSimulation(msgspec.Struct, rename="camel"):
    """What a transaction would do now."""

    err: object = None
    units_consumed: U64 | None = None
    logs: list[str] | None = None


class WireStatus(msgspec.Struct, rename="camel"):
    """Where a transaction is; there is one as soon as a bank has executed it."""

    slot: U64
    err: object = None


class LatestBlockhashAnswer(msgspec.Struct):
    """Answer of getLatestBlockhash."""

    value: WireLatestBlockhash


class AccountsAnswer(msgspec.Struct):
    """Answer of getMultipleAccounts."""

    value: list[WireAccount | None]


class HeldAnswer(msgspec.Struct):
    """Answer of getTokenAccountsByOwner."""

    value: list[WireHeldAccount]


class FeeAnswer(msgspec.Struct):
    """Answer of getFeeForMessage; null if the message's blockhash is not known (any more)."""

    value: U64 | None


class SimulationAnswer(msgspec.Struct):
    """Answer of simulateTransaction."""

    value: WireSimulation


class StatusesAnswer(msgspec.Struct):
    """Answer of getSignatureStatuses."""

    value: list[WireStatus | None]


class Preflight(msgspec.Struct):
    """The data of the error with which sendTransaction refuses what would fail."""

    err: object = None
    logs: list[str] | None = None


decode_block = msgspec.json.Decoder(WireBlock | None).decode
decode_transaction = msgspec.json.Decoder(WireTransaction).decode
decode_foreign_transaction = msgspec.json.Decoder(WireForeignTransaction).decode
decode_header = msgspec.json.Decoder(WireHeader | None).decode
decode_slot = msgspec.json.Decoder(U64).decode
decode_slots = msgspec.json.Decoder(list[U64]).decode
decode_text = msgspec.json.Decoder(str).decode
decode_latest_blockhash = msgspec.json.Decoder(LatestBlockhashAnswer).decode
decode_accounts = msgspec.json.Decoder(AccountsAnswer).decode
decode_held = msgspec.json.Decoder(HeldAnswer).decode
decode_fee = msgspec.json.Decoder(FeeAnswer).decode
decode_priorities = msgspec.json.Decoder(list[WirePriority]).decode
decode_simulation = msgspec.json.Decoder(SimulationAnswer).decode
decode_statuses = msgspec.json.Decoder(StatusesAnswer).decode
