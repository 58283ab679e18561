"""A gateway in front of a TRON node that loses and lies as a test orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

Instead = Callable[[dict[str, Any]], dict[str, Any]]
"""Answers a request in the node's place."""
Mangle = Callable[[Any], Any]
"""Returns what is told instead of a node's answer."""


class TronGateway:
    """Passes requests on; `instead` and `mangle` are by path, e.g. "wallet/getblockbynum"."""

    def __init__(self, node_url: str) -> None:
        self.instead: dict[str, Instead] = {}
        self.mangle: dict[str, Mangle] = {}
        self._node_url = node_url
        self._http: aiohttp.ClientSession | None = None
        application = web.Application()
        application.router.add_post("/{path:.+}", self._post)
        self._server = TestServer(application)

    async def start(self) -> str:
        """Serve; return the URL."""
        self._http = aiohttp.ClientSession()
        await self._server.start_server()
        return str(self._server.make_url("")).rstrip("/")

    async def close(self) -> None:
        """Release connections."""
        await self._server.close()
        if self._http is not None:
            await self._http.close()

    def behave(self) -> None:
        """Be an honest gateway from now on."""
        self.instead.clear()
        self.mangle.clear()

    async def _post(self, request: web.Request) -> web.Response:
        path, body = request.match_info["path"], await request.json()
        if path in self.instead:
            return web.json_response(self.instead[path](body))
        assert self._http is not None
        async with self._http.post(f"{self._node_url}/{path}", json=body) as response:
            if response.status != 200:
                return web.Response(status=response.status)
            answer = await response.json()
        return web.json_response(self.mangle.get(path, lambda told: told)(answer))
