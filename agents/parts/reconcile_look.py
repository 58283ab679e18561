"""Looks at one network, again and again: at its node, at our records of it and at the ledger."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from agents.parts.reconcile_figures import (
    WalletTotal,
    compare_addresses,
    compare_wallets,
    total_wallets,
)
from agents.parts.tip import ask_tip_height
from chain_adapters.adapter import ChainReader
from chain_adapters.types import Holding
from sql import chain as chain_sql
from sql import history
from sql import reconciliation as tables
from sql.pool import Connection, Pool
from sql.reconciliation import (
    AddressFigure,
    ChainState,
    DifferenceRow,
    WalletBalance,
    WalletFigure,
)

Progress = Callable[[int, int], None]
"""Called with balances read and balances to read."""

BALANCES_A_CALL = 200
CALLS_AT_ONCE = 4
OVERDUE_S = 900
"""What was decided so long ago should be in the journal, whatever the stages went through."""
OVERDUE_BLOCKS = 256
"""The same for orphaned deposits, which bear no time: blocks on top of where they were."""
STRETCH_ADDRESSES = 2_000
"""Of all addresses, used or not, so many are looked at in each run, from a random one on."""
WORK_MEMORY = "64MB"
"""For each of a statement's sorts and hash tables, some ten of them."""


class NotFollowed(LookupError):
    """A network has no block that was both followed and matched, so there is nothing to compare."""


@dataclass(frozen=True)
class Look:
    """What one look at a network showed."""

    state: ChainState
    canonical: bool
    """The compared block was still on the best chain, ours and the node's, after all was read."""
    caught_up: bool
    """We are as far as the node was at the look before. A node that keeps no old states answers for
    its latest block, so that a gap which was there then may be what had not been matched yet."""
    figures: int
    figures_total: int
    differences: list[DifferenceRow]
    wallets: list[WalletTotal]


class Records(NamedTuple):
    """What our own tables say of a network, all at one moment."""

    state: ChainState
    addresses: list[AddressFigure]
    addresses_total: int
    movements: list[WalletFigure]
    wallet_balances: list[WalletBalance]


class Observer:
    """Looks at one network again and again; after the first time only at what differed."""

    def __init__(
        self, pool: Pool, reader: ChainReader, addresses_max: int | None, progress: Progress
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._addresses_max = addresses_max
        self._progress = progress
        self._first_serial: int | None = None
        self._only: list[str] | None = None
        self._figures = (0, 0)
        self._tip_height: int | None = None
        """The node's, after the last look."""

    async def look(self) -> Look:
        """Compare once, at the highest block that is followed and matched now."""
        state, addresses, total, movements, wallet_balances = await self._read_records()
        balances = await read_balances(self._reader, addresses, state.height, self._progress)
        caught_up = self._tip_height is None or state.height >= self._tip_height
        self._tip_height = await ask_tip_height(self._reader)
        canonical = await self._is_canonical(state)
        wallets = total_wallets(movements, wallet_balances)
        strays = compare_addresses(addresses, balances)
        if canonical:
            self._figures = self._figures if self._only is not None else (len(addresses), total)
            self._only = sorted({stray.account for stray in strays})
        differences = strays + compare_wallets(wallets, movements)
        counted, countable = (count + len(wallets) for count in self._figures)
        return Look(
            state,
            canonical,
            caught_up,
            counted,
            countable,
            differences if canonical else [],
            wallets,
        )

    async def _read_records(self) -> Records:
        network = self._reader.network
        async with self._pool.acquire() as conn, tables.snapshot(conn):
            await tables.allow_memory(conn, WORK_MEMORY)
            state = await tables.chain_state(conn, network)
            if state is None:
                raise NotFollowed(f"{network} has not been followed and matched yet")
            addresses, total = await self._expect(conn, state)
            now = await history.tell_time(conn)
            movements = await tables.wallet_figures(
                conn,
                network,
                state.height,
                overdue_before=now - timedelta(seconds=OVERDUE_S),
                overdue_below_height=state.height - OVERDUE_BLOCKS,
            )
            wallet_balances = await tables.wallet_balances(conn, network)
        return Records(state, addresses, total, movements, wallet_balances)

    async def _expect(self, conn: Connection, state: ChainState) -> tuple[list[AddressFigure], int]:
        if self._first_serial is None:
            last_start = max(1, state.last_serial - STRETCH_ADDRESSES + 1)
            self._first_serial = random.randint(1, last_start)
        return await tables.address_figures(
            conn,
            self._reader.network,
            state.height,
            first_serial=self._first_serial,
            stretch=STRETCH_ADDRESSES,
            limit_rows=self._addresses_max,
            only=self._only,
        )

    async def _is_canonical(self, state: ChainState) -> bool:
        block = await self._reader.fetch_block(state.height)
        if block is None or block.block_id != state.block_id:
            return False
        async with self._pool.acquire() as conn:
            block_key = (state.height, state.block_id)
            return bool(await chain_sql.canonical_blocks(conn, self._reader.network, [block_key]))


async def read_balances(
    reader: ChainReader, figures: Sequence[AddressFigure], height: int, progress: Progress
) -> list[int]:
    """Ask a node for balances after a block, some calls at a time; in the order of the figures."""
    holdings = [Holding(figure.address, figure.contract) for figure in figures]
    starts = range(0, len(holdings), BALANCES_A_CALL)
    answers: dict[int, list[int]] = {}
    todo = iter(starts)

    async def read() -> None:
        for start in todo:
            part = holdings[start : start + BALANCES_A_CALL]
            answers[start] = await reader.fetch_balances(part, height)
            progress(sum(map(len, answers.values())), len(holdings))

    tasks = [asyncio.ensure_future(read()) for _ in range(CALLS_AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [balance_minor for start in starts for balance_minor in answers[start]]
