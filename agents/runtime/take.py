"""Takes what is there as a batch, without waiting for more.

Faust's own noack_take waits out its interval even when records lie ready, at every stage anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class Taker(Generic[ItemT]):
    """Puts the items of one source into batches."""

    def __init__(
        self, items: AsyncIterator[ItemT], size_max: int, more_ready: Callable[[], bool]
    ) -> None:
        self.amid = False
        """Whether there is a batch that is not given out yet. It is as soon as no more are ready.

        If what lies ready is taken away at such a moment, the batch comes with the next item.
        """
        self._items = items
        self._size_max = size_max
        self._more_ready = more_ready

    async def batches(self) -> AsyncIterator[list[ItemT]]:
        """Yield at least one item and at most `size_max`, in order."""
        batch: list[ItemT] = []
        try:
            async for item in self._items:
                batch.append(item)
                self.amid = len(batch) < self._size_max and self._more_ready()
                if not self.amid:
                    yield batch
                    batch = []
        finally:
            self.amid = False
