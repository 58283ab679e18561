"""A gateway in front of a Solana node that lags, loses and lies as a test orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

Instead = Callable[[list[Any]], dict[str, Any] | None]
"""Answers a call in the node's place, with `result` or `error`; None lets the node answer."""
Mangle = Callable[[Any], None]
"""Changes a node's result in place."""


class SolanaGateway:
    """Passes calls on; `instead` and `mangle` are by method."""

    def __init__(self, node_url: str) -> None:
        self.instead: dict[str, Instead] = {}
        self.mangle: dict[str, Mangle] = {}
        self._node_url = node_url
        self._http: aiohttp.ClientSession | None = None
        application = web.Application()
        application.router.add_post("/", self._post)
        self._server = TestServer(application)

    async def start(self) -> str:
        """Serve; return the URL."""
        self._http = aiohttp.ClientSession()
        await self._server.start_server()
        return str(self._server.make_url("/"))

    async def close(self) -> None:
        """Release connections."""
        await self._server.close()
        assert self._http is not None
        await self._http.close()

    def behave(self) -> None:
        """Be an honest gateway from now on."""
        self.instead.clear()
        self.mangle.clear()

    async def _post(self, request: web.Request) -> web.Response:
        call = await request.json()
        method, params = call["method"], call.get("params") or []
        answer = self.instead[method](params) if method in self.instead else None
        if answer is None:
            answer = await self._ask(call)
        if method in self.mangle and answer.get("result"):
            self.mangle[method](answer["result"])
        return web.json_response(answer | {"jsonrpc": "2.0", "id": call["id"]})

    async def _ask(self, call: dict[str, Any]) -> dict[str, Any]:
        assert self._http is not None
        async with self._http.post(self._node_url, json=call) as response:
            answer: dict[str, Any] = await response.json()
            return answer
