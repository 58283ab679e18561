"""Transactions of ours that blocks show although they were given up: the block is right.

An operator cancelled on a node's word, a node was wrong about expiry, a reorganisation was deeper
than anybody allowed for: then a payment lands that nobody waits for any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agents.parts.halting import halt_wallet
from agents.runtime.stage import Work
from sql.transactions import OpenTransaction


class Landings(NamedTuple):
    """What blocks show of ours."""

    first: dict[str, OpenTransaction]
    """One a withdrawal, by transaction: it is the payment."""
    second: list[OpenTransaction]
    """Payments beside that one."""

    @property
    def reopened(self) -> dict[str, OpenTransaction]:
        """Those whose withdrawal failed, its money given back, and is open again."""
        return {i: t for i, t in self.first.items() if t.given_up and not t.nonce_released}


def sort_landings(found: Iterable[OpenTransaction]) -> Landings:
    """Tell the payments of withdrawals from second ones. Pure."""
    landings = Landings({}, [])
    paid: set[int] = set()
    for transaction in found:
        if transaction.is_paid or transaction.withdrawal_id in paid:
            landings.second.append(transaction)
        else:
            paid.add(transaction.withdrawal_id)
            landings.first[transaction.transaction_id] = transaction
    return landings


async def halt_wallets(work: Work, network: str, landings: Landings) -> None:
    """Sign nothing more from wallets that paid what they should not have: somebody has to look."""
    for transaction in landings.second:
        await _halt(work, network, transaction, "was paid twice")
    for transaction in landings.first.values():
        if transaction.given_up and transaction.nonce_released:
            await _halt(work, network, transaction, "was given up and paid all the same")


async def _halt(work: Work, network: str, transaction: OpenTransaction, what: str) -> None:
    reason = f"withdrawal {transaction.idempotency_key!r} {what}, by {transaction.transaction_id}"
    await halt_wallet(work, network, transaction.sender, reason)
