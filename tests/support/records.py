"""Rows about payments of one network, written as they are, to see what queries make of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sql.pool import Connection, Pool

NET, HOT = "test:1", "hot"
AGE_S = 60.0
"""After so long a transaction that no block shows is unseen, or stuck."""
LONG_S, SHORT_S = 2 * AGE_S, AGE_S / 2


class Records:
    """A transaction in which no trigger and no foreign key speaks. `now` is its time."""

    def __init__(self, conn: Connection, now: datetime) -> None:
        self.conn = conn
        self.now = now

    def ago(self, seconds: float) -> datetime:
        """Return a time before now, or after it."""
        return self.now - timedelta(seconds=seconds)

    async def insert(self, table: str, **columns: object) -> None:
        """Write one row."""
        values = ", ".join(f"${number}" for number, _ in enumerate(columns, 1))
        await self.conn.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE VALUES ({values})",
            *columns.values(),
        )

    async def chain(self, first: int, last: int, **cursor: object) -> None:
        """Remember blocks b<first> to b<last>."""
        for height in range(first, last + 1):
            await self.insert(
                "blocks",
                network=NET,
                height=height,
                block_id=f"b{height}",
                parent_id=f"b{height - 1}",
                clock=height,
            )
        await self.insert("cursors", network=NET, height=last, node_height=last, **cursor)

    async def withdrawal(self, number: int, status: str = "broadcast", **columns: object) -> None:
        """Write a withdrawal of the hot wallet's."""
        columns = {
            "network": NET,
            "tenant": "acme",
            "owner": "alice",
            "address": "shop",
            "asset": "COIN",
            "sender": HOT,
            "reason": "x" if status == "failed" else None,
            "idempotency_key": f"order-{number}",
        } | columns
        await self.insert(
            "withdrawals",
            withdrawal_id=number,
            status=status,
            request_hash=b"",
            amount_minor=100,
            fee_minor=0,
            decided_by="limits",
            **columns,
        )

    async def attempt(
        self, transaction_id: str, withdrawal: int, state: object = "broadcast", **columns: object
    ) -> None:
        """Write a transaction of a withdrawal; `height` makes it one of block b<height>."""
        height = columns.get("height")
        mined = {"block_id": f"b{height}", "succeeded": True, "fee_minor": 3, "confirm_height": 0}
        columns = {
            "network": NET,
            "sender": HOT,
            "attempt": 0,
            "unsigned": b"{}",
            "raw": b"raw",
            "fee_minor_max": 7,
            **({} if height is None else {**mined, "mined_at": self.ago(LONG_S)}),
        } | columns
        await self.insert(
            "transactions",
            transaction_id=transaction_id,
            withdrawal_id=withdrawal,
            state=state if height is None else "mined",
            **columns,
        )

    async def coin(self, coin: str, **columns: object) -> None:
        """Write the deposit "id:N", an output to the hot wallet in block b<height>."""
        height = columns.get("height", 5)
        transaction_id, _, number = coin.partition(":")
        columns = {
            "network": NET,
            "transfer_index": f"out:{number}",
            "purpose": "hot",
            "address": HOT,
            "block_id": f"b{height}",
            "status": "confirmed",
            "confirm_height": 6,
            "height": height,
        } | columns
        await self.insert(
            "deposits",
            transaction_id=transaction_id,
            tenant="acme",
            owner="",
            amount_minor=100,
            **columns,
        )

    async def claim(self, coin: str, withdrawal: int, spare_height: int | None = None) -> None:
        """Keep a coin for a withdrawal."""
        await self.insert(
            "coin_claims",
            network=NET,
            coin=coin,
            withdrawal_id=withdrawal,
            spare_height=spare_height,
        )

    async def cost(self, transaction_id: str, height: int, **columns: object) -> None:
        """Write what the hot wallet paid for a transaction that is no withdrawal's."""
        columns = {"block_id": f"b{height}", "status": "detected", "address": HOT} | columns
        await self.insert(
            "network_costs",
            network=NET,
            transaction_id=transaction_id,
            tenant="acme",
            purpose="hot",
            asset="COIN",
            amount_minor=3,
            height=height,
            confirm_height=height,
            **columns,
        )

    async def loss(self, withdrawal: int, transaction_id: str, height: int, block_id: str) -> None:
        """Write for what a withdrawal was given up."""
        await self.insert(
            "coin_losses",
            withdrawal_id=withdrawal,
            network=NET,
            transaction_id=transaction_id,
            height=height,
            block_id=block_id,
        )

    async def state(self, transaction_id: str) -> str:
        """Return the state of a transaction."""
        return str(
            await self.conn.fetchval(
                "SELECT state FROM transactions WHERE network = $1 AND transaction_id = $2",
                NET,
                transaction_id,
            )
        )

    async def spare(self) -> dict[str, int | None]:
        """Return by claimed coin where it was left."""
        rows = await self.conn.fetch("SELECT coin, spare_height FROM coin_claims ORDER BY coin")
        return {row["coin"]: row["spare_height"] for row in rows}

    async def is_claimed(self, coin: str) -> bool:
        """Whether the coin's deposit is marked as one that a withdrawal spends."""
        transaction_id, _, number = coin.partition(":")
        return bool(
            await self.conn.fetchval(
                "SELECT claimed FROM deposits WHERE transaction_id = $1 AND transfer_index = $2",
                transaction_id,
                f"out:{number}",
            )
        )


@asynccontextmanager
async def open_records(pool: Pool) -> AsyncIterator[Records]:
    """Open a transaction that ends in nothing."""
    async with pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("SET LOCAL session_replication_role = replica")
        yield Records(conn, await conn.fetchval("SELECT now()"))
        await transaction.rollback()
