"""Following the tip: polled, and polled at once whenever a WebSocket tells of a new root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec

from chain_adapters.rpc import Absent, RpcClient
from chain_adapters.solana.reading import poll_tip
from chain_adapters.types import Tip

_RECONNECT_S_MAX = 60.0
_HEARTBEAT_S = 15.0
_CANCEL_AGAIN_S = 1.0
_MESSAGE_BYTES_MAX = 1024 * 1024
_SUBSCRIBE = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "rootSubscribe"}).decode()


class TipWatcher:
    """Yields the finalized tips of one network to one listener.

    The WebSocket (rootSubscribe) only says when to look; what there is, an endpoint tells that
    was held to the right network. So a silent, broken or foreign socket costs time and no more.
    """

    def __init__(
        self, rpc: RpcClient, push_url: str | None, *, poll_interval_s: float, silence_s: float
    ) -> None:
        self._rpc = rpc
        self._push_url = push_url
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s
        self._woken = asyncio.Event()

    async def watch(self) -> AsyncGenerator[Tip, None]:
        """Yield the tip now and after each change.

        A tip that stands still may be that of a node that lags: all are asked then.
        """
        loop = asyncio.get_running_loop()
        last: Tip | None = None
        changed_at = loop.time()
        async with self._listening():
            while True:
                tip = await self._look(last)
                if tip != last:
                    last, changed_at = tip, loop.time()
                    yield tip
                elif loop.time() - changed_at > self._silence_s and len(self._rpc.endpoints) > 1:
                    changed_at = loop.time()
                    await self._rpc.survey(poll_tip, lambda tip: tip.height)
                await self._pause()

    async def _look(self, last: Tip | None) -> Tip:
        """Return the tip; the last one while no node gives the newest finalized block yet."""
        try:
            return await self._rpc.first(poll_tip)
        except Absent:
            if last is None:
                raise
            return last

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_interval_s):
                await self._woken.wait()
        self._woken.clear()

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        if self._push_url is None:
            yield
            return
        listener = asyncio.create_task(self._listen(self._push_url))
        try:
            yield
        finally:
            # aiohttp takes it for a time-out of its own if one is due in the same moment.
            while not listener.done():
                listener.cancel()
                await asyncio.wait([listener], timeout=_CANCEL_AGAIN_S)
            with suppress(asyncio.CancelledError):
                await listener

    async def _listen(self, url: str) -> None:
        """Wake the poller at each new root, reconnecting for ever; no error tells the URL."""
        pause_s = self._poll_interval_s
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
                async with self._rpc.session.ws_connect(
                    url, heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_BYTES_MAX
                ) as socket:
                    await socket.send_str(_SUBSCRIBE)
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            pause_s = self._poll_interval_s
                            self._woken.set()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RECONNECT_S_MAX)
