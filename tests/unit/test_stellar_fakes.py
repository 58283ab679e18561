"""What looks like a deposit on Stellar and is none, or is an odd one. Also listed for people to
read in docs/odd_deposits/stellar.md, which is made from the same table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from chain_adapters.types import NodeUnavailable, Transaction
from tests.support.stellar_odd_deposits import CASES, WAIT, XLM, Case, Expected, path, plain
from tests.support.stellar_vectors import (
    HEIGHT,
    OTHER,
    RECIPIENT,
    SENDER,
    USD,
    Json,
    hash_of,
    operation,
    place_of,
    read_block,
    transaction,
)

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "stellar.md"


def read(case: Case) -> tuple[Transaction, ...]:
    record = transaction(1, max(1, len(case.operations)), **case.changes)
    placed = [{**o, "id": operation(number=n)["id"]} for n, o in enumerate(case.operations, 1)]
    return read_block([record], placed, case.effects).transactions


def to_us(found: Sequence[Transaction]) -> list[Expected]:
    return [
        (t.index, t.contract, t.amount_minor, t.memo)
        for one in found
        for t in one.transfers
        if t.address == RECIPIENT
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_crafted_deposit_is_read_as_the_table_says(case: Case) -> None:
    if case.expected is WAIT:
        with pytest.raises(NodeUnavailable):
            read(case)
        return
    assert to_us(read(case)) == case.expected


def test_an_operation_left_out_makes_no_block() -> None:
    with pytest.raises(NodeUnavailable):
        read_block([transaction(operations=3)], [operation(), operation(number=3)])


def test_an_operation_of_no_transaction_makes_no_block() -> None:
    with pytest.raises(NodeUnavailable, match="belongs to no transaction"):
        read_block([transaction()], [operation(), operation(2)])


def test_operations_count_in_their_own_order_whatever_the_pages() -> None:
    (found,) = read_block(
        [transaction(operations=2)], [operation(number=2, amount="2.0000000"), operation()]
    ).transactions
    assert [(t.index, t.amount_minor) for t in found.transfers] == [
        ("op:0", 15_000_000),
        ("op:1", 20_000_000),
    ]


@pytest.mark.parametrize("wrong", ["ledger", "place"])
def test_a_transaction_of_another_ledger_makes_no_block(wrong: str) -> None:
    there = HEIGHT + 1
    sent, paid = transaction(), operation()
    if wrong == "ledger":
        sent["ledger"] = there
    else:
        sent["paging_token"] = str(place_of(1, 0, there))
        paid["id"] = str(place_of(1, 1, there))
    with pytest.raises(NodeUnavailable, match="another ledger"):
        read_block([sent], [paid])


def test_every_transaction_has_its_payer_and_fee_whatever_it_did() -> None:
    for case in CASES:
        if case.expected is not WAIT:
            (found,) = read(case)
            assert (found.payer, found.fee_minor) == (SENDER, 100)


def test_one_odd_transaction_hides_no_other() -> None:
    odd = transaction(2, 1, memo_type="text", memo="\ufffd\0", memo_bytes="/wA=")
    block = read_block(
        [transaction(1), odd, transaction(3)],
        [operation(1), {**plain("teleport"), **place(2)}, operation(3)],
    )
    assert [len(t.transfers) for t in block.transactions] == [1, 0, 1]


def place(position: int) -> Json:
    return {key: operation(position)[key] for key in ("id", "transaction_hash")}


def test_a_fee_bump_is_told_by_both_hashes_and_credits_once() -> None:
    bumped = transaction(
        fee_account=OTHER, fee_charged="200", inner_transaction={"hash": hash_of(99)}
    )
    outer, inner = read_block([bumped], [operation()]).transactions
    assert (outer.id, outer.payer, outer.fee_minor) == (hash_of(1), OTHER, 200)
    assert (inner.id, inner.payer, inner.fee_minor) == (hash_of(99), SENDER, 0)
    assert (len(outer.transfers), inner.transfers) == (1, ())
    failed = read_block([{**bumped, "successful": False}]).transactions
    assert [t.succeeded for t in failed] == [False, False]


def test_the_sender_is_told_only_where_it_lost_what_arrived() -> None:
    sent = {case.name: [t.sender for x in read(case) for t in x.transfers] for case in CASES[:1]}
    assert sent == {"payment": [SENDER]}
    same = path(source_asset_type="native", source_asset_code=None, source_asset_issuer=None)
    same["source_amount"] = "1.5000000"
    for record, sender in ((path(), None), (same, SENDER)):
        (found,) = read_block([transaction()], [record]).transactions
        assert [t.sender for t in found.transfers] == [sender]


@pytest.mark.parametrize(
    "changes",
    [
        {"successful_transaction_count": 2},
        {"failed_transaction_count": 1},
        {"operation_count": 2},
        {"sequence": 101},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_ledger_whose_counts_do_not_fit_makes_no_block(changes: Json) -> None:
    with pytest.raises(NodeUnavailable):
        read_block([transaction()], [operation()], **changes)


def test_transactions_come_in_the_order_in_which_they_were_applied() -> None:
    block = read_block([transaction(2), transaction(1)], [operation(2), operation(1)])
    assert [t.id for t in block.transactions] == [hash_of(1), hash_of(2)]


def describe(case: Case) -> str:
    if case.expected is WAIT:
        return "block asked for again"
    names = {None: "XLM", USD: "USD"}
    found = [
        f"{amount / XLM:g} {names.get(asset, 'another asset')} ({index}"
        + (f", memo {memo_})" if memo_ else ")")
        for index, asset, amount, memo_ in case.expected
    ]
    return ", ".join(found) or "nothing"


def make_listing() -> str:
    """Return docs/odd_deposits/stellar.md."""
    rows = [f"| {case.name} | {case.what} | {describe(case)} |" for case in CASES]
    return (
        "# Odd deposits on Stellar\n\n"
        "Each line is a crafted transaction that pays, or seems to pay, an address of ours, and"
        " what is read of it.\nMade from the table in tests/support/stellar_odd_deposits.py;"
        " tests/unit/test_stellar_fakes.py tests every line.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def test_the_listing_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
