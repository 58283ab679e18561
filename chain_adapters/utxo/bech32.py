"""Bech32 and bech32m, in which addresses of segregated witness are written (BIP-173, BIP-350).

The checksum is linear: that of a whole text is the exclusive or of what each symbol brings at its
place. What symbols bring is computed once, which makes encoding quick enough for whole blocks.
"""

from __future__ import annotations

from functools import cache

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32, BECH32M = 1, 0x2BC830A3

_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_DIGITS = {character: value for value, character in enumerate(CHARSET)}
_PAIRS = [first + second for first in CHARSET for second in CHARSET]
_CHECKSUM_LENGTH = 6
_TEXT_MAX = 90


def _shift(checksum: int) -> int:
    """Return the checksum's remainder after a further symbol 0."""
    top = checksum >> 25
    checksum = (checksum & 0x1FFFFFF) << 5
    for bit, generator in enumerate(_GENERATOR):
        if top >> bit & 1:
            checksum ^= generator
    return checksum


def polymod(symbols: list[int]) -> int:
    """Return the remainder that tells a right text (BIP-173)."""
    checksum = 1
    for symbol in symbols:
        checksum = _shift(checksum) ^ symbol
    return checksum


def _expand(prefix: str) -> list[int]:
    codes = [ord(character) for character in prefix]
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


@cache
def _pair_effects(places: int) -> list[list[int]]:
    """Return, for each pair of symbols from the end of the text on, what it brings, by value."""
    single = [1 << bit for bit in range(5)]
    for _ in range(_CHECKSUM_LENGTH):
        single = [_shift(effect) for effect in single]
    tables = []
    for _ in range(places):
        low = _spread(single)
        single = [_shift(effect) for effect in single]
        high = _spread(single)
        single = [_shift(effect) for effect in single]
        tables.append([first ^ second for first in high for second in low])
    return tables


def _spread(bits: list[int]) -> list[int]:
    """Return what each of the 32 symbols brings, from what its bits do."""
    effects = [0] * 32
    for value in range(1, 32):
        lowest = (value & -value).bit_length() - 1
        effects[value] = effects[value & (value - 1)] ^ bits[lowest]
    return effects


@cache
def _start(prefix: str, version: int, symbols: int) -> int:
    """Return the checksum of a program that is all zeros."""
    checksum = polymod([*_expand(prefix), version])
    for _ in range(symbols + _CHECKSUM_LENGTH):
        checksum = _shift(checksum)
    return checksum ^ (BECH32M if version else BECH32)


def encode_segwit(prefix: str, version: int, program: bytes) -> str:
    """Return the address of a witness program. Its length in bytes is not checked."""
    symbols = -(-len(program) * 8 // 5)
    places = -(-symbols // 2)
    number = int.from_bytes(program) << (symbols * 5 - len(program) * 8)
    checksum = _start(prefix, version, symbols)
    text = ""
    for effects in _pair_effects(places):
        pair = number & 1023
        number >>= 10
        checksum ^= effects[pair]
        text = _PAIRS[pair] + text
    tail = "".join(_PAIRS[checksum >> shift & 1023] for shift in (20, 10, 0))
    return f"{prefix}1{CHARSET[version]}{text[len(text) - symbols :]}{tail}"


def decode_segwit(text: str) -> tuple[str, int, bytes]:
    """Return prefix, witness version and program. ValueError says what is wrong."""
    if text.lower() != text and text.upper() != text:
        raise ValueError("it mixes upper and lower case")
    prefix, separator, data = text.lower().rpartition("1")
    if len(text) > _TEXT_MAX or not separator or not prefix or len(data) <= _CHECKSUM_LENGTH:
        raise ValueError("it is not in bech32")
    if not _DIGITS.keys() >= set(data):
        raise ValueError("it has characters that bech32 has not")
    symbols = [_DIGITS[character] for character in data]
    version = symbols[0]
    if polymod([*_expand(prefix), *symbols]) != (BECH32M if version else BECH32):
        raise ValueError("its checksum is wrong")
    return prefix, version, _join(symbols[1:-_CHECKSUM_LENGTH])


def _join(symbols: list[int]) -> bytes:
    """Return the bytes that 5-bit symbols hold; what is left over must be under 5 zero bits."""
    number = 0
    for symbol in symbols:
        number = number << 5 | symbol
    spare = len(symbols) * 5 % 8
    if spare > 4 or number & ((1 << spare) - 1):
        raise ValueError("its padding is wrong")
    return (number >> spare).to_bytes(len(symbols) * 5 // 8)
