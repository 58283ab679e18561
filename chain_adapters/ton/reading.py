"""Reading one masterchain block from one endpoint with all it committed, or not at all.

The masterchain block names the newest block of each shard. All shard blocks from there back to
those that the block before it had named are committed by it, and each says how many transactions
it has: none is taken for read while one of these numbers is not reached.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from chain_adapters.rpc import Absent, Endpoint
from chain_adapters.ton import wire
from chain_adapters.ton.asking import ask_transactions, fetch_header, get
from chain_adapters.ton.constants import MASTERCHAIN
from chain_adapters.ton.decode import Facts, Root, hex_hash, needs_root, normalise_block, read_root
from chain_adapters.ton.tokens import Tokens
from chain_adapters.types import Block, NodeUnavailable

PAGE_ROWS = 1000
"""What toncenter gives at most at once."""
_PAGES_AT_ONCE = 4
TRANSACTIONS_MAX = 1_000_000
"""Of one masterchain block: a hundred times what the network ever had in the seconds of one."""
_ROOTS_MAX = 10_000

Tops = frozenset[wire.BlockRef]
"""The newest block of each shard."""


class BlockReader:
    """Reads blocks, and keeps of the last one what the next needs."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._last: tuple[int, int, str, Tops] | None = None
        self._roots: dict[str, Root] = {}

    async def read_block(self, endpoint: Endpoint, height: int) -> Block:
        """Return the endpoint's block at `height`; Absent if its index is not that far."""
        header = await fetch_header(endpoint, height)
        parent_id, before = await self._parent(endpoint, height)
        tops = await fetch_tops(endpoint, height)
        committed = await fetch_shard_blocks(endpoint, height)
        check_walk(tops, before, committed)
        transactions = await fetch_transactions(endpoint, header, committed)
        block = normalise_block(
            header, parent_id, transactions, await self._facts(endpoint, transactions)
        )
        self._last = (endpoint.index, height, block.block_id, tops)
        return block

    async def _parent(self, endpoint: Endpoint, height: int) -> tuple[str, Tops]:
        """Return the id of the block before, and the shards as it left them."""
        if self._last is not None and self._last[:2] == (endpoint.index, height - 1):
            return self._last[2:]
        if height == 0:
            return "", frozenset()
        try:
            parent = await fetch_header(endpoint, height - 1)
            return hex_hash(parent.root_hash), await fetch_tops(endpoint, height - 1)
        except Absent:
            if height == 1:  # before the first block there is only the zero state
                return "", frozenset()
            raise NodeUnavailable("the node has the block but not the one before it") from None

    async def _facts(self, endpoint: Endpoint, transactions: list[wire.Transaction]) -> Facts:
        wallets = await self._tokens.held_by(endpoint, transactions)
        wanted = {t.trace_id for t in transactions if t.trace_id is not None and needs_root(t)}
        if not wanted:
            return Facts(wallets, {})
        roots = {t.hash: read_root(t) for t in transactions if t.hash in wanted}
        for trace_id in wanted - roots.keys():
            root = await self._fetch_root(endpoint, trace_id)
            if root is not None:
                roots[trace_id] = root
        return Facts(wallets, roots)

    async def _fetch_root(self, endpoint: Endpoint, trace_id: str) -> Root | None:
        """Return the transaction that began a trace, None if the index does not reach back."""
        if trace_id not in self._roots:
            query = {"hash": trace_id, "limit": "1"}
            answer = await ask_transactions(endpoint, "transactions", query)
            found = [t for t in answer if t.hash == trace_id]
            if not found:
                return None
            self._roots[trace_id] = read_root(found[0])
            if len(self._roots) > _ROOTS_MAX:
                del self._roots[next(iter(self._roots))]
        return self._roots[trace_id]


async def fetch_tops(endpoint: Endpoint, height: int) -> Tops:
    """Return the newest block of each shard as a masterchain block names them."""
    query = {"seqno": str(height)}
    answer = await get(endpoint, "masterchainBlockShardState", query, wire.Blocks)
    return frozenset(b.ref for b in answer.blocks if b.workchain != MASTERCHAIN)


async def fetch_shard_blocks(endpoint: Endpoint, height: int) -> list[wire.BlockHeader]:
    """Return the shard blocks that a masterchain block committed."""
    found: dict[wire.BlockRef, wire.BlockHeader] = {}
    rows = 0
    while True:
        query = {"seqno": str(height), "limit": str(PAGE_ROWS), "offset": str(rows)}
        page = (await get(endpoint, "masterchainBlockShards", query, wire.Blocks)).blocks
        found.update({block.ref: block for block in page})
        rows += len(page)
        if len(found) < rows:
            raise NodeUnavailable("the node names a shard block twice")
        if len(page) < PAGE_ROWS:
            return [block for block in found.values() if block.workchain != MASTERCHAIN]


def check_walk(tops: Tops, before: Tops, committed: list[wire.BlockHeader]) -> None:
    """Raise NodeUnavailable unless the shard blocks are those between two masterchain blocks.

    Walked are all parents from the newest blocks back, through splits and merges.
    """
    known = {block.ref: block for block in committed}
    reached: set[wire.BlockRef] = set()
    stack = [top for top in tops if top not in before]
    while stack:
        ref = stack.pop()
        if ref in before or ref in reached:
            continue
        if ref not in known:
            if ref.seqno == 0:  # a shard's zero state has no transactions
                continue
            raise NodeUnavailable(f"shard block {ref.workchain}:{ref.shard}:{ref.seqno} is missing")
        reached.add(ref)
        stack += known[ref].prev_blocks
    if len(reached) != len(known):
        raise NodeUnavailable("the node names shard blocks that the masterchain did not commit")


async def fetch_transactions(
    endpoint: Endpoint, header: wire.BlockHeader, committed: list[wire.BlockHeader]
) -> list[wire.Transaction]:
    """Return all transactions of a masterchain block and of the shard blocks it committed."""
    expected = {block.ref: block.tx_count for block in (header, *committed) if block.tx_count}
    total = sum(expected.values())
    if total > TRANSACTIONS_MAX:
        raise NodeUnavailable(f"no block has {total} transactions")
    found: list[wire.Transaction] = []
    if total:
        found = await fetch_page(endpoint, header.seqno, 0, PAGE_ROWS)
    rows = len(found)  # a server may give less at once
    offsets = range(rows, total, rows) if rows else range(0)
    for start in range(0, len(offsets), _PAGES_AT_ONCE):
        pages = [
            fetch_page(endpoint, header.seqno, offset, rows)
            for offset in offsets[start : start + _PAGES_AT_ONCE]
        ]
        for page in await asyncio.gather(*pages):
            found += page
    check_complete(header.seqno, expected, found)
    return found


async def fetch_page(
    endpoint: Endpoint, height: int, offset: int, rows: int
) -> list[wire.Transaction]:
    """Return some transactions of a masterchain block."""
    query = {"seqno": str(height), "limit": str(rows), "offset": str(offset), "sort": "asc"}
    return await ask_transactions(endpoint, "transactionsByMasterchainBlock", query)


def check_complete(
    height: int, expected: dict[wire.BlockRef, int], found: Iterable[wire.Transaction]
) -> None:
    """Raise NodeUnavailable unless each block has as many transactions as it says, each once."""
    seen: set[str] = set()
    counted: Counter[wire.BlockRef] = Counter()
    for transaction in found:
        if transaction.mc_block_seqno != height or transaction.hash in seen:
            raise NodeUnavailable("a transaction is there twice or belongs to another block")
        seen.add(transaction.hash)
        counted[transaction.block_ref] += 1
    if counted != expected:
        raise NodeUnavailable("the block's transactions are not all there")
