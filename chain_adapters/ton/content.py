"""What a jetton tells of itself on the chain (TEP-64). A file that it names is not read."""

from __future__ import annotations

from hashlib import sha256

from pytoniq_core import Cell, Slice

from chain_adapters.bounds import DECIMALS_LIMIT, read_symbol
from chain_adapters.rpc import Absent, Endpoint
from chain_adapters.ton.asking import read_bag
from chain_adapters.ton.tokens import ask_master, read_cell
from chain_adapters.types import Token

DECIMALS_DEFAULT = 9
"""Of a jetton that has all it tells on the chain, and no decimals among it (TEP-64)."""
_ON_CHAIN = 0
_SNAKE = 0


async def fetch_token(endpoint: Endpoint, contract: str) -> Token:
    """Return what a jetton tells of itself on the chain; Absent if there is no jetton master."""
    stack = await ask_master(endpoint, contract)
    if stack is None:
        raise Absent("there is no jetton master at the address")
    return read_content(read_cell(read_bag(stack[3])))


def read_content(content: Cell) -> Token:
    """Return what a jetton's content tells; nothing, if it is elsewhere or of another form."""
    try:
        rest = content.begin_parse()
        if rest.load_uint(8) != _ON_CHAIN:
            return Token(None)
        found = rest.load_dict(256) or {}
    except Exception:  # whatever the library makes of another form
        return Token(None)
    number = _text_of(found, "decimals")
    if number.isdigit() and int(number) < DECIMALS_LIMIT:
        decimals: int | None = int(number)
    else:
        elsewhere = number or _text_of(found, "uri")
        decimals = None if elsewhere else DECIMALS_DEFAULT
    return Token(decimals, read_symbol(_text_of(found, "symbol")))


def _text_of(found: dict[int, Slice], name: str) -> bytes:
    """Return a text of the content, as its bytes; nothing if it is not there."""
    value = found.get(int.from_bytes(sha256(name.encode()).digest()))
    if value is None:
        return b""
    try:
        text = value.load_ref().begin_parse()
        return text.load_snake_bytes() if text.load_uint(8) == _SNAKE else b""
    except Exception:  # whatever the library makes of another form
        return b""
