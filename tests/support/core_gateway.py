"""Stands between an adapter and a Core node, and answers some calls as other nodes would."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.utxo_vectors import Number, encode

Call = dict[str, Any]
Answer = dict[str, Any]
Reply = Callable[[Call], Answer | None]
"""Answers a call, or changes it in place and returns None: then the node answers."""


def fault(code: int, message: str) -> Answer:
    return {"result": None, "error": {"code": code, "message": message}}


def result(value: object) -> Answer:
    return {"result": value, "error": None}


def old_dogecoin(call: Call) -> Answer | None:
    """As Dogecoin Core 1.14, which comes from Bitcoin Core 0.14."""
    method, params = call["method"], call["params"]
    if method == "getblock" and not isinstance(params[1], bool):
        return fault(-1, "JSON value is not a boolean as expected")
    if method == "estimatesmartfee":
        return result({"feerate": -1, "blocks": params[0]})
    if method == "getnetworkinfo":
        return result({"relayfee": Number("0.00100000"), "incrementalfee": Number("0.00010000")})
    if method in {"scantxoutset", "getaddressinfo"}:
        return fault(-32601, "Method not found")
    if method == "validateaddress":  # what has moved to getaddressinfo since
        call["method"] = "getaddressinfo"
    return None


class Gateway:
    """Forwards to a node what `reply` does not answer."""

    def __init__(self, upstream: str, reply: Reply) -> None:
        self.reply = reply
        self.url = ""
        self.calls: list[str] = []
        self._upstream = upstream
        self._http: aiohttp.ClientSession | None = None

    async def _answer(self, call: Call) -> Answer:
        self.calls.append(call["method"])
        own = self.reply(call)
        if own is not None:
            return {**own, "id": call["id"]}
        assert self._http is not None
        async with self._http.post(self._upstream, json=call) as response:
            answer: Answer = await response.json(loads=_loads)
            return answer

    async def handle(self, request: web.Request) -> web.Response:
        asked = await request.json()
        calls = asked if isinstance(asked, list) else [asked]
        answers = [await self._answer(call) for call in calls]
        sent = encode(answers if isinstance(asked, list) else answers[0])
        return web.Response(body=sent, content_type="application/json")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        app = web.Application(client_max_size=10**8)
        app.router.add_post("/", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        try:
            async with aiohttp.ClientSession() as self._http:
                yield self
        finally:
            await runner.cleanup()


def _loads(text: str) -> Any:  # noqa: ANN401
    return json.loads(text, parse_float=Number)
