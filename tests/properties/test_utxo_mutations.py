"""Whatever a node makes of a block: no transfer that was not there, no odd error; and whatever is
in a block's scripts: it is read."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_adapters.bitcoin.chains import MAINNET as BITCOIN
from chain_adapters.dogecoin.chains import MAINNET as DOGECOIN
from chain_adapters.types import Block, NodeUnavailable, Transfer
from chain_adapters.utxo import raw
from chain_adapters.utxo.address import address_of, p2pkh_script, witness_script
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.decode import normalise_block
from chain_adapters.utxo.plain import merkle_root
from tests.support.json_places import Place, paths, place
from tests.support.utxo_vectors import (
    Number,
    encode,
    json_block,
    load_exactly,
    load_text,
    raw_block,
    raw_id,
    raw_transaction,
    read_json,
    read_raw,
)

UNUSABLE = (NodeUnavailable, msgspec.MsgspecError, ValueError, RecursionError)
"""What the client takes for an answer that is of no use."""

OURS = witness_script(0, b"\1" * 20)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["", "00", "zz", "NaN", "1e-8", "0" * 64, "F" * 64, "0014" + "11" * 20]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)
COINBASE = raw_transaction((5, b""), spends="0" * 64)
MEANING = {"hex", "value", "scriptPubKey", "vout"}
"""Fields that only the transaction's own bytes prove: other values in the right form make another,
equally well-formed block. A node that lies so well is believed."""


def recorded() -> dict[str, Any]:
    """A small block made of recorded transactions."""
    answer = load_exactly("bitcoin/block_200000_verbosity_3.json.gz")
    told = answer["tx"][:8]
    root = merkle_root([transaction["txid"] for transaction in told])
    return {**answer, "tx": told, "merkleroot": root}


ORIGINAL = recorded()


PATHS = paths(ORIGINAL)


def credits_of(block: Block) -> set[tuple[str, Transfer]]:
    """What would be credited; senders are no part of it."""
    return {
        (t.id, msgspec.structs.replace(transfer, sender=None))
        for t in block.transactions
        for transfer in t.transfers
    }


EXPECTED = credits_of(read_json(BITCOIN, encode(ORIGINAL)))


def read_or_none(content: bytes) -> Block | None:
    try:
        return read_json(BITCOIN, content)
    except UNUSABLE:
        return None


@settings(max_examples=500, deadline=None)
@given(path=st.sampled_from(PATHS), odd=ODD)
def test_an_odd_value_anywhere_adds_no_credit(path: Place, odd: object) -> None:
    answer = copy.deepcopy(ORIGINAL)
    place(answer, path[:-1])[path[-1]] = odd
    block = read_or_none(encode(answer))
    if block is None or path[-1] in MEANING:
        return
    assert credits_of(block) <= EXPECTED


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(PATHS))
def test_a_part_left_out_adds_no_credit(path: Place) -> None:
    answer = copy.deepcopy(ORIGINAL)
    del place(answer, path[:-1])[path[-1]]
    block = read_or_none(encode(answer))
    assert block is None or credits_of(block) <= EXPECTED


AMOUNTS = [p for p in PATHS if p[-1] == "value" and p[1] != 0]


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(AMOUNTS), more=st.integers(1, 10**15))
def test_amounts_out_of_nothing_make_no_block(path: Place, more: int) -> None:
    """By a million satoshi at least: no fee of the block is as large."""
    answer = copy.deepcopy(ORIGINAL)
    told = place(answer, path[:-2])[path[-2]]
    change = Decimal(more + 10**6).scaleb(-8)
    amount = Decimal(repr(told["value"])) + (-change if "prevout" in path else change)
    told["value"] = Number(f"{max(amount, Decimal(0)):f}")
    assert read_or_none(encode(answer)) is None


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_truncated_json_makes_no_block(data: st.DataObject) -> None:
    content = encode(ORIGINAL)
    assert read_or_none(content[: data.draw(st.integers(0, len(content) - 1))]) is None


@settings(max_examples=200, deadline=None)
@given(order=st.lists(st.integers(0, 7), max_size=9))
def test_transactions_moved_repeated_or_left_out_make_no_block(order: list[int]) -> None:
    answer = {**ORIGINAL, "tx": [ORIGINAL["tx"][position] for position in order]}
    block = read_or_none(encode(answer))
    assert (block is not None) == (order == list(range(8)))


def content_of(name: str) -> bytes:
    return bytes.fromhex(load_text(f"dogecoin/{name}"))


BLOCKS = [content_of(f"block_{height}_raw.hex") for height in (371337, 567890, 748634, 250000)]


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_no_changed_byte_of_a_raw_block_gets_through(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(BLOCKS)))
    block_id = raw_id(bytes(content))
    expected = credits_of(read_raw(DOGECOIN, bytes(content)))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    try:
        plain = raw.read_block(bytes(content), block_id, 1, merge_mined=True)
    except UNUSABLE:
        return
    assert credits_of(normalise_block(DOGECOIN, plain)) == expected  # the AuxPoW is not looked at


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_cut_raw_block_gets_through(data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(BLOCKS))
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    try:
        raw.read_block(cut, raw_id(content), 1, merge_mined=True)
    except NodeUnavailable:
        return
    raise AssertionError("a block was read from a part of it")


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=300))
def test_random_bytes_raise_nothing_odd(content: bytes) -> None:
    for merge_mined in (True, False):
        header = BLOCKS[0][:80]
        try:
            raw.read_block(header + content, raw_id(header), 1, merge_mined=merge_mined)
        except NodeUnavailable:
            continue


@settings(max_examples=300, deadline=None)
@given(script=st.binary(max_size=200), amount=st.integers(0, 2**63 - 1))
def test_whatever_script_stands_beside_ours_ours_is_read(script: bytes, amount: int) -> None:
    outputs = [(script, 5), (OURS, 7), (script, amount)]
    told = [
        {"value": n / 10**8, "n": position, "scriptPubKey": {"hex": each.hex()}}
        for position, (each, n) in enumerate(outputs[:2])
    ]
    given_json = {"txid": "e" * 64, "vin": [{"txid": "c" * 64, "vout": 0}], "vout": told}
    assert_found(BITCOIN, read_json(BITCOIN, json_block(given_json)), OURS)
    ours = p2pkh_script(b"\1" * 20)
    sent = raw_transaction((5, script), (7, ours), (amount, script))
    assert_found(DOGECOIN, read_raw(DOGECOIN, raw_block(COINBASE, sent)), ours)


def assert_found(chain: UtxoChain, block: Block, script: bytes) -> None:
    transaction = block.transactions[-1]
    found = [t for t in transaction.transfers if t.index == "out:1"]
    assert [(t.address, t.amount_minor) for t in found] == [(address_of(chain, script), 7)]


def test_the_unharmed_block_is_read() -> None:
    assert len(EXPECTED) > 8
    assert read_or_none(encode(ORIGINAL)) is not None
