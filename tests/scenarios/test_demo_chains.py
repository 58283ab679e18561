"""The demo's story on every chain, with real workers, on one broker and one database."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from chain_adapters.registry import open_adapter
from cli.demo_screen import Screen
from cli.demo_story import ChainStory
from cli.playground import Playground
from devstack.chains.registry import NODES, installed_kinds, open_node
from devstack.stack import Stack
from settings.model import Network
from tests.faults.worlds import WAIT_S, kept_environment
from tests.support.nodes import require_node


@pytest.fixture(scope="module")
async def world(servers_dir: Path) -> AsyncIterator[Playground]:
    with kept_environment():
        async with (
            Stack(servers_dir / "demo-chains", chains=installed_kinds()) as stack,
            Playground(stack, wait_s=WAIT_S) as playground,
        ):
            await playground.open_tenant()
            yield playground


@pytest.mark.parametrize("kind", NODES)
async def test_the_story_comes_to_a_good_end_on_every_chain(world: Playground, kind: str) -> None:
    require_node(kind)
    told = io.StringIO()
    try:
        await ChainStory(Screen(Console(file=told)), world.grounds[kind]).play()
    except Exception as error:
        raise AssertionError(told.getvalue()) from error


async def test_debits_are_credits_after_all_of_it(world: Playground) -> None:
    async with world.pool.acquire() as conn:
        query = "SELECT count(*) FROM trial_balance WHERE debits_minor <> credits_minor"
        assert await conn.fetchval(query) == 0
        assert await conn.fetchval("SELECT count(*) FROM dead_letters") == 0


@pytest.mark.parametrize("kind", NODES)
async def test_a_node_names_a_network_that_its_adapter_takes(tmp_path: Path, kind: str) -> None:
    node = open_node(kind, tmp_path)
    network = Network(**node.network_config())
    assert (network.kind, network.native_asset) == (node.kind, node.asset) and node.kind == kind
    adapter = open_adapter(network)
    assert adapter.network == network.network
    await adapter.close()
