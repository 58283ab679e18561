"""Asking one toncenter endpoint, and what its statuses mean."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from pytoniq_core import Address, begin_cell

from chain_adapters.rpc import Absent, Endpoint
from chain_adapters.ton.cells import Reader, read_cells
from chain_adapters.ton.constants import FULL_SHARD, MASTERCHAIN
from chain_adapters.ton.wire import (
    AccountState,
    AccountStates,
    BlockHeader,
    Blocks,
    MethodResult,
    Refusal,
    StackItem,
    Transaction,
    decode_transactions,
)
from chain_adapters.types import NodeUnavailable

T = TypeVar("T")

OK = frozenset({0, 1})
"""Exit codes of a get-method that succeeded (TVM)."""


async def get(endpoint: Endpoint, path: str, query: Mapping[str, str], kind: type[T]) -> T:
    """Return an answer. Absent if there is nothing of the kind, NodeUnavailable if it refuses."""
    status, raw = await endpoint.ask(path, path, query=query)
    return read_answer(status, raw, kind)


def read_answer(status: int, raw: bytes, kind: type[T]) -> T:
    """Decode an answer, or raise what its status means for a read."""
    if status == 404:
        raise Absent(refusal_text(raw) or "not found")
    if status != 200:
        raise NodeUnavailable(f"HTTP status {status} {refusal_text(raw)}".strip())
    return msgspec.json.decode(raw, type=kind)


async def ask_transactions(
    endpoint: Endpoint, path: str, query: Mapping[str, str]
) -> list[Transaction]:
    """Return the transactions of an answer. Absent and NodeUnavailable as of `get`."""
    status, raw = await endpoint.ask(path, path, query=query)
    if status != 200:
        read_answer(status, raw, Refusal)
    return decode_transactions(raw).transactions


def refusal_text(raw: bytes) -> str:
    """Return the server's own words on one line."""
    try:
        return " ".join(msgspec.json.decode(raw, type=Refusal).error.split())[:300]
    except msgspec.MsgspecError:
        return ""


async def fetch_header(endpoint: Endpoint, height: int) -> BlockHeader:
    """Return a masterchain block's header; Absent if the index is not that far."""
    query = {"workchain": str(MASTERCHAIN), "shard": FULL_SHARD, "seqno": str(height)}
    blocks = (await get(endpoint, "blocks", query | {"limit": "1"}, Blocks)).blocks
    if not blocks:
        raise Absent(f"no masterchain block {height}")
    if (blocks[0].workchain, blocks[0].seqno) != (MASTERCHAIN, height):
        raise NodeUnavailable("the node answered with another block")
    return blocks[0]


async def fetch_accounts(endpoint: Endpoint, addresses: Sequence[str]) -> dict[str, AccountState]:
    """Return the latest states of accounts by canonical address; unknown ones are empty."""
    query = {"address": ",".join(a.upper() for a in addresses), "include_boc": "false"}
    answer = await get(endpoint, "accountStates", query, AccountStates)
    found = {account.address.lower(): account for account in answer.accounts}
    return {address: found.get(address, AccountState(address)) for address in addresses}


async def run_method(
    endpoint: Endpoint, address: str, method: str, stack: Sequence[object] = ()
) -> MethodResult:
    """Run a get-method of a contract in its latest state."""
    body = {"address": address.upper(), "method": method, "stack": list(stack)}
    status, raw = await endpoint.ask(f"runGetMethod {method}", "runGetMethod", body=body)
    return read_answer(status, raw, MethodResult)


def address_argument(address: str) -> object:
    """Return an address as an argument of a get-method: a slice."""
    boc = begin_cell().store_address(Address(address)).end_cell().to_boc()
    return {"type": "slice", "value": base64.b64encode(boc).decode()}


def read_number(item: StackItem) -> int:
    """Return a number of a get-method's results. NodeUnavailable if it is none."""
    if item.type != "num" or not isinstance(item.value, str):
        raise NodeUnavailable("a get-method did not answer with a number")
    return int(item.value, 16)


def read_bag(item: StackItem) -> str:
    """Return a cell or slice of a get-method's results, in base64."""
    if not isinstance(item.value, str):
        raise NodeUnavailable("a get-method did not answer with a cell")
    return item.value


def read_owner(item: StackItem) -> str:
    """Return an address of a get-method's results. ValueError if it is none."""
    address = Reader(read_cells(read_bag(item))[0]).address()
    if address is None:
        raise ValueError("no address")
    return address
