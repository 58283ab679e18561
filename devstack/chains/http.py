"""What the clients of development nodes share: one HTTP session, held while they are entered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import aiohttp

from devstack.chains.chain import NodeError


class HttpChain(ABC):
    """A client of the node at `url`."""

    timeout_s: ClassVar[float] = 30.0

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use it as a context manager"
        return self._session

    @abstractmethod
    async def check(self) -> None:
        """Raise NodeError unless this is a development node, OSError if it is away."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.timeout_s))
        try:
            await self.check()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()


class JsonRpcChain(HttpChain):
    """A client of a node that speaks JSON-RPC 2.0."""

    async def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - any JSON
        """Return the result of one call, or raise NodeError."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._http.post(self._url, json=body) as answer:
            reply = await answer.json()
        if "error" in reply:
            raise NodeError(f"{method}: {reply['error'].get('message')}")
        return reply["result"]
