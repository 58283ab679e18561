"""A world on each chain that a test of the contract asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.chain_worlds import CHAINS, World


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    opened = await CHAINS[request.param].open(request)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: World) -> str:
    address = world.new_address()
    await world.fund(address, world.funds_minor)
    return address
