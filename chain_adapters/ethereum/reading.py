"""Reading one block from one endpoint, whole or not at all."""

from __future__ import annotations

from typing import Literal

import msgspec

from chain_adapters.ethereum import wire
from chain_adapters.ethereum.decode import normalise_block
from chain_adapters.ethereum.nested import read_nested_reply
from chain_adapters.rpc import (
    Absent,
    Endpoint,
    MethodMissing,
    Reply,
    Request,
    describe_fault,
    misses_method,
    result_of,
    split_replies,
)
from chain_adapters.types import Block, NodeUnavailable

Traces = Literal["auto", "always", "never"]

BLOCK_RECEIPTS = "eth_getBlockReceipts"
TRACE_BLOCK = "debug_traceBlockByHash"
CALL_TRACER = {"tracer": "callTracer", "timeout": "10s"}
"""As long for each transaction as the whole answer is waited for; geth's own limit is 5 s."""
_RECEIPTS_PER_POST = 100
"""Batches of single receipts stay below the limits that providers set."""


class TracesMissing(MethodMissing):
    """The endpoint does not trace blocks."""


class BlockReader:
    """Knows in which way blocks can be read, and keeps to it.

    Whether inner calls are traced is settled once: in mode "auto" by the first block that has
    transactions. From then on a failing trace is a failing node, so that a block has the same
    transfers whenever it is read.
    """

    def __init__(self, traces: Traces) -> None:
        self.traced: bool | None = {"auto": None, "always": True, "never": False}[traces]

    async def read_block(self, endpoint: Endpoint, height: int) -> Block:
        """Return the endpoint's block at `height`; Absent if it has none."""
        block, receipts = await self._read_parts(endpoint, height)
        if int(block.number, 16) != height:
            raise NodeUnavailable("the node answered with a block of another height")
        traces = await self._read_traces(endpoint, block)
        return normalise_block(block, receipts, traces)

    async def _read_parts(
        self, endpoint: Endpoint, height: int
    ) -> tuple[wire.WireBlock, list[wire.WireReceipt]]:
        quantity = hex(height)
        requests = [Request("eth_getBlockByNumber", (quantity, True))]
        if BLOCK_RECEIPTS not in endpoint.lacks:
            requests.append(Request(BLOCK_RECEIPTS, (quantity,)))
        raw, first_id = await endpoint.post(requests)
        block, receipts = split_parts(raw, first_id, len(requests))
        if block is None:
            raise Absent(f"no block {height}")
        if receipts is None:
            endpoint.lacks.add(BLOCK_RECEIPTS)
            receipts = await read_single_receipts(endpoint, block)
        return block, receipts

    async def _read_traces(
        self, endpoint: Endpoint, block: wire.WireBlock
    ) -> list[wire.WireTrace] | None:
        if self.traced is False or not block.transactions:
            return None
        request = Request(TRACE_BLOCK, (block.hash, CALL_TRACER))
        raw, id_ = await endpoint.post([request])
        traces = read_traces(raw, id_)
        self.traced = True
        return traces

    def give_up_traces(self) -> bool:
        """Settle, if that is open, that no endpoint traces; return whether blocks go without."""
        if self.traced is None:
            self.traced = False
        return not self.traced


def read_traces(raw: bytes, id_: int) -> list[wire.WireTrace]:
    """Decode the answer with a block's traces, however deep a transaction nested its calls."""
    try:
        reply = wire.decode_traces_reply(raw)
    except RecursionError:
        reply = read_nested_reply(raw)
    if reply.error is not None and misses_method(reply.error):
        raise TracesMissing(f"the node does not trace blocks: {describe_fault(reply.error)}")
    if reply.error is not None:
        raise NodeUnavailable(describe_fault(reply.error))
    if reply.id != id_ or reply.result is None:
        raise NodeUnavailable("the node did not answer with the block's traces")
    return reply.result


def split_parts(
    raw: bytes, first_id: int, length: int
) -> tuple[wire.WireBlock | None, list[wire.WireReceipt] | None]:
    """Return block and receipts; receipts None if the endpoint does not give a block's at once."""
    try:
        first, second = wire.decode_block_batch(raw)
    except msgspec.ValidationError:
        return split_odd_parts(split_replies(raw, first_id, length))
    if (first.id, second.id) != (first_id, first_id + 1):
        return split_odd_parts(split_replies(raw, first_id, length))
    if second.result is None and first.result is not None:
        raise NodeUnavailable("the node has the block but not its receipts")
    return first.result, second.result


def split_odd_parts(
    replies: list[Reply],
) -> tuple[wire.WireBlock | None, list[wire.WireReceipt] | None]:
    """The same for answers out of order, with errors, or to a request for the block alone."""
    block = wire.decode_block(result_of(replies[0]))
    if block is None or len(replies) == 1:
        return block, None
    try:
        receipts = wire.decode_receipts(result_of(replies[1]))
    except MethodMissing:
        return block, None
    if receipts is None:
        raise NodeUnavailable("the node has the block but not its receipts")
    return block, receipts


async def read_single_receipts(endpoint: Endpoint, block: wire.WireBlock) -> list[wire.WireReceipt]:
    """Read a block's receipts one by one, for nodes without eth_getBlockReceipts."""
    hashes = [transaction.hash for transaction in block.transactions]
    receipts = []
    for start in range(0, len(hashes), _RECEIPTS_PER_POST):
        chunk = hashes[start : start + _RECEIPTS_PER_POST]
        replies = await endpoint.call([Request("eth_getTransactionReceipt", (h,)) for h in chunk])
        receipts += [wire.decode_receipt(result_of(reply)) for reply in replies]
    found = [receipt for receipt in receipts if receipt is not None]
    if len(found) != len(hashes):
        raise NodeUnavailable("the node has the block but not its receipts")
    return found
