"""The tip and the latest solidified block, and telling one network from another."""

from __future__ import annotations

import msgspec

from chain_adapters.rpc import Endpoint, Identify, MethodMissing
from chain_adapters.tron import node
from chain_adapters.tron.reading import fetch_header, read_header
from chain_adapters.types import NodeUnavailable, Tip, WrongNetwork

SOLID_HEAD = f"{node.SOLIDITY}/getblock"


class Place(msgspec.Struct, frozen=True):
    """A block's height and id; `served` says whether the endpoint also tells the state after it."""

    height: int
    block_id: str
    served: bool = False


def require_genesis(reference: str) -> Identify:
    """Return a check that the last four bytes of the node's genesis block are `reference`.

    That is the chain id that java-tron itself reports to contracts and in JSON-RPC, and by which
    CAIP-2 names TRON's networks: 0x2b6653dc is the main one.
    """

    async def identify(endpoint: Endpoint) -> None:
        body: dict[str, object] = {"id_or_num": "0", "detail": False}
        answer = await node.ask(endpoint, "wallet/getblock", node.decode_head, **body)
        if answer.block_id is None:
            raise NodeUnavailable("the node's answer is no block")
        found = "0x" + answer.block_id[-8:]
        if found != reference:
            raise WrongNetwork(f"{endpoint.host} serves tron:{found}, not tron:{reference}")

    return identify


async def fetch_solid(endpoint: Endpoint) -> Place:
    """Return the latest block that 19 of the 27 witnesses built on (solidified).

    From /walletsolidity, or from /wallet/getnodeinfo where the endpoint has only that port.
    """
    if SOLID_HEAD not in endpoint.lacks:
        try:
            answer = await node.ask(endpoint, SOLID_HEAD, node.decode_head, detail=False)
            block_id, header = read_header(answer)
            return Place(header.number, block_id, served=True)
        except MethodMissing:
            endpoint.lacks.add(SOLID_HEAD)
    info = await node.ask(endpoint, "wallet/getnodeinfo", node.decode_node_info)
    return read_place(info.solidity_block)


def read_place(text: str) -> Place:
    """Read "Num:<height>,ID:<id>"."""
    height, _, block_id = text.removeprefix("Num:").partition(",ID:")
    if len(block_id) != 64 or not height.isdecimal() or int(block_id[:16], 16) != int(height):
        raise NodeUnavailable("the node does not tell its solidified block")
    return Place(int(height), block_id)


async def poll_tip(endpoint: Endpoint) -> Tip:
    """Ask one endpoint for its best and its latest solidified block."""
    solid = await fetch_solid(endpoint)
    block_id, header = await fetch_header(endpoint, None)
    solid_height = min(solid.height, header.number)
    return Tip(header.number, block_id, safe_height=solid_height, finalized_height=solid_height)
