"""A tenant that pays out in coins, for every test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devstack.chains.bitcoin import BitcoinNode
from devstack.postgres import Postgres
from tests.support.coin_withdrawals import PayingCoinWorld, open_coin_world


@pytest.fixture
async def world(
    postgres: Postgres, template_database: str, bitcoin_node: BitcoinNode
) -> AsyncIterator[PayingCoinWorld]:
    """A world with a database of its own, on the module's node."""
    async with open_coin_world(postgres, template_database, bitcoin_node) as opened:
        yield opened
