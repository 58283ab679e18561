"""A gateway in front of a Solana node that lags, loses and lies as a test orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.support.node_gateway import NodeGateway

Instead = Callable[[list[Any]], dict[str, Any] | None]
"""Answers a call in the node's place, with `result` or `error`; None lets the node answer."""
Mangle = Callable[[Any], None]
"""Changes a node's result in place."""


class SolanaGateway(NodeGateway[Instead, Mangle]):
    """Passes calls on; `instead` and `mangle` are by method."""

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
        async with self._http.post(self._node_url, json=call) as response:
            answer: dict[str, Any] = await response.json()
            return answer
