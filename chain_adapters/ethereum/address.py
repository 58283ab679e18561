"""Ethereum addresses: canonical is lower-case hex with 0x, customary is EIP-55."""

from __future__ import annotations

import re

import coincurve
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from chain_adapters.types import InvalidAddress

_FORM = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_ZERO = "0x" + 40 * "0"


def parse_address(text: str) -> str:
    """Return the canonical form, or raise InvalidAddress saying what was expected.

    Mixed case is a checksum (EIP-55) and must be right; all lower or all upper case carries none.
    The zero address is refused: what is sent there is lost.
    """
    address = text.strip()
    if not _FORM.fullmatch(address):
        raise InvalidAddress("expected 0x followed by 40 hexadecimal digits")
    digits = address[2:]
    if digits not in {digits.lower(), digits.upper()} and show_address(address) != address:
        raise InvalidAddress("the checksum (EIP-55) does not match: a character is wrong")
    if address == _ZERO:
        raise InvalidAddress("the zero address belongs to nobody: money sent there is lost")
    return address.lower()


def show_address(address: str) -> str:
    """Return the checksummed form of an address (EIP-55)."""
    return str(to_checksum_address(address.lower()))


def derive_address(public_key: bytes) -> str:
    """Return the canonical address of a secp256k1 public key, compressed or not.

    The last 20 bytes of the Keccak-256 of the uncompressed key (Yellow Paper, appendix F).
    ValueError if it is no key.
    """
    point = coincurve.PublicKey(public_key).format(compressed=False)
    return "0x" + keccak(point[1:])[12:].hex()
