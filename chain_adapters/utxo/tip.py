"""Following the tip: pushed over ZeroMQ while that works, polled otherwise.

A node that was started with -zmqpubhashblock says at once that there is a new block (Bitcoin Core,
doc/zmq.md). Messages may be lost and a socket that nobody serves keeps silent, so what is pushed
is only a reason to ask: the tip itself always comes from the RPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

import zmq
import zmq.asyncio

from chain_adapters.rpc import RpcClient
from chain_adapters.types import NodeUnavailable, Tip
from chain_adapters.utxo.reading import poll_tip

TOPIC = b"hashblock"


@contextmanager
def listen(push_url: str | None) -> Iterator[zmq.asyncio.Socket | None]:
    """Connect to what pushes new blocks, if there is such; ZeroMQ connects again by itself."""
    if push_url is None:
        yield None
        return
    context = zmq.asyncio.Context()
    try:
        socket = context.socket(zmq.SUB)
        socket.subscribe(TOPIC)
        _connect(socket, push_url)
        yield socket
    finally:
        context.destroy(linger=0)


def _connect(socket: zmq.asyncio.Socket, push_url: str) -> None:
    """Raise NodeUnavailable for what is no address, without repeating it: it may hold a key."""
    try:
        socket.connect(push_url)
    except zmq.ZMQError:
        raise NodeUnavailable(
            "push_url is no address that ZeroMQ connects to, such as tcp://host:port"
        ) from None


class TipWatcher:
    """Yields the tips of one network to one listener.

    While pushes announce the blocks, the node is asked without one every `silence_s` only; if a
    block is found so, pushes are not relied on until the next one.
    """

    def __init__(
        self, rpc: RpcClient, push_url: str | None, *, poll_interval_s: float, silence_s: float
    ) -> None:
        self._rpc = rpc
        self._push_url = push_url
        self._poll_interval_s = poll_interval_s
        self._silence_s = max(silence_s, poll_interval_s)
        self._pushes_work = False

    async def watch(self) -> AsyncGenerator[Tip, None]:
        """Yield the tip now and after each change."""
        with listen(self._push_url) as socket:
            async with aclosing(self._follow(socket)) as tips:
                async for tip in tips:
                    yield tip

    async def _follow(self, socket: zmq.asyncio.Socket | None) -> AsyncGenerator[Tip, None]:
        loop = asyncio.get_running_loop()
        last: Tip | None = None
        changed_at = loop.time()
        pushed = False
        while True:
            tip = await self._rpc.first(poll_tip)
            if tip != last:
                self._pushes_work = pushed
                changed_at, last = loop.time(), tip
                yield tip
            elif loop.time() - changed_at > self._silence_s and len(self._rpc.endpoints) > 1:
                changed_at = loop.time()
                await self._rpc.survey(poll_tip, lambda tip: tip.height)
            pushed = await self._wait(socket)

    async def _wait(self, socket: zmq.asyncio.Socket | None) -> bool:
        """Wait for the next reason to ask; return whether it was a push."""
        timeout_s = self._silence_s if self._pushes_work else self._poll_interval_s
        if socket is None:
            await asyncio.sleep(timeout_s)
            return False
        if not await socket.poll(int(timeout_s * 1000)):
            return False
        while await socket.poll(0):
            await socket.recv_multipart()
        return True
