"""Whatever a node makes of a block's JSON: no transfer that was not there, no odd error."""

from __future__ import annotations

import copy

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_adapters.ethereum import wire
from chain_adapters.ethereum.decode import normalise_block
from chain_adapters.ethereum.reading import split_parts
from chain_adapters.types import Block, NodeUnavailable, Transfer
from tests.support.ethereum_vectors import batch_answer, encode, load_block, normalise_answers
from tests.support.json_places import Place, paths, place

ORIGINAL = load_block(13998626)
OTHER = load_block(468179)
METHODS = ("eth_getBlockByNumber", "eth_getBlockReceipts")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(["", "0x", "0xzz", "latest", "0x" + "f" * 64, "0x" + "0" * 64]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)


PATHS = paths({method: ORIGINAL[method] for method in METHODS})
WORD_KEYS = {"value", "data", "topics"}
"""Other amounts and parties in the right form make another, equally well-formed block."""


def transfers_of(block: Block) -> set[tuple[str, Transfer]]:
    return {(t.id, transfer) for t in block.transactions for transfer in t.transfers}


EXPECTED = transfers_of(normalise_answers(ORIGINAL, traced=False))


def read_batch(raw: bytes) -> Block | None:
    """As the adapter reads one answer, errors as the client takes them."""
    block, receipts = split_parts(raw, 1, 2)
    return None if block is None else normalise_block(block, receipts or [], None)


def reads_nothing_new(raw: bytes) -> None:
    try:
        block = read_batch(raw)
    except (NodeUnavailable, msgspec.MsgspecError, ValueError):
        return
    assert block is None or transfers_of(block) <= EXPECTED


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(PATHS), odd=ODD)
def test_an_odd_value_anywhere_adds_no_transfer(path: Place, odd: object) -> None:
    answers = copy.deepcopy({method: ORIGINAL[method] for method in METHODS})
    if WORD_KEYS & set(path) and isinstance(odd, str) and len(odd) == 66:
        odd += "0"  # a digit less would be a well-formed value
    place(answers, path[:-1])[path[-1]] = odd
    reads_nothing_new(batch_answer(answers))


@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(PATHS))
def test_a_part_left_out_adds_no_transfer(path: Place) -> None:
    answers = copy.deepcopy({method: ORIGINAL[method] for method in METHODS})
    if len(path) == 1:
        answers[str(path[0])] = None
    else:
        del place(answers, path[:-1])[path[-1]]
    reads_nothing_new(batch_answer(answers))


@settings(max_examples=100, deadline=None)
@given(
    order=st.lists(st.integers(0, len(ORIGINAL[METHODS[1]]) - 1), max_size=8),
    foreign=st.booleans(),
)
def test_receipts_in_another_order_or_of_another_block_make_no_block(
    order: list[int], foreign: bool
) -> None:
    receipts = [ORIGINAL[METHODS[1]][position] for position in order]
    if foreign:
        receipts[:1] = OTHER[METHODS[1]]
    if receipts == ORIGINAL[METHODS[1]]:
        return
    try:
        read_batch(batch_answer({METHODS[0]: ORIGINAL[METHODS[0]], METHODS[1]: receipts}))
    except NodeUnavailable:
        return
    raise AssertionError("a block was read from receipts that are not its own")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_truncated_answer_makes_no_block(data: st.DataObject) -> None:
    raw = batch_answer(ORIGINAL)
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    try:
        read_batch(cut)
    except (NodeUnavailable, msgspec.MsgspecError):
        return
    raise AssertionError("a block was read from a truncated answer")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_log_left_out_never_gives_another_its_identity(data: st.DataObject) -> None:
    answers = copy.deepcopy({method: ORIGINAL[method] for method in METHODS})
    receipts = [receipt for receipt in answers[METHODS[1]] if receipt["logs"]]
    logs = data.draw(st.sampled_from(receipts))["logs"]
    del logs[data.draw(st.integers(0, len(logs) - 1))]
    reads_nothing_new(batch_answer(answers))


def test_the_unharmed_answer_makes_the_block() -> None:
    block = read_batch(batch_answer(ORIGINAL))
    assert block is not None
    assert transfers_of(block) == EXPECTED != set()
    assert wire.decode_block(encode(None)) is None
