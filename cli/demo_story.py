"""What the demo plays: deposits, withdrawals, a reorganisation, and the books in the end."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import TypeVar

from chain_adapters.types import Destination
from cli.demo_screen import Screen
from cli.output import whole
from cli.playground import Playground
from cli.playground_chain import Ground, Unit
from devstack.stack import Stack
from sql import ledger as ledger_sql
from sql import tenants as tenants_sql

ResultT = TypeVar("ResultT")
COINS_PAID_IN, TOKENS_PAID_IN = 4, 250
TOKENS_DRAWN = 40
HOT_COINS, HOT_TOKENS = 20, 1000
SHOWN_ID = 18
UNKNOWN_NUMBER = 7
"""No memo is given with it: its check digits are wrong."""
TITLES = {
    "ethereum": "Ethereum, on a real development node",
    "bitcoin": "Bitcoin, on a real node of its family",
    "dogecoin": "Dogecoin, on a real node of its family",
    "litecoin": "Litecoin, on a real node",
    "solana": "Solana, on an emulator around the real virtual machine",
    "ton": "TON, on an emulator around the real executor",
    "stellar": "Stellar, on a simulator of ours",
    "tron": "TRON, on a simulator of ours",
}
"""docs/chains.md says what that is worth."""


class BooksDiffer(Exception):
    """In the end the chain, the ledger and the balances do not say the same."""


class Story:
    """One tenant with its users, on one chain after the other; every step waits for its promise."""

    def __init__(self, screen: Screen, stack: Stack) -> None:
        self._screen = screen
        self._world = Playground(stack, tell=screen.progress)

    async def play(self) -> None:
        """Play it to the end, or raise what went wrong."""
        async with AsyncExitStack() as opened:
            with self._screen.step("Tokens are issued, workers of all roles start"):
                await opened.enter_async_context(self._world)
            with self._screen.step("A tenant and its webhook endpoint"):
                await self._world.open_tenant()
            for ground in self._world.grounds.values():
                await ChainStory(self._screen, ground).play()
            await self._close_books()

    async def _close_books(self) -> None:
        world = self._world
        with self._screen.step("The books are closed"):
            async with world.pool.acquire() as conn:
                balances = await tenants_sql.list_balances(conn, world.tenant, None, 1000)
                trial = await ledger_sql.fetch_trial_balance(conn, world.tenant)
            if any(t.debits_minor != t.credits_minor for t in trial):
                raise BooksDiffer("debits and credits differ")
        units = {unit.asset: unit for g in world.grounds.values() for unit in g.units}
        columns = ("owner", "asset", "available", "locked", "pending")
        self._screen.table(
            "Balances",
            columns,
            [
                (b.owner, *_row(units, b.asset, b.available_minor, b.locked_minor, b.pending_minor))
                for b in balances
            ],
        )
        self._screen.table(
            "Trial balance",
            ("asset", "debits", "credits"),
            [_row(units, t.asset, t.debits_minor, t.credits_minor) for t in trial],
        )


class ChainStory:
    """What happens on one chain."""

    def __init__(self, screen: Screen, ground: Ground) -> None:
        self._screen = screen
        self._ground = ground
        self._world = ground.world

    async def play(self) -> None:
        """Play what the chain has, in its own units."""
        ground = self._ground
        self._screen.headline(f"{TITLES[ground.node.kind]} ({ground.network})")
        await self._fund()
        await self._deposit()
        await self._withdraw(ground.coin, ground.coin.minor(COINS_PAID_IN) // 2)
        for token in ground.tokens:
            await self._withdraw(token, token.minor(TOKENS_DRAWN))
        if ground.node.has_memos:
            await self._assign()
        await self._deposit_for_bob()
        await self._compare()

    async def _fund(self) -> None:
        with self._screen.step("The tenant's hot wallet is funded"):
            await self._ground.fund_hot_wallet(HOT_COINS, HOT_TOKENS)
            self._screen.detail(f"at {self._show(self._ground.hot_wallet)}")

    async def _deposit(self) -> None:
        ground, coin = self._ground, self._ground.coin
        funds = [(coin, coin.minor(COINS_PAID_IN))]
        funds += [(token, token.minor(TOKENS_PAID_IN)) for token in ground.tokens]
        what = " and ".join(unit.show(amount_minor) for unit, amount_minor in funds)
        to = await self._open_destination("alice")
        with self._screen.step(f"alice deposits {what}"):
            memo = "" if to.memo is None else f", memo {to.memo}"
            self._screen.detail(f"at {self._show(to.address)}{memo}")
            for unit, amount_minor in funds:
                await ground.opt_in(unit)
                await ground.pay(to, unit, amount_minor)
                await self._credit("alice", unit, amount_minor)
            self._screen.detail(
                "detected, confirmed, posted; signed webhooks received and verified"
            )

    async def _open_destination(self, owner: str) -> Destination:
        """Return a memo on the pooled address, or an address where the chain has no memos."""
        if self._ground.node.has_memos:
            [destination] = await self._ground.new_memos([owner])
            return destination
        [address] = await self._ground.new_addresses([owner])
        return Destination(address)

    async def _credit(self, owner: str, unit: Unit, amount_minor: int) -> None:
        """Mine until a deposit has become the owner's money."""
        for kind in ("deposit.detected", "deposit.confirmed"):
            await self._hear_mining(kind, owner=owner, asset=unit.asset)
        await self._world.until_balance(owner, unit.asset, "available", amount_minor)

    async def _withdraw(self, unit: Unit, amount_minor: int) -> None:
        ground, order = self._ground, f"order-{secrets.token_hex(4)}"
        recipient = await ground.chain.new_recipient(unit.contract)
        before_minor = await ground.held(recipient, unit)
        with self._screen.step(f"alice withdraws {unit.show(amount_minor)} by a Kafka command"):
            await self._world.command(
                order, "alice", unit.asset, amount_minor, self._show(recipient)
            )
            await self._hear("withdrawal.requested", idempotency_key=order)
            sent = await self._hear("withdrawal.broadcast", idempotency_key=order)
            paid = await self._hear_mining("withdrawal.confirmed", idempotency_key=order)
            got_minor = await ground.held(recipient, unit) - before_minor
            if got_minor != amount_minor:
                raise BooksDiffer(f"{self._show(recipient)} got {unit.show(got_minor)}")
            self._screen.detail(
                f"checked, signed, broadcast as {sent['transaction_id'][:SHOWN_ID]}…"
            )
            fee = ground.coin.show(int(paid["network_fee_minor"]))
            self._screen.detail(f"confirmed and posted; the network took {fee}")

    async def _assign(self) -> None:
        """A payment whose memo nobody was given waits in suspense for an operator's word."""
        ground, coin, world = self._ground, self._ground.coin, self._world
        [known] = await ground.new_memos(["alice"])
        unknown = Destination(known.address, ground.adapter.make_memo(UNKNOWN_NUMBER))
        before_minor = await world.balance("alice", coin.asset, "available")
        with self._screen.step(f"{coin.show(coin.minor(1))} with a wrong memo wait in suspense"):
            await ground.pay(unknown, coin, coin.minor(1))
            waiting = await self._hear_mining("deposit.unassigned", asset=coin.asset)
            await world.until_balance("", coin.asset, "suspense", coin.minor(1))
        with self._screen.step("An operator says that they are alice's"):
            await world.assign_deposit(int(waiting["deposit_id"]), "alice")
            await self._hear("deposit.assigned", owner="alice", asset=coin.asset)
            await world.until_balance(
                "alice", coin.asset, "available", before_minor + coin.minor(1)
            )

    async def _deposit_for_bob(self) -> None:
        """Credit a deposit and, where the chain has reorganisations, drop its block."""
        ground, coin = self._ground, self._ground.coin
        [address] = await ground.new_addresses(["bob"])
        before = await ground.chain.height()
        with self._screen.step(f"bob deposits {coin.show(coin.minor(1))} and is credited"):
            self._screen.detail(f"at an address of his own, {self._show(address)}")
            await ground.pay(address, coin, coin.minor(1))
            await self._credit("bob", coin, coin.minor(1))
        if not ground.node.reorganises:
            self._screen.note("This chain has no reorganisations: none is played.")
            return
        with self._screen.step("A reorganisation drops bob's deposit; its credit is reversed"):
            await ground.chain.reorganise(await ground.chain.height() - before)
            await ground.chain.mine()
            await self._hear("deposit.orphaned", owner="bob", asset=coin.asset)
            await self._hear("deposit.reversed", owner="bob", asset=coin.asset)
            await self._world.until_balance("bob", coin.asset, "available", 0)

    async def _compare(self) -> None:
        with self._screen.step("The books are compared with the chain"):
            report = await self._ground.reconcile()
            if report.differences:
                raise BooksDiffer(f"chain and ledger differ: {report.differences}")
            self._screen.detail(f"{report.figures} balances compared at block {report.height};")
            self._screen.detail("the node's, the ledger's and the kept ones are equal")

    def _show(self, address: str) -> str:
        return self._ground.adapter.show_address(address)

    async def _hear(self, event_type: str, **fields: str) -> dict[str, str]:
        self._screen.progress(f"waiting for {event_type}")
        return await self._world.hear(event_type, **fields)

    async def _hear_mining(self, event_type: str, **fields: str) -> dict[str, str]:
        """Hear of something that wants more blocks, and show how many there were."""
        return await self._mine_until(self._world.hear(event_type, **fields), event_type)

    async def _mine_until(self, what: Awaitable[ResultT], name: str) -> ResultT:
        return await self._ground.mine_until(
            what, lambda done: self._screen.progress(f"waiting for {name}, {done}")
        )


def _row(units: dict[str, Unit], asset: str, *amounts_minor: int) -> tuple[str, ...]:
    return (asset, *(whole(amount_minor, units[asset].decimals) for amount_minor in amounts_minor))
