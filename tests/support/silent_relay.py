"""A way to a server that falls silent on the connections there are, as a failover leaves them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class SilentRelay:
    """Listens on loopback; `url` is what to connect to instead of the server's own."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._open: set[object] = set()
        self._silent: set[object] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.url = ""
        self._ends_told = asyncio.Event()
        self._ends_told.set()

    async def listen(self) -> asyncio.Server:
        """Begin; `url` is known from now on."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
        return server

    def fall_silent(self) -> None:
        """Pass nothing on any more, and tell nobody; connections made later work."""
        self._silent |= self._open

    @contextmanager
    def hidden_ends(self) -> Iterator[None]:
        """Pass on what a server says last, but not until later that it left."""
        self._ends_told.clear()
        try:
            yield
        finally:
            self._ends_told.set()

    async def close(self) -> None:
        """Let go of all connections."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = object()
        self._open.add(name)
        back, forth = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers += [writer, forth]
        for ends in ((reader, forth), (back, writer)):
            task = asyncio.create_task(self._pass_on(name, *ends))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, name: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(65536):
                if name not in self._silent:
                    writer.write(data)
        except ConnectionError:
            pass
        finally:
            await self._ends_told.wait()
            if name not in self._silent:
                writer.close()


@asynccontextmanager
async def silent_relay(url: str) -> AsyncIterator[SilentRelay]:
    """Run one before the server of a URL."""
    relay = SilentRelay(url)
    server = await relay.listen()
    try:
        yield relay
    finally:
        server.close()
        await relay.close()
