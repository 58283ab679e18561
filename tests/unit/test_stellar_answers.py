"""What Horizon's answers mean where a proxy may have given them in its place."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.stellar import wire
from chain_adapters.stellar.sending import has_landed
from chain_adapters.types import NodeUnavailable


@pytest.mark.parametrize(
    ("body", "landed"),
    [
        (b'{"type":"https://stellar.org/horizon-errors/not_found","title":"Missing"}', False),
        (b'{"type":"about:blank"}', None),
        (b"{}", None),
        (b"<html>404 page not found</html>", None),
    ],
)
async def test_only_the_servers_own_words_say_that_a_transaction_is_nowhere(
    body: bytes, landed: bool | None
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=404)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with TestServer(application) as server:
        rpc = RpcClient("stellar:test", [str(server.make_url("/"))], identify=accept_any)
        if landed is None:
            with pytest.raises((NodeUnavailable, msgspec.MsgspecError)):
                await has_landed(rpc.endpoints[0], "ab" * 32)
        else:
            assert await has_landed(rpc.endpoints[0], "ab" * 32) is landed
        await rpc.close()


async def accept_any(_: Endpoint) -> None:
    """Take every endpoint for the right network's."""


@pytest.mark.parametrize("closed_at", ["2026-11-22T01:00:00", "2026-11-22", "1763773200", ""])
def test_a_close_without_time_zone_is_no_time(closed_at: str) -> None:
    ledger = {"sequence": 5, "hash": "a" * 64, "prev_hash": "b" * 64, "closed_at": closed_at}
    counts = {"successful_transaction_count": 0, "operation_count": 0}
    fees = {"base_fee_in_stroops": 100, "base_reserve_in_stroops": 5_000_000}
    with pytest.raises(msgspec.ValidationError, match="closed_at"):
        wire.decode_ledger(msgspec.json.encode(ledger | counts | fees))
    whole = ledger | counts | fees | {"closed_at": "2026-11-22T01:00:00Z"}
    assert wire.decode_ledger(msgspec.json.encode(whole)).closed_at.timestamp() == 1795309200
