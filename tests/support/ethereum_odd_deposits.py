"""Crafted transactions that pay, or seem to pay, an address of ours on Ethereum, and how they are
read. The listing for people is docs/odd_deposits/ethereum.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from chain_adapters.types import Transaction
from tests.support.ethereum_vectors import normalise_answers

SENDER, RECIPIENT, TOKEN, MADE = (f"0x{digit * 40}" for digit in "1234")
BLOCK, PARENT, ID = (f"0x{digit * 64}" for digit in "abc")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
FIVE = "0x" + f"{5:064x}"
AMOUNT = "0x" + f"{1000:064x}"
WAIT = None
"""Outcome: the block is not read; it is asked for again."""

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
    Case(
        "ether's own log",
        "the chain logs ether as if it were a token (EIP-7708): it is the same money",
        [SENT],
        ETHER,
        {"logs": [log(address="0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE", data=FIVE)]},
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
        for kind in ("CALL", "CREATE", "CREATE2")
    ),
    Case(
        "SELFDESTRUCT",
        "a contract leaves all that it has to us",
        [("call:1", 7, None)],
        frame={"to": MADE, "calls": [call("SELFDESTRUCT", **{"from": MADE})]},
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
        "creation that failed",
        "it has no address, and keeps no ether",
        call("CREATE", to=None, error="contract address collision"),
        moved=[],
    ),
    with_calls(
        "more than it has",
        "a contract without ether calls with some: the call fails, and nothing else",
        call(value="0xde0b6b3a7640000", error="insufficient balance for transfer"),
        moved=[],
    ),
    with_calls(
        "destroyed for itself",
        "a contract destroyed in its own favour moves nothing",
        call("SELFDESTRUCT", **{"from": RECIPIENT}),
        moved=[],
    ),
    with_calls(
        "destroyed for itself, another named",
        "some nodes name the contract's caller as who paid",
        call("SELFDESTRUCT"),
        moved=[],
    ),
    with_calls(
        "destroyed by code of another",
        "whose ether it is says who runs the code, not whose code it is",
        call("DELEGATECALL", **{"from": RECIPIENT, "to": MADE, "calls": [call("SELFDESTRUCT")]}),
        moved=[],
    ),
    with_calls(
        "destroyed, not told for whom",
        "some nodes tell nothing of a contract that such code destroyed in its own favour",
        call("SELFDESTRUCT", to=None, value=None),
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
    Case(
        "trace of another course",
        "it says failed of what succeeded, as nodes do that lack a part of the state: nobody knows"
        " what its inner calls did",
        WAIT,
        ETHER,
        frame={"error": "execution reverted", "calls": [call()]},
    ),
]
