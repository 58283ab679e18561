"""Chains that tests can drive, one surface over all of them: one file a chain."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import pytest

from tests.support.chain_worlds.bitcoin import open_core_world
from tests.support.chain_worlds.btcd import VARIABLE, open_btcd_world
from tests.support.chain_worlds.ethereum import AnvilWorld, open_anvil_world
from tests.support.chain_worlds.simulated import SimulatedWorld
from tests.support.chain_worlds.solana import open_solana_world
from tests.support.chain_worlds.stellar import open_stellar_world
from tests.support.chain_worlds.ton import open_ton_world
from tests.support.chain_worlds.tron import open_tron_world
from tests.support.chain_worlds.world import World


@dataclass(frozen=True)
class Chain:
    """How to open a chain, and what its rules are."""

    open: Callable[[pytest.FixtureRequest], Awaitable[World]]
    slot: Literal["nonce", "coins", "none"]
    """What keeps two transactions of one sender apart."""
    outbids: bool = True
    """Whether the pool takes a dearer transaction in another's place."""
    queues: bool = True
    """Whether several payments of one sender may wait at the same time."""
    reorganises: bool = True
    tokens: bool = True
    memos: bool = False
    fails: bool = True
    """Whether a transaction can be in a block and have failed."""
    keeps_states: bool = True
    """Whether the node knows balances of older blocks."""


async def _open_simulated(_: pytest.FixtureRequest) -> World:
    return SimulatedWorld()


async def _open_ethereum(request: pytest.FixtureRequest) -> World:
    return await open_anvil_world(request.getfixturevalue("anvil"))


async def _open_stellar(request: pytest.FixtureRequest) -> World:
    return await open_stellar_world(request.getfixturevalue("stellar_node"))


async def _open_tron(request: pytest.FixtureRequest) -> World:
    return await open_tron_world(request.getfixturevalue("tron_node"))


async def _open_ton(request: pytest.FixtureRequest) -> World:
    return await open_ton_world(request.getfixturevalue("ton_node"))


async def _open_solana(request: pytest.FixtureRequest) -> World:
    return await open_solana_world(request.getfixturevalue("solana_node"))


async def _open_bitcoin(request: pytest.FixtureRequest) -> World:
    if VARIABLE in os.environ:
        return await open_btcd_world(request.getfixturevalue("btcd"))
    return await open_core_world(request.getfixturevalue("bitcoin_node"))


async def _open_dogecoin(request: pytest.FixtureRequest) -> World:
    return await open_core_world(request.getfixturevalue("dogecoin_node"))


async def _open_litecoin(request: pytest.FixtureRequest) -> World:
    return await open_core_world(request.getfixturevalue("litecoin_node"))


CHAINS: dict[str, Chain] = {
    "simulated": Chain(_open_simulated, "nonce", memos=True),
    "ethereum": Chain(_open_ethereum, "nonce"),
    "stellar": Chain(
        _open_stellar,
        "nonce",
        outbids=False,
        queues=False,
        reorganises=False,
        memos=True,
        keeps_states=False,
    ),
    "bitcoin": Chain(_open_bitcoin, "coins", tokens=False, fails=False, keeps_states=False),
    "dogecoin": Chain(_open_dogecoin, "coins", tokens=False, fails=False, keeps_states=False),
    "litecoin": Chain(_open_litecoin, "coins", tokens=False, fails=False, keeps_states=False),
    "solana": Chain(_open_solana, "none", reorganises=False, keeps_states=False),
    "ton": Chain(
        _open_ton,
        "nonce",
        outbids=False,
        queues=False,
        reorganises=False,
        memos=True,
        keeps_states=False,
    ),
    "tron": Chain(_open_tron, "none", keeps_states=False),
}
"""By kind. Every kind that the registry knows is here: a test sees to it."""

__all__ = ["CHAINS", "AnvilWorld", "Chain", "SimulatedWorld", "World", "open_anvil_world"]
