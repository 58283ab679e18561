"""Base58 with a checksum, in which addresses before segregated witness are written."""

from __future__ import annotations

from hashlib import sha256

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_DIGITS = {character: value for value, character in enumerate(ALPHABET)}
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_TEXT_MAX = 120


def hash_twice(data: bytes) -> bytes:
    """Return SHA-256 of SHA-256, which identifies blocks and transactions and makes checksums."""
    return sha256(sha256(data).digest()).digest()


def encode_base58check(payload: bytes) -> str:
    """Return payload and checksum in base 58; each leading zero byte is a leading 1."""
    data = payload + sha256(sha256(payload).digest()).digest()[:4]
    number = int.from_bytes(data)
    text = ""
    while number:
        number, rest = divmod(number, 58 * 58)
        text = _PAIRS[rest] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + text.lstrip("1")


def decode_base58check(text: str) -> bytes:
    """Return the payload. ValueError for other characters or a wrong checksum."""
    if not 0 < len(text) <= _TEXT_MAX or not _DIGITS.keys() >= set(text):
        raise ValueError("it is not in base 58")
    number = 0
    for character in text:
        number = number * 58 + _DIGITS[character]
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
    payload, checksum = data[:-4], data[-4:]
    if len(data) < 5 or hash_twice(payload)[:4] != checksum:
        raise ValueError("its checksum is wrong")
    return payload
