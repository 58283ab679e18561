"""TRON addresses: canonical is lower-case hex "41…", customary is base58check "T…".

All networks of TRON's kind write addresses alike, so that an address does not tell its network.
"""

from __future__ import annotations

import re
from hashlib import sha256

import coincurve
from eth_hash.auto import keccak

from chain_adapters.types import InvalidAddress

PREFIX = "41"
"""First byte of every address (java-tron, DecodeUtil)."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_HEX = re.compile(r"41[0-9a-f]{40}", re.ASCII | re.IGNORECASE)
_ZERO = PREFIX + 40 * "0"
_LENGTH = 34


def parse_address(text: str) -> str:
    """Return the canonical form of "T…" or of hex "41…", or raise InvalidAddress.

    The forms of Ethereum ("0x…") are refused although they hold the same 20 bytes: whoever pastes
    one may mean an address of another chain. The zero address is refused: what is sent there is
    lost.
    """
    address = text.strip()
    if address[:2].lower() == "0x":
        raise InvalidAddress("0x… is the form of Ethereum: paste the address that begins with T")
    canonical = address.lower() if _HEX.fullmatch(address) else _decode_base58check(address)
    if canonical == _ZERO:
        raise InvalidAddress("the zero address belongs to nobody: money sent there is lost")
    return canonical


def show_address(address: str) -> str:
    """Return the base58check form of a canonical address."""
    payload = bytes.fromhex(address)
    number = int.from_bytes(payload + _checksum(payload))
    shown = ""
    while number:
        number, digit = divmod(number, 58)
        shown = _ALPHABET[digit] + shown
    return shown


def derive_address(public_key: bytes) -> str:
    """Return the canonical address of a secp256k1 public key, compressed or not.

    The byte 0x41 and the last 20 bytes of the Keccak-256 of the uncompressed key. ValueError if
    it is no key.
    """
    point = coincurve.PublicKey(public_key).format(compressed=False)
    return PREFIX + keccak(point[1:])[12:].hex()


def _checksum(payload: bytes) -> bytes:
    return sha256(sha256(payload).digest()).digest()[:4]


def _decode_base58check(text: str) -> str:
    if len(text) != _LENGTH or not text.startswith("T"):
        raise InvalidAddress("expected T followed by 33 characters, or 41 and 40 hex digits")
    number = 0
    for character in text:
        digit = _DIGITS.get(character)
        if digit is None:
            raise InvalidAddress(f"the character {character!r} is in no address")
        number = number * 58 + digit
    decoded = number.to_bytes(25)  # 34 digits hold less than 200 bits
    payload, checksum = decoded[:-4], decoded[-4:]
    if _checksum(payload) != checksum or payload[:1].hex() != PREFIX:
        raise InvalidAddress("the checksum does not match: a character is wrong")
    return payload.hex()
