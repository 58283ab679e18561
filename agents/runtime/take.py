"""Takes what is there as a batch, without waiting for more.

Faust's own noack_take waits out its interval even when records lie ready, at every stage anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

ItemT = TypeVar("ItemT")


async def take_batches(items: AsyncIterator[ItemT], size_max: int) -> AsyncIterator[list[ItemT]]:
    """Yield at least one item and at most `size_max`, in order, as soon as there is one.

    At most `size_max` items are read ahead. An error of `items` is raised after what came before
    it was yielded.
    """
    queue: asyncio.Queue[ItemT | None] = asyncio.Queue(size_max)

    async def pump() -> None:
        try:
            async for item in items:
                await queue.put(item)
        finally:
            await queue.put(None)

    pumping = asyncio.create_task(pump())
    try:
        while (first := await queue.get()) is not None:
            batch = [first]
            while len(batch) < size_max and not queue.empty():
                item = queue.get_nowait()
                if item is None:
                    yield batch
                    await pumping
                    return
                batch.append(item)
            yield batch
        await pumping
    finally:
        pumping.cancel()
