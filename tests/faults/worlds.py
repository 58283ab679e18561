"""Opens a playground for a fault run, and leaves this process's environment as it was."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType

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
    chains: Sequence[str],
    *,
    with_tokens: bool = True,
    coin: Mapping[str, object] = MappingProxyType({}),
    each: int = 1,
    **network: object,
) -> AsyncIterator[Playground]:
    """Start servers, and so many workers of each role.

    `network` changes how each chain is followed, `coin` the settings of its native asset. Blocks
    are not traced: anvil 1.7.1 sometimes locks up for good if it mines while it traces.
    """
    followed = {"traces": "never", **network}
    with kept_environment():
        async with (
            Stack(folder, chains=chains) as stack,
            Playground(
                stack,
                wait_s=WAIT_S,
                with_tokens=with_tokens,
                network=followed,
                coin=coin,
                each=each,
            ) as world,
        ):
            yield world
