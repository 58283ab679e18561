"""What looks like a deposit on Ethereum and is none, or is an odd one. Also listed for people to
read in docs/odd_deposits/ethereum.md, which is made from the same table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain_adapters.types import NodeUnavailable, Transaction
from tests.support.ethereum_odd_deposits import (
    AMOUNT,
    BLOCK,
    CASES,
    MADE,
    NAMES,
    RECIPIENT,
    SENDER,
    TOKEN,
    TRANSFER,
    WAIT,
    Case,
    call,
    log,
    pad,
    read,
)

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "ethereum.md"


def read_case(case: Case) -> Transaction:
    return read(case.transaction, case.receipt, case.frame)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_odd_deposits_are_read_as_listed(case: Case) -> None:
    if case.expected is WAIT:
        with pytest.raises(NodeUnavailable):
            read_case(case)
        return
    found = read_case(case).transfers
    assert [(t.index, t.amount_minor, t.contract) for t in found] == case.expected
    assert {t.address for t in found} <= {RECIPIENT}


@pytest.mark.parametrize("digits", ["_3e8", "+3e8", " 3e8", "\uff133e8", "g3e8"])
def test_an_amount_that_is_not_written_in_hex_digits_is_no_amount(digits: str) -> None:
    with pytest.raises(ValueError, match=r"hexadecimal|ASCII"):
        read(receipt={"logs": [log(data="0x" + digits.rjust(64, "0"))]})


def test_each_log_of_a_huge_receipt_keeps_its_own_index() -> None:
    found = read(receipt={"logs": [log(position) for position in range(1030)]}).transfers
    assert [transfer.index for transfer in found] == [f"log:{n}" for n in range(1030)]


def test_each_log_names_its_own_contract_in_whatever_order_they_come() -> None:
    contracts = [TOKEN, TOKEN, MADE, TOKEN, MADE]
    logs = [log(position, address=contract) for position, contract in enumerate(contracts)]
    assert [transfer.contract for transfer in read(receipt={"logs": logs}).transfers] == contracts


def test_a_failed_transaction_still_costs_its_fee() -> None:
    failed = next(case for case in CASES if case.name == "failed")
    assert (read_case(failed).succeeded, read_case(failed).fee_minor) == (False, 42_000)


PAY = {"to": TOKEN, "input": "0xa9059cbb" + pad(RECIPIENT)[2:] + AMOUNT[2:]}
"""The call of a token's transfer."""
UNINDEXED = log(topics=[TRANSFER], data=pad(SENDER) + pad(RECIPIENT)[2:] + AMOUNT[2:])


@pytest.mark.parametrize(
    ("receipt", "frame", "succeeded"),
    [
        ({}, None, False),
        ({"logs": [log(topics=[])]}, None, False),
        ({"logs": [log()]}, None, True),
        ({"logs": [UNINDEXED]}, None, True),
        ({"logs": [log(topics=[TRANSFER, pad(SENDER), pad(RECIPIENT), AMOUNT])]}, None, True),
        ({}, {"calls": [call()]}, True),
    ],
    ids=[
        "no event",
        "another event",
        "a transfer",
        "a transfer with nothing indexed, as early tokens log it",
        "a transfer with its amount indexed",
        "ether, as a contract of that function pays it",
    ],
)
def test_a_token_that_was_told_to_pay_and_moved_nothing_did_not_succeed(
    receipt: dict[str, Any], frame: dict[str, Any] | None, succeeded: bool
) -> None:
    assert read(PAY, receipt, frame).succeeded is succeeded


def test_a_call_of_another_function_needs_no_transfer_to_succeed() -> None:
    assert read({**PAY, "input": "0x095ea7b3" + PAY["input"][10:]}).succeeded


def test_addresses_are_lower_case_whatever_the_node_writes() -> None:
    mixed = "0x" + "aB" * 20
    transaction = read(
        {"from": mixed, "to": mixed, "value": "0x5"},
        {"logs": [log(address=mixed)]},
    )
    ether, token = transaction.transfers
    found = {transaction.payer, ether.sender, ether.address, token.contract}
    assert found == {mixed.lower()}


@pytest.mark.parametrize(
    ("receipt", "fee_minor"),
    [
        ({"effectiveGasPrice": "0x2"}, 42_000),
        ({"effectiveGasPrice": None, "status": None, "root": BLOCK}, 63_000),
        ({"blobGasUsed": "0x0"}, 42_000),
        ({"blobGasUsed": "0x2", "blobGasPrice": "0x5"}, 42_010),
    ],
    ids=["dynamic price", "before London", "no blobs and no price of them", "blobs"],
)
def test_the_fee_is_what_the_receipt_says_and_else_the_bid(
    receipt: dict[str, Any], fee_minor: int
) -> None:
    assert read({"gasPrice": "0x3"}, receipt).fee_minor == fee_minor


def describe(case: Case) -> str:
    if case.expected is WAIT:
        return "block asked for again"
    found = [f"{amount} {NAMES[token]} ({index})" for index, amount, token in case.expected]
    return ", ".join(found) or "nothing"


def make_listing() -> str:
    """Return docs/odd_deposits/ethereum.md."""
    rows = [f"| {case.name} | {case.what} | {describe(case)} |" for case in CASES]
    return (
        "# Odd deposits on Ethereum\n\n"
        "Each line is a crafted transaction that pays, or seems to pay, an address of ours, and"
        " what is read of it.\nMade from the table in tests/support/ethereum_odd_deposits.py;"
        " tests/unit/test_ethereum_fakes.py tests every line.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def test_the_listing_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
