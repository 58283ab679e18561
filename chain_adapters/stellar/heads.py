"""The latest ledger."""

from __future__ import annotations

from chain_adapters.rpc import Endpoint
from chain_adapters.stellar.reading import fetch_latest
from chain_adapters.types import Tip


async def poll_tip(endpoint: Endpoint) -> Tip:
    """Ask one endpoint for its latest ledger. A closed ledger is final (Stellar Consensus)."""
    ledger = await fetch_latest(endpoint)
    height = ledger.sequence
    return Tip(height, ledger.hash, safe_height=height, finalized_height=height)
