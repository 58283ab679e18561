"""How a Solana node shows transactions and token balances in its JSON-RPC: "full" in encoding
"json", and "accounts"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTable
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.token.state import Mint, TokenAccount
from solders.transaction import VersionedTransaction
from spl.token.constants import ACCOUNT_LEN, MINT_LEN, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

TokenBalance = dict[str, Any]
FindAccount = Callable[[Pubkey], Account | None]
Loaded = tuple[list[Pubkey], list[Pubkey]]
"""Accounts out of lookup tables, writable and readonly."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TOKEN_ACCOUNT = 2
_OUTCOME = (
    "err",
    "fee",
    "postBalances",
    "postTokenBalances",
    "preBalances",
    "preTokenBalances",
    "status",
)
"""What details "accounts" tell of an outcome."""
VERSIONS: dict[type, object] = {Message: "legacy", MessageV0: 0, MessageV1: 1}
"""How the form of a message is called."""


def encode_base58(content: bytes) -> str:
    """Return bytes in Bitcoin's alphabet."""
    number, digits = int.from_bytes(content), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "1" * (len(content) - len(content.lstrip(b"\0"))) + digits


def loaded_keys(transaction: VersionedTransaction, find: FindAccount) -> Loaded:
    """Return the accounts that a transaction takes from lookup tables."""
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    message = transaction.message
    if isinstance(message, MessageV0):
        for lookup in message.address_table_lookups:
            table = find(lookup.account_key)
            if table is None:
                continue
            addresses = AddressLookupTable.deserialize(table.data).addresses
            writable += [addresses[index] for index in lookup.writable_indexes]
            readonly += [addresses[index] for index in lookup.readonly_indexes]
    return writable, readonly


def token_balance_of(position: int, key: Pubkey, find: FindAccount) -> TokenBalance | None:
    """Return what a token account holds, None if the account is none."""
    account = find(key)
    if account is None or account.owner not in {TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID}:
        return None
    data = account.data
    if len(data) != ACCOUNT_LEN and not (
        len(data) > ACCOUNT_LEN and data[ACCOUNT_LEN] == _TOKEN_ACCOUNT
    ):
        return None
    held = TokenAccount.from_bytes(data[:ACCOUNT_LEN])
    mint = find(held.mint)
    decimals = 0 if mint is None else Mint.from_bytes(mint.data[:MINT_LEN]).decimals
    return {
        "accountIndex": position,
        "mint": str(held.mint),
        "owner": str(held.owner),
        "programId": str(account.owner),
        "uiTokenAmount": show_amount(held.amount, decimals),
    }


def show_amount(amount: int, decimals: int) -> dict[str, Any]:
    """Return minor units as nodes write them, with the rounded number that nobody should read."""
    whole, rest = divmod(amount, 10**decimals)
    text = f"{whole}.{rest:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals if amount else None,
        "uiAmountString": text,
    }


def show_transaction(
    transaction: VersionedTransaction,
    loaded: Loaded,
    *,
    error: object,
    fee: int,
    logs: Sequence[str],
    units: int,
    balances: tuple[list[int], list[int]],
    tokens: tuple[list[TokenBalance], list[TokenBalance]],
) -> dict[str, Any]:
    """Return one element of a block in full. Inner instructions are left out."""
    writable, readonly = loaded
    return {
        "transaction": {
            "signatures": [str(signature) for signature in transaction.signatures],
            "message": show_message(transaction),
        },
        "meta": {
            "err": error,
            "status": {"Ok": None} if error is None else {"Err": error},
            "fee": fee,
            "preBalances": balances[0],
            "postBalances": balances[1],
            "innerInstructions": [],
            "logMessages": list(logs),
            "preTokenBalances": tokens[0],
            "postTokenBalances": tokens[1],
            "rewards": [],
            "loadedAddresses": {
                "writable": [str(key) for key in writable],
                "readonly": [str(key) for key in readonly],
            },
            "computeUnitsConsumed": units,
        },
        "version": VERSIONS[type(transaction.message)],
    }


def show_accounts(whole: dict[str, Any]) -> dict[str, Any]:
    """Return an element of a block as details "accounts" have it, made of one in full.

    The rule is agave's (transaction-status/src/lib.rs, build_json_accounts; parse_accounts.rs):
    signatures, error, fee and balances; the accounts of the message, then those out of lookup
    tables, the writable ones first. Version 1 has no tables. Not done here: reserved accounts and
    called programs are never writable, whatever the header says.
    """
    meta, signed = whole["meta"], whole["transaction"]
    loaded = (meta or {}).get("loadedAddresses") or {"writable": [], "readonly": []}
    accounts = {
        "accountKeys": [
            *show_keys(signed["message"]),
            *(show_key(key, "lookupTable", writable=True) for key in loaded["writable"]),
            *(show_key(key, "lookupTable", writable=False) for key in loaded["readonly"]),
        ],
        "signatures": signed["signatures"],
    }
    outcome = meta and {name: meta[name] for name in _OUTCOME if name in meta}
    return {**whole, "meta": outcome, "transaction": accounts}


def show_keys(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the accounts of a message: signers first, in both parts the writable ones first."""
    keys, header = message["accountKeys"], message["header"]
    signers = header["numRequiredSignatures"]
    writable = {
        *range(signers - header["numReadonlySignedAccounts"]),
        *range(signers, len(keys) - header["numReadonlyUnsignedAccounts"]),
    }
    return [
        show_key(key, "transaction", signer=n < signers, writable=n in writable)
        for n, key in enumerate(keys)
    ]


def show_key(
    key: str, source: str, *, writable: bool = False, signer: bool = False
) -> dict[str, Any]:
    """Return one account of a transaction."""
    return {"pubkey": key, "signer": signer, "source": source, "writable": writable}


def show_message(transaction: VersionedTransaction) -> dict[str, Any]:
    """Return the signed part."""
    message = transaction.message
    shown: dict[str, Any] = {
        "header": {
            "numRequiredSignatures": message.header.num_required_signatures,
            "numReadonlySignedAccounts": message.header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": message.header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            {
                "programIdIndex": instruction.program_id_index,
                "accounts": list(instruction.accounts),
                "data": encode_base58(bytes(instruction.data)),
                "stackHeight": 1,
            }
            for instruction in message.instructions
        ],
    }
    if isinstance(message, MessageV0):
        shown["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return shown
