"""The parts of an Ethereum node's answers that are read, as typed records of raw JSON.

Field names and forms: ethereum/execution-apis (eth_*), geth's callTracer (debug_*). Everything
not named here is skipped without being decoded; lengths of hashes and addresses are checked while
decoding.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from chain_adapters.rpc import Fault

Address = Annotated[str, msgspec.Meta(min_length=42, max_length=42)]
Hash = Annotated[str, msgspec.Meta(min_length=66, max_length=66)]
Quantity = Annotated[str, msgspec.Meta(min_length=3, max_length=66)]


class WireTransaction(msgspec.Struct, gc=False, rename="camel"):
    """One element of a block's full transactions, of any type."""

    hash: Hash
    value: Quantity
    sender: Address = msgspec.field(name="from")
    to: Address | None = None
    gas_price: Quantity | None = None
    input: msgspec.Raw = msgspec.Raw(b'"0x"')


class WireBlock(msgspec.Struct, gc=False, rename="camel"):
    """Answer of eth_getBlockByNumber(height, true)."""

    number: Quantity
    hash: Hash
    parent_hash: Hash
    timestamp: Quantity
    transactions: list[WireTransaction]
    transactions_root: str | None = None


class WireHead(msgspec.Struct, rename="camel"):
    """A block header, as of eth_getBlockByNumber(tag, false) and newHeads."""

    number: Quantity
    hash: Hash
    base_fee_per_gas: Quantity | None = None


class WireTopics(msgspec.Struct, gc=False, array_like=True):
    """The list of a log's topics, named as in an ERC-20 Transfer. The EVM knows four at most."""

    event: str = ""
    sender: str = ""
    recipient: str = ""
    fourth: str | None = None


class WireLog(msgspec.Struct, gc=False, rename="camel"):
    """One log of a receipt."""

    address: Address
    topics: WireTopics
    data: str
    log_index: Quantity


class WireReceipt(msgspec.Struct, gc=False, rename="camel"):
    """One receipt, of eth_getBlockReceipts or eth_getTransactionReceipt."""

    transaction_hash: Hash
    block_hash: Hash
    gas_used: Quantity
    logs: list[WireLog]
    status: str | None = None
    root: str | None = None
    contract_address: Address | None = None
    logs_bloom: str | None = None
    effective_gas_price: Quantity | None = None
    blob_gas_used: Quantity | None = None
    blob_gas_price: Quantity | None = None


class WireFrame(msgspec.Struct, rename="camel"):
    """One call frame of callTracer; `calls` are its inner calls in order."""

    type: str
    sender: Address = msgspec.field(name="from")
    to: Address | None = None
    value: Quantity | None = None
    error: str | None = None
    calls: list[WireFrame] = []


class WireTrace(msgspec.Struct, rename="camel"):
    """One transaction's element of debug_traceBlockByHash: a trace, or why there is none.

    Older geth leaves txHash out. Erigon's error is an object, and may stand beside what it had of
    the trace by then.
    """

    result: WireFrame | None = None
    tx_hash: Hash | None = None
    error: Fault | str | None = None


class TracesReply(msgspec.Struct):
    """The answer of debug_traceBlockByHash."""

    id: int
    result: list[WireTrace] | None = None
    error: Fault | None = None


class BlockReply(msgspec.Struct, gc=False):
    """The first answer of the batch that reads a block."""

    id: int
    result: WireBlock | None


class ReceiptsReply(msgspec.Struct, gc=False):
    """The second answer of the batch that reads a block."""

    id: int
    result: list[WireReceipt] | None


decode_block_batch = msgspec.json.Decoder(tuple[BlockReply, ReceiptsReply]).decode
"""The usual case in one pass: both answers in order, neither an error."""

decode_block = msgspec.json.Decoder(WireBlock | None).decode
decode_head = msgspec.json.Decoder(WireHead | None).decode
decode_receipt = msgspec.json.Decoder(WireReceipt | None).decode
decode_receipts = msgspec.json.Decoder(list[WireReceipt] | None).decode
decode_text = msgspec.json.Decoder(str).decode

decode_traces_reply = msgspec.json.Decoder(TracesReply).decode
