"""What a token's contract answers, on the chains whose contracts speak Ethereum's ABI. Pure.

`decimals` and `symbol` are optional (EIP-20), and old tokens tell their symbol as 32 bytes.
"""

from __future__ import annotations

from chain_adapters.bounds import DECIMALS_LIMIT, read_symbol
from chain_adapters.types import Token

_WORD_BYTES = 32


def read_token(decimals: bytes, symbol: bytes) -> Token:
    """Return the token that answers so to decimals() and symbol(); nothing is no answer."""
    number = int.from_bytes(decimals[:_WORD_BYTES]) if len(decimals) >= _WORD_BYTES else None
    told = number if number is not None and number < DECIMALS_LIMIT else None
    return Token(told, read_symbol(_text_of(symbol)))


def _text_of(answer: bytes) -> bytes:
    """Return a text: 32 bytes, or where it begins, its length, and itself."""
    if len(answer) <= _WORD_BYTES:
        return answer
    start = int.from_bytes(answer[:_WORD_BYTES]) + _WORD_BYTES
    length = int.from_bytes(answer[start - _WORD_BYTES : start])
    return answer[start : start + length]
