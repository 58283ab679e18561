"""The constants that tell one chain of Bitcoin's kind from another."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

DEVELOPMENT_GENESIS = "530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9"
"""Litecoin's regtest, which is the development node of every chain of this kind."""

NAMESPACE = "bip122"
"""CAIP-2 names these networks by the first 32 hex digits of their first block's hash."""


class UtxoChain(msgspec.Struct, frozen=True):
    """One network. Fee rates are minor units per 1,000 virtual bytes, amounts minor units.

    `genesis` has the hashes of block 0 that are accepted; the first one names the network.
    `bech32_prefix` None means that there is no segregated witness. `maturity` is the number of
    confirmations that an output of a coinbase transaction needs before it can be spent.
    An output is dust below `dust_minor` and below what spending it would cost at `dust_rate`
    (Bitcoin Core, GetDustThreshold). No fee rate below `fee_rate_min` is bid: nodes do not pass
    such transactions on. A replacement pays `fee_rate_step` more for its whole size (BIP-125,
    rule 4). A fee above `fee_minor_cap` is a mistake, whatever is configured. `merge_mined` blocks
    may carry another chain's proof of work behind their header (AuxPoW). What leaves an extension
    block (Litecoin's MWEB) can be spent after `pegout_maturity` confirmations; 0: there is none.
    """

    name: str
    genesis: tuple[str, ...]
    coin_type: int
    p2pkh_version: int
    p2sh_version: int
    bech32_prefix: str | None
    maturity: int
    dust_minor: int
    dust_rate: int
    fee_rate_min: int
    fee_rate_step: int
    fee_minor_cap: int
    merge_mined: bool = False
    pegout_maturity: int = 0

    @property
    def network(self) -> str:
        """The CAIP-2 id."""
        return f"{NAMESPACE}:{self.genesis[0][:32]}"


def find_chain(chains: Sequence[UtxoChain], network: str) -> UtxoChain:
    """Return the chain with this CAIP-2 id. ValueError if there is none."""
    for chain in chains:
        if chain.network == network:
            return chain
    known = ", ".join(f"{chain.network} ({chain.name})" for chain in chains)
    raise ValueError(f"{network} is none of {known}")
