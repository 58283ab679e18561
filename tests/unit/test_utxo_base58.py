"""Many addresses at once are written as each by itself is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chain_adapters.utxo.base58 import decode_base58check, encode_base58check, encode_many

HASHES = [number.to_bytes(2) * 10 for number in range(300)]
ZEROS = [bytes(count) + b"\xff" * (21 - count) for count in range(22)]


@given(st.binary(min_size=21, max_size=21))
def test_a_payload_among_many_is_written_as_alone(payload: bytes) -> None:
    payloads = [payload, *ZEROS, *(b"\x1e" + digest for digest in HASHES)]
    assert encode_many(payloads) == [encode_base58check(one) for one in payloads]


def test_what_is_written_in_columns_is_read_back() -> None:
    payloads = [b"\0" + digest for digest in HASHES]
    assert [decode_base58check(text) for text in encode_many(payloads)] == payloads


def test_few_are_written_too() -> None:
    assert encode_many([]) == []
    assert encode_many(ZEROS) == [encode_base58check(one) for one in ZEROS]
