"""Following the tip: pushed over WebSocket while that works, polled otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import aiohttp
import msgspec

from chain_adapters.bounds import check_answer
from chain_adapters.ethereum import wire
from chain_adapters.ethereum.identity import refuse_other_chain
from chain_adapters.rpc import (
    Endpoint,
    Reply,
    Request,
    RpcClient,
    describe_fault,
    result_of,
    show_host,
)
from chain_adapters.types import NodeUnavailable, Tip

_MESSAGE_BYTES_MAX = 1024 * 1024
_RECONNECT_S_MAX = 60.0
_HANDSHAKE_S = 10.0
_CLOSE = aiohttp.ClientWSTimeout(ws_close=1.0)
_HEARTBEAT_S = 15.0
_FOLLOWING_S = 0.1
"""A head that comes so soon after another was on its way with it, or the chain is a quick one."""
_UNASKED_S_MAX = 5.0
"""For so long at most do heads that follow each other put off the question what is final."""
_BREAKS = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    msgspec.MsgspecError,
    ValueError,
    RecursionError,
)
"""What a socket raises that breaks or says nonsense (RecursionError: nested too deep)."""


class _PushParams(msgspec.Struct):
    result: wire.WireHead


class _Push(msgspec.Struct):
    """One message of a newHeads subscription (geth, "Real-time events")."""

    params: _PushParams | None = None


_decode_push = msgspec.json.Decoder(_Push).decode
_decode_reply = msgspec.json.Decoder(Reply).decode


class SocketLost(Exception):
    """The WebSocket broke, was refused or went silent. Polling takes over for a while."""


async def poll_tip(endpoint: Endpoint) -> Tip:
    """Ask one endpoint for its best block and for what it calls safe and finalized."""
    tags = ("latest", "safe", "finalized")
    replies = await endpoint.call([Request("eth_getBlockByNumber", (t, False)) for t in tags])
    head = wire.decode_head(result_of(replies[0]))
    if head is None:
        raise NodeUnavailable("the node has no latest block")
    height = int(head.number, 16)
    return Tip(
        height=height,
        block_id=head.hash,
        safe_height=tagged_height(replies[1], height),
        finalized_height=tagged_height(replies[2], height),
    )


def tagged_height(reply: Reply, tip_height: int) -> int | None:
    """Return the height behind a tag, None where the node or the chain has no such block.

    One above the tip is none either: what is final was never beyond what there is.
    """
    if reply.error is not None:
        return None
    head = wire.decode_head(reply.result)
    if head is None or int(head.number, 16) > tip_height:
        return None
    return int(head.number, 16)


class TipWatcher:
    """Yields the tips of one network to one listener."""

    def __init__(
        self,
        rpc: RpcClient,
        push_url: str | None,
        *,
        chain_id: int,
        poll_interval_s: float,
        silence_s: float,
    ) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._push_url = push_url
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s
        self._last: Tip | None = None

    async def watch(self) -> AsyncGenerator[Tip, None]:
        """Yield the tip now and after each change."""
        reconnect_s = self._poll_interval_s
        while True:
            if self._push_url is not None:
                with suppress(SocketLost):
                    async with aclosing(self._pushed(self._push_url)) as pushed:
                        async for tip in pushed:
                            reconnect_s = self._poll_interval_s
                            yield tip
            async with aclosing(self._polled(reconnect_s)) as polled:
                async for tip in polled:
                    yield tip
            reconnect_s = min(reconnect_s * 2, _RECONNECT_S_MAX)

    async def _polled(self, duration_s: float) -> AsyncGenerator[Tip, None]:
        """Poll for a while: forever if there is no WebSocket to go back to.

        A tip that stands still for `silence_s` may be that of a node that lags: all are asked.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + duration_s
        changed_at = loop.time()
        while True:
            tip = await self._rpc.first(poll_tip)
            if tip != self._last:
                self._last = tip
                changed_at = loop.time()
                yield tip
            elif loop.time() - changed_at > self._silence_s and len(self._rpc.endpoints) > 1:
                changed_at = loop.time()
                await self._rpc.survey(poll_tip, lambda tip: tip.height)
            if self._push_url is not None and loop.time() >= until:
                return
            await asyncio.sleep(self._poll_interval_s)

    async def _pushed(self, url: str) -> AsyncGenerator[Tip, None]:
        """Yield a tip for each pushed head; SocketLost when the socket is of no more use.

        Pushed heads are yielded at once, and the last one again if the safe or finalized height
        moved with it: that is asked once no head follows for a moment, out of the way of those who
        read the block. A quiet socket is checked against the node before it is given up, as a
        chain may be quiet too.
        """
        async with subscribe(self._rpc, url, self._chain_id) as socket:
            tip = await self._rpc.first(poll_tip)
            while True:
                if tip != self._last:
                    self._last = tip
                    yield tip
                head = await self._next_head(socket, tip)
                if head is None:
                    continue
                unasked_until = asyncio.get_running_loop().time() + _UNASKED_S_MAX
                while head is not None:
                    tip = pushed_tip(tip, head)
                    self._last = tip
                    yield tip
                    head = await following_head(socket, unasked_until)
                asked = await self._rpc.first(poll_tip)
                tip = msgspec.structs.replace(
                    tip, safe_height=asked.safe_height, finalized_height=asked.finalized_height
                )

    async def _next_head(
        self, socket: aiohttp.ClientWebSocketResponse, tip: Tip
    ) -> wire.WireHead | None:
        """Return the next pushed head, None after a silence in which the chain was silent too."""
        try:
            return await read_head(socket, self._silence_s)
        except TimeoutError:
            asked = await self._rpc.first(poll_tip)
            if asked.block_id != tip.block_id:
                raise SocketLost("new blocks are not pushed") from None
            return None


def pushed_tip(tip: Tip, head: wire.WireHead) -> Tip:
    """Return the tip with a head that was pushed. SocketLost if it is none."""
    pushed = msgspec.structs.replace(tip, height=int(head.number, 16), block_id=head.hash)
    try:
        check_answer(pushed)
    except NodeUnavailable as fault:
        raise SocketLost(str(fault)) from None
    return pushed


@asynccontextmanager
async def subscribe(
    rpc: RpcClient, url: str, chain_id: int
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a WebSocket that pushes new heads. SocketLost whenever it breaks.

    No error text or chained error carries the URL, which may hold a credential.
    """
    fault = ""
    try:
        async with rpc.session.ws_connect(
            url, heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_BYTES_MAX, timeout=_CLOSE
        ) as socket:
            async with asyncio.timeout(_HANDSHAKE_S):
                answer = wire.decode_text(await ask(socket, "eth_chainId"))
                refuse_other_chain(answer, chain_id, show_host(url))
                await ask(socket, "eth_subscribe", "newHeads")
            yield socket
    except _BREAKS as error:
        fault = type(error).__name__
    if fault:
        raise SocketLost(f"{show_host(url)}: {fault}")


async def ask(socket: aiohttp.ClientWebSocketResponse, method: str, *params: str) -> msgspec.Raw:
    """Make one call over the socket and wait for its answer."""
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    await socket.send_str(msgspec.json.encode(call).decode())
    reply = _decode_reply(await read_message(socket))
    if reply.error is not None:
        raise SocketLost(f"{method}: {describe_fault(reply.error)}")
    return reply.result


async def read_head(socket: aiohttp.ClientWebSocketResponse, timeout_s: float) -> wire.WireHead:
    """Return the next pushed head; TimeoutError if there is none for so long."""
    async with asyncio.timeout(timeout_s):
        while True:
            push = _decode_push(await read_message(socket))
            if push.params is not None:
                return push.params.result


async def following_head(
    socket: aiohttp.ClientWebSocketResponse, unasked_until: float
) -> wire.WireHead | None:
    """Return a head that comes right behind the one before; None if it is time to ask first."""
    if asyncio.get_running_loop().time() >= unasked_until:
        return None
    try:
        return await read_head(socket, _FOLLOWING_S)
    except TimeoutError:
        return None


async def read_message(socket: aiohttp.ClientWebSocketResponse) -> str | bytes:
    """Return one message's content; SocketLost if the socket was closed."""
    message = await socket.receive()
    if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
        raise SocketLost("the socket was closed")
    content: str | bytes = message.data
    return content
