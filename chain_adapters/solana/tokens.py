"""Accounts of the token programs, read from their bytes.

Layouts: spl-token's state (mint 82 bytes, account 165), and Token-2022's extensions behind them:
a byte for the kind of account, then entries of type and length (two bytes each, little-endian)
and value (spl-token-2022, extension/mod.rs).
"""

from __future__ import annotations

import base64
import binascii
from enum import IntEnum

import msgspec
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from chain_adapters.solana.programs import TOKEN_PROGRAM, TOKEN_PROGRAMS
from chain_adapters.solana.wire import WireAccount
from chain_adapters.types import NodeUnavailable, PaymentRefused

MINT_BYTES = 82
ACCOUNT_BYTES = 165
_FROZEN = 2


class Extension(IntEnum):
    """Types of Token-2022's extensions that matter to a payment."""

    TRANSFER_FEE_CONFIG = 1
    CONFIDENTIAL_TRANSFER_ACCOUNT = 5
    DEFAULT_ACCOUNT_STATE = 6
    MEMO_TRANSFER = 8
    NON_TRANSFERABLE = 9
    TRANSFER_HOOK = 14
    PAUSABLE = 26


class Mint(msgspec.Struct, frozen=True):
    """One token: its program, its decimals, its extensions."""

    program: str
    decimals: int
    extensions: dict[int, bytes]


class TokenAccount(msgspec.Struct, frozen=True):
    """One token account: of which mint, whose, how much, and whether its mint froze it."""

    mint: str
    owner: str
    amount_minor: int
    frozen: bool
    extensions: dict[int, bytes]


def data_of(account: WireAccount) -> bytes:
    """Return an account's data."""
    content, encoding = account.data
    if encoding != "base64":
        raise NodeUnavailable("the node did not encode an account's data as asked")
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        raise NodeUnavailable("an account's data cannot be decoded") from None


def read_mint(account: WireAccount | None) -> Mint | None:
    """Return the token that an account defines, None if it defines none."""
    if account is None or account.owner not in TOKEN_PROGRAMS:
        return None
    data = data_of(account)
    is_mint = len(data) == MINT_BYTES or (len(data) > ACCOUNT_BYTES and data[ACCOUNT_BYTES] == 1)
    if not is_mint or data[45] != 1:
        return None
    return Mint(account.owner, data[44], read_extensions(data))


def read_token_account(account: WireAccount | None) -> TokenAccount | None:
    """Return the token account that an account is, None if it is none."""
    if account is None or account.owner not in TOKEN_PROGRAMS:
        return None
    data = data_of(account)
    is_account = len(data) == ACCOUNT_BYTES or (
        len(data) > ACCOUNT_BYTES and data[ACCOUNT_BYTES] == 2
    )
    if not is_account or data[108] == 0:
        return None
    return TokenAccount(
        mint=str(Pubkey.from_bytes(data[:32])),
        owner=str(Pubkey.from_bytes(data[32:64])),
        amount_minor=int.from_bytes(data[64:72], "little"),
        frozen=data[108] == _FROZEN,
        extensions=read_extensions(data),
    )


def read_extensions(data: bytes) -> dict[int, bytes]:
    """Return the extensions behind a mint or a token account, by type."""
    found: dict[int, bytes] = {}
    start = ACCOUNT_BYTES + 1
    while start + 4 <= len(data):
        kind = int.from_bytes(data[start : start + 2], "little")
        length = int.from_bytes(data[start + 2 : start + 4], "little")
        if kind == 0:
            break
        found[kind] = data[start + 4 : start + 4 + length]
        start += 4 + length
    return found


def new_account_bytes(mint: Mint) -> int:
    """Return the size of a new associated account: the mint's extensions ask for some in it.

    Token-2022 makes it immutable in owner, and keeps withheld fees, hooks and pauses there.
    """
    if mint.program == TOKEN_PROGRAM:
        return ACCOUNT_BYTES
    size = ACCOUNT_BYTES + 1 + 4
    for kind, value_bytes in ACCOUNT_EXTENSION_BYTES.items():
        if kind in mint.extensions:
            size += 4 + value_bytes
    return size


ACCOUNT_EXTENSION_BYTES = {
    Extension.TRANSFER_FEE_CONFIG: 8,
    Extension.NON_TRANSFERABLE: 0,
    Extension.TRANSFER_HOOK: 1,
    Extension.PAUSABLE: 0,
}
"""Size of the extension that each mint extension brings to its accounts."""


def associated_account(owner: str, mint: str, program: str) -> str:
    """Return the address of the owner's usual account of a token."""
    return str(
        get_associated_token_address(
            Pubkey.from_string(owner), Pubkey.from_string(mint), TOKEN_PROGRAMS[program]
        )
    )


def check_transferable(mint: Mint) -> None:
    """Refuse tokens that cannot be paid out by a plain transfer.

    Reasons: token_not_transferable, token_has_transfer_hook (its program could do anything and
    wants accounts that only it knows), token_paused. A hook extension without a program is fine.
    """
    if Extension.NON_TRANSFERABLE in mint.extensions:
        raise PaymentRefused("token_not_transferable", "the token can never change hands")
    if any(mint.extensions.get(Extension.TRANSFER_HOOK, b"")[32:64]):
        raise PaymentRefused("token_has_transfer_hook", "transfers call a program of the issuer")
    if any(mint.extensions.get(Extension.PAUSABLE, b"")[32:33]):
        raise PaymentRefused("token_paused", "the issuer has paused the token")


def check_receives(recipient: str, mint: Mint, account: TokenAccount | None) -> None:
    """Refuse recipients whose account of the token would not take a plain transfer.

    `account` is their associated account, None if it must be made first. Reasons: recipient_frozen,
    recipient_account_not_theirs (given to somebody else), recipient_requires_memo,
    recipient_only_confidential.
    """
    if account is None:
        if mint.extensions.get(Extension.DEFAULT_ACCOUNT_STATE) == bytes([_FROZEN]):
            raise PaymentRefused("recipient_frozen", "the issuer must first open new accounts")
        return
    if account.owner != recipient:
        raise PaymentRefused(
            "recipient_account_not_theirs", "the recipient's token account belongs to another"
        )
    if account.frozen:
        raise PaymentRefused("recipient_frozen", "the issuer froze the recipient's token account")
    if any(account.extensions.get(Extension.MEMO_TRANSFER, b"")):
        raise PaymentRefused("recipient_requires_memo", "the recipient takes no plain transfers")
    confidential = account.extensions.get(Extension.CONFIDENTIAL_TRANSFER_ACCOUNT)
    if confidential is not None and confidential[262:263] == b"\0":
        raise PaymentRefused(
            "recipient_only_confidential", "the recipient takes confidential transfers only"
        )
