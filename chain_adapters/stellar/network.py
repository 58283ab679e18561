"""What tells Stellar's networks apart, and the few numbers all of them share."""

from __future__ import annotations

from chain_adapters.rpc import Endpoint
from chain_adapters.stellar import wire
from chain_adapters.types import NodeUnavailable, WrongNetwork

PASSPHRASES = {
    "stellar:pubnet": "Public Global Stellar Network ; September 2015",
    "stellar:testnet": "Test SDF Network ; September 2015",
    "stellar:standalone": "Standalone Network ; February 2017",
}
"""By CAIP-2 id: the text whose SHA-256 every signature covers (Stellar docs, "Networks")."""

DECIMALS = 7
"""Of every asset: a stroop is a ten millionth (developers.stellar.org, Assets)."""

AMOUNT_MINOR_MAX = 2**63 - 1
"""Amounts are signed 64-bit integers of stroops."""

RESERVES_OF_AN_ACCOUNT = 2
"""Base reserves that an account keeps beside one for each subentry (Minimum balance)."""


async def read_passphrase(endpoint: Endpoint) -> str:
    """Ask a Horizon server which network it serves."""
    status, raw = await endpoint.ask("root", "")
    if status != 200:
        raise NodeUnavailable(f"HTTP status {status}")
    return wire.decode_root(raw).network_passphrase


async def require_network(endpoint: Endpoint, passphrase: str) -> None:
    """Raise WrongNetwork unless the endpoint serves this network."""
    found = await read_passphrase(endpoint)
    if found != passphrase:
        raise WrongNetwork(f"{endpoint.host} serves {found[:80]!r}, not {passphrase!r}")
