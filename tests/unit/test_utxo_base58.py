"""Many addresses at once are written as each by itself is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_adapters.utxo.base58 import decode_base58check, encode_base58check, encode_many

HASHES = [number.to_bytes(2) * 10 for number in range(300)]
ZEROS = [bytes(count) + b"\xff" * (20 - count) for count in range(21)]


@given(st.integers(min_value=0, max_value=255), st.binary(min_size=20, max_size=20))
def test_a_hash_among_many_is_written_as_alone(version: int, content: bytes) -> None:
    hashes = [content, *ZEROS, *HASHES]
    alone = [encode_base58check(version.to_bytes() + one) for one in hashes]
    assert encode_many(version, hashes) == alone


@pytest.mark.parametrize("version", [0, 30, 255])
def test_what_is_written_in_columns_is_read_back(version: int) -> None:
    written = encode_many(version, HASHES)
    assert [decode_base58check(text) for text in written] == [
        version.to_bytes() + one for one in HASHES
    ]


def test_few_are_written_too() -> None:
    assert encode_many(0, []) == []
    assert encode_many(0, ZEROS) == [encode_base58check(b"\0" + one) for one in ZEROS]
