"""Takes what is there as a batch, without waiting for more.

Faust's own noack_take waits out its interval even when records lie ready, at every stage anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

ItemT = TypeVar("ItemT")


async def take_batches(
    items: AsyncIterator[ItemT], size_max: int, more_ready: Callable[[], bool]
) -> AsyncIterator[list[ItemT]]:
    """Yield at least one item and at most `size_max`, in order, as soon as no more are ready.

    `more_ready` may be wrong once, when a rebalance takes away what lay ready: the batch then comes
    with the next item, and there is one, because what nobody has acknowledged is given out again.
    """
    batch: list[ItemT] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size_max or not more_ready():
            yield batch
            batch = []
