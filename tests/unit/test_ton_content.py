"""What jettons tell of themselves, in the forms of TEP-64 and in none of them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from pytoniq_core import Builder, Cell, HashMap, begin_cell

from chain_adapters.ton.content import DECIMALS_DEFAULT, read_content
from chain_adapters.types import Token


def on_chain(*, form: int = 0, **texts: str) -> Cell:
    """Return content that is told on the chain, each text in a cell of its own."""

    def put(value: Cell, to: Builder) -> Builder:
        return to.store_ref(value)

    found = HashMap(256, value_serializer=put)
    for name, text in texts.items():
        value = begin_cell().store_uint(form, 8).store_snake_string(text).end_cell()
        found.set_int_key(int.from_bytes(sha256(name.encode()).digest()), value)
    return begin_cell().store_uint(0, 8).store_maybe_ref(found.serialize()).end_cell()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (on_chain(decimals="6", symbol="USDT", name="n" * 300), Token(6, "USDT")),
        (on_chain(decimals="6", uri="https://jetton.test/j.json"), Token(6)),
        (on_chain(symbol="J", uri="https://jetton.test/j.json"), Token(None, "J")),
        (on_chain(symbol="J"), Token(DECIMALS_DEFAULT, "J")),
        (on_chain(decimals="0"), Token(0)),
        (on_chain(decimals="255"), Token(255)),
        (on_chain(decimals="256"), Token(None)),
        (on_chain(decimals="-6"), Token(None)),
        (on_chain(decimals="6", symbol="\x07", form=0), Token(6)),
        (on_chain(decimals="6", form=1), Token(DECIMALS_DEFAULT)),
        (begin_cell().store_uint(1, 8).store_snake_string("https://j").end_cell(), Token(None)),
        (begin_cell().store_uint(0, 8).store_bit(1).end_cell(), Token(None)),
        (begin_cell().end_cell(), Token(None)),
    ],
)
def test_decimals_are_told_on_the_chain_or_not_at_all(content: Cell, told: Token) -> None:
    assert read_content(content) == told
