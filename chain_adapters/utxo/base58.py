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

HASH_BYTES = 20
"""What an address has between its version, a byte, and its checksum."""
_TEXT_DIGITS, _CHUNK_DIGITS = 35, 5
_LIMBS = 7
"""An address is a number of 25 bytes: 7 limbs of 32 bits, 7 chunks of 5 digits."""
_COLUMNS_MIN = 200
"""For less, the columns do not pay."""
_CHARACTERS = ALPHABET.encode().ljust(256)
"""Characters by digit, as `bytes.translate` wants them."""


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
    return "1" * _leading_zeros(data) + text.lstrip("1")


def _leading_zeros(data: bytes) -> int:
    return len(data) - len(data.lstrip(b"\0"))


def encode_many(version: int, hashes: Sequence[bytes]) -> list[str]:
    """Return what `encode_base58check` does of a version and each hash of HASH_BYTES. Hot."""
    head = version.to_bytes()
    if len(hashes) < _COLUMNS_MIN:
        return [encode_base58check(head + content) for content in hashes]
    text = _digits(_numbers(head, hashes)).tobytes().translate(_CHARACTERS).decode()
    starts = range(0, len(text), _TEXT_DIGITS)
    found = [text[start : start + _TEXT_DIGITS].lstrip("1") for start in starts]
    if version == 0:
        return ["1" * _leading_zeros(head + h) + t for h, t in zip(hashes, found, strict=True)]
    return found


def _numbers(head: bytes, hashes: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Return each hash with version and checksum as a number: a column of limbs, highest first."""
    checksums = b"".join([sha256(sha256(head + h).digest()).digest() for h in hashes])
    rows = np.zeros((len(hashes), 4 * _LIMBS), dtype=np.uint8)
    rows[:, 3] = head[0]
    rows[:, 4:24] = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, HASH_BYTES)
    rows[:, 24:] = np.frombuffer(checksums, dtype=np.uint8).reshape(-1, 32)[:, :4]
    return rows.view(">u4").T.astype(np.uint64)


def _digits(limbs: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the digits of numbers, a row for each. Each chunk taken off empties a limb."""
    digits = np.empty((_TEXT_DIGITS, limbs.shape[1]), dtype=np.uint8)
    for chunks in range(_LIMBS):
        chunk = _divide(limbs[chunks:]).astype(np.uint32)
        end = _TEXT_DIGITS - chunks * _CHUNK_DIGITS
        for place in range(end - 1, end - 1 - _CHUNK_DIGITS, -1):
            rest, chunk = chunk, chunk // np.uint32(58)
            digits[place] = rest - chunk * np.uint32(58)
    return digits.T


def _divide(limbs: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Divide long numbers, limbs from the highest on, by 58**5 in place; return the remainders."""
    divisor, shift = np.uint64(58**_CHUNK_DIGITS), np.uint64(32)
    rest = np.zeros(limbs.shape[1], dtype=np.uint64)
    for limb in limbs:
        rest <<= shift
        rest |= limb
        np.floor_divide(rest, divisor, out=limb)
        rest -= limb * divisor
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
