"""An HTTP client around another one, for what a test wants to change of its answers."""

from __future__ import annotations

import aiohttp

from chain_adapters.http import HttpClient


class WrappedHttp(HttpClient):
    """Has the session of another client; what asks is overridden."""

    def __init__(self, honest: HttpClient) -> None:
        self._honest = honest

    @property
    def session(self) -> aiohttp.ClientSession:
        return self._honest.session

    async def close(self) -> None:
        await self._honest.close()
