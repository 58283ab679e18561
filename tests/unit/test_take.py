"""Batches: all that lies ready, and nothing that would have to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agents.runtime.take import Taker


class Source:
    """Items that are there, and those that come later."""

    def __init__(self, *ready: int) -> None:
        self._items: asyncio.Queue[int] = asyncio.Queue()
        self.put(*ready)

    def put(self, *items: int) -> None:
        for item in items:
            self._items.put_nowait(item)

    def more_ready(self) -> bool:
        return not self._items.empty()

    async def __aiter__(self) -> AsyncIterator[int]:
        while True:
            yield await self._items.get()


async def test_what_lies_ready_is_one_batch_in_order() -> None:
    source = Source(1, 2, 3)
    batches = Taker(aiter(source), 10, source.more_ready).batches()
    assert await anext(batches) == [1, 2, 3]
    source.put(4, 5)
    assert await anext(batches) == [4, 5]


async def test_a_batch_is_no_larger_than_allowed() -> None:
    source = Source(1, 2, 3)
    batches = Taker(aiter(source), 2, source.more_ready).batches()
    assert [await anext(batches), await anext(batches)] == [[1, 2], [3]]


async def test_an_error_of_the_source_is_raised() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    batches = Taker(broken(), 2, lambda: False).batches()
    assert await anext(batches) == [1]
    with pytest.raises(ValueError, match="broken"):
        await anext(batches)


async def test_a_batch_that_is_never_given_out_is_not_waited_for() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    taker = Taker(broken(), 2, lambda: True)
    with pytest.raises(ValueError, match="broken"):
        await anext(taker.batches())
    assert not taker.amid


async def test_a_batch_is_told_of_as_long_as_it_is_not_given_out() -> None:
    source = Source(1, 2)
    told: list[bool] = []

    async def watched() -> AsyncIterator[int]:
        async for item in source:
            told.append(taker.amid)
            yield item

    taker = Taker(watched(), 10, source.more_ready)
    assert await anext(taker.batches()) == [1, 2]
    assert told == [False, True]
    assert not taker.amid
