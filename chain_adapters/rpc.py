"""JSON-RPC 2.0 and REST with several endpoints: failover and back-off, and no leaks.

An endpoint is asked for a whole piece of work (a block with its receipts, say), so that one
answer never mixes two nodes. An endpoint that times out, is unreachable, limits our rate, answers
with HTML, truncated JSON or anything that does not fit is left for the next one. Error texts name
hosts only: paths, queries and user parts of an URL may be credentials.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import count
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from chain_adapters.bounds import check_answer
from chain_adapters.http import HttpClient
from chain_adapters.types import NodeUnavailable, WrongNetwork

T = TypeVar("T")

Observer = Callable[[str, str, int, float, bool], None]
"""Told of every call not cancelled: network, method, endpoint index, seconds, whether an answer
came."""

ENDPOINT_LIMITED = frozenset({-32005, -32016, -32029, 429})
"""Error codes with which nodes and gateways say "too many requests" (EIP-1474 and providers)."""
METHOD_MISSING = frozenset({-32601, -32004})
"""Error codes for an unknown or unsupported method (JSON-RPC 2.0, EIP-1474)."""


def ignore_call(network: str, method: str, endpoint: int, seconds: float, ok: bool) -> None:
    """Observe nothing."""


UNUSABLE = (
    NodeUnavailable,
    WrongNetwork,
    msgspec.MsgspecError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
"""What reading an answer raises if it is not as it should be (ArithmeticError: a number larger than
what it is put into; RecursionError: nested too deep)."""


class Request(msgspec.Struct, frozen=True):
    """One JSON-RPC call. Quantities in `params` are hex strings already."""

    method: str
    params: tuple[object, ...] = ()


class Fault(msgspec.Struct, frozen=True):
    """The error object of a JSON-RPC answer: the node's own refusal."""

    code: int
    message: str = ""
    data: object = None


class Reply(msgspec.Struct):
    """One JSON-RPC answer with its result still undecoded."""

    id: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Fault | None = None


class Absent(NodeUnavailable):
    """The endpoint answered properly that it does not have what was asked."""


class MethodMissing(NodeUnavailable):
    """The endpoint does not know the method."""


_decode_reply = msgspec.json.Decoder(Reply).decode
_decode_replies = msgspec.json.Decoder(list[Reply]).decode


def show_host(url: str) -> str:
    """Return host and port of an URL, nothing that could be a credential."""
    parts = urlsplit(url)
    return f"{parts.hostname or '?'}:{parts.port}" if parts.port else (parts.hostname or "?")


def describe_fault(fault: Fault) -> str:
    """Return a node's refusal as one short line."""
    return f"{fault.message.strip()[:200]} (code {fault.code})"


def misses_method(fault: Fault) -> bool:
    """Whether the endpoint does not offer the method at all, as opposed to failing in it."""
    words = fault.message.lower()
    return fault.code in METHOD_MISSING or (
        (
            "method" in words
            and any(hint in words for hint in ("not found", "not exist", "not supp", "not avail"))
        )
        or words == "command unimplemented"  # btcd
    )


def split_replies(raw: bytes, first_id: int, length: int) -> list[Reply]:
    """Return the answers of one post in the order of its requests.

    JSON-RPC 2.0 allows a batch to be answered in any order. NodeUnavailable if an answer is
    missing, or there are two to one request.
    """
    replies = _decode_replies(raw) if length > 1 else [_decode_reply(raw)]
    by_id = {reply.id: reply for reply in replies}
    if len(by_id) < len(replies):
        raise NodeUnavailable("a request of the batch is answered twice")
    try:
        return [by_id[first_id + offset] for offset in range(length)]
    except KeyError:
        raise NodeUnavailable("an answer of the batch is missing") from None


def result_of(reply: Reply) -> msgspec.Raw:
    """Return the result, or raise what the node's refusal means for a read."""
    if reply.error is None:
        return reply.result
    if misses_method(reply.error):
        raise MethodMissing(describe_fault(reply.error))
    raise NodeUnavailable(describe_fault(reply.error))


class Endpoint:
    """One node's URL with its health. Made and chosen by RpcClient."""

    def __init__(self, client: RpcClient, index: int, url: str) -> None:
        self.index = index
        self.host = show_host(url)
        self.lacks: set[str] = set()
        """Methods that this endpoint was found not to offer."""
        self.retry_at = 0.0
        self.network_checked = False
        self._client = client
        self._url = url
        self._failures = 0

    async def call(self, requests: Sequence[Request]) -> list[Reply]:
        """Post the requests as one batch and return their answers in order, errors included."""
        raw, first_id = await self.post(requests)
        return split_replies(raw, first_id, len(requests))

    async def post(self, requests: Sequence[Request]) -> tuple[bytes, int]:
        """Post the requests as one batch; return the raw answer and the first request's id."""
        client = self._client
        first_id = client.take_ids(len(requests))
        body = encode_batch(requests, first_id)
        method = "+".join(dict.fromkeys(request.method for request in requests))
        started = time.perf_counter()
        raw, fault = await client.http.exchange(self._url, body)
        self._observe(method, started, fault)
        # Raised here, outside any except block, so that no aiohttp error with an URL is chained.
        if fault is not None:
            raise NodeUnavailable(fault)
        return raw, first_id

    async def ask(
        self,
        label: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        judged: Collection[int] = (),
    ) -> tuple[int, bytes]:
        """Get `path` below the endpoint's URL, or post `body` as JSON; return status and answer.

        `form` is posted as a web form instead, for servers that take nothing else (Horizon).
        Every status is an answer and for the caller to judge, except 429 and 5xx other than 504,
        which raise NodeUnavailable like no answer at all, unless they are among `judged`, for
        servers that refuse so (toncenter). `label` names the call in metrics.
        """
        client = self._client
        started = time.perf_counter()
        status, raw, fault = await client.http.fetch(self._url, path, query, body, form)
        self._observe(label, started, fault)
        if fault is not None and status not in judged:
            raise NodeUnavailable(fault)
        return status, raw

    def _observe(self, label: str, started: float, fault: str | None) -> None:
        """Tell of a request that came to its end; one that was cancelled says nothing of a node."""
        seconds = time.perf_counter() - started
        self._client.observe(self._client.network, label, self.index, seconds, fault is None)

    async def check_network(self) -> None:
        """Let the endpoint show once per period of health that it serves the right network."""
        if not self.network_checked:
            try:
                await self._client.identify(self)
            except WrongNetwork:
                self._client.observe(self._client.network, "identify", self.index, 0.0, False)
                raise
            self.network_checked = True

    def note_success(self) -> None:
        """Forget earlier failures."""
        self._failures = 0
        self.retry_at = 0.0

    def demote(self, now: float) -> None:
        """Ask the others first for five minutes: this one works but lags behind them."""
        self.retry_at = now + 300.0

    def note_failure(self, now: float) -> None:
        """Back off, twice as long each time, 30 s at most; its network is asked anew."""
        self.retry_at = now + min(30.0, 0.5 * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        self.network_checked = False


def encode_batch(requests: Sequence[Request], first_id: int) -> bytes:
    """Return the body of one post: an object for one request, an array for more."""
    calls = [
        {"jsonrpc": "2.0", "id": first_id + i, "method": r.method, "params": r.params}
        for i, r in enumerate(requests)
    ]
    return msgspec.json.encode(calls if len(calls) > 1 else calls[0])


Identify = Callable[[Endpoint], Awaitable[None]]
"""Raises WrongNetwork if an endpoint serves another network than it should."""


class RpcClient:
    """Chooses endpoints in order of preference and health. One per network and process.

    `headers`, `timeout_s`, `requests_max` and `response_bytes_max` are HttpClient's.
    """

    def __init__(
        self,
        network: str,
        urls: Sequence[str],
        *,
        identify: Identify,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        requests_max: int = 64,
        response_bytes_max: int = 128 * 1024 * 1024,
        observe: Observer = ignore_call,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.network = network
        self.identify = identify
        self.observe = observe
        self.http = HttpClient(headers or {}, timeout_s, requests_max, response_bytes_max)
        self.endpoints = [Endpoint(self, index, url) for index, url in enumerate(urls)]
        self._clock = clock
        self._ids = count(1)

    def take_ids(self, length: int) -> int:
        """Return the first of `length` consecutive request ids."""
        first = next(self._ids)
        for _ in range(length - 1):
            next(self._ids)
        return first

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, for what is pushed over WebSockets."""
        return self.http.session

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    async def first(self, attempt: Callable[[Endpoint], Awaitable[T]]) -> T:
        """Return the first endpoint's answer that `attempt` accepts.

        `attempt` refuses an answer by raising NodeUnavailable (or a decoding error); numbers that
        no chain has are refused here (bounds). Raises Absent if one answered so and none could do
        better, WrongNetwork if all serve another network, MethodMissing if all lack the method,
        NodeUnavailable otherwise.
        """
        faults: list[tuple[Endpoint, Exception]] = []
        for endpoint in self._by_health():
            try:
                await endpoint.check_network()
                answer = await attempt(endpoint)
                check_answer(answer)
            except UNUSABLE as fault:
                faults.append((endpoint, fault))
                if not isinstance(fault, Absent):
                    endpoint.note_failure(self._clock())
                continue
            self._settle(endpoint, faults)
            return answer
        raise conclude(faults)

    async def find(self, attempt: Callable[[Endpoint], Awaitable[T]]) -> T | None:
        """Do as `first` does; None if what is asked for is not there."""
        try:
            return await self.first(attempt)
        except Absent:
            return None

    async def survey(
        self, attempt: Callable[[Endpoint], Awaitable[T]], rank: Callable[[T], int]
    ) -> None:
        """Ask every endpoint, and put those whose answer ranks below the best behind the others.

        Endpoints that do not answer are left as they are.
        """
        found: list[tuple[Endpoint, int]] = []
        for endpoint in self.endpoints:
            try:
                await endpoint.check_network()
                found.append((endpoint, rank(await attempt(endpoint))))
            except UNUSABLE:
                continue
        best = max((place for _, place in found), default=0)
        for endpoint, place in found:
            if place < best:
                endpoint.demote(self._clock())

    def _settle(self, winner: Endpoint, faults: list[tuple[Endpoint, Exception]]) -> None:
        winner.note_success()
        for endpoint, fault in faults:
            if isinstance(fault, Absent):  # it lags behind the winner
                endpoint.note_failure(self._clock())

    def _by_health(self) -> list[Endpoint]:
        """Endpoints in order of preference; those that failed lately last, never left out."""
        now = self._clock()
        return sorted(self.endpoints, key=lambda e: (max(e.retry_at - now, 0.0), e.index))


def conclude(faults: list[tuple[Endpoint, Exception]]) -> Exception:
    """Return the one error that stands for the failure of every endpoint."""
    text = "; ".join(f"{endpoint.host}: {fault}" for endpoint, fault in faults)
    kinds = {type(fault) for _, fault in faults}
    if kinds == {WrongNetwork}:
        return WrongNetwork(text)
    if Absent in kinds:
        return Absent(text)
    kinds.discard(WrongNetwork)
    kind = kinds.pop() if len(kinds) == 1 else NodeUnavailable
    return kind(text) if issubclass(kind, MethodMissing) else NodeUnavailable(text)
