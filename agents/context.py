"""What a worker's stages and loops share."""

from __future__ import annotations

from dataclasses import dataclass

from chain_adapters.adapter import ChainAdapter
from settings.model import Settings
from sql.pool import Pool


@dataclass(frozen=True)
class Context:
    """One worker's settings, database pool and chains."""

    settings: Settings
    pool: Pool
    adapters: dict[str, ChainAdapter]
    """By network."""
