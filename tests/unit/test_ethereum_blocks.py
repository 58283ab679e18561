"""Recorded mainnet blocks: what is read from them against oracles that share no code."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from chain_adapters.ethereum import wire
from chain_adapters.ethereum.decode import call_transfers, normalise_block
from chain_adapters.ethereum.nested import read_nested_reply
from chain_adapters.ethereum.reading import read_traces
from chain_adapters.types import Block, NodeUnavailable
from tests.support.ethereum_vectors import (
    FOLDER,
    HEIGHTS,
    TRACED,
    encode,
    load_block,
    normalise_answers,
    traces_answer,
    traces_of,
)


def ether_moves(frame: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Every movement of ether of one call tree, by plain recursion over the raw JSON."""
    if "error" in frame:
        return
    if frame["type"] not in ("DELEGATECALL", "STATICCALL", "CALLCODE") and frame.get("value"):
        yield frame["from"], frame["to"], int(frame["value"], 0)
    for inner in frame.get("calls", ()):
        yield from ether_moves(inner)


def deltas_by_traces(answers: dict[str, Any]) -> dict[str, int]:
    deltas: defaultdict[str, int] = defaultdict(int)
    for frame in traces_of(answers) or ():
        for sender, recipient, wei in ether_moves(frame):
            deltas[sender] -= wei
            deltas[recipient] += wei
    block = answers["eth_getBlockByNumber"]
    for sent, receipt in zip(block["transactions"], answers["eth_getBlockReceipts"], strict=True):
        price = receipt.get("effectiveGasPrice", sent["gasPrice"])
        deltas[sent["from"]] -= int(receipt["gasUsed"], 0) * int(price, 0)
    return {address: wei for address, wei in deltas.items() if wei}


def deltas_by_block(block: Block) -> dict[str, int]:
    deltas: defaultdict[str, int] = defaultdict(int)
    for transaction in block.transactions:
        deltas[transaction.payer or ""] -= transaction.fee_minor or 0
        for transfer in transaction.transfers:
            if transfer.contract is None:
                deltas[transfer.sender or ""] -= transfer.amount_minor
                deltas[transfer.address] += transfer.amount_minor
    return {address: wei for address, wei in deltas.items() if wei}


@pytest.mark.parametrize("height", TRACED)
def test_balances_change_exactly_as_the_traces_say(height: int) -> None:
    answers = load_block(height)
    assert deltas_by_block(normalise_answers(answers)) == deltas_by_traces(answers)


def token_transfers_by_logs(answers: dict[str, Any]) -> list[tuple[str, str, str, str, int]]:
    found = []
    for receipt in answers["eth_getBlockReceipts"]:
        for log in receipt["logs"]:
            topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
            data = bytes.fromhex(log["data"][2:])
            if len(topics) == 3 and topics[0].hex().startswith("ddf252ad") and len(data) == 32:
                sender, recipient = ("0x" + party[12:].hex() for party in topics[1:])
                wei = int.from_bytes(data)
                if wei:
                    hash_ = receipt["transactionHash"]
                    found.append((hash_, log["address"], sender, recipient, wei))
    return found


@pytest.mark.parametrize("height", HEIGHTS)
def test_token_transfers_are_those_of_the_logs(height: int) -> None:
    answers = load_block(height)
    read = [
        (transaction.id, t.contract, t.sender, t.address, t.amount_minor)
        for transaction in normalise_answers(answers).transactions
        for t in transaction.transfers
        if t.contract is not None
    ]
    assert read == token_transfers_by_logs(answers)


@pytest.mark.parametrize("height", HEIGHTS)
def test_a_block_names_itself_its_parent_and_its_transactions_in_order(height: int) -> None:
    raw = load_block(height)["eth_getBlockByNumber"]
    block = normalise_answers(load_block(height))
    assert (block.height, block.block_id, block.parent_id) == (
        height,
        raw["hash"],
        raw["parentHash"],
    )
    assert block.time == int(raw["timestamp"], 0)
    assert [t.id for t in block.transactions] == [t["hash"] for t in raw["transactions"]]


@pytest.mark.parametrize("height", HEIGHTS)
def test_a_failed_transaction_moves_nothing_and_pays_its_fee(height: int) -> None:
    failed = {
        receipt["transactionHash"]
        for receipt in load_block(height)["eth_getBlockReceipts"]
        if receipt.get("status") == "0x0"
    }
    block = normalise_answers(load_block(height))
    assert {t.id for t in block.transactions if not t.succeeded} == failed
    for transaction in block.transactions:
        assert (transaction.fee_minor or 0) > 0
        assert transaction.succeeded or not transaction.transfers


@pytest.mark.parametrize("height", HEIGHTS)
def test_each_transfer_of_a_transaction_has_an_index_of_its_own(height: int) -> None:
    for transaction in normalise_answers(load_block(height)).transactions:
        indexes = Counter(transfer.index for transfer in transaction.transfers)
        assert all(count == 1 for count in indexes.values())


@pytest.mark.parametrize("height", TRACED)
def test_indexes_do_not_depend_on_whether_traces_are_read(height: int) -> None:
    traced = normalise_answers(load_block(height))
    untraced = normalise_answers(load_block(height), traced=False)
    for with_calls, without in zip(traced.transactions, untraced.transactions, strict=True):
        kept = [t for t in with_calls.transfers if not t.index.startswith("call:")]
        assert kept == list(without.transfers)


def test_fee_on_transfer_tokens_credit_what_arrived() -> None:
    id_ = "0x3c734a89c8f4afb87f3b13c1f66f7ad337f862375da498eff8b6fa7a0ec5eb66"
    block = normalise_answers(load_block(11098450))
    (transaction,) = (t for t in block.transactions if t.id == id_)
    assert 721515018072146899 in {t.amount_minor for t in transaction.transfers}
    assert 800000000000000000 not in {t.amount_minor for t in transaction.transfers}


EMPTY_TRIE = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


@pytest.mark.parametrize("height", HEIGHTS)
def test_a_block_that_lost_all_its_transactions_is_not_read(height: int) -> None:
    answers = load_block(height)
    block = answers["eth_getBlockByNumber"] | {"transactions": []}
    root = {"transactionsRoot": "0x" + 64 * "1"}
    with pytest.raises(NodeUnavailable, match="leaves out"):
        normalise_answers({"eth_getBlockByNumber": root | block, "eth_getBlockReceipts": []})


@pytest.mark.parametrize("root", [None, "0x" + 64 * "0", EMPTY_TRIE])
def test_a_block_without_transactions_is_read(root: str | None) -> None:
    block = load_block(HEIGHTS[0])["eth_getBlockByNumber"]
    block = block | {"transactions": [], "transactionsRoot": root}
    read = normalise_answers({"eth_getBlockByNumber": block, "eth_getBlockReceipts": []})
    assert read.transactions == ()


def test_a_receipt_that_lost_its_logs_is_not_read() -> None:
    answers = load_block(HEIGHTS[-1])
    receipts = [dict(receipt) for receipt in answers["eth_getBlockReceipts"]]
    last = next(receipt for receipt in reversed(receipts) if receipt["logs"])
    last |= {"logs": [], "logsBloom": "0x" + 511 * "0" + "1"}
    with pytest.raises(NodeUnavailable, match="leaves out the logs"):
        normalise_answers(answers | {"eth_getBlockReceipts": receipts})
    last |= {"logsBloom": "0x" + 512 * "0"}
    normalise_answers(answers | {"eth_getBlockReceipts": receipts})


def numbered_anew(receipt: dict[str, Any]) -> dict[str, Any]:
    logs = [log | {"logIndex": hex(position)} for position, log in enumerate(receipt["logs"])]
    return receipt | {"logs": logs}


def test_logs_numbered_anew_in_each_transaction_are_read_and_a_hole_in_them_is_seen() -> None:
    answers = load_block(HEIGHTS[-1])
    receipts = [numbered_anew(receipt) for receipt in answers["eth_getBlockReceipts"]]
    assert normalise_answers(answers | {"eth_getBlockReceipts": receipts}) == normalise_answers(
        answers
    )
    earlier = [receipt for receipt in receipts if len(receipt["logs"]) > 2][1]
    del earlier["logs"][1]
    with pytest.raises(NodeUnavailable, match="a log is missing"):
        normalise_answers(answers | {"eth_getBlockReceipts": receipts})


def test_blob_gas_is_part_of_the_fee() -> None:
    answers = json.loads((FOLDER / "block_122987_blob.json").read_bytes())
    (transaction,) = normalise_answers(answers, traced=False).transactions
    (receipt,) = answers["eth_getBlockReceipts"]
    used = {name: int(receipt[name], 0) for name in ("gasUsed", "blobGasUsed")}
    assert transaction.fee_minor == used["gasUsed"] * int(receipt["effectiveGasPrice"], 0) + used[
        "blobGasUsed"
    ] * int(receipt["blobGasPrice"], 0)


def test_a_call_tree_of_the_deepest_kind_is_read() -> None:
    frame: dict[str, Any] = {"type": "CALL", "from": "0x" + 40 * "1", "to": "0x" + 40 * "2"}
    deepest = encode({**frame, "value": "0x7"}).decode()
    head = encode({**frame, "calls": []}).decode()[:-2]
    opened, closed = '{"id":1,"result":[{"result":', "}]}"
    text = opened + head * 1024 + deepest + "]}" * 1024 + closed
    (trace,) = read_traces(text.encode(), 1)
    assert trace.result is not None
    (transfer,) = call_transfers(trace.result)
    assert (transfer.index, transfer.amount_minor) == ("call:1024", 7)


WORDS = "execution timeout"
FAULT = {"code": -32000, "message": WORDS}


@pytest.mark.parametrize("read", [wire.decode_traces_reply, read_nested_reply])
@pytest.mark.parametrize(
    ("error", "begun"),
    [(WORDS, False), (FAULT, False), (FAULT, True)],
    ids=["as geth says it", "as Erigon does", "as Erigon does behind what it had"],
)
def test_a_transaction_that_was_not_traced_makes_no_block_and_the_nodes_words_are_told(
    read: Callable[[bytes], wire.TracesReply], error: str | dict[str, Any], *, begun: bool
) -> None:
    answers = load_block(TRACED[0])
    answer = traces_answer(traces_of(answers) or [])
    answer["result"][-1] = {"error": error, **(answer["result"][-1] if begun else {})}
    block = wire.decode_block(encode(answers["eth_getBlockByNumber"]))
    receipts = wire.decode_receipts(encode(answers["eth_getBlockReceipts"]))
    assert block is not None
    assert receipts is not None
    with pytest.raises(NodeUnavailable, match=WORDS):
        normalise_block(block, receipts, read(encode(answer)).result)


@pytest.mark.parametrize("height", TRACED)
def test_traces_are_the_same_when_read_without_recursion(height: int) -> None:
    answer = traces_answer(traces_of(load_block(height)) or [])
    for trace in answer["result"]:
        trace["txHash"] = "0x" + 64 * "a"
    raw = json.dumps(answer, indent=1).encode()
    assert read_nested_reply(raw) == wire.decode_traces_reply(raw)


FRAME = b'{"type":"CALL","from":"0x1111111111111111111111111111111111111111"'


@pytest.mark.parametrize(
    "traces",
    [
        b"",
        b"[",
        b"[]]",
        b"{}",
        b"[1]",
        b"null",
        b'[{"result":{}}]',
        b'[{"result":{"type":"CALL","from":"0x1"}}]',
        b'[{"result":' + FRAME + b"}",
        b'[{"result":' + FRAME + b',"calls":5}}]',
        b'[{"result":' + FRAME + b',"calls":[5]}}]',
        b'[{"result":"\xff"}]',
    ],
)
def test_what_is_no_list_of_traces_is_refused_without_recursion(traces: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        read_nested_reply(b'{"id":1,"result":' + traces + b"}")
