"""Whatever a node makes of its answers: no transfer that was not there, no odd error."""

from __future__ import annotations

import base64
import copy
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chain_adapters.ton.cells import read_cells, read_memo
from chain_adapters.ton.decode import Facts, Held, Root, Sent, hex_hash
from chain_adapters.types import Block, NodeUnavailable, Transfer
from tests.support.json_places import Place, paths, place
from tests.support.ton_odd_deposits import CASES
from tests.support.ton_vectors import (
    JETTON_WALLET,
    MASTER,
    OWNER,
    RECORDED,
    ROOT_HASH,
    STRANGER,
    encode,
    load_transactions,
    read_raw,
)

FACTS = Facts(
    {
        JETTON_WALLET: Held(OWNER, MASTER),
        "0:c4072d7b04ab4c504cd223dfde42c8037c6a99272d3624aec2cbff2e72b102dd": Held(OWNER, MASTER),
    },
    {ROOT_HASH: Root(OWNER, "paid", {STRANGER: Sent(9_000_000_000, jetton=False)})},
)
UNTOLD = {"not there yet", "jetton of another master", "forged bounce"}
"""What only one word of the answer tells, or is not told by the answer at all."""


def number(transactions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every transaction a hash of its own."""
    return [
        {**t, "hash": base64.b64encode(n.to_bytes(32)).decode()} for n, t in enumerate(transactions)
    ]


BASE = number(
    [copy.deepcopy(c.transaction) for c in CASES if c.name not in UNTOLD]
    + [t for name in RECORDED for t in load_transactions(name)]
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(["", "0x", "0xzz", "skipped", "ord", "-1", "te6cckEBAQEAAgAAAEysuc0="]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)
KEPT = {"value", "ihr_fee", "hash", "account", "body", "message_content"}
"""Other amounts, parties and words in the right form make another, equally well-formed block."""


PATHS = paths(BASE)
BOUNCED_BY_FLAG = [c.name for c in CASES if c.name not in UNTOLD].index("bounced, other words")


def transfers_of(block: Block) -> set[tuple[str, Transfer]]:
    return {(t.id, transfer) for t in block.transactions for transfer in t.transfers}


def returns_of(block: Block) -> set[tuple[str, str]]:
    return {(t.id, t.returns) for t in block.transactions if t.returns is not None}


WHOLE = read_raw(encode(BASE), FACTS)
EXPECTED, RETURNED = transfers_of(WHOLE), returns_of(WHOLE)


def reads_nothing_new(transactions: list[dict[str, Any]]) -> None:
    try:
        block = read_raw(encode(transactions), FACTS)
    except (NodeUnavailable, msgspec.MsgspecError, ValueError):
        return
    bare = {(i, msgspec.structs.replace(t, memo=None)) for i, t in EXPECTED}
    found = {(i, msgspec.structs.replace(t, memo=None)) for i, t in transfers_of(block)}
    assert found <= bare
    assert returns_of(block) <= RETURNED


@settings(max_examples=500, deadline=None)
@given(path=st.sampled_from(PATHS), odd=ODD)
def test_an_odd_value_anywhere_adds_no_transfer(path: Place, odd: object) -> None:
    if KEPT & set(path) and type(odd) in {str, int}:
        odd = None
    transactions = copy.deepcopy(BASE)
    place(transactions, path[:-1])[path[-1]] = odd
    reads_nothing_new(transactions)


@settings(max_examples=500, deadline=None)
@given(path=st.sampled_from(PATHS))
@example(path=(BOUNCED_BY_FLAG, "in_msg", "bounced"))
def test_a_part_left_out_adds_no_transfer(path: Place) -> None:
    transactions = copy.deepcopy(BASE)
    del place(transactions, path[:-1])[path[-1]]
    reads_nothing_new(transactions)


WITH_BALANCES = [
    n
    for n, t in enumerate(BASE)
    if t["account_state_after"].get("balance") is not None
    and (t["account_state_before"].get("balance") is not None or t.get("orig_status") == "nonexist")
]
FLOWS = (
    ("total_fees",),
    ("account_state_before", "balance"),
    ("account_state_after", "balance"),
    ("in_msg", "value"),
    ("out_msgs", 0, "value"),
    ("out_msgs", 0, "fwd_fee"),
)
MONEY = [path for path in PATHS if path[0] in WITH_BALANCES and path[1:] in FLOWS]


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(MONEY), change=st.integers(1, 10**12), less=st.booleans())
def test_native_money_from_nowhere_makes_no_block(path: Place, change: int, less: bool) -> None:
    told = int(place(BASE, path) or 0)
    transactions = copy.deepcopy(BASE)
    less = less and told >= change
    place(transactions, path[:-1])[path[-1]] = str(told - change if less else told + change)
    with pytest.raises(NodeUnavailable):
        read_raw(encode(transactions), FACTS)


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, len(BASE) - 1), text=st.text(max_size=60))
def test_a_body_of_nonsense_hides_no_other_transaction(position: int, text: str) -> None:
    transactions = copy.deepcopy(BASE)
    came = transactions[position]["in_msg"]
    if came is None:
        return
    came["message_content"] = {"body": text}
    block = read_raw(encode(transactions), FACTS)
    odd = hex_hash(transactions[position]["hash"])
    others = {(i, t) for i, t in EXPECTED if i != odd}
    assert others <= transfers_of(block)
    reads_nothing_new(transactions)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_truncated_answer_makes_no_block(data: st.DataObject) -> None:
    raw = encode(BASE[:5])
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    try:
        read_raw(cut)
    except msgspec.MsgspecError:
        return
    raise AssertionError("a block was read from a truncated answer")


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_bag_of_cells_or_a_value_error(data: bytes) -> None:
    for raw in (data, b"\xb5\xee\x9c\x72" + data):
        encoded = base64.b64encode(raw).decode()
        try:
            read_cells(encoded)
        except ValueError:
            assert read_memo(encoded) is None


def test_the_unharmed_answer_makes_the_block() -> None:
    assert len(WHOLE.transactions) == len(BASE)
    assert EXPECTED
    assert RETURNED
