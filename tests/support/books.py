"""A world whose books can be reconciled, and tampered with."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.parts.reconcile_figures import Report
from agents.reconcile_chain import Patience, reconcile_books, reconcile_network
from chain_adapters.simulated import FEE_MINOR, Order, Pooled
from chain_adapters.types import Payment
from ledger import rules
from ledger.entries import Entry, Outcome
from ledger.post import post
from sql import addresses as addresses_sql
from sql import transactions as transactions_sql
from sql.pool import Connection
from sql.reconciliation import DifferenceRow
from sql.transactions import NewTransaction
from tests.support.deposits import CONFIRMATIONS, World
from topics.event_data import Difference
from topics.events import EVENTS, ReconciliationDifference

QUICK = Patience(pause_s=0)
OUTSIDER = "0x" + "0d" * 20


class Books(World):
    """A world with a funded hot wallet, whose withdrawals are confirmed too."""

    hot: str

    async def start(self) -> None:
        self.pipeline.stages = [*self.pipeline.stages, ConfirmWithdrawals(self.pipeline.context)]
        await super().start()
        self.hot = "0x" + secrets.token_hex(20)
        async with self.pool.acquire() as conn, conn.transaction():
            await addresses_sql.lock_counter(conn, self.network)
            await addresses_sql.add_addresses(
                conn, self.network, self.tenant, "hot", [(self.hot, "", "m/1", None)]
            )
            await addresses_sql.advance_counter(conn, self.network, 1)
        self.chain.mint(self.hot, None, 1_000_000)
        await self.confirm()

    async def confirm(self) -> None:
        """Mine and follow until all that was sent is deep enough."""
        self.chain.mine(CONFIRMATIONS)
        await self.follow()

    async def deposit(self, amount_minor: int, contract: str | None = None) -> str:
        address = await self.watch()
        self.chain.mint(address, contract, amount_minor)
        await self.confirm()
        return address

    async def post(self, entry: Entry) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            (result,) = await post(conn, [entry])
        assert result.outcome is Outcome.POSTED

    async def withdraw(self, amount_minor: int, *, to: str = OUTSIDER) -> Pooled:
        """Order, sign and send a withdrawal of alice, and do not mine it."""
        async with self.pool.acquire() as conn:
            withdrawal_id, nonce = await self._order(conn, amount_minor, to)
        await self.post(
            rules.withdrawal_held(
                self.tenant,
                "alice",
                self.coin,
                amount_minor,
                fee_minor=0,
                withdrawal_id=withdrawal_id,
            )
        )
        order = Order(Payment(self.hot, to, None, amount_minor), nonce, FEE_MINOR)
        digest = hashlib.sha256(f"{self.network} {withdrawal_id}".encode()).hexdigest()
        pooled = Pooled("0x" + digest, order)
        async with self.pool.acquire() as conn, conn.transaction():
            signed = NewTransaction(
                transaction_id=pooled.id,
                withdrawal_id=withdrawal_id,
                sender=self.hot,
                nonce=nonce,
                coin=None,
                coins=(),
                valid_until=None,
                attempt=0,
                unsigned=b"",
                raw=b"",
                fee_minor_max=FEE_MINOR,
            )
            await transactions_sql.sign_withdrawals(conn, [signed])
            await transactions_sql.add_transactions(conn, self.network, [signed])
        self.chain.submit(pooled)
        return pooled

    async def _order(self, conn: Connection, amount_minor: int, to: str) -> tuple[int, int]:
        withdrawal_id = await conn.fetchval(
            "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset, network,"
            " address, amount_minor, fee_minor)"
            " VALUES ($1, $2, '', 'alice', $3, $4, $5, $6, 0) RETURNING withdrawal_id",
            self.tenant,
            secrets.token_hex(8),
            self.coin,
            self.network,
            to,
            amount_minor,
        )
        await conn.execute(
            "UPDATE withdrawals SET status = 'approved', decided_by = 'limits'"
            " WHERE withdrawal_id = $1",
            withdrawal_id,
        )
        nonce = await conn.fetchval(
            "SELECT count(*) FROM transactions WHERE network = $1", self.network
        )
        return withdrawal_id, nonce

    async def reconcile(self, patience: Patience = QUICK) -> Report:
        return await reconcile_network(
            self.pool,
            self.adapter,
            topic_prefix=self.pipeline.kafka.prefix,
            patience=patience,
        )

    async def wrong_in_books(self) -> list[DifferenceRow]:
        """Reconcile the books, and leave out what other tests have tampered with."""
        report = await reconcile_books(self.pool, topic_prefix=self.pipeline.kafka.prefix)
        return [found for found in report.differences if found.tenant == self.tenant]

    async def alarms(self) -> list[Difference]:
        """Return what the tenant was told."""
        await self.pipeline.settle()
        log = self.pipeline.kafka.topics[self.pipeline.kafka.prefix + EVENTS.name]
        found = [event for record in log for event in EVENTS.decode(record.value or b"").events]
        return [event.data for event in found if isinstance(event, ReconciliationDifference)]

    @asynccontextmanager
    async def past_the_guards(self) -> AsyncIterator[Connection]:
        """A transaction in which no trigger fires, as only a superuser can have it."""
        async with self.pool.acquire() as conn, conn.transaction():
            await conn.execute("SET LOCAL session_replication_role = replica")
            yield conn
