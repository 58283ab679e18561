"""No webhook reaches an address inside, in whatever clothes it comes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.guard import (
    ForbiddenAddress,
    GuardedResolver,
    check_endpoint,
    check_url,
    is_public,
    look_up,
    open_session,
)
from notifications.post import post
from tests.support.webhooks import answer_with, receive

INSIDE = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
INSIDE_IPV6 = [
    "::/16",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
]

inside_ipv4 = st.sampled_from(INSIDE).flatmap(lambda block: st.ip_addresses(v=4, network=block))
inside_ipv6 = st.sampled_from(INSIDE_IPV6).flatmap(
    lambda block: st.ip_addresses(v=6, network=block)
)


@given(inside_ipv4)
def test_an_inner_ipv4_address_is_not_public_in_any_form(address: IPv4Address) -> None:
    number = int(address)
    disguises = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0xFFFF << 48) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
        IPv6Address(number),
    ]
    assert not is_public(address)
    assert not any(map(is_public, disguises))


@given(inside_ipv6)
def test_an_inner_ipv6_address_is_not_public(address: IPv6Address) -> None:
    assert not is_public(address)


@given(inside_ipv4)
def test_odd_notations_of_an_ipv4_address_are_refused(address: IPv4Address) -> None:
    number = int(address)
    octal = ".".join(f"0{part:o}" for part in address.packed)
    hexadecimal = ".".join(f"{part:#x}" for part in address.packed)
    for host in (str(address), str(number), hex(number), f"0{number:o}", octal, hexadecimal):
        with pytest.raises(ForbiddenAddress):
            check_url(f"https://{host}/hook", allow_private=False)
    with pytest.raises(ForbiddenAddress):
        check_url(f"https://[::ffff:{address}]/hook", allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://@example.com/",
        "https:///hook",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/#part",
        "https://exa mple.com/",
        "https://example.com/\r\nx: y",
        "https://example.com\\@127.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://１２７.0.0.1/",
        "https://[fe80::1%25eth0]/",
        "https://[::1]/",
        "https://" + "a" * 2048,
        "example.com",
        "",
    ],
)
def test_urls_that_could_lead_astray_are_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check_url(url, allow_private=False)


@pytest.mark.parametrize(
    "url", ["https://example.com/hook?x=1", "https://8.8.8.8:8443/", "https://[2606:4700::1111]/"]
)
def test_public_urls_are_accepted(url: str) -> None:
    assert str(check_url(url, allow_private=False)) == url


def test_a_url_has_a_length_that_fits_its_column() -> None:
    url = "https://example.com/".ljust(2048, "a")
    assert str(check_url(url, allow_private=False)) == url
    with pytest.raises(ForbiddenAddress):
        check_url(url + "a", allow_private=False)


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect to addresses that were never checked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with receive() as receiver, open_session(allow_private=True, timeout_s=5.0) as session:
        answer = await post(session, check_url(receiver.url, allow_private=True), {}, b"{}")
    assert answer.result == "delivered"


async def test_what_a_receiver_wants_remembered_is_not_told_to_it_again() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    answer = answer_with(200, {"Set-Cookie": "known=1"})
    async with (
        receive(answer) as receiver,
        open_session(allow_private=True, timeout_s=5.0, lookup=lookup) as session,
    ):
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        for _ in range(2):
            await post(session, check_url(url, allow_private=True), {}, b"{}")
    assert ["cookie" in received.headers for received in receiver.received] == [False, False]


async def test_one_inner_address_among_many_is_enough_to_refuse() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(OSError, match="not public"):
        await GuardedResolver(allow_private=False, lookup=lookup).resolve("example.com", 443)
    with pytest.raises(ForbiddenAddress):
        await check_endpoint("https://example.com/", allow_private=False, lookup=lookup)


async def test_a_name_that_turns_inward_after_registration_is_not_reached() -> None:
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])

    async def rebind(host: str, port: int) -> list[str]:
        return next(answers)

    async with receive() as receiver:
        url = receiver.url.replace("http://127.0.0.1", "https://rebind.example")
        target = await check_endpoint(url, allow_private=False, lookup=rebind)
        async with open_session(allow_private=False, timeout_s=5.0, lookup=rebind) as session:
            answer = await post(session, target, {}, b"{}")

    assert answer.result == "forbidden"
    assert receiver.received == []


async def test_the_checked_address_is_the_one_connected_to() -> None:
    asked: list[str] = []

    async def once(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with receive() as receiver:
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        target = check_url(url, allow_private=True)
        async with open_session(allow_private=True, timeout_s=5.0, lookup=once) as session:
            answer = await post(session, target, {}, b"{}")

    assert answer.result == "delivered"
    assert asked == ["hooks.example"]
    assert receiver.received[0].headers["host"].startswith("hooks.example:")


async def test_the_socket_itself_refuses_an_inner_address() -> None:
    async with (
        receive() as receiver,
        open_session(allow_private=False, timeout_s=5.0) as session,
    ):
        with pytest.raises(aiohttp.ClientError):
            await session.post(receiver.url, data=b"{}")
    assert receiver.received == []


def test_public_space_is_open() -> None:
    for text in ("1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"):
        assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("host", ["xn--", "a" * 64 + ".example", "xn--" + "a" * 70, "a..example"])
async def test_a_host_that_is_no_name_is_refused_like_any_other(host: str) -> None:
    with pytest.raises(ForbiddenAddress):
        await check_endpoint(f"https://{host}/hook", allow_private=False)


async def test_names_whose_servers_are_silent_keep_no_other_from_being_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve, over = socket.getaddrinfo, threading.Event()

    def resolve_or_hang(host: str, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
        if host.endswith(".invalid"):
            over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return resolve(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_or_hang)
    hanging = [asyncio.create_task(look_up(f"{n}.silent.invalid", 443)) for n in range(100)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(10):
            assert await look_up("127.0.0.1", 443) == ["127.0.0.1"]
        hanging.pop().cancel()  # as a request does whose time is over
    finally:
        over.set()
    answers = await asyncio.gather(*hanging, return_exceptions=True)
    assert {type(answer) for answer in answers} == {socket.gaierror}
