"""What Horizon's answers mean where a proxy may have given them in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.stellar import wire
from chain_adapters.stellar.quoting import fetch_account
from chain_adapters.stellar.sending import has_landed, submit
from chain_adapters.types import NodeUnavailable, SignedTransaction

OURS, THEIRS = "ab" * 32, "cd" * 32


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
    async with answering(404, body) as endpoint:
        if landed is None:
            with pytest.raises((NodeUnavailable, msgspec.MsgspecError)):
                await has_landed(endpoint, OURS)
        else:
            assert await has_landed(endpoint, OURS) is landed


@pytest.mark.parametrize(
    ("found", "landed"),
    [
        ({"hash": OURS}, True),
        ({"hash": THEIRS, "inner_transaction": {"hash": OURS}}, True),
        ({"hash": THEIRS}, None),
        ({"hash": THEIRS, "inner_transaction": {"hash": THEIRS}}, None),
    ],
)
async def test_another_transaction_in_a_ledger_is_not_taken_for_ours(
    found: dict[str, Any], landed: bool | None
) -> None:
    async with answering(200, msgspec.json.encode(found)) as endpoint:
        if landed is None:
            with pytest.raises(NodeUnavailable, match="another transaction"):
                await has_landed(endpoint, OURS)
        else:
            assert await has_landed(endpoint, OURS)


@pytest.mark.parametrize("status", [200, 201, 409])
async def test_a_transaction_is_taken_only_by_an_answer_about_it(status: int) -> None:
    signed = SignedTransaction(OURS, b"envelope")
    async with answering(status, msgspec.json.encode({"hash": OURS})) as endpoint:
        assert await submit(endpoint, signed) is None
    async with answering(status, msgspec.json.encode({"hash": THEIRS})) as endpoint:
        with pytest.raises(NodeUnavailable, match="another transaction"):
            await submit(endpoint, signed)


async def test_another_account_is_not_taken_for_the_one_asked_for() -> None:
    theirs = "G" + "B" * 55
    account = {"account_id": theirs, "sequence": "7", "subentry_count": 0, "balances": []}
    async with answering(200, msgspec.json.encode(account)) as endpoint:
        assert await fetch_account(endpoint, theirs) is not None
        with pytest.raises(NodeUnavailable, match="another account"):
            await fetch_account(endpoint, "G" + "A" * 55)


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[Endpoint]:
    """Open an endpoint that answers everything alike."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        rpc = RpcClient("stellar:test", [str(server.make_url("/"))], identify=accept_any)
        yield rpc.endpoints[0]
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
