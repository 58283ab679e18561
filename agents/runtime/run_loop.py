"""Runs a loop: its body at an interval, under its lease."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from agents.runtime.context import Context
from agents.runtime.lease import Lease
from agents.runtime.loop import Loop


async def run_loop(loop: Loop, context: Context) -> NoReturn:
    """Repeat the loop's body for ever, on one worker at a time."""

    async def body() -> None:
        while True:
            pause_s = await loop.run_once()
            await asyncio.sleep(loop.every_s if pause_s is None else pause_s)

    lease = Lease(context.pool, loop.name, context.holder, context.settings.lease_s)
    await lease.run_forever(body)
