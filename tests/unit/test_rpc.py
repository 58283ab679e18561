"""The JSON-RPC client against real HTTP servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from chain_adapters.ethereum.identity import require_chain
from chain_adapters.rpc import (
    Absent,
    Endpoint,
    MethodMissing,
    Request,
    RpcClient,
    result_of,
    split_replies,
)
from chain_adapters.types import NodeUnavailable, WrongNetwork

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NETWORK = "eip155:5"
SECRET = "k3y-in-the-url"


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[str]:
    """Run one HTTP server on a free loopback port; yield its URL, which holds a secret."""
    app = web.Application()
    app.router.add_post("/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://user:{SECRET}@{host}:{port}/v3/{SECRET}?key={SECRET}"
    finally:
        await runner.cleanup()


def answering(result: object, chain_id: int = 5) -> Handler:
    """A proper node whose every other method has this result."""

    async def handle(request: web.Request) -> web.Response:
        call = json.loads(await request.text())
        chosen = hex(chain_id) if call["method"] == "eth_chainId" else result
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": chosen})

    return handle


def sending(body: bytes, status: int = 200, kind: str = "application/json") -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, content_type=kind)

    return handle


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def ask(endpoint: Endpoint) -> str:
    (reply,) = await endpoint.call([Request("probe")])
    return msgspec.json.decode(result_of(reply), type=str)


async def accept_any(_: Endpoint) -> None:
    """Take every endpoint for the right network's."""


@asynccontextmanager
async def client(*urls: str, **changes: object) -> AsyncIterator[RpcClient]:
    settings: dict[str, object] = {"identify": require_chain(5), "timeout_s": 0.3, **changes}
    rpc = RpcClient(NETWORK, urls, **settings)  # type: ignore[arg-type]
    try:
        yield rpc
    finally:
        await rpc.close()


BROKEN: dict[str, Handler] = {
    "truncated": sending(b'{"jsonrpc":"2.0","id":1,"resu'),
    "html": sending(b"<html>Bad gateway</html>", kind="text/html"),
    "html with status 400": sending(b"<html>Nginx</html>", 400, "text/html"),
    "rate limited": sending(b'{"jsonrpc":"2.0","id":1,"result":"0x5"}', 429),
    "server error": sending(b"", 503),
    "moved": sending(b"", 302),
    "null": sending(b"null"),
    "empty": sending(b""),
    "another id": sending(b'{"jsonrpc":"2.0","id":99,"result":"0x5"}'),
    "a number": sending(b'{"jsonrpc":"2.0","id":1,"result":5}'),
    "not hex": sending(b'{"jsonrpc":"2.0","id":1,"result":"five"}'),
    "error": sending(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}'),
    "nested": sending(b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "too long": sending(b" " * 100_000),
    "silent": hang,
}


@pytest.mark.parametrize("name", BROKEN)
async def test_the_next_endpoint_is_asked_when_one_is_broken(name: str) -> None:
    async with (
        serve(BROKEN[name]) as broken,
        serve(answering("fine")) as honest,
        client(broken, honest, response_bytes_max=50_000) as rpc,
    ):
        assert await rpc.first(ask) == "fine"


@pytest.mark.parametrize("name", BROKEN)
async def test_without_a_usable_answer_the_node_is_unavailable(name: str) -> None:
    async with (
        serve(BROKEN[name]) as broken,
        client(broken, "http://127.0.0.1:1", response_bytes_max=50_000) as rpc,
    ):
        with pytest.raises(NodeUnavailable) as raised:
            await rpc.first(ask)
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert SECRET not in shown
    assert "127.0.0.1" in shown


async def test_no_url_is_shown_when_it_cannot_be_used() -> None:
    async with client(f"nonsense://x/{SECRET}", f"http://no.such.host.invalid/{SECRET}") as rpc:
        with pytest.raises(NodeUnavailable) as raised:
            await rpc.first(ask)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


async def test_an_endpoint_of_another_chain_is_passed_over() -> None:
    async with (
        serve(answering("lie", chain_id=1)) as wrong,
        serve(answering("fine")) as right,
        client(wrong, right) as rpc,
    ):
        assert await rpc.first(ask) == "fine"


async def test_an_endpoint_of_another_chain_is_observed_as_one_that_is_of_no_use() -> None:
    last: dict[int, bool] = {}

    def observe(_network: str, _method: str, endpoint: int, _seconds: float, ok: bool) -> None:
        last[endpoint] = ok

    async with (
        serve(answering("lie", chain_id=1)) as wrong,
        serve(answering("fine")) as right,
        client(wrong, right, observe=observe) as rpc,
    ):
        await rpc.first(ask)
    assert last == {0: False, 1: True}


async def test_endpoints_of_another_chain_alone_are_refused() -> None:
    async with serve(answering("lie", chain_id=1)) as wrong, client(wrong, wrong) as rpc:
        with pytest.raises(WrongNetwork, match="chain 1, not 5"):
            await rpc.first(ask)


async def test_an_endpoint_that_failed_is_left_alone_for_a_while() -> None:
    calls: list[int] = []
    now = 0.0
    async with serve(BROKEN["server error"]) as broken, serve(answering("fine")) as honest:
        rpc = RpcClient(
            NETWORK,
            [broken, honest],
            identify=require_chain(5),
            observe=lambda _network, _method, index, _seconds, _ok: calls.append(index),
            clock=lambda: now,
        )
        for _ in range(3):
            await rpc.first(ask)
        assert calls.count(0) == 1
        now = 60.0
        await rpc.first(ask)
        assert calls.count(0) == 2
        await rpc.close()


async def test_no_more_requests_are_under_way_than_allowed() -> None:
    under_way, most = 0, 0
    three = asyncio.Barrier(3)

    async def handle(request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await three.wait()
        call = json.loads(await request.text())
        under_way -= 1
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": "0x5"})

    async with serve(handle) as url, client(url, requests_max=3, timeout_s=5.0) as rpc:
        answers = await asyncio.gather(*(rpc.first(ask) for _ in range(30)))

    assert answers == ["0x5"] * 30
    assert most == 3


async def test_every_call_is_observed() -> None:
    seen: list[tuple[str, str, int, bool]] = []

    def observe(network: str, method: str, endpoint: int, seconds: float, ok: bool) -> None:
        assert seconds >= 0
        seen.append((network, method, endpoint, ok))

    async with (
        serve(BROKEN["server error"]) as broken,
        serve(answering("fine")) as honest,
        client(broken, honest, observe=observe) as rpc,
    ):
        await rpc.first(ask)
    assert seen == [
        (NETWORK, "eth_chainId", 0, False),
        (NETWORK, "eth_chainId", 1, True),
        (NETWORK, "probe", 1, True),
    ]


@pytest.mark.parametrize(
    "begin",
    [
        lambda endpoint: endpoint.post([Request("probe")]),
        lambda endpoint: endpoint.ask("probe", "/x", body={}),
    ],
)
async def test_a_request_that_was_cancelled_says_nothing_of_the_endpoint(
    begin: Callable[[Endpoint], Coroutine[None, None, object]],
) -> None:
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        arrived.set()
        await asyncio.sleep(3600)
        return web.Response()

    seen: list[object] = []
    async with (
        serve(hang) as hanging,
        client(hanging, timeout_s=30.0, observe=lambda *call: seen.append(call)) as rpc,
    ):
        asked = asyncio.create_task(begin(rpc.endpoints[0]))
        await arrived.wait()
        asked.cancel()
        await asyncio.wait([asked])
    assert asked.cancelled()
    assert seen == []


async def test_an_endpoint_that_failed_shows_anew_which_network_it_serves() -> None:
    broken, chain_id = False, 5

    async def handle(request: web.Request) -> web.StreamResponse:
        if broken:
            return web.Response(status=503)
        return await answering("fine", chain_id)(request)

    async with serve(handle) as url, client(url) as rpc:
        assert await rpc.first(ask) == "fine"
        broken = True
        with pytest.raises(NodeUnavailable):
            await rpc.first(ask)
        broken, chain_id = False, 1
        with pytest.raises(WrongNetwork):
            await rpc.first(ask)


async def look(endpoint: Endpoint) -> str:
    answer = await ask(endpoint)
    if answer == "nothing":
        raise Absent(answer)
    return answer


async def test_an_endpoint_that_lagged_behind_another_is_asked_after_it() -> None:
    asked: list[int] = []
    async with (
        serve(answering("nothing")) as lagging,
        serve(answering("found")) as ahead,
        client(
            lagging,
            ahead,
            observe=lambda _network, _method, index, _seconds, _ok: asked.append(index),
            clock=lambda: 0.0,
        ) as rpc,
    ):
        assert await rpc.first(look) == "found"
        asked.clear()
        assert await rpc.first(look) == "found"
    assert asked == [1]


async def test_what_one_endpoint_has_outweighs_that_another_lacks_it() -> None:
    async with serve(answering("nothing")) as lagging, serve(answering("found")) as ahead:
        async with client(lagging, ahead) as rpc:
            assert await rpc.first(look) == "found"
        async with client(lagging, "http://127.0.0.1:1") as rpc:
            with pytest.raises(Absent):
                await rpc.first(look)


async def test_a_method_that_all_lack_is_told_from_a_failure() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'
    async with serve(sending(body)) as lacking:
        async with client(lacking, identify=accept_any) as rpc:
            with pytest.raises(MethodMissing):
                await rpc.first(ask)
        async with client(lacking, "http://127.0.0.1:1", identify=accept_any) as rpc:
            with pytest.raises(NodeUnavailable) as raised:
                await rpc.first(ask)
            assert not isinstance(raised.value, MethodMissing)


def test_a_batch_may_be_answered_in_any_order() -> None:
    raw = b'[{"id":8,"result":"b"},{"id":7,"result":"a"}]'
    assert [bytes(reply.result) for reply in split_replies(raw, 7, 2)] == [b'"a"', b'"b"']


def test_two_answers_to_one_request_are_none() -> None:
    raw = b'[{"id":7,"result":"a"},{"id":8,"result":"b"},{"id":7,"result":"c"}]'
    with pytest.raises(NodeUnavailable, match="answered twice"):
        split_replies(raw, 7, 2)


async def test_a_number_too_large_for_its_place_is_a_fault_of_its_endpoint() -> None:
    async def overflow(endpoint: Endpoint) -> str:
        if endpoint.index == 0:
            (2**64).to_bytes(8)
        return "fine"

    async with client("http://a", "http://b", identify=accept_any) as rpc:
        assert await rpc.first(overflow) == "fine"


def test_a_batch_with_an_answer_missing_is_no_answer() -> None:
    with pytest.raises(NodeUnavailable):
        split_replies(b'[{"id":8,"result":"b"},{"id":8,"result":"a"}]', 7, 2)
