"""Deposits and withdrawals in numbers on one chain, in coins and tokens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from chain_adapters.types import Destination, NodeUnavailable
from cli.playground_chain import Ground, Unit
from devstack.chains.ethereum import EthereumChain
from tests.faults.leaps import let_time_pass

REORGANISE_EVERY = 40
"""Blocks, on the average."""
LEAP_EVERY = 80
"""Blocks, on the average, until so much time passes at once that what is signed expires."""
DEPTH_MAX = 5
"""Deep enough to undo what is credited after three confirmations."""
STAKE = 50
"""Each owner's first deposit, in coins and in tokens, pays for so many withdrawals."""
HOT_COINS = 50
HOT_COINS_FOR_TOKENS = 4_000
"""Where there are tokens, a transfer of them may cost many coins (TRON's energy)."""
HOT_TOKENS = 1_000
HOT_PAYMENTS = 6
"""Payments into the hot wallet: where money is held as coins, so many withdrawals can wait."""
TOKENS_EVERY = 3
"""Every so many deposits one is of tokens."""
REPEAT_EVERY = 5
"""Every so many orders one is commanded twice."""


class Pace(NamedTuple):
    """How much one chain does while things are killed; rates are a second."""

    deposits: int
    withdrawals: int
    rate_s: float
    mine_every_s: float
    owners: int


class Order(NamedTuple):
    """A withdrawal that was commanded. `held_minor` is what the recipient had before."""

    owner: str
    unit: Unit
    amount_minor: int
    recipient: str
    held_minor: int


class Deposit(NamedTuple):
    """Money on its way to an owner; no other of the chain is of this asset and amount."""

    owner: str
    unit: Unit
    amount_minor: int


class ChainLoad:
    """Users who pay in and draw out on one chain.

    They pay in to addresses of their own and, where the chain has memos, with these to the pooled
    address as well.
    """

    def __init__(self, ground: Ground, seed: int, pace: Pace) -> None:
        self.ground = ground
        self.kind = ground.node.kind
        self.pace = pace
        self.owners = [f"{self.kind}-{number}" for number in range(pace.owners)]
        self.orders: dict[str, Order] = {}
        self.deposits: list[Deposit] = []
        """Those in blocks, or on their way into one; not those that a reorganisation dropped."""
        self.sent = 0
        self.dropped = 0
        self.reorganisations = 0
        self.leaps = 0
        self._chance = random.Random(f"{seed} {self.kind}")
        self._addresses: dict[str, Destination] = {}
        self._memos: dict[str, Destination] = {}
        self._fresh: list[Deposit] = []
        """Sent since the last block."""
        self._blocks: list[list[Deposit]] = []
        self.calm_above: int | None = None
        """Height above which no block is ever replaced, once it is known."""
        self._blocks_left = self._chance.randint(DEPTH_MAX, REORGANISE_EVERY // 2)
        """Blocks until the next reorganisation; the first comes soon, however short the load."""
        self._mining = asyncio.Lock()

    @property
    def deposits_max(self) -> int:
        """How many deposits there will have been in the end."""
        return self.pace.deposits + len(self.owners) * len(self.ground.units)

    @property
    def small_minor(self) -> int:
        """An amount that any new address can be paid."""
        return self.ground.node.account_minor + self.ground.coin.minor(1) // 1000

    def base_minor(self, unit: Unit) -> int:
        """Return what a deposit or a withdrawal is at least."""
        return self.small_minor if unit.contract is None else unit.minor(1)

    async def prepare(self) -> None:
        """Fund the hot wallet, give everybody addresses and some money."""
        ground = self.ground
        coins = HOT_COINS_FOR_TOKENS if ground.tokens else HOT_COINS
        await ground.fund_hot_wallet(coins, HOT_TOKENS + self.pace.withdrawals)
        for _ in range(HOT_PAYMENTS - 1):
            await ground.pay(ground.hot_wallet, ground.coin, ground.coin.minor(10))
        await self._open_destinations()
        if isinstance(ground.chain, EthereumChain):  # it alone makes a block of each transaction
            await ground.chain.call("evm_setAutomine", False)
        for unit in ground.units:  # coins first: they make the account that is to trust tokens
            await ground.opt_in(unit)
            for owner in self.owners:
                await self._pay_in(owner, unit, STAKE * self.base_minor(unit))
            await self._mine()
        self._blocks = []

    async def _open_destinations(self) -> None:
        ground = self.ground
        made = await ground.new_addresses(self.owners)
        self._addresses = {
            owner: Destination(address) for owner, address in zip(self.owners, made, strict=True)
        }
        if ground.node.has_memos:
            memos = await ground.new_memos(self.owners)
            self._memos = dict(zip(self.owners, memos, strict=True))

    async def mine(self) -> None:
        """Make blocks for ever; where the chain has reorganisations, drop some of them again."""
        while True:
            async with self._mining:
                await self._mine()
                if self.ground.node.reorganises and self.calm_above is None:
                    await self._reorganise_now_and_then()
                if not self._chance.randrange(LEAP_EVERY):
                    await self._leap()
            await asyncio.sleep(self.pace.mine_every_s)

    async def calm_down(self) -> None:
        """Have no more reorganisations; blocks are still made."""
        async with self._mining:
            self.calm_above = await self.ground.chain.height()

    async def _mine(self) -> None:
        self._blocks.append(self._fresh)
        self._fresh = []
        await self.ground.chain.mine()

    async def _reorganise_now_and_then(self) -> None:
        self._blocks_left -= 1
        if self._blocks_left <= 0:
            self._blocks_left = self._chance.randrange(1, 2 * REORGANISE_EVERY)
            await self._reorganise(self._chance.randint(1, DEPTH_MAX))

    async def _reorganise(self, depth: int) -> None:
        """Drop blocks with all deposits in them, but none from before the load."""
        await self.ground.chain.reorganise(depth)
        lost = {deposit for block in self._blocks[-depth:] for deposit in block}
        self.deposits = [deposit for deposit in self.deposits if deposit not in lost]
        self.dropped += len(lost)
        self.reorganisations += 1
        self._blocks[-depth:] = [[] for _ in range(depth)]

    async def _leap(self) -> None:
        if blocks := await let_time_pass(self.ground.chain):
            self._blocks += [self._fresh, *([] for _ in range(blocks - 1))]
            self._fresh = []
            self.leaps += 1

    async def pay_in(self, is_behind: Callable[[], bool]) -> None:
        """Send deposits from the bank, now and then of tokens, none while Millrace is behind.

        So the last ones, too, are sent while things are killed, whatever the machine's speed.
        """
        units = self.ground.units
        for number in range(self.pace.deposits):
            while is_behind():  # noqa: ASYNC110 - nothing tells when it is not
                await asyncio.sleep(1.0)
            unit = units[-1] if number % TOKENS_EVERY == 0 else units[0]
            await self._pay_in(self._chance.choice(self.owners), unit, self.base_minor(unit))
            await asyncio.sleep(1 / self.pace.rate_s)

    async def _pay_in(self, owner: str, unit: Unit, base_minor: int) -> None:
        async with self._mining:
            self.sent += 1
            deposit = Deposit(owner, unit, base_minor + self.sent)
            await self.ground.pay(self._target(owner, unit), unit, deposit.amount_minor)
            self.deposits.append(deposit)
            self._fresh.append(deposit)

    def _target(self, owner: str, unit: Unit) -> Destination:
        """An address of the owner's; often a memo, always where a token needs the owner's trust."""
        if not self._memos:
            return self._addresses[owner]
        trusting = unit.contract is not None and self.ground.adapter.opt_in_tokens
        return (self._memos if trusting or self.sent % 2 else self._addresses)[owner]

    async def draw_out(self) -> None:
        """Order withdrawals, in turn of coins and of tokens, some of them twice.

        They keep step with the deposits, however long these take: whoever pays out is never idle
        while things are killed.
        """
        units = self.ground.units
        for number in range(self.pace.withdrawals):
            while self.sent * self.pace.withdrawals < self.deposits_max * number:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            key = f"{self.kind}-order-{number}"
            self.orders[key] = await self._make_order(units[number % len(units)], number)
            for _ in range(2 if number % REPEAT_EVERY == 0 else 1):
                await self._command(key)

    async def _make_order(self, unit: Unit, number: int) -> Order:
        async with self._mining:
            recipient = await self.ground.chain.new_recipient(unit.contract)
        held_minor = await self._held(recipient, unit)
        amount_minor = self.base_minor(unit) + number
        return Order(self._chance.choice(self.owners), unit, amount_minor, recipient, held_minor)

    async def _held(self, recipient: str, unit: Unit) -> int:
        while True:
            try:
                return await self.ground.held(recipient, unit)
            except NodeUnavailable:  # it has much to do
                await asyncio.sleep(0.5)

    async def _command(self, key: str) -> None:
        order = self.orders[key]
        shown = self.ground.adapter.show_address(order.recipient)
        while True:
            try:
                await self.ground.world.command(
                    key, order.owner, order.unit.asset, order.amount_minor, shown
                )
            except Exception:  # the broker is being killed; a producer tries again
                await asyncio.sleep(0.5)
            else:
                return
