"""Keeps webhooks away from addresses that only look like the outside (SSRF).

A tenant chooses where we connect to, and we stand inside a network full of services that trust
their neighbours. So a host is resolved once, every address it gave is checked, and exactly those
are connected to: a name that changes its mind in between (DNS rebinding) gains nothing. The socket
factory checks once more, at the last moment, whatever led there.

Address blocks: the IANA special-purpose registries, RFC 6890; translated forms: RFC 6052, RFC 3056.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from threading import Thread
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from yarl import URL

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""Resolves a host and port to the text of its addresses; raises OSError."""
AddressInfo: TypeAlias = "tuple[Any, Any, int, str, tuple[Any, ...]]"

URL_CHARACTERS_MAX = 2048
DNS_CACHE_S = 30
CONNECT_S_MAX = 10.0
KEEPALIVE_S = 4.0
"""Shorter than the five seconds after which common servers close a connection."""

# Public by their block, and still nobody's business.
_REFUSED_IPV4 = (
    IPv4Network("168.63.129.16/32"),  # the metadata and DNS service of a large cloud
    IPv4Network("192.0.0.0/24"),  # protocol assignments; older Python versions let some pass
    IPv4Network("192.88.99.0/24"),  # relay anycast of 6to4, deprecated by RFC 7526
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_REFUSED_IPV6 = (
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4: carries any IPv4 address, deprecated
    IPv6Network("3fff::/20"),  # documentation, newer than some Python versions
)
_NAT64 = IPv6Network("64:ff9b::/96")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)")


class ForbiddenAddress(ValueError):
    """A URL or an address that webhooks must not go to; the message says why."""


class ForbiddenConnection(OSError):
    """The same, where the network code expects an OSError."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is on the public Internet, also when it is an IPv4 address in disguise."""
    if isinstance(address, IPv4Address):
        return _is_public_ipv4(address)
    if address.ipv4_mapped is not None:
        return _is_public_ipv4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_ipv4(IPv4Address(int(address) & 0xFFFFFFFF))
    # Everything else that carries an IPv4 address lies outside of global unicast or is refused.
    return (
        address in _GLOBAL_UNICAST
        and address.is_global
        and not any(address in block for block in _REFUSED_IPV6)
    )


def _is_public_ipv4(address: IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in block for block in _REFUSED_IPV4)
    )


def check_url(text: str, *, allow_private: bool) -> URL:
    """Return the URL if webhooks may go there as far as can be told without resolving its host.

    https is asked for, http is allowed with `allow_private`. No user information, no fragment, no
    IP address in an odd notation (decimal, octal, hexadecimal, shortened). Raises ForbiddenAddress.
    """
    if len(text) > URL_CHARACTERS_MAX or not text.isprintable() or " " in text:
        raise ForbiddenAddress("the URL is too long or has characters it must not have")
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise ForbiddenAddress("this is no URL") from error
    if url.scheme != "https" and not (allow_private and url.scheme == "http"):
        raise ForbiddenAddress("the URL must begin with https://")
    if not url.raw_host or not port:
        raise ForbiddenAddress("the URL names no host or no usable port")
    if "@" in urlsplit(text).netloc:
        raise ForbiddenAddress("the URL must not contain a user name or password")
    if url.raw_fragment:
        raise ForbiddenAddress("the URL must not have a fragment")
    _check_host(url.raw_host, allow_private=allow_private)
    return url


def _check_host(host: str, *, allow_private: bool) -> None:
    if "%" in host:
        raise ForbiddenAddress("the host is no public name or address")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # As browsers have it: a name whose last label is a number means an IPv4 address.
        if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            raise ForbiddenAddress("write an IPv4 address as four decimal numbers") from None
        return
    if not allow_private and not is_public(address):
        raise ForbiddenAddress("the address is not a public one")


async def look_up(host: str, port: int) -> list[str]:
    """Resolve a host by the system's resolver, in a thread of its own; raises OSError.

    A name whose servers are silent takes up to a minute to be given up. The event loop looks up two
    names at a time, for everybody: two such names would keep all others, the database's too.
    """
    found: Future[list[AddressInfo]] = Future()
    found.set_running_or_notify_cancel()  # from now on it goes to its end, waited for or not
    try:
        Thread(target=_resolve, args=(host, port, found), name="look_up", daemon=True).start()
    except RuntimeError as error:  # there can be no more threads
        raise OSError(str(error)) from error
    addresses = await asyncio.wrap_future(found)
    return list(dict.fromkeys(str(address[0]) for *_, address in addresses))


def _resolve(host: str, port: int, found: Future[list[AddressInfo]]) -> None:
    try:
        found.set_result(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        )
    except Exception as error:  # whoever waits is told of it
        found.set_exception(error)


class GuardedResolver(AbstractResolver):
    """Resolves a host for aiohttp, and fails if any one of its addresses must not be reached."""

    def __init__(self, *, allow_private: bool, lookup: Lookup = look_up) -> None:
        self._allow_private = allow_private
        self._lookup = lookup

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - both families are used
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raises OSError, ForbiddenConnection among them."""
        texts = await self._lookup(host, port)
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in texts]
        if not self._allow_private and not all(map(is_public, addresses)):
            raise ForbiddenConnection("the host resolves to an address that is not public")
        return [_resolved(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing to close."""


def _resolved(host: str, port: int, address: IPv4Address | IPv6Address) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return ResolveResult(
        hostname=host, host=str(address), port=port, family=family, proto=0, flags=0
    )


async def check_endpoint(text: str, *, allow_private: bool, lookup: Lookup = look_up) -> URL:
    """Do all of `check_url` and resolve the host as well: for the moment a URL is registered.

    Raises ForbiddenAddress, also when the host cannot be resolved. It is no promise for later:
    each connection is checked again.
    """
    url = check_url(text, allow_private=allow_private)
    resolver = GuardedResolver(allow_private=allow_private, lookup=lookup)
    try:
        await resolver.resolve(url.raw_host or "", url.port or 0)
    except ForbiddenConnection as error:
        raise ForbiddenAddress(str(error)) from error
    except (OSError, UnicodeError) as error:  # the latter for a label that is too long
        raise ForbiddenAddress("the host cannot be resolved") from error
    return url


class WebhookConnection(ResponseHandler):
    """A connection that keeps a head whatever follows it, and is closed when it speaks unasked.

    aiohttp drops a head with which something wrong came. What nobody asked for it keeps, however
    much, and takes for the answer to the next request, which need not even have gone out; what is
    missing of it is waited for without a time-out.
    """

    def data_received(self, data: bytes) -> None:
        """Take bytes that came; with none, go on with those that were held back."""
        asked = self._waiter is not None
        reading = self._payload is not None and not self._payload.is_eof()
        if data and not asked and not reading:
            self.close()
            return
        heads = len(self._buffer)
        head, end, rest = data.partition(b"\r\n\r\n")
        super().data_received(head + end)
        if rest:
            super().data_received(rest)
        if not asked and len(self._buffer) > heads:
            self.close()


def open_session(
    *, allow_private: bool, timeout_s: float, lookup: Lookup = look_up
) -> aiohttp.ClientSession:
    """Return the session that sends webhooks: guarded, without cookies, proxies or decompression.

    `timeout_s` is for a whole attempt, from resolving the host to the end of the answer.
    """

    def open_socket(target: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = target
        host = str(address[0]).partition("%")[0]
        if not allow_private and not is_public(ipaddress.ip_address(host)):
            raise ForbiddenConnection("the address is not a public one")
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(allow_private=allow_private, lookup=lookup),
        socket_factory=open_socket,
        limit=0,  # the delivery loop has its own limits; waiting here would eat the time-out
        ttl_dns_cache=DNS_CACHE_S,
        keepalive_timeout=KEEPALIVE_S,
    )
    handler: type[ResponseHandler] = WebhookConnection
    connector._factory = partial(handler, loop=asyncio.get_running_loop())
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, CONNECT_S_MAX)),
        auto_decompress=False,
        trust_env=False,
    )
