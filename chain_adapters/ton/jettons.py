"""Which contract holds the jettons of an owner: worked out without asking a node. Pure.

A jetton wallet's address is the hash of its code and first data (TL-B StateInit). Of a master we
learn the wallets' code once, and which of the usual layouts its first data has; from then on the
wallet of any owner is two hashes away. No other contract can have that address, so a message that
took effect there came from the master or from another such wallet (TEP-74).
"""

from __future__ import annotations

from typing import NamedTuple

from pytoniq_core import Cell

from chain_adapters.ton.cells import Node, Reader, child
from chain_adapters.ton.hashing import hash_cell


class Layout(NamedTuple):
    """How the first data of a jetton wallet is laid out: zeros, owner, master, perhaps code."""

    zeros: int
    with_code: bool


LAYOUTS = (Layout(4, with_code=True), Layout(8, with_code=False), Layout(4, with_code=False))
"""The standard's reference wallet; the governed one of stablecoins (with a status); the plain."""


class Master:
    """An allow-listed jetton. Without a layout, its wallets must be asked for."""

    def __init__(self, address: str, code: Cell, layout: Layout | None) -> None:
        self.address = address
        self.layout = layout
        self.code_hash: bytes = code.hash
        self._code_depth: int = code.get_depth()
        self._master_bits = _address_bits(address)

    def wallet_address(self, owner: str) -> str:
        """Return the canonical address of the owner's jetton wallet."""
        assert self.layout is not None
        zeros, with_code = self.layout
        bits = (_address_bits(owner) << 267) | self._master_bits
        data = hash_cell(bits, zeros + 2 * 267, self._code_refs() if with_code else ())
        data_depth = self._code_depth + 1 if with_code else 0
        refs = ((self._code_depth, self.code_hash), (data_depth, data))
        return "0:" + hash_cell(0b00110, 5, refs).hex()

    def _code_refs(self) -> tuple[tuple[int, bytes], ...]:
        return ((self._code_depth, self.code_hash),)


def _address_bits(address: str) -> int:
    """An addr_std without anycast: 10, 0, workchain in 8 bits, account in 256."""
    workchain, _, account = address.partition(":")
    return (0b100 << 264) | ((int(workchain) & 0xFF) << 256) | int(account, 16)


def make_master(address: str, code: Cell, known: dict[str, str]) -> Master:
    """Return a master whose layout gives the known wallets (owner → wallet), if one does."""
    for layout in LAYOUTS:
        master = Master(address, code, layout)
        if all(master.wallet_address(owner) == wallet for owner, wallet in known.items()):
            return master
    return Master(address, code, None)


def owner_in_state(nodes: list[Node]) -> str | None:
    """Return the owner that a wallet's first state names, if it has one of the layouts.

    Only a guess: whoever uses it works out the wallet's address from it and compares.
    """
    try:
        data = child(nodes, nodes[0], 1)
        for layout in LAYOUTS:
            if data.length == layout.zeros + 2 * 267:
                reader = Reader(data)
                reader.uint(layout.zeros)
                return reader.address()
    except ValueError:
        return None
    return None
