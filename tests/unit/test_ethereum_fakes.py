"""What looks like a deposit and is none."""

from __future__ import annotations

from typing import Any

import pytest

from chain_adapters.types import NodeUnavailable, Transaction
from tests.support.ethereum_vectors import normalise_answers

SENDER, RECIPIENT, TOKEN, MADE = (f"0x{digit * 40}" for digit in "1234")
BLOCK, PARENT, ID = (f"0x{digit * 64}" for digit in "abc")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
AMOUNT = "0x" + f"{1000:064x}"


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


def indexes(transaction: Transaction) -> list[str]:
    return [transfer.index for transfer in transaction.transfers]


def test_the_usual_forms_are_read() -> None:
    transaction = read({"value": "0x5"}, {"logs": [log(0), log(1)]}, {"calls": [call()]})
    assert indexes(transaction) == ["value", "call:1", "log:0", "log:1"]
    assert [t.amount_minor for t in transaction.transfers] == [5, 7, 1000, 1000]
    assert {t.address for t in transaction.transfers} == {RECIPIENT}


def test_status_0_is_nothing_but_a_fee() -> None:
    transaction = read(
        {"value": "0x5"}, {"status": "0x0", "logs": [log()]}, {"calls": [call()], "value": "0x5"}
    )
    assert (transaction.succeeded, transaction.transfers) == (False, ())
    assert transaction.fee_minor == 42_000


def test_status_0_stays_a_failure_even_with_a_state_root() -> None:
    assert not read({"value": "0x5"}, {"status": "0x0", "root": BLOCK}).succeeded


@pytest.mark.parametrize("status", [None, "0x", "0x2", "0x01", ""])
def test_a_status_that_cannot_be_read_is_no_success(status: str | None) -> None:
    with pytest.raises(NodeUnavailable):
        read({"value": "0x5"}, {"status": status})


def test_before_byzantium_only_a_trace_tells_of_failure() -> None:
    early = {"status": None, "root": BLOCK}
    assert read({"value": "0x5"}, early).succeeded
    assert not read({"value": "0x5"}, early, {"error": "out of gas", "value": "0x5"}).succeeded


@pytest.mark.parametrize(
    "changes",
    [
        {"topics": [TRANSFER[:-1] + "0", pad(SENDER), pad(RECIPIENT)]},
        {"topics": [TRANSFER, pad(SENDER)]},
        {"topics": [TRANSFER, pad(SENDER), pad(RECIPIENT), AMOUNT]},
        {"topics": []},
        {"topics": [TRANSFER, pad(SENDER), "0x1" + pad(RECIPIENT)[3:]]},
        {"topics": [TRANSFER, "0x1" + pad(SENDER)[3:], pad(RECIPIENT)]},
        {"topics": [TRANSFER, pad(SENDER), RECIPIENT]},
        {"data": "0x"},
        {"data": AMOUNT[:-2]},
        {"data": AMOUNT + "00" * 32},
        {"data": "0x" + "0" * 64},
    ],
    ids=[
        "another event",
        "two topics",
        "an ERC-721 token",
        "anonymous",
        "recipient not an address",
        "sender not an address",
        "recipient too short",
        "no data",
        "31 bytes",
        "64 bytes",
        "zero value (address poisoning)",
    ],
)
def test_a_log_that_is_not_exactly_a_transfer_is_none(changes: dict[str, Any]) -> None:
    assert read(receipt={"logs": [log(**changes)]}).transfers == ()


def test_the_same_symbol_from_another_contract_names_that_contract() -> None:
    (transfer,) = read(receipt={"logs": [log(address=MADE)]}).transfers
    assert transfer.contract == MADE


def test_the_data_of_a_token_call_is_no_transfer_without_its_event() -> None:
    data = "0xa9059cbb" + pad(RECIPIENT)[2:] + AMOUNT[2:]
    assert read({"to": TOKEN, "input": data}).transfers == ()


@pytest.mark.parametrize("kind", ["DELEGATECALL", "CALLCODE", "STATICCALL"])
def test_calls_that_move_nothing_are_no_transfers(kind: str) -> None:
    assert read(frame={"calls": [call(kind)]}).transfers == ()


@pytest.mark.parametrize("kind", ["CALL", "CREATE", "CREATE2", "SELFDESTRUCT"])
def test_calls_that_move_ether_are_transfers(kind: str) -> None:
    assert indexes(read(frame={"calls": [call(kind)]})) == ["call:1"]


def test_a_reverted_call_takes_its_inner_calls_along() -> None:
    reverted = call(error="execution reverted", calls=[call(calls=[call()])])
    assert indexes(read(frame={"calls": [reverted, call()]})) == ["call:4"]


def test_a_call_without_value_is_none() -> None:
    assert read(frame={"calls": [call(value="0x0"), call(value=None)]}).transfers == ()


def test_a_contract_destroyed_in_its_own_favour_moves_nothing() -> None:
    destroyed = {"type": "SELFDESTRUCT", "from": MADE, "to": MADE, "value": "0x7"}
    assert read(frame={"calls": [destroyed]}).transfers == ()


def test_the_root_frame_is_the_transactions_own_value_and_not_counted_twice() -> None:
    transaction = read({"value": "0x5"}, frame={"value": "0x5", "calls": [call()]})
    assert [(t.index, t.amount_minor) for t in transaction.transfers] == [
        ("value", 5),
        ("call:1", 7),
    ]


def test_ether_sent_with_a_creation_goes_to_the_new_contract() -> None:
    (transfer,) = read({"to": None, "value": "0x5"}, {"contractAddress": MADE}).transfers
    assert transfer.address == MADE


def test_addresses_are_lower_case_whatever_the_node_writes() -> None:
    mixed = "0x" + "aB" * 20
    transaction = read(
        {"from": mixed, "to": mixed, "value": "0x5"},
        {"logs": [log(address=mixed, topics=[TRANSFER, pad(mixed), pad(mixed)])]},
    )
    found = {transaction.payer}
    for transfer in transaction.transfers:
        found |= {transfer.sender, transfer.address, transfer.contract}
    assert found == {mixed.lower(), None}


def test_a_receipt_without_effective_price_pays_the_gas_price() -> None:
    receipt = {"effectiveGasPrice": None, "status": None, "root": BLOCK}
    assert read({"gasPrice": "0x3"}, receipt).fee_minor == 63_000


@pytest.mark.parametrize(
    "receipt",
    [
        {"blockHash": PARENT},
        {"transactionHash": PARENT},
        {"logs": [log(0), log(2)]},
        {"logs": [log(1), log(2)]},
    ],
    ids=["another block", "another transaction", "a log left out", "the first log left out"],
)
def test_a_receipt_that_does_not_belong_makes_no_block(receipt: dict[str, Any]) -> None:
    with pytest.raises(NodeUnavailable):
        read({"value": "0x5"}, receipt)


def test_a_trace_of_another_sender_makes_no_block() -> None:
    with pytest.raises(NodeUnavailable):
        read({"value": "0x5"}, frame={"from": MADE})
