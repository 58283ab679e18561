"""Base58 with a checksum, in which addresses before segregated witness are written.

A block holds thousands of addresses. To turn one number into base 58 takes long divisions; those
of many numbers at once are done in columns, in less than half the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_DIGITS = {character: value for value, character in enumerate(ALPHABET)}
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_TEXT_MAX = 120

PAYLOAD_BYTES = 21
"""A version and a hash of 20 bytes, as all addresses have."""
_TEXT_DIGITS, _CHUNK_DIGITS = 35, 5
_LIMBS = 7
"""Payload and checksum are 25 bytes: 7 limbs of 32 bits, 7 chunks of 5 digits."""
_COLUMNS_MIN = 200
"""For less, the columns do not pay."""
_CHARACTERS = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)


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


def encode_many(payloads: Sequence[bytes]) -> list[str]:
    """Return what `encode_base58check` does of payloads of PAYLOAD_BYTES. Hot."""
    if len(payloads) < _COLUMNS_MIN:
        return [encode_base58check(payload) for payload in payloads]
    data = [p + sha256(sha256(p).digest()).digest()[:4] for p in payloads]
    text = _CHARACTERS[_digits(data)].tobytes().decode()
    starts = range(0, len(text), _TEXT_DIGITS)
    found = [text[start : start + _TEXT_DIGITS].lstrip("1") for start in starts]
    for position, content in enumerate(data):
        if not content[0]:
            found[position] = "1" * (len(content) - len(content.lstrip(b"\0"))) + found[position]
    return found


def _digits(data: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Return the digits of numbers of 25 bytes, a row for each."""
    padded = b"".join([b"\0\0\0" + content for content in data])
    limbs = np.frombuffer(padded, dtype=">u4").reshape(-1, _LIMBS).T.astype(np.uint64)
    digits = np.empty((len(data), _TEXT_DIGITS), dtype=np.uint8)
    for end in range(_TEXT_DIGITS, 0, -_CHUNK_DIGITS):
        chunk = _divide(limbs).astype(np.uint32)
        for place in range(end - 1, end - 1 - _CHUNK_DIGITS, -1):
            chunk, digits[:, place] = np.divmod(chunk, np.uint32(58))
    return digits


def _divide(limbs: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Divide long numbers, limbs from the highest on, by 58**5 in place; return the remainders."""
    divisor, shift = np.uint64(58**_CHUNK_DIGITS), np.uint64(32)
    rest = np.zeros(limbs.shape[1], dtype=np.uint64)
    for limb in limbs:
        whole = rest << shift | limb
        limb[:] = whole // divisor
        rest = whole - limb * divisor
    return rest


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
