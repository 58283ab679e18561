"""One request of a webhook: sent once, read to a bound, never raised from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import aiohttp
from yarl import URL

from notifications.guard import ForbiddenAddress, ForbiddenConnection
from notifications.schedule import Result, judge_status

RESPONSE_BYTES_MAX = 1024
ERROR_CHARACTERS_MAX = 500
_FAILURES = (TimeoutError, aiohttp.ClientError, OSError, ValueError)


class Answer(NamedTuple):
    """What came of a request."""

    result: Result
    duration_s: float
    status: int | None = None
    error: str | None = None
    """None if delivered."""
    response: str | None = None
    """How the body began, None if it was empty or not read."""
    retry_after: str | None = None


async def post(
    session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str], payload: bytes
) -> Answer:
    """Send `payload` once and report. Redirects are not followed. Raises nothing but cancellation.

    The session's time-out covers all of it, also an answer that trickles in byte by byte. Its
    status alone counts: a receiver that tells a wrong length or closes too soon has heard us.
    """
    start = time.perf_counter()
    try:
        async with session.post(
            url, data=payload, headers=headers, allow_redirects=False
        ) as response:
            text = await _read_start(response)
            return _judge(response, text, time.perf_counter() - start)
    except _FAILURES as error:
        return fail(error, time.perf_counter() - start)


def fail(error: Exception, duration_s: float = 0.0) -> Answer:
    """Return the answer that stands for an exception."""
    text = _clean(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return Answer(_name(error), duration_s, error=text[:ERROR_CHARACTERS_MAX])


def _name(error: Exception) -> Result:
    if isinstance(error, TimeoutError):
        return "timeout"
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ForbiddenAddress | ForbiddenConnection):
        return "forbidden"
    return "unreachable"


def _judge(response: aiohttp.ClientResponse, text: str | None, duration_s: float) -> Answer:
    result = judge_status(response.status)
    error = None if result == "delivered" else f"HTTP {response.status}"
    retry_after = None if result == "delivered" else response.headers.get("Retry-After")
    return Answer(result, duration_s, response.status, error, text, retry_after)


async def _read_start(response: aiohttp.ClientResponse) -> str | None:
    content = response.content
    if content.at_eof():
        return None
    body = b""
    with suppress(*_FAILURES):
        while len(body) < RESPONSE_BYTES_MAX:
            chunk = await content.read(RESPONSE_BYTES_MAX - len(body))
            if not chunk:
                break
            body += chunk
    if not content.at_eof():
        response.close()  # the rest of the body is of no use to us
    return _clean(body.decode(errors="replace")) or None


def _clean(text: str) -> str:
    # Postgres keeps no NUL in a text, and no bytes in disguise.
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
