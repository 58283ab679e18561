"""What our addresses pay each other is counted once, however the chain shows it."""

from __future__ import annotations

import secrets

import pytest

from chain_adapters.simulated import FEE_MINOR, Pooled
from chain_adapters.types import Transaction, Transfer
from sql import addresses as addresses_sql
from sql.pool import Pool
from tests.support.books import Books

AMOUNT_MINOR = 400


class OwnTransfers(Books):
    """Books with a cold wallet that was made known when withdrawals to it were on their way."""

    cold: str

    async def start(self) -> None:
        await super().start()
        self.cold = "0x" + secrets.token_hex(20)
        await self.deposit(5_000)

    async def adopt(self) -> None:
        """Take the cold wallet in."""
        async with self.pool.acquire() as conn, conn.transaction():
            await addresses_sql.lock_counter(conn, self.network)
            await addresses_sql.add_addresses(
                conn, self.network, self.tenant, "cold", [(self.cold, "", None, None)]
            )
            await addresses_sql.advance_counter(conn, self.network, 1)

    def arrive_apart(self, sent: Pooled) -> None:
        """Mine the sender's transaction, and later another by which the money arrives (TON)."""
        self.chain.pool.clear()
        self.chain.include([Transaction(sent.id, self.hot, True, FEE_MINOR)])
        self.chain.state_at(-1).add(self.hot, None, -AMOUNT_MINOR)
        self._bring(AMOUNT_MINOR)

    def pay_by_hand(self) -> None:
        """Mine a payment of the hot wallet's key that is no withdrawal."""
        self._bring(AMOUNT_MINOR)
        self.chain.state_at(-1).add(self.hot, None, -AMOUNT_MINOR)

    def _bring(self, amount_minor: int) -> None:
        transfer = Transfer("in", self.hot, self.cold, None, amount_minor)
        self.chain.include([Transaction("0x" + secrets.token_hex(32), None, True, 0, (transfer,))])

    async def hot_minor(self) -> int:
        """Return what the records of the chain say of the hot wallet, once they are compared."""
        report = await self.reconcile()
        assert report.clean, report.differences
        return {w.bucket: w.recorded_minor for w in report.wallets}["hot_wallet"]


@pytest.fixture
async def books(pool: Pool, database_url: str) -> OwnTransfers:
    made = OwnTransfers(pool, database_url)
    await made.start()
    return made


@pytest.mark.parametrize("apart", [False, True], ids=["one transaction", "two transactions"])
@pytest.mark.parametrize("by_hand", [0, 1, 2])
async def test_withdrawals_and_payments_by_hand_of_one_amount_are_told_apart(
    books: OwnTransfers, apart: bool, by_hand: int
) -> None:
    sent = await books.withdraw(AMOUNT_MINOR, to=books.cold)
    await books.adopt()
    if by_hand == 2:
        books.pay_by_hand()
    if apart:
        books.arrive_apart(sent)
    await books.confirm()
    assert await books.hot_minor() == 1_000_000 - FEE_MINOR - max(1, by_hand) * AMOUNT_MINOR
    if by_hand:
        books.pay_by_hand()
    await books.confirm()
    assert await books.hot_minor() == 1_000_000 - FEE_MINOR - (1 + by_hand) * AMOUNT_MINOR


async def test_a_withdrawal_of_which_less_arrives_is_counted_once(books: OwnTransfers) -> None:
    """Of tokens that take a fee of each transfer."""
    sent = await books.withdraw(AMOUNT_MINOR, to=books.cold)
    await books.adopt()
    books.chain.pool.clear()
    arrival = Transfer("log:0", books.hot, books.cold, None, AMOUNT_MINOR - 7)
    books.chain.include([Transaction(sent.id, books.hot, True, FEE_MINOR, (arrival,))])
    books.chain.state_at(-1).add(books.hot, None, -AMOUNT_MINOR)
    await books.confirm()
    assert await books.hot_minor() == 1_000_000 - FEE_MINOR - AMOUNT_MINOR


async def test_a_withdrawal_that_is_on_its_way_takes_no_other_transfers_place(
    books: OwnTransfers,
) -> None:
    """The sender's block is there, the recipient's is not yet."""
    sent = await books.withdraw(AMOUNT_MINOR, to=books.cold)
    await books.adopt()
    books.chain.pool.clear()
    books.chain.include([Transaction(sent.id, books.hot, True, FEE_MINOR)])
    books.chain.state_at(-1).add(books.hot, None, -AMOUNT_MINOR)
    await books.confirm()
    assert await books.hot_minor() == 1_000_000 - FEE_MINOR - AMOUNT_MINOR
