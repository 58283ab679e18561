"""Passwords in addresses of nodes and brokers appear in no error, however wrong the rest is."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from chain_adapters.registry import open_adapter
from chain_adapters.types import AdapterError
from cli.doctor import examine_assets, examine_node
from devstack.chains.anvil import Anvil, ask_chain_id
from devstack.process import ServerError
from settings.model import Network, Settings
from settings.url import check_url
from sql.migrate import MigrationError, migrate
from sql.pool import open_pool

SECRET = "hunter2secret"
NETWORKS = {
    "bitcoin": "bip122:000000000019d6689c085ae165831e93",
    "dogecoin": "bip122:1a91e3dace36e2be3bf030a65679fe82",
    "ethereum": "eip155:1",
    "solana": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    "stellar": "stellar:pubnet",
    "ton": "ton:mainnet",
    "tron": "tron:0x2b6653dc",
}
ADDRESSES = (
    "http://user:{}@127.0.0.1:1",
    "http://user:{}@127.0.0.1:notaport",
    "htp://user:{}@[::1",
    "http://127.0.0.1:1/v2/{}",
    "http://127.0.0.1:1/?key={}",
)
UNESCAPED = ("{}/x", "{}#x", "{}?x", "x?{}", "a[{}]b", "{}/x:1", "1/{}")
"""Passwords, or what follows one's first digits, that end the host of a URL early."""
ENTRY = """
[[networks]]
network = "eip155:1"
kind = "ethereum"
native_asset = "ETH"
rpc_urls = ["http://user:hunter2secret@127.0.0.1:1"]
"""


def words_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def network(kind: str, **changes: Any) -> Network:  # noqa: ANN401 - whatever is configured
    fields = {
        "network": NETWORKS[kind],
        "kind": kind,
        "native_asset": "X",
        "rpc_urls": ("http://x",),
    }
    return Network(**fields | changes)


async def ask_tip(config: Network) -> None:
    adapter = open_adapter(config)
    try:
        async with asyncio.timeout(10):
            async for _ in adapter.watch_tip():
                return
    finally:
        await adapter.close()


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("kind", NETWORKS)
async def test_no_address_of_a_node_is_repeated(
    kind: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises((AdapterError, ValueError)) as caught:
        await ask_tip(network(kind, rpc_urls=(address.format(SECRET),)))
    assert SECRET not in words_of(caught.value) + caplog.text


@pytest.mark.parametrize("password", UNESCAPED)
@pytest.mark.parametrize("field", ["rpc_urls", "push_url"])
@pytest.mark.parametrize("kind", NETWORKS)
async def test_a_password_that_ends_the_host_early_is_told_and_not_repeated(
    kind: str, field: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"http://user:{password.format(SECRET)}@127.0.0.1:1"
    with pytest.raises(ValueError, match="the URL cannot be read") as caught:
        await ask_tip(network(kind, **{field: url if field == "push_url" else (url,)}))
    assert SECRET not in words_of(caught.value) + caplog.text


@pytest.mark.parametrize("push", ["ws://user:{}@127.0.0.1:1", "tcp://user:{}@127.0.0.1:1"])
async def test_a_wrong_address_for_pushes_is_told_and_not_repeated(push: str) -> None:
    config = network("bitcoin", push_url=push.format(SECRET))
    with pytest.raises(AdapterError, match="push_url") as caught:
        await ask_tip(config)
    assert SECRET not in words_of(caught.value)


@pytest.mark.parametrize(
    "more",
    ["confirmations = 'x'", "bogus = 1", "rpc_headers = { X = ['hunter2secret'] }", "kind = [["],
)
def test_a_fault_in_the_file_repeats_nothing_of_it(
    more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "millrace.toml"
    path.write_text(ENTRY + more)
    monkeypatch.setenv("MILLRACE_CONFIG", str(path))
    with pytest.raises((ValidationError, SettingsError, ValueError)) as caught:
        Settings()
    assert SECRET not in words_of(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: network("ethereum", rpc_headers={"X-Key": [SECRET]}),
        lambda: network("ethereum", rpc_urls=[{"url": SECRET}]),
        lambda: network("ethereum", push_url=[SECRET]),
    ],
)
def test_a_network_made_in_code_repeats_nothing_either(make: Callable[[], Network]) -> None:
    with pytest.raises(ValidationError) as caught:
        make()
    assert SECRET not in words_of(caught.value)


@pytest.mark.parametrize("url", ["postgresql://u:{}@127.0.0.1:1/x", "postgresql://u:{}@[::1/x"])
@pytest.mark.parametrize("password", ["{}", *UNESCAPED])
async def test_the_address_of_the_database_is_not_repeated(url: str, password: str) -> None:
    address = url.format(password.format(SECRET))
    with pytest.raises((OSError, ValueError)) as caught:
        await open_pool(address, size=1)
    with pytest.raises(MigrationError) as caught_by_migrate:
        migrate(address)
    assert SECRET not in words_of(caught.value) + words_of(caught_by_migrate.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%2Fw@a.example:5432,[::1]:5433,c/x?application_name=a%40b",
        "postgresql:///x?host=%2Ftmp",
        "https://u:p@n.example/v2/key@home",
        "wss://[::1]:8546/ws",
        "ipc:///tmp/node.ipc",
    ],
)
def test_a_url_that_can_be_read_is_taken(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("brokers", ["a:1", "a.example:9092,b:65535", "[::1]:9092,10.0.0.1:1"])
def test_brokers_that_can_be_read_are_taken(brokers: str) -> None:
    assert Settings(kafka_bootstrap=brokers).kafka_bootstrap == brokers


@pytest.mark.parametrize("url", [*ADDRESSES, "http://u:{}/x@127.0.0.1:1", "{}"])
async def test_the_address_of_somebody_elses_node_is_not_repeated(url: str) -> None:
    with pytest.raises(ServerError, match="MILLRACE_RPC_URL") as caught:
        await ask_chain_id(url.format(SECRET))
    assert SECRET not in words_of(caught.value)


async def test_somebody_elses_node_is_asked_with_the_user_and_password_of_its_url(
    anvil: Anvil,
) -> None:
    assert await ask_chain_id(anvil.rpc_url.replace("//", "//user:word@")) == anvil.chain_id


@pytest.mark.parametrize("url", [f"http://u:{SECRET}/x@127.0.0.1:1", "http://127.0.0.1:${NOT_SET}"])
async def test_the_doctor_tells_of_a_node_whose_address_cannot_be_read(url: str) -> None:
    unread = network("ethereum", rpc_urls=(url,))
    found = await examine_node(unread, url)
    assert found.state == "red"
    (assets,) = await examine_assets(Settings(networks=(unread,)), unread)
    assert assets.state == "yellow"
    for told in (found, assets):
        assert "not configured right" in told.detail
        assert SECRET not in str(told)
