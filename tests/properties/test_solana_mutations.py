"""Whatever a node makes of a block's JSON: no credit that was not there, no odd error."""

from __future__ import annotations

import copy

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_adapters.types import Block, NodeUnavailable
from tests.support.json_places import Place, paths, place
from tests.support.solana_vectors import SLOT, encode_answer, load_accounts, read_raw, wrap

NAMES = (
    "getblock_slot_154808473_trimmed_v0_loadedaddresses",
    "getblock_error_shapes_string_and_object",
    "gettransaction_native_sol_transfer",
    "gettransaction_send_spl_token_and_create_token_account",
    "gettransaction_failed_swap",
    "gettransaction_swap_sol_to_usdc",
)
ORIGINAL = wrap([found for name in NAMES for found in load_accounts(name)])
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(["", "0x", "latest", "-1", "1e9", "٧", "1" * 44, 1.5, 2**70, -1]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)
SAID = {
    "preBalances",
    "postBalances",
    "amount",
    "fee",
    "owner",
    "mint",
    "programId",
    "accountIndex",
    "accountKeys",
    "signatures",
}
"""Another amount or party in the right form makes another, equally well-formed block."""


PATHS = paths(ORIGINAL)


def credits_of(block: Block) -> set[tuple[str, str, str | None, int]]:
    return {
        (x.id, t.address, t.contract, t.amount_minor)
        for x in block.transactions
        for t in x.transfers
    }


def read(block: object) -> Block | None:
    """Read a block, errors as the client takes them."""
    try:
        return read_raw(encode_answer(block))
    except (NodeUnavailable, msgspec.MsgspecError):
        return None


UNHARMED = read(ORIGINAL)
assert UNHARMED is not None
EXPECTED = credits_of(UNHARMED)


def is_another_block(path: Place, value: object) -> bool:
    """Whether the change says something else in the right form, instead of something odd."""
    if path[-1] == "err":
        return value is None
    if path[-1] in {"preTokenBalances", "postTokenBalances"}:
        return value == []  # all token accounts made, or closed: nobody can know better
    in_form = isinstance(value, int | str) and not isinstance(value, bool)
    return bool(SAID & set(path)) and in_form


@settings(max_examples=400, deadline=None)
@given(path=st.sampled_from(PATHS), odd=ODD)
def test_an_odd_value_anywhere_adds_no_credit(path: Place, odd: object) -> None:
    block = copy.deepcopy(ORIGINAL)
    place(block, path[:-1])[path[-1]] = odd
    found = read(block)
    if found is not None and not is_another_block(path, odd):
        assert credits_of(found) <= EXPECTED


def is_balance(path: Place) -> bool:
    """Whether a place is one account's balance of a token: nobody can know that it was there."""
    return isinstance(path[-1], int) and bool({"preTokenBalances", "postTokenBalances"} & set(path))


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from([p for p in PATHS if not is_balance(p)]))
def test_a_part_left_out_adds_no_credit(path: Place) -> None:
    block = copy.deepcopy(ORIGINAL)
    del place(block, path[:-1])[path[-1]]
    found = read(block)
    if found is None or {"accountKeys", "signatures"} & set(path):
        return  # parts of lists that then name other accounts, with as many balances: see the form
    assert {(i, a, c) for i, a, c, _ in credits_of(found)} <= {(i, a, c) for i, a, c, _ in EXPECTED}


@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from([p for p in PATHS if isinstance(p[-1], int)]))
def test_a_part_told_twice_adds_no_credit(path: Place) -> None:
    block = copy.deepcopy(ORIGINAL)
    parts = place(block, path[:-1])
    parts.append(copy.deepcopy(parts[path[-1]]))
    found = read(block)
    if found is not None and "accountKeys" not in path:
        assert credits_of(found) <= EXPECTED


@settings(max_examples=200, deadline=None)
@given(
    position=st.integers(0, len(ORIGINAL["transactions"]) - 1),
    odd=st.one_of(ODD, st.recursive(ODD, lambda inner: st.lists(inner, max_size=3), max_leaves=5)),
)
def test_one_odd_transaction_leaves_the_others_readable(position: int, odd: object) -> None:
    block = copy.deepcopy(ORIGINAL)
    lost = block["transactions"][position]["transaction"]["signatures"][0]
    block["transactions"][position] = odd
    found = read(block)
    assert found is not None
    assert {credit for credit in EXPECTED if credit[0] != lost} == credits_of(found)


LAMPORTS = [p for p in PATHS if {"preBalances", "postBalances", "fee"} & set(p[-2:])]
NUMBERS = [p for p in LAMPORTS if isinstance(number := place(ORIGINAL, p), int) and number > 0]


def read_changed(path: Place, change: int) -> Block | None:
    """Read the block with one number of lamports changed, to 0 at least."""
    block = copy.deepcopy(ORIGINAL)
    place(block, path[:-1])[path[-1]] = max(place(ORIGINAL, path) + change, 0)
    return read(block)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(NUMBERS), change=st.integers(1, 2**40))
def test_lamports_out_of_nothing_make_no_block(path: Place, change: int) -> None:
    assert read_changed(path, -change if "preBalances" in path else change) is None


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(NUMBERS), change=st.integers(1, 2**40))
def test_lamports_that_vanish_add_no_credit(path: Place, change: int) -> None:
    found = read_changed(path, change if "preBalances" in path else -change)
    told = {(i, a, c): amount for i, a, c, amount in EXPECTED}
    for i, a, c, amount in credits_of(found) if found is not None else ():
        assert amount <= told[i, a, c]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_truncated_answer_makes_no_block(data: st.DataObject) -> None:
    raw = encode_answer(ORIGINAL)
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    try:
        read_raw(cut)
    except (NodeUnavailable, msgspec.MsgspecError):
        return
    raise AssertionError("a block was read from a truncated answer")


@settings(max_examples=50, deadline=None)
@given(slot=st.integers(0, 2**40))
def test_a_block_is_never_read_as_one_of_an_earlier_slot(slot: int) -> None:
    try:
        assert read_raw(encode_answer(ORIGINAL), slot).height == slot >= SLOT or slot == 0
    except NodeUnavailable:
        assert 0 < slot < SLOT


def test_the_unharmed_answer_makes_the_block() -> None:
    assert len(EXPECTED) == 13
