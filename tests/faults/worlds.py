"""Opens a playground for a fault run, and leaves this process's environment as it was."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from cli.playground import Playground
from devstack.stack import Stack

WAIT_S = 100.0


@contextmanager
def kept_environment() -> Iterator[None]:
    """Undo all changes to the environment: a second world must not find the first one's servers."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    confirmations_by_amount: list[dict[str, object]] | None = None,
    **network: object,
) -> AsyncIterator[Playground]:
    """Start servers and workers of all roles; `network` changes how the chain is followed."""
    with kept_environment():
        async with Stack(folder) as stack:
            chain = stack.networks[0] | network
            coin = {
                "asset": "ETH",
                "network": chain["network"],
                "decimals": 18,
                "confirmations_by_amount": confirmations_by_amount or [],
            }
            async with Playground(
                stack,
                wait_s=WAIT_S,
                MILLRACE_NETWORKS=json.dumps([chain]),
                MILLRACE_ASSETS=json.dumps([coin]),
            ) as world:
                yield world
