"""The development nodes, by kind of chain."""

from __future__ import annotations

from pathlib import Path

from devstack.chains.anvil import Anvil
from devstack.chains.bitcoin import BitcoinNode, DogecoinNode, LitecoinNode
from devstack.chains.chain import DevNode
from devstack.chains.solana import SolanaNode
from devstack.chains.stellar import StellarNode
from devstack.chains.ton import TonNode
from devstack.chains.tron import TronNode

NODES: dict[str, type[DevNode]] = {
    "ethereum": Anvil,
    "bitcoin": BitcoinNode,
    "dogecoin": DogecoinNode,
    "litecoin": LitecoinNode,
    "solana": SolanaNode,
    "ton": TonNode,
    "stellar": StellarNode,
    "tron": TronNode,
}
"""In the order in which `--chain all` takes them."""


def installed_kinds() -> tuple[str, ...]:
    """Return the kinds of chain whose node is on this machine, in the order of NODES."""
    return tuple(kind for kind, node in NODES.items() if node.is_installed())


def open_node(kind: str, data_dir: Path, *, block_time_s: int | None = None) -> DevNode:
    """Return the node of a kind of chain, to be started; KeyError if there is none.

    It makes blocks when told to, or also every `block_time_s` seconds.
    """
    return NODES[kind](data_dir, block_time_s=block_time_s)
