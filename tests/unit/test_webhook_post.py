"""What is kept of a request that failed."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress

import pytest
from yarl import URL

from notifications.guard import open_session
from notifications.post import ERROR_CHARACTERS_MAX, Answer, fail, post


@pytest.mark.parametrize("said", ["\0", "\udcff", "\ud800x", "x" * 5000])
def test_an_error_can_always_be_kept(said: str) -> None:
    error = fail(ValueError(said)).error
    assert error is not None
    assert error.encode().decode() == error
    assert "\0" not in error
    assert len(error) <= ERROR_CHARACTERS_MAX


async def answer_of(said: bytes, *, closes: bool) -> Answer:
    """Send a webhook to a server that says this and then closes, or says nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(said)
        if not closes:
            await reader.read()  # until we hang up
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_session(allow_private=True, timeout_s=1.0) as session:
            return await post(session, URL(f"http://127.0.0.1:{port}/"), {}, b"{}")


@pytest.mark.parametrize("closes", [True, False])
async def test_a_status_counts_though_the_rest_of_the_answer_never_comes(closes: bool) -> None:
    """Else a receiver that has heard would be told ten times, and be disabled in the end."""
    answer = await answer_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nthank", closes=closes)
    assert (answer.result, answer.status, answer.error) == ("delivered", 200, None)
    assert answer.response == "thank"
    answer = await answer_of(
        b"HTTP/1.1 503 No\r\nContent-Length: 9\r\nRetry-After: 7\r\n\r\n", closes=closes
    )
    assert (answer.result, answer.status, answer.retry_after) == ("refused", 503, "7")


async def test_an_answer_is_not_unpacked() -> None:
    """A few bytes may be gigabytes."""
    packed = gzip.compress(b"x" * 100)
    head = b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    answer = await answer_of(head % len(packed) + packed, closes=True)
    assert answer.response is not None
    assert "x" not in answer.response


async def test_a_connection_is_kept_for_the_next_webhook() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n{}"):
                writer.write(b"HTTP/1.1 103 Wait\r\n\r\n")
                await asyncio.sleep(0)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                await asyncio.sleep(0)
                writer.write(b"ok")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        async with open_session(allow_private=True, timeout_s=5.0) as session:
            answers = [await post(session, url, {}, b"{}") for _ in range(9)]
    assert {(answer.result, answer.response) for answer in answers} == {("delivered", "ok")}
    assert connections == 1


async def test_what_breaks_off_before_its_status_is_no_answer() -> None:
    answer = await answer_of(b"HTTP/1.1 200", closes=True)
    assert (answer.result, answer.status) == ("unreachable", None)


@pytest.mark.parametrize(
    ("said", "status", "response"),
    [
        (b"204 No\r\n\r\nthanks", 204, None),
        (b"200 OK\r\nContent-Length: 2\r\n\r\nthanks", 200, "th"),
        (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\nthanks", 200, None),
        (b"100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
    ],
)
async def test_a_status_counts_though_something_wrong_comes_with_it(
    said: bytes, status: int, response: str | None
) -> None:
    answer = await answer_of(b"HTTP/1.1 " + said, closes=False)
    assert (answer.result, answer.status, answer.response) == ("delivered", status, response)


UNASKED = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "then"),
    [
        (b"Content-Length: 2\r\n\r\nok", UNASKED),
        (b"Content-Length: 2\r\n\r\nok" + UNASKED, b""),
        (b"Content-Length: 2\r\n\r\no", b"k" + UNASKED),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"0\r\n\r\n" + UNASKED),
    ],
)
async def test_what_was_said_unasked_is_no_answer_to_the_next_request(
    said: bytes, then: bytes
) -> None:
    """Else that one need not have gone out, and what is missing was waited for without an end."""
    heard = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n{}"):
                heard += 1
                writer.write(b"HTTP/1.1 200 OK\r\n" + said)
                await asyncio.sleep(0.05)  # so that it comes by itself
                writer.write(then)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(15):
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        async with open_session(allow_private=True, timeout_s=1.0) as session:
            for count in (1, 2):
                answer = await post(session, url, {}, b"{}")
                assert (answer.result, heard) == ("delivered", count)
                await asyncio.sleep(0.2)
