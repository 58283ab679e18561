"""Stellar addresses and asset names (SEP-23 strkeys).

Canonical and customary is the account's G form. A muxed address (M…, CAP-27) is an account and a
number, and is taken apart into both.
"""

from __future__ import annotations

import re

from stellar_sdk.strkey import StrKey

from chain_adapters.types import InvalidAddress

_CODE = re.compile(r"[a-zA-Z0-9]{1,12}", re.ASCII)


def derive_address(public_key: bytes) -> str:
    """Return the account of an ed25519 public key. ValueError unless it has 32 bytes."""
    if len(public_key) != 32:
        raise ValueError("an ed25519 public key has 32 bytes")
    return StrKey.encode_ed25519_public_key(public_key)


NOBODY = "G" + 51 * "A" + "AWHF"
"""The account of zeros, of which nobody can have the key."""


def parse_address(text: str) -> str:
    """Return the canonical form of an account, or raise InvalidAddress saying what was expected.

    The account of zeros is refused: what is sent there is lost.
    """
    address = text.strip()
    if not StrKey.is_valid_ed25519_public_key(address):
        raise InvalidAddress(explain(address))
    return refuse_nobody(address)


def refuse_nobody(address: str) -> str:
    """Return the account, or raise InvalidAddress if it is that of zeros."""
    if address == NOBODY:
        raise InvalidAddress("the account of zeros belongs to nobody: money sent there is lost")
    return address


def explain(address: str) -> str:
    """Return why a text is no account. Never repeats it: it may be a secret."""
    if len(address) == 56 and address.startswith("S"):
        return "this is a secret seed (S…): never give it to anyone, and move what it holds"
    if StrKey.is_valid_med25519_public_key(address):
        return "this is a muxed address (M…): give its account (G…), and its number as memo"
    if address.startswith("C") and StrKey.is_valid_contract(address):
        return "this is a contract (C…); expected an account (G…)"
    if "*" in address:
        return "federated names are not resolved; expected an account (G…)"
    if len(address) in {56, 69} and address[:1] in {"G", "M"}:
        return "the checksum does not match: a character is wrong"
    return "expected an account: G followed by 55 characters"


def split_muxed(text: str) -> tuple[str, int | None]:
    """Return account and number of an account's G or M form, or raise InvalidAddress."""
    address = text.strip()
    if StrKey.is_valid_med25519_public_key(address):
        payload = StrKey.decode_med25519_public_key(address)
        return derive_address(payload[:32]), int.from_bytes(payload[32:])
    return parse_address(address), None


def parse_contract(text: str) -> str:
    """Return "CODE:ISSUER"; a dash in place of the colon is customary too. Else InvalidAddress.

    The code's case matters: usdc is another asset than USDC.
    """
    code, colon, issuer = text.strip().replace("-", ":", 1).partition(":")
    if not colon or not _CODE.fullmatch(code):
        raise InvalidAddress("expected CODE:ISSUER, the code with up to 12 letters or digits")
    return f"{code}:{parse_address(issuer)}"
