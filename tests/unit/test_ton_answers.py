"""What a toncenter server can answer that would be read for ever, or not at all."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.ton.reading import PAGE_ROWS, fetch_shard_blocks, fetch_transactions
from chain_adapters.ton.tokens import read_cell
from chain_adapters.ton.wire import BlockHeader
from chain_adapters.types import NodeUnavailable

HASH = base64.b64encode(bytes(32)).decode()


def header(seqno: int, tx_count: int = 0) -> BlockHeader:
    return BlockHeader(0, "8000000000000000", seqno, HASH, -239, "1763773200", tx_count)


def row(seqno: int) -> dict[str, object]:
    told = header(seqno)
    return {name: getattr(told, name) for name in told.__struct_fields__}


@pytest.fixture
def pages() -> list[list[dict[str, object]]]:
    """What a server answers in turn; the last page is given again and again."""
    return []


@pytest.fixture
async def endpoint(pages: list[list[dict[str, object]]]) -> AsyncIterator[Endpoint]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"blocks": pages.pop(0) if len(pages) > 1 else pages[0]})

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with TestServer(application) as server:
        rpc = RpcClient("ton:mainnet", [str(server.make_url("/"))], identify=accept_any)
        yield rpc.endpoints[0]
        await rpc.close()


async def accept_any(_: Endpoint) -> None:
    """Take every endpoint for the right network's."""


async def test_shard_blocks_on_several_pages_are_read(
    endpoint: Endpoint, pages: list[list[dict[str, object]]]
) -> None:
    pages += [[row(n) for n in range(PAGE_ROWS)], [row(PAGE_ROWS)]]
    found = await fetch_shard_blocks(endpoint, 7)
    assert [block.seqno for block in found] == list(range(PAGE_ROWS + 1))


async def test_a_server_that_tells_the_same_page_for_ever_is_left(
    endpoint: Endpoint, pages: list[list[dict[str, object]]]
) -> None:
    pages.append([row(n) for n in range(PAGE_ROWS)])
    with pytest.raises(NodeUnavailable, match="twice"):
        await fetch_shard_blocks(endpoint, 7)


async def test_more_transactions_than_a_block_can_have_are_not_asked_for(
    endpoint: Endpoint,
) -> None:
    with pytest.raises(NodeUnavailable, match="no block has"):
        await fetch_transactions(endpoint, header(7), [header(8, tx_count=10**12)])


@pytest.mark.parametrize("bag", ["", "0x", "A" * 44, "!!", "te6ccv////////////////8="])
def test_what_is_no_bag_of_cells_is_the_nodes_fault(bag: str) -> None:
    with pytest.raises(NodeUnavailable, match="cell"):
        read_cell(bag)
