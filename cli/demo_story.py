"""What the demo plays: deposits, withdrawals, a reorganisation, and the books in the end."""

from __future__ import annotations

import asyncio
import secrets

from cli.demo_screen import Screen
from cli.output import whole
from cli.playground import COIN, Playground
from devstack.stack import Stack
from sql import ledger as ledger_sql
from sql import tenants as tenants_sql

RECIPIENT = "0x" + "d0" * 20
BLOCK_PAUSE_S = 0.1
"""Between the blocks of a step, so that the count of confirmations can be seen."""


class Story:
    """One tenant with two users on one chain; every step waits for what it promises."""

    def __init__(self, screen: Screen, stack: Stack) -> None:
        self._screen = screen
        self._world = Playground(stack, tell=screen.progress)

    async def play(self) -> None:
        """Play it to the end, or raise what went wrong."""
        try:
            with self._screen.step("A token is issued, workers of all roles start"):
                await self._world.__aenter__()
            await self._open_tenant()
            await self._deposit()
            await self._withdraw("ETH", COIN // 2)
            await self._withdraw(self._world.token, 40 * COIN)
            await self._reorganise()
            await self._close_books()
        finally:
            await self._world.__aexit__(None, None, None)

    async def _open_tenant(self) -> None:
        with self._screen.step("A tenant, its webhook endpoint, and its funded hot wallet"):
            await self._world.open_tenant()
            await self._world.fund_hot_wallet(eth=5, tokens=1000)

    async def _deposit(self) -> None:
        world = self._world
        [address] = await world.new_addresses(["alice"])
        with self._screen.step("alice deposits 2 ETH and 250 tokens"):
            self._screen.detail(f"at {world.adapter.show_address(address)}")
            await world.chain.pay(address, 2 * COIN)
            await world.chain.pay_token(world.contract, address, 250 * COIN)
            for asset in ("ETH", world.token):
                await self._hear("deposit.detected", asset=asset)
            await self._confirm()
            for asset, amount_minor in (("ETH", 2 * COIN), (world.token, 250 * COIN)):
                await self._hear("deposit.confirmed", asset=asset)
                await world.until_balance("alice", asset, "available", amount_minor)
            self._screen.detail(
                "detected, confirmed, posted; signed webhooks received and verified"
            )

    async def _withdraw(self, asset: str, amount_minor: int) -> None:
        order = f"order-{secrets.token_hex(4)}"
        amount = f"{whole(amount_minor, 18)} {asset}"
        with self._screen.step(f"alice withdraws {amount} by a Kafka command"):
            await self._world.command(order, "alice", asset, amount_minor, RECIPIENT)
            await self._hear("withdrawal.requested", idempotency_key=order)
            sent = await self._hear("withdrawal.broadcast", idempotency_key=order)
            await self._confirm()
            paid = await self._hear("withdrawal.confirmed", idempotency_key=order)
            fee = whole(int(paid["network_fee_minor"]), 18)
            self._screen.detail(f"checked, signed, broadcast as {sent['transaction_id'][:18]}…")
            self._screen.detail(f"confirmed and posted; the network took {fee} ETH")

    async def _reorganise(self) -> None:
        world = self._world
        [address] = await world.new_addresses(["bob"])
        with self._screen.step("bob deposits 1 ETH and is credited"):
            await world.chain.pay(address, COIN)
            await self._confirm()
            await self._hear("deposit.confirmed", owner="bob")
            await world.until_balance("bob", "ETH", "available", COIN)
        with self._screen.step("A reorganisation drops bob's deposit; its credit is reversed"):
            await world.chain.reorganise(world.confirmations + 1)
            await world.chain.mine()
            await self._hear("deposit.orphaned", owner="bob")
            await self._hear("deposit.reversed", owner="bob")
            await world.until_balance("bob", "ETH", "available", 0)

    async def _close_books(self) -> None:
        world = self._world
        with self._screen.step("The books are closed and compared with the chain"):
            report = await world.reconcile()
            if report.differences:
                raise AssertionError(f"chain and ledger differ: {report.differences}")
            async with world.pool.acquire() as conn:
                balances = await tenants_sql.list_balances(conn, world.tenant, None, 100)
                trial = await ledger_sql.fetch_trial_balance(conn, world.tenant)
            if any(t.debits_minor != t.credits_minor for t in trial):
                raise AssertionError("debits and credits differ")
            self._screen.detail(f"{report.figures} balances compared at block {report.height};")
            self._screen.detail("the node's, the ledger's and the kept ones are equal")
        columns = ("owner", "asset", "available", "locked", "pending")
        self._screen.table(
            "Balances",
            columns,
            [
                (b.owner, b.asset, *_whole(b.available_minor, b.locked_minor, b.pending_minor))
                for b in balances
            ],
        )
        self._screen.table(
            "Trial balance",
            ("asset", "debits", "credits"),
            [(t.asset, *_whole(t.debits_minor, t.credits_minor)) for t in trial],
        )

    async def _confirm(self) -> None:
        """Mine what is missing, block by block, and show the count."""
        for number in range(1, self._world.confirmations + 1):
            self._screen.progress(f"confirmations {number}/{self._world.confirmations}")
            await self._world.chain.mine()
            await asyncio.sleep(BLOCK_PAUSE_S)

    async def _hear(self, event_type: str, **fields: str) -> dict[str, str]:
        self._screen.progress(f"waiting for {event_type}")
        return await self._world.hear(event_type, **fields)


def _whole(*amounts_minor: int) -> list[str]:
    return [whole(amount_minor, 18) for amount_minor in amounts_minor]
