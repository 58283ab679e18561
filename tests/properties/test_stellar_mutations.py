"""Whatever a server makes of a ledger's JSON: no credit that was not there, no odd error."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_adapters.stellar import wire
from chain_adapters.stellar.decode import normalise_ledger
from chain_adapters.types import Block, NodeUnavailable, Transfer
from tests.support.json_places import Place, paths, place
from tests.support.stellar_ledger import real_ledger
from tests.support.stellar_vectors import (
    IN_USD,
    effect,
    encode_page,
    hash_of,
    ledger,
    load,
    operation,
    transaction,
)

Parts = list[Any]

KEPT = ("payment", "path_payment_strict_send", "claim_claimable_balance", "invoke_host_function")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),  # there are no others in JSON
    st.sampled_from(["", "0", "-1", "0x", "native", "text", "none", "1e9", "\0", "\ud800"]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)


def crafted() -> Parts:
    """A ledger with an operation of each kind that credits, and memos of each type."""
    call = load("horizon_ops_soroban")["operations/invoke_host_function"]
    records = [
        transaction(1, 2, memo_type="id", memo="7"),
        transaction(2, 1, memo_type="text", memo="abc", memo_bytes="YWJj"),
        transaction(3, 1, fee_account="G" + "A" * 55, inner_transaction={"hash": hash_of(9)}),
        transaction(4, 1, successful=False),
    ]
    usd = operation(1, 2, **IN_USD, to_muxed_id="5")
    merge = operation(2, 1, type="account_merge", account=usd["from"], into=usd["to"])
    called = operation(3, 1, type=call["type"], asset_balance_changes=call["asset_balance_changes"])
    effects = [effect(2, 1, 1, type="account_debited"), effect(2, 1, 2)]
    return [ledger(records), records, [operation(1, 1), usd, merge, called], effects]


CRAFTED = crafted()
REAL: Parts = list(real_ledger())


def encode(content: object) -> bytes:
    return json.dumps(content).encode()


def read(parts: Parts) -> Block:
    header, *pages = parts
    transactions, operations, effects = (encode({"_embedded": {"records": p}}) for p in pages)
    return normalise_ledger(
        wire.decode_ledger(encode(header)),
        wire.decode_transactions(transactions).embedded.records,
        wire.decode_operations(operations).embedded.records,
        wire.decode_effects(effects).embedded.records,
    )


def transfers_of(block: Block) -> set[tuple[str, Transfer]]:
    """What is credited to whom; who sent it may be told or not."""
    return {
        (t.id, msgspec.structs.replace(transfer, sender=None))
        for t in block.transactions
        for transfer in t.transfers
    }


EXPECTED = transfers_of(read(CRAFTED))
REAL_EXPECTED = transfers_of(read(REAL))
PATHS = paths(CRAFTED)
MEANT = {
    "amount",
    "asset_code",
    "memo",
    "memo_bytes",
    "memo_type",
    "to_muxed_id",
    "destination_muxed_id",
    "type",
}
"""Another well-formed value there makes another, equally possible ledger."""


def credits_nothing_new(parts: Parts, expected: set[tuple[str, Transfer]]) -> None:
    try:
        block = read(parts)
    except (NodeUnavailable, msgspec.MsgspecError, ValueError):
        return
    assert transfers_of(block) <= expected


def without_values(found: set[tuple[str, Transfer]]) -> set[tuple[str, str, str]]:
    return {(i, t.index.partition(":")[2], t.address) for i, t in found}


@settings(max_examples=600, deadline=None)
@given(path=st.sampled_from(PATHS), odd=ODD)
def test_an_odd_value_anywhere_credits_nobody_else(path: Place, odd: object) -> None:
    parts = copy.deepcopy(CRAFTED)
    place(parts, path[:-1])[path[-1]] = odd
    if path[-1] not in MEANT:
        credits_nothing_new(parts, EXPECTED)
        return
    try:
        found = transfers_of(read(parts))
    except (NodeUnavailable, msgspec.MsgspecError, ValueError):
        return
    assert without_values(found) <= without_values(EXPECTED)


@settings(max_examples=400, deadline=None)
@given(path=st.sampled_from(PATHS))
def test_a_part_left_out_credits_nobody_else(path: Place) -> None:
    parts = copy.deepcopy(CRAFTED)
    if len(path) == 1:
        parts[path[0]] = {} if path[0] == 0 else []  # type: ignore[index]
    else:
        del place(parts, path[:-1])[path[-1]]
    if path[-1] in {"memo_type", "to_muxed_id", "destination_muxed_id"}:
        assert without_values(transfers_of(read(parts))) <= without_values(EXPECTED)
        return
    credits_nothing_new(parts, EXPECTED)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_record_of_a_real_ledger_left_out_makes_no_block(data: st.DataObject) -> None:
    page = data.draw(st.sampled_from([1, 2, 3]))
    parts = [REAL[0], *(list(records) for records in REAL[1:])]
    del parts[page][data.draw(st.integers(0, len(parts[page]) - 1))]
    try:
        read(parts)
    except NodeUnavailable:
        return
    raise AssertionError("a block was read from pages that are not whole")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_record_that_is_there_twice_makes_no_block(data: st.DataObject) -> None:
    page = data.draw(st.sampled_from([1, 2, 3]))
    parts = [REAL[0], *(list(records) for records in REAL[1:])]
    position = data.draw(st.integers(0, len(parts[page]) - 1))
    parts[page].append(parts[page][position])
    try:
        read(parts)
    except NodeUnavailable:
        return
    raise AssertionError("a block was read from pages that repeat themselves")


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_order_of_pages_does_not_matter(data: st.DataObject) -> None:
    parts = [REAL[0], *(data.draw(st.permutations(records)) for records in REAL[1:])]
    assert read(parts) == read(REAL)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_odd_operation_of_a_real_ledger_hides_no_other(data: st.DataObject) -> None:
    parts = [REAL[0], REAL[1], list(REAL[2]), REAL[3]]
    kinds = [n for n, record in enumerate(parts[2]) if record["type"] not in KEPT]
    position = data.draw(st.sampled_from(kinds))
    odd = {
        "type": data.draw(st.text(max_size=30)),
        "details": data.draw(ODD.filter(lambda odd: odd != "\ud800")),
    }
    kept = {k: v for k, v in parts[2][position].items() if k not in {"amount", "to"}}
    parts[2][position] = {**kept, **odd}
    lost = {f"op:{n}" for n in range(100)}
    missing = REAL_EXPECTED - transfers_of(read(parts))
    assert {t.index for _, t in missing} <= lost
    assert len({i for i, _ in missing}) <= 1


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_truncated_answer_makes_no_block(data: st.DataObject) -> None:
    raw = encode_page(CRAFTED[2])
    try:
        wire.decode_operations(raw[: data.draw(st.integers(0, len(raw) - 1))])
    except msgspec.MsgspecError:
        return
    raise AssertionError("a page was read from a truncated answer")


def test_the_unharmed_ledgers_have_credits() -> None:
    assert len(EXPECTED) == 4
    assert len(REAL_EXPECTED) == 20
