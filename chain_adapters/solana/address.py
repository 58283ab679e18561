"""Solana addresses: 32 bytes in base58, the same on every network and without a checksum.

Canonical and customary form are one. A wallet's address is its ed25519 public key; an address that
is no point of the curve belongs to a program.
"""

from __future__ import annotations

from solders.pubkey import Pubkey

from chain_adapters.solana.programs import SINKS
from chain_adapters.types import InvalidAddress

PAY_SCHEME = "solana:"
"""Begins the links of wallets (Solana Pay)."""


def parse_address(text: str) -> str:
    """Return the canonical form, or raise InvalidAddress saying what was expected.

    A link "solana:<address>" is taken as its address, unless it asks for more (amount, token, …).
    Nothing can tell a mistyped character, or an address of another Solana network: there is no
    checksum, and all 32 bytes are somebody's address.
    """
    address = text.strip().removeprefix(PAY_SCHEME)
    if "?" in address or "/" in address:
        raise InvalidAddress("expected an address alone, not a payment link with details")
    try:
        Pubkey.from_string(address)
    except ValueError:
        raise InvalidAddress("expected 32 to 44 characters of base58 that hold 32 bytes") from None
    if address in SINKS:
        raise InvalidAddress("this address belongs to nobody: money sent there is lost")
    return address


def derive_address(public_key: bytes) -> str:
    """Return the address of an ed25519 public key. ValueError if it is none."""
    if len(public_key) != 32:
        raise ValueError("an ed25519 public key has 32 bytes")
    key = Pubkey.from_bytes(public_key)
    if not key.is_on_curve():
        raise ValueError("these bytes are no point of the curve")
    return str(key)


def is_wallet(address: str) -> bool:
    """Whether a private key can exist for the address (RFC 8032); false of programs' accounts."""
    return Pubkey.from_string(address).is_on_curve()
