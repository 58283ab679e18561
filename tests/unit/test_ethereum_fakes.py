"""What looks like a deposit on Ethereum and is none, or is an odd one. Also listed for people to
read in docs/odd_deposits/ethereum.md, which is made from the table below."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chain_adapters.types import NodeUnavailable, Transaction
from tests.support.ethereum_vectors import normalise_answers

SENDER, RECIPIENT, TOKEN, MADE = (f"0x{digit * 40}" for digit in "1234")
BLOCK, PARENT, ID = (f"0x{digit * 64}" for digit in "abc")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
AMOUNT = "0x" + f"{1000:064x}"
WAIT = None
"""Outcome: the block is not read; it is asked for again."""

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "ethereum.md"
NAMES = {None: "wei", TOKEN: "token", MADE: "other token"}


def pad(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def log(index: int = 0, **changes: object) -> dict[str, Any]:
    usual = {
        "address": TOKEN,
        "topics": [TRANSFER, pad(SENDER), pad(RECIPIENT)],
        "data": AMOUNT,
        "logIndex": hex(index),
    }
    return {**usual, **changes}


def read(
    transaction: dict[str, Any] | None = None,
    receipt: dict[str, Any] | None = None,
    frame: dict[str, Any] | None = None,
) -> Transaction:
    """Read a block of one transaction that is usual but for the given changes."""
    sent = {"hash": ID, "from": SENDER, "to": RECIPIENT, "value": "0x0", "gasPrice": "0x2"}
    mined = {
        "transactionHash": ID,
        "blockHash": BLOCK,
        "gasUsed": "0x5208",
        "logs": [],
        "status": "0x1",
        "effectiveGasPrice": "0x2",
    }
    block = {
        "number": "0x64",
        "hash": BLOCK,
        "parentHash": PARENT,
        "timestamp": "0x1",
        "transactions": [{**sent, **(transaction or {})}],
    }
    answers: dict[str, Any] = {
        "eth_getBlockByNumber": block,
        "eth_getBlockReceipts": [{**mined, **(receipt or {})}],
    }
    if frame is not None:
        root = {"type": "CALL", "from": SENDER, "to": RECIPIENT, "value": "0x0"}
        answers["debug_traceBlock_callTracer"] = [{**root, **frame}]
    (read_transaction,) = normalise_answers(answers).transactions
    return read_transaction


def call(kind: str = "CALL", **changes: object) -> dict[str, Any]:
    return {"type": kind, "from": SENDER, "to": RECIPIENT, "value": "0x7", **changes}


class Case(NamedTuple):
    """One crafted transaction, usual but for the changes to its parts.

    `expected` is what is read as money of ours: index, amount and token.
    """

    name: str
    what: str
    expected: list[tuple[str, int, str | None]] | None
    transaction: dict[str, Any] | None = None
    receipt: dict[str, Any] | None = None
    frame: dict[str, Any] | None = None


def with_log(name: str, what: str, *expected: tuple[str, int, str | None], **changes: Any) -> Case:  # noqa: ANN401 - whatever a log may hold
    return Case(name, what, list(expected), receipt={"logs": [log(**changes)]})


def with_calls(
    name: str, what: str, *calls: dict[str, Any], moved: list[tuple[str, int, str | None]]
) -> Case:
    return Case(name, what, moved, frame={"calls": list(calls)})


ETHER = {"value": "0x5"}
SENT = ("value", 5, None)
REVERTED = call(error="execution reverted", calls=[call(calls=[call()])])

CASES = [
    Case("ether", "the usual payment", [SENT], ETHER),
    with_log("token", "the usual transfer of an ERC-20 token", ("log:0", 1000, TOKEN)),
    Case(
        "all at once",
        "ether, ether by a contract and two events are four deposits",
        [SENT, ("call:1", 7, None), ("log:0", 1000, TOKEN), ("log:1", 1000, TOKEN)],
        ETHER,
        {"logs": [log(0), log(1)]},
        {"calls": [call()]},
    ),
    Case(
        "failed",
        "status 0: ether, an inner call and an event that did not happen",
        [],
        ETHER,
        {"status": "0x0", "logs": [log()]},
        {"calls": [call()]},
    ),
    Case(
        "failed, with a state root",
        "a status counts whatever else a receipt holds",
        [],
        ETHER,
        {"status": "0x0", "root": BLOCK},
    ),
    Case("zero written longer", "0x00 wei are none", [], {"value": "0x00"}),
    Case(
        "no price",
        "what the fee was, neither transaction nor receipt says",
        WAIT,
        {"gasPrice": None, **ETHER},
        {"effectiveGasPrice": None},
    ),
    Case("no status", "neither status nor state root", WAIT, ETHER, {"status": None}),
    Case("empty status", "no text", WAIT, ETHER, {"status": ""}),
    Case("status without digits", "0x", WAIT, ETHER, {"status": "0x"}),
    Case("status 2", "only 0 and 1 mean something", WAIT, ETHER, {"status": "0x2"}),
    Case(
        "status 2, with a state root",
        "a status counts whatever else a receipt holds",
        WAIT,
        ETHER,
        {"status": "0x2", "root": BLOCK},
    ),
    Case(
        "short state root",
        "neither status nor the hash of a state",
        WAIT,
        ETHER,
        {"status": None, "root": "0x"},
    ),
    Case("status 01", "not how a number is written", WAIT, ETHER, {"status": "0x01"}),
    Case(
        "before Byzantium",
        "receipts of before 2017 have no status, but a state root",
        [SENT],
        ETHER,
        {"status": None, "root": BLOCK},
    ),
    Case(
        "failed before Byzantium",
        "only the trace tells of the failure",
        [],
        ETHER,
        {"status": None, "root": BLOCK},
        {"error": "out of gas", "value": "0x5"},
    ),
    with_log(
        "another event",
        "the topic differs in one digit",
        topics=[TRANSFER[:-1] + "0", pad(SENDER), pad(RECIPIENT)],
    ),
    with_log("event without recipient", "two topics", topics=[TRANSFER, pad(SENDER)]),
    with_log(
        "ERC-721",
        "a fourth topic is the number of a single piece",
        topics=[TRANSFER, pad(SENDER), pad(RECIPIENT), AMOUNT],
    ),
    with_log("anonymous event", "no topics", topics=[]),
    with_log(
        "recipient is no address",
        "more than 20 bytes in the topic",
        topics=[TRANSFER, pad(SENDER), "0x1" + pad(RECIPIENT)[3:]],
    ),
    with_log(
        "sender is no address",
        "the same for the sender",
        topics=[TRANSFER, "0x1" + pad(SENDER)[3:], pad(RECIPIENT)],
    ),
    with_log(
        "short recipient",
        "a topic of 20 bytes",
        topics=[TRANSFER, pad(SENDER), RECIPIENT],
    ),
    with_log("no amount", "an event without data", data="0x"),
    with_log("amount of 31 bytes", "data too short", data=AMOUNT[:-2]),
    with_log("amount of 64 bytes", "data too long", data=AMOUNT + "00" * 32),
    with_log("amount without 0x", "more than 32 bytes in the usual length", data="f" * 66),
    with_log(
        "zero tokens",
        "anybody can move 0 tokens of anybody (address poisoning)",
        data="0x" + "0" * 64,
    ),
    with_log(
        "same symbol",
        "a token of another contract is named by that contract",
        ("log:0", 1000, MADE),
        address=MADE,
    ),
    Case(
        "call without event",
        "call data of a transfer, and no event",
        [],
        {"to": TOKEN, "input": "0xa9059cbb" + pad(RECIPIENT)[2:] + AMOUNT[2:]},
    ),
    Case(
        "fee on transfer",
        "a token that keeps a fee: what the event says counts, not the call",
        [("log:0", 990, TOKEN)],
        {"to": TOKEN, "input": "0xa9059cbb" + pad(RECIPIENT)[2:] + AMOUNT[2:]},
        {"logs": [log(data="0x" + f"{990:064x}")]},
    ),
    with_log(
        "minted",
        "tokens that come from nobody have come",
        ("log:0", 1000, TOKEN),
        topics=[TRANSFER, "0x" + "0" * 64, pad(RECIPIENT)],
    ),
    with_log(
        "written in capitals",
        "some nodes write addresses with capital letters",
        ("log:0", 1000, TOKEN),
        address=TOKEN.upper().replace("0X", "0x"),
    ),
    *(
        with_calls(kind, "an inner call that moves ether", call(kind), moved=[("call:1", 7, None)])
        for kind in ("CALL", "CREATE", "CREATE2", "SELFDESTRUCT")
    ),
    *(
        with_calls(kind, "an inner call that names an amount and moves none", call(kind), moved=[])
        for kind in ("DELEGATECALL", "CALLCODE", "STATICCALL")
    ),
    with_calls(
        "reverted inside",
        "a reverted call takes its inner calls along; the one behind it counts",
        REVERTED,
        call(),
        moved=[("call:4", 7, None)],
    ),
    with_calls(
        "no value inside", "calls without ether", call(value="0x0"), call(value=None), moved=[]
    ),
    with_calls("call of nowhere", "an inner call without recipient", call(to=None), moved=[]),
    with_calls(
        "destroyed for itself",
        "a contract destroyed in its own favour moves nothing",
        call("SELFDESTRUCT", **{"from": RECIPIENT}),
        moved=[],
    ),
    Case(
        "own value in the trace",
        "the outermost call is the transaction itself and counts once",
        [SENT, ("call:1", 7, None)],
        ETHER,
        frame={"value": "0x5", "calls": [call()]},
    ),
    Case(
        "sent with a creation",
        "ether goes to the new contract's address",
        [SENT],
        {"to": None, "value": "0x5"},
        {"contractAddress": RECIPIENT},
    ),
    Case("creation of nowhere", "neither recipient nor new contract", WAIT, {"to": None, **ETHER}),
    Case("receipt of another block", "it does not belong", WAIT, ETHER, {"blockHash": PARENT}),
    Case(
        "receipt of another transaction",
        "it does not belong",
        WAIT,
        ETHER,
        {"transactionHash": PARENT},
    ),
    Case(
        "event left out",
        "the events behind it would change their identity",
        WAIT,
        receipt={"logs": [log(0), log(2)]},
    ),
    Case(
        "first event left out",
        "the same at the beginning",
        WAIT,
        receipt={"logs": [log(1), log(2)]},
    ),
    Case("trace of another sender", "it does not belong", WAIT, ETHER, frame={"from": MADE}),
]


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


@pytest.mark.parametrize(
    ("receipt", "frame", "succeeded"),
    [
        ({}, None, False),
        ({"logs": [log(topics=[])]}, None, False),
        ({"logs": [log()]}, None, True),
        ({}, {"calls": [call()]}, True),
    ],
    ids=[
        "no event",
        "another event",
        "a transfer",
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
        " what is read of it.\nMade from the table in tests/unit/test_ethereum_fakes.py, which"
        " tests every line.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def test_the_listing_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
