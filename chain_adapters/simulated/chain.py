"""The simulated chain itself: its blocks, its pool, and the balances after every block."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable

import msgspec

from chain_adapters.types import (
    Block,
    Broadcast,
    BroadcastOutcome,
    Payment,
    Tip,
    Token,
    Transaction,
    Transfer,
)

FEE_MINOR = 1_000
"""What a transaction pays unless it outbids another."""


class Order(msgspec.Struct, frozen=True):
    """What a transaction of this chain says; it is signed as JSON."""

    payment: Payment
    nonce: int | None
    fee_minor: int
    valid_until: int | None = None
    salt: int = 0
    """Tells equal payments apart where there are no nonces."""


class Pooled(msgspec.Struct, frozen=True):
    """A transaction that waits to be mined."""

    id: str
    order: Order


class State(msgspec.Struct):
    """Balances by (address, contract) and next nonces, after some block."""

    balances: dict[tuple[str, str | None], int] = {}
    nonces: dict[str, int] = {}

    def balance(self, address: str, contract: str | None) -> int:
        """Return what the address holds."""
        return self.balances.get((address, contract), 0)

    def nonce(self, address: str) -> int:
        """Return the address's next nonce."""
        return self.nonces.get(address, 0)

    def add(self, address: str, contract: str | None, amount_minor: int) -> None:
        """Change a balance."""
        self.balances[address, contract] = self.balance(address, contract) + amount_minor

    def copy(self) -> State:
        """Return an independent copy."""
        return State(dict(self.balances), dict(self.nonces))


class SimulatedChain:
    """The world that simulated adapters look at. Not for use from several threads."""

    def __init__(self, network: str = "sim:1") -> None:
        self.network = network
        self.blocks: list[Block] = []
        self.pool: list[Pooled] = []
        self.reverting: set[str] = set()
        """Addresses that refuse every payment."""
        self.tokens: dict[str, Token] = {}
        """What its tokens tell of themselves; any other can be minted, and tells nothing."""
        self.has_nonces = True
        self.lifetime: int | None = None
        """Blocks after which a transaction that is in none expires; None: it never does."""
        self.finality_depth = 32
        self.listeners: set[asyncio.Event] = set()
        self._states: list[State] = []
        self._orders: dict[str, Pooled] = {}
        self._branch = 0
        self._append([], State())

    @property
    def tip(self) -> Tip:
        """The best block, with what is out of reach of an ordinary reorganisation."""
        head = self.blocks[-1]
        safe = max(0, head.height - self.finality_depth // 2)
        return Tip(head.height, head.block_id, safe, max(0, head.height - self.finality_depth))

    def state_at(self, height: int) -> State:
        """Return balances and nonces after block `height`."""
        return self._states[height]

    def mint(
        self, address: str, contract: str | None, amount_minor: int, memo: str | None = None
    ) -> str:
        """Mine a block that gives money out of nothing; return the transaction's id."""
        state = self._states[-1].copy()
        state.add(address, contract, amount_minor)
        digest = f"mint {len(self.blocks)} {self._branch} {address} {contract} {amount_minor}"
        transaction = Transaction(
            id=hash_text(digest),
            payer=None,
            succeeded=True,
            fee_minor=0,
            transfers=(Transfer("value", None, address, contract, amount_minor, memo),),
        )
        self._append([transaction], state)
        return transaction.id

    def charge(self, address: str, amount_minor: int) -> str:
        """Mine a block that takes a fee from an address, or gives it (negative); return its id."""
        state = self._states[-1].copy()
        state.add(address, None, -amount_minor)
        digest = f"charge {len(self.blocks)} {self._branch} {address} {amount_minor}"
        transaction = Transaction(hash_text(digest), address, True, amount_minor)
        self._append([transaction], state)
        return transaction.id

    def include(self, transactions: Iterable[Transaction]) -> None:
        """Mine a block with just these transactions, as after a reorganisation that kept them."""
        state, taken = self._states[-1].copy(), list(transactions)
        for transaction in taken:
            if transaction.payer is not None:
                state.add(transaction.payer, None, -(transaction.fee_minor or 0))
            for transfer in transaction.transfers:
                state.add(transfer.address, transfer.contract, transfer.amount_minor)
        self._append(taken, state)

    def return_payment(self, transaction_id: str) -> None:
        """Mine a block that brings a payment's money back, as a bounced message on TON does."""
        state = self._states[-1].copy()
        paid = [t for block in self.blocks for t in block.transactions if t.id == transaction_id]
        for transfer in paid[0].transfers:
            state.add(transfer.address, transfer.contract, -transfer.amount_minor)
            state.add(transfer.sender or "", transfer.contract, transfer.amount_minor)
        back = hash_text(f"back {transaction_id}")
        self._append([Transaction(back, None, True, 0, (), transaction_id)], state)

    def mine(self, count: int = 1) -> None:
        """Mine blocks; the first takes every transaction of the pool that can be taken."""
        for _ in range(count):
            state = self._states[-1].copy()
            self._append(self._take_pool(state), state)

    def reorganise(self, depth: int, *, keep: bool = True, length: int | None = None) -> None:
        """Replace the last `depth` blocks by `length` new ones (as many, if None).

        With `keep`, transactions of the dropped blocks return to the pool and are mined again
        where they still can be; minted money never returns.
        """
        dropped = self.drop(depth)
        if keep:
            ids = [transaction.id for block in dropped for transaction in block.transactions]
            returning = [self._orders[i] for i in ids if i in self._orders]
            self.pool = returning + self.pool
        self.mine(depth if length is None else length)
        self._notify()

    def drop(self, depth: int) -> list[Block]:
        """Take off and return the last `depth` blocks; what is mined next is another branch."""
        if not 0 < depth < len(self.blocks):
            raise ValueError("a reorganisation leaves the first block alone")
        dropped = self.blocks[-depth:]
        del self.blocks[-depth:], self._states[-depth:]
        self._branch += 1
        return dropped

    def submit(self, pooled: Pooled) -> Broadcast:
        """Take a signed transaction, or say why not."""
        order, state = pooled.order, self._states[-1]
        sender = order.payment.sender
        rival = next((p for p in self.pool if same_slot(p.order, order)), None)
        if self._is_mined(pooled.id) or (rival is not None and rival.id == pooled.id):
            return Broadcast(BroadcastOutcome.ACCEPTED, "already known")
        if order.nonce is not None and order.nonce < state.nonce(sender):
            return Broadcast(BroadcastOutcome.NONCE_USED, "nonce too low")
        if has_expired(order, len(self.blocks)):
            return Broadcast(BroadcastOutcome.REFUSED, "expired")
        if rival is not None and order.fee_minor * 10 < rival.order.fee_minor * 11:
            return Broadcast(BroadcastOutcome.REFUSED, "replacement transaction underpriced")
        if state.balance(sender, None) < native_cost_minor(order):
            return Broadcast(BroadcastOutcome.REFUSED, "insufficient funds")
        self.pool = [p for p in self.pool if p is not rival] + [pooled]
        self._orders[pooled.id] = pooled
        return Broadcast(BroadcastOutcome.ACCEPTED)

    def _is_mined(self, transaction_id: str) -> bool:
        return any(
            transaction.id == transaction_id
            for block in self.blocks
            for transaction in block.transactions
        )

    def _take_pool(self, state: State) -> list[Transaction]:
        """Take what is next for each sender and paid for; leave the rest waiting."""
        height: int = len(self.blocks)
        taken: list[Transaction] = []
        left: list[Pooled] = []
        for pooled in sorted(self.pool, key=lambda p: p.order.nonce or 0):
            order, sender = pooled.order, pooled.order.payment.sender
            affordable = state.balance(sender, None) >= native_cost_minor(order)
            if has_expired(order, height):
                continue
            if order.nonce in (None, state.nonce(sender)) and affordable:
                taken.append(self._execute(pooled, state))
            elif order.nonce is None or order.nonce > state.nonce(sender):
                left.append(pooled)
        self.pool = left
        return taken

    def _execute(self, pooled: Pooled, state: State) -> Transaction:
        order, payment = pooled.order, pooled.order.payment
        sender = payment.sender
        if order.nonce is not None:
            state.nonces[sender] = order.nonce + 1
        state.add(sender, None, -order.fee_minor)
        held = state.balance(sender, payment.contract)
        succeeded = payment.recipient not in self.reverting and held >= payment.amount_minor
        transfers: tuple[Transfer, ...] = ()
        if succeeded and payment.amount_minor:
            state.add(sender, payment.contract, -payment.amount_minor)
            state.add(payment.recipient, payment.contract, payment.amount_minor)
            transfers = (transfer_of(payment),)
        return Transaction(pooled.id, sender, succeeded, order.fee_minor, transfers)

    def _append(self, transactions: list[Transaction], state: State) -> None:
        height = len(self.blocks)
        parent_id = self.blocks[-1].block_id if self.blocks else hash_text("nothing")
        ids = ",".join(transaction.id for transaction in transactions)
        block_id = hash_text(f"{parent_id} {self._branch} {ids}")
        self.blocks.append(
            Block(height, block_id, parent_id, 12 * height, tuple(transactions), clock=height)
        )
        self._states.append(state)
        self._notify()

    def _notify(self) -> None:
        for listener in self.listeners:
            listener.set()


def hash_text(text: str) -> str:
    """Return a hash in the form of transaction and block ids."""
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def same_slot(first: Order, second: Order) -> bool:
    """Whether only one of the two can be mined."""
    if first.nonce is None or second.nonce is None:
        return first == second
    return (first.nonce, first.payment.sender) == (second.nonce, second.payment.sender)


def has_expired(order: Order, height: int) -> bool:
    """Whether a block of this height cannot carry the transaction any more."""
    return order.valid_until is not None and order.valid_until < height


def native_cost_minor(order: Order) -> int:
    """Return what the sender must hold of the native asset."""
    payment = order.payment
    return order.fee_minor + (payment.amount_minor if payment.contract is None else 0)


def transfer_of(payment: Payment) -> Transfer:
    """Return the transfer that a payment becomes."""
    index = "value" if payment.contract is None else "log:0"
    return Transfer(
        index,
        payment.sender,
        payment.recipient,
        payment.contract,
        payment.amount_minor,
        payment.memo,
    )
