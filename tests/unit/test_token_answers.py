"""What contracts answer about themselves is read in the forms there are, and never trusted further.

The forms: EIP-20's optional functions, and a symbol of 32 bytes as the tokens of 2017 tell it.
"""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from chain_adapters.abi import read_token
from chain_adapters.types import Token

SIX = encode(["uint8"], [6])


def texts(text: str) -> bytes:
    return encode(["string"], [text])


@pytest.mark.parametrize(
    ("decimals", "symbol", "told"),
    [
        (SIX, texts("USDT"), Token(6, "USDT")),
        (SIX, b"MKR".ljust(32, b"\0"), Token(6, "MKR")),
        (SIX, texts("USD₮0"), Token(6, "USD₮0")),
        (SIX, texts("a" * 32), Token(6, "a" * 32)),
        (encode(["uint256"], [255]), b"", Token(255)),
        (encode(["uint256"], [0]), b"", Token(0)),
        (encode(["uint256"], [256]), b"", Token(None)),
        (encode(["uint256"], [2**256 - 1]), b"", Token(None)),
        (b"", b"", Token(None)),
        (SIX[1:], b"", Token(None)),
        (SIX, texts(""), Token(6)),
        (SIX, texts("a" * 33), Token(6)),
        (SIX, texts("US\x1b[31mDT"), Token(6)),
        (SIX, b"\xff" * 32, Token(6)),
        (SIX, b"\xff" * 96, Token(6)),
        (SIX, encode(["uint256", "uint256"], [32, 2**255]), Token(6)),
        (SIX, encode(["uint256", "uint256"], [2**255, 3]), Token(6)),
    ],
)
def test_decimals_and_symbols_are_read_or_left_out(
    decimals: bytes, symbol: bytes, told: Token
) -> None:
    assert read_token(decimals, symbol) == told
