"""`millrace doctor` holds the configured assets against a real chain."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chain_adapters.ethereum.address import show_address
from cli.doctor import examine_assets
from cli.findings import Finding
from devstack.chains.anvil import Anvil
from settings.model import Asset, Network, Settings
from tests.support.chain_worlds import AnvilWorld, open_anvil_world
from tests.support.command_line import network_of

REVERTING, SILENT = "0x60006000fd", "0x00"
"""Contracts that refuse every call, and that answer every call with nothing."""


@pytest.fixture(scope="module")
async def world(anvil: Anvil) -> AsyncIterator[AnvilWorld]:
    opened = await open_anvil_world(anvil)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def token(world: AnvilWorld) -> str:
    """A token of 18 decimals that calls itself T."""
    return await world.issue_token(world.new_address(), 100)


def asset(name: str, network: Network, contract: str | None = None, decimals: int = 18) -> Asset:
    return Asset(asset=name, network=network.network, contract=contract, decimals=decimals)


async def examine(network: Network, *assets: Asset) -> list[Finding]:
    found = await examine_assets(Settings(networks=(network,), assets=assets), network)
    assert all(finding.remedy for finding in found if finding.state != "green")
    return found


async def test_decimals_that_are_the_chains_are_well(anvil: Anvil, token: str) -> None:
    network = network_of(anvil)
    coin, found = await examine(network, asset("ETH", network), asset("TOK", network, token))
    assert (coin.state, found.state) == ("green", "green")
    assert found.detail == "its contract says 18 decimals, and calls itself T"


async def test_decimals_that_are_not_are_red(anvil: Anvil, token: str) -> None:
    network = network_of(anvil)
    coin, found = await examine(
        network, asset("ETH", network, decimals=8), asset("TOK", network, token, 6)
    )
    assert (coin.state, "10^10" in coin.remedy) == ("red", True)
    assert (found.state, "10^12" in found.remedy) == ("red", True)
    assert found.detail == "configured with 6 decimals, but its contract says 18"


@pytest.mark.parametrize("code", [REVERTING, SILENT])
async def test_a_contract_that_tells_no_decimals_is_told_from_a_wrong_one(
    anvil: Anvil, world: AnvilWorld, code: str
) -> None:
    network, contract = network_of(anvil), world.new_address()
    await world.call("anvil_setCode", contract, code)
    (found,) = await examine(network, asset("TOK", network, contract))
    assert (found.state, "tells no decimals" in found.detail) == ("yellow", True)


async def test_an_address_without_code_is_no_token(anvil: Anvil, world: AnvilWorld) -> None:
    network = network_of(anvil)
    (found,) = await examine(network, asset("TOK", network, world.new_address()))
    assert (found.state, "there is no token" in found.detail) == ("red", True)


async def test_a_contract_that_bears_the_name_of_another_asset_may_be_mixed_up(
    anvil: Anvil, world: AnvilWorld, token: str
) -> None:
    network = network_of(anvil)
    other = await world.issue_token(world.new_address(), 100)
    assets = [asset("TOK", network, token), asset("USD", network, other)]
    _, found = await examine(network, *assets)
    assert (found.state, "TOK" in found.detail) == ("yellow", True)


async def test_one_contract_in_two_spellings_and_one_that_is_none_are_red(
    anvil: Anvil, token: str
) -> None:
    network = network_of(anvil)
    assets = [asset("T1", network, token), asset("T2", network, show_address(token))]
    first, second, third = await examine(network, *assets, asset("T3", network, "0x12"))
    assert [one.state for one in (first, second, third)] == ["green", "red", "red"]
    assert "the same contract as T1" in second.detail


async def test_what_no_node_tells_is_not_called_well(anvil: Anvil, token: str) -> None:
    away = network_of(anvil).model_copy(update={"rpc_urls": ("http://key:secret@127.0.0.1:1/",)})
    coin, found = await examine(away, asset("ETH", away), asset("TOK", away, token))
    assert (coin.state, found.state) == ("green", "yellow")
    assert "secret" not in found.detail
