"""Reading one block from one endpoint, whole or not at all."""

from __future__ import annotations

from collections import OrderedDict

from chain_adapters.rpc import Absent, Endpoint
from chain_adapters.tron import node, wire
from chain_adapters.tron.decode import check_header, normalise_block
from chain_adapters.types import Block, NodeUnavailable

TIMES_KEPT = 4096


async def fetch_header(endpoint: Endpoint, height: int | None) -> tuple[str, wire.HeaderRaw]:
    """Return id and header of a block, the latest one for None. Absent if there is none."""
    body: dict[str, object] = {"detail": False}
    if height is not None:
        body["id_or_num"] = str(height)
    answer = await node.ask(endpoint, "wallet/getblock", node.decode_head, **body)
    return read_header(answer)


def read_header(answer: wire.HeadAnswer) -> tuple[str, wire.HeaderRaw]:
    """Return a block's id and header, checked against each other."""
    if answer.block_id is None or answer.block_header is None:
        raise NodeUnavailable("the node's answer is no block")
    header = answer.block_header.raw_data
    check_header(answer.block_id, header)
    return answer.block_id, header


class BlockReader:
    """Reads blocks and remembers their times, as a block's clock is the time of its parent."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, int] = OrderedDict()

    async def read_block(self, endpoint: Endpoint, height: int) -> Block:
        """Return the endpoint's block at `height`; Absent if it has none."""
        answer = await node.ask(endpoint, "wallet/getblockbynum", node.decode_block, num=height)
        block_id, header = read_header(answer)
        if header.number != height:
            raise NodeUnavailable("the node answered with a block of another height")
        if not answer.transactions and header.tx_trie_root.strip("0"):
            raise NodeUnavailable("the node leaves out the block's transactions")
        infos = await self._read_infos(endpoint, height) if answer.transactions and height else []
        block = normalise_block(answer, infos, await self._clock_ms(endpoint, header))
        self._remember(block_id, header.timestamp)
        return block

    async def _read_infos(self, endpoint: Endpoint, height: int) -> list[wire.Info]:
        body: dict[str, object] = {"num": height}
        return node.decode_infos(
            await node.post(endpoint, "wallet/gettransactioninfobyblocknum", body)
        )

    async def _clock_ms(self, endpoint: Endpoint, header: wire.HeaderRaw) -> int:
        """Return the time of the block before: what expirations were judged by in this one.

        java-tron takes a transaction into a block if its expiration is later than the head it
        builds on (Manager.validateCommon).
        """
        if header.number == 0:
            return 0
        known = self._times.get(header.parent_hash)
        if known is not None:
            return known
        try:
            parent_id, parent = await fetch_header(endpoint, header.number - 1)
        except Absent:
            raise NodeUnavailable("the node has the block but not its parent") from None
        if parent_id != header.parent_hash:
            raise NodeUnavailable("the chain changed while a block was read")
        self._remember(parent_id, parent.timestamp)
        return parent.timestamp

    def _remember(self, block_id: str, time_ms: int) -> None:
        self._times[block_id] = time_ms
        if len(self._times) > TIMES_KEPT:
            self._times.popitem(last=False)
