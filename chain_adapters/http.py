"""One HTTP exchange, bounded in time, number and size, that fails without showing an URL."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from urllib.parse import urlencode

import aiohttp
import msgspec

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

RETRIED_STATUSES = frozenset({429, 500, 502, 503})
"""Statuses that say nothing about what was asked."""


class HttpClient:
    """Asks servers; what goes wrong comes back as a text, since aiohttp's errors have URLs in them.

    `headers` go with every request (API keys) and are never shown. At most `requests_max` are
    under way at a time; the others wait for their turn, and `timeout_s` begins when that comes.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        timeout_s: float,
        requests_max: int,
        response_bytes_max: int,
    ) -> None:
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._gate = asyncio.Semaphore(requests_max)
        self._response_bytes_max = response_bytes_max
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, opened at first use in the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s), headers=self._headers
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def exchange(self, url: str, body: bytes) -> tuple[bytes, str | None]:
        """Post a body; return the answer's bytes, or why there is none, free of any URL."""
        status, raw, fault = await self._request("POST", url, None, body)
        if fault is None and not _may_be_rpc(status, raw):
            return b"", f"HTTP status {status}"
        return raw, fault

    async def fetch(
        self,
        url: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str | None]:
        """Get or post below `url`; return status, answer and, if there is none, why."""
        content = None if body is None else msgspec.json.encode(body)
        content_type = JSON
        if form is not None:
            content, content_type = urlencode(form).encode(), FORM
        method = "GET" if content is None else "POST"
        target = url.rstrip("/") + "/" + path.lstrip("/")
        status, raw, fault = await self._request(method, target, query, content, content_type)
        if fault is None and status in RETRIED_STATUSES:
            return status, raw, f"HTTP status {status}"
        return status, raw, fault

    async def _request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str = JSON,
    ) -> tuple[int, bytes, str | None]:
        headers = {} if body is None else {"Content-Type": content_type}
        try:
            async with (
                self._gate,
                self.session.request(
                    method, url, params=query, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                raw, fault = await self._read_bounded(response)
                return response.status, raw, fault
        except TimeoutError:
            return 0, b"", f"no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 0, b"", f"connection failed: {name_fault(error)}"

    async def _read_bounded(self, response: aiohttp.ClientResponse) -> tuple[bytes, str | None]:
        parts: list[bytes] = []
        length = 0
        async for part in response.content.iter_any():
            length += len(part)
            if length > self._response_bytes_max:
                return b"", f"answer is longer than {self._response_bytes_max} bytes"
            parts.append(part)
        return b"".join(parts), None


def name_fault(error: Exception) -> str:
    """Return why there was no connection, without the URL, which may hold a key."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return "refused"
    if isinstance(cause, socket.gaierror):
        return "no such host"
    return type(cause).__name__


def _may_be_rpc(status: int, raw: bytes) -> bool:
    """Some nodes and gateways send JSON-RPC error objects with status 400, 404 or 500."""
    return status == 200 or (status in {400, 404, 500} and raw[:1] in {b"{", b"["})
