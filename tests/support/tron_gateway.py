"""A gateway in front of a TRON node that loses and lies as a test orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.support.node_gateway import NodeGateway

Instead = Callable[[dict[str, Any]], dict[str, Any]]
"""Answers a request in the node's place."""
Mangle = Callable[[Any], Any]
"""Returns what is told instead of a node's answer."""


class TronGateway(NodeGateway[Instead, Mangle]):
    """Passes requests on; `instead` and `mangle` are by path, e.g. "wallet/getblockbynum"."""

    async def _post(self, request: web.Request) -> web.Response:
        path, body = request.match_info["path"], await request.json()
        if path in self.instead:
            return web.json_response(self.instead[path](body))
        async with self._http.post(f"{self._node_url}/{path}", json=body) as response:
            if response.status != 200:
                return web.Response(status=response.status)
            answer = await response.json()
        return web.json_response(self.mangle.get(path, lambda told: told)(answer))
