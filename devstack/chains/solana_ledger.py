"""Solana's blocks and slots around a real SVM, in memory and in a journal.

An emulator: programs, fees, rent, balances and errors are those of the real virtual machine
(litesvm); slots, blockhashes and their expiry, the pool and everything told of a block are ours.
There is no consensus: every block is final as soon as it is made.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM_ID
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulateResult

from devstack.chains.solana_shapes import (
    TokenBalance,
    loaded_keys,
    show_transaction,
    token_balance_of,
)

GENESIS_HASH = str(Hash(hashlib.sha256(b"millrace development chain").digest()))
BANK = Keypair.from_seed(hashlib.sha256(b"millrace development bank").digest())
"""Holds all money; its key is known to everyone."""
BANK_LAMPORTS = 10**18

BLOCKHASHES_AGE_MAX = 150
"""A transaction may name the blockhash of this many blocks before its block's parent."""


@dataclass(frozen=True)
class Record:
    """One block as it is told in full: `header` and its transactions, in JSON's types."""

    header: dict[str, Any]
    transactions: list[dict[str, Any]]


@dataclass
class Ledger:
    """The chain: blocks by slot, a pool, and the virtual machine's state after the last block.

    `skip_every`: before every so many blocks a slot is skipped; 0 skips none by itself.
    """

    skip_every: int = 0
    slot: int = 0
    blocks: dict[int, Record] = field(default_factory=dict)
    pool: dict[str, VersionedTransaction] = field(default_factory=dict)
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By signature: slot and error of each executed transaction."""
    heights: dict[str, int] = field(default_factory=dict)
    """Block heights by blockhash."""
    lost: set[int] = field(default_factory=set)
    """Slots whose blocks the node pretends to lack."""

    def __post_init__(self) -> None:
        self.svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        self.svm.set_account(
            BANK.pubkey(), Account(BANK_LAMPORTS, b"", SYSTEM_PROGRAM_ID, executable=False)
        )
        self.height = -1
        self.blockhash = GENESIS_HASH
        self.parent_slot = 0
        self.add_block(0)

    def mine(self, now: int | None = None) -> None:
        """Make a block in the next slot, of all that waits in the pool."""
        due = self.skip_every and (self.height + 1) % self.skip_every == 0
        self.slot += 2 if due else 1
        self.add_block(int(time.time()) if now is None else now)

    def skip(self) -> None:
        """Let a slot pass without a block."""
        self.slot += 1

    def add_block(self, now: int) -> None:
        """Execute the pool and record the block of the current slot."""
        self.svm.warp_to_slot(self.slot)
        parent, self.height = self.blockhash, self.height + 1
        waiting, self.pool = list(self.pool.values()), {}
        fresh = [tx for tx in waiting if self.may_carry(tx, self.height)]
        executed = [shown for shown in map(self.execute, fresh) if shown is not None]
        self.blockhash = make_blockhash(parent, self.slot)
        self.heights[self.blockhash] = self.height
        header = {
            "blockHeight": self.height,
            "blockTime": max(now, self.last_time),
            "blockhash": self.blockhash,
            "parentSlot": self.parent_slot,
            "previousBlockhash": parent,
        }
        self.blocks[self.slot] = Record(header, executed)
        self.parent_slot = self.slot

    @property
    def last_time(self) -> int:
        """The time of the last block."""
        last = self.blocks.get(self.parent_slot)
        return 0 if last is None else int(last.header["blockTime"])

    def may_carry(self, transaction: VersionedTransaction, height: int) -> bool:
        """Whether a block of this height can carry a transaction, by its blockhash's age."""
        made_at = self.heights.get(str(transaction.message.recent_blockhash))
        return made_at is not None and height - 1 - made_at <= BLOCKHASHES_AGE_MAX

    def is_recent(self, slot: int) -> bool:
        """Whether a node still has the outcomes of this slot's block in memory."""
        return self.height - int(self.blocks[slot].header["blockHeight"]) <= BLOCKHASHES_AGE_MAX

    def execute(self, transaction: VersionedTransaction) -> dict[str, Any] | None:
        """Run a transaction; return how a block shows it, None if it cannot be in one."""
        signature = str(transaction.signatures[0])
        if signature in self.statuses:
            return None
        loaded = loaded_keys(transaction, self.svm.get_account)
        keys = [*transaction.message.account_keys, *loaded[0], *loaded[1]]
        before, tokens_before = self.balances(keys), self.token_balances(keys)
        result = self.svm.send_transaction(transaction)
        after = self.balances(keys)
        failed = isinstance(result, FailedTransactionMetadata)
        if failed and after[0] == before[0]:  # not even the fee was taken
            return None
        meta = result.meta() if isinstance(result, FailedTransactionMetadata) else result
        error = json.loads(result.to_json())["err"] if failed else None
        self.statuses[signature] = {"slot": self.slot, "err": error}
        return show_transaction(
            transaction,
            loaded,
            error=error,
            fee=before[0] - after[0] if failed else meta.fee(),
            logs=meta.logs(),
            units=meta.compute_units_consumed(),
            balances=(before, after),
            tokens=(tokens_before, self.token_balances(keys)),
        )

    def balances(self, keys: Iterable[Pubkey]) -> list[int]:
        """Return lamports."""
        return [self.svm.get_balance(key) or 0 for key in keys]

    def token_balances(self, keys: Sequence[Pubkey]) -> list[TokenBalance]:
        """Return what the token accounts among the keys hold."""
        found = (token_balance_of(n, key, self.svm.get_account) for n, key in enumerate(keys))
        return [balance for balance in found if balance is not None]

    def simulate(self, transaction: VersionedTransaction) -> SimulateResult:
        """Run a transaction on the present state without effect, signed or not."""
        self.svm.with_sigverify(False)
        try:
            return self.svm.simulate_transaction(transaction)
        finally:
            self.svm.with_sigverify(True)


def make_blockhash(parent: str, slot: int) -> str:
    """Return the hash of the block after `parent` in a slot."""
    content = bytes(Hash.from_string(parent)) + slot.to_bytes(8, "little")
    return str(Hash(hashlib.sha256(content).digest()))
