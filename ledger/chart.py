"""The chart of accounts: what accounts are for, which side is theirs, what entries there are.

The table `buckets` says the same to the database; a test compares the two. Balances are in an
account's normal side: debits - credits for assets and expenses, credits - debits for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final


class AccountKind(StrEnum):
    """The five types of accounts in double entry."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    REVENUE = "revenue"
    EXPENSE = "expense"


@dataclass(frozen=True)
class Bucket:
    """What an account is for.

    `of_user`: kept for each user, else for the tenant itself (empty owner). `may_be_negative`:
    a fact of the chain must be postable although the books did not expect it.
    """

    kind: AccountKind
    of_user: bool
    may_be_negative: bool

    @cached_property
    def debit_normal(self) -> bool:
        """Whether debits make the balance grow."""
        return self.kind in (AccountKind.ASSET, AccountKind.EXPENSE)

    @cached_property
    def is_debt(self) -> bool:
        """Whether the balance is what a user owes."""
        return self.of_user and self.kind is AccountKind.ASSET

    @cached_property
    def sign(self) -> int:
        """What a debit of 1 does to the balance: 1 or -1."""
        return 1 if self.debit_normal else -1

    @cached_property
    def lowest_minor(self) -> int:
        """What a balance may not fall below."""
        return 1 - BALANCE_MINOR_LIMIT if self.may_be_negative else 0


BUCKETS: Final[dict[str, Bucket]] = {
    #                         kind                   of_user  may_be_negative
    "available": Bucket(AccountKind.LIABILITY, True, False),
    "locked": Bucket(AccountKind.LIABILITY, True, False),
    "pending": Bucket(AccountKind.LIABILITY, True, False),
    "receivable": Bucket(AccountKind.ASSET, True, False),
    "deposit_wallets": Bucket(AccountKind.ASSET, False, True),
    "hot_wallet": Bucket(AccountKind.ASSET, False, True),
    "cold_wallet": Bucket(AccountKind.ASSET, False, True),
    "gas_wallet": Bucket(AccountKind.ASSET, False, True),
    "network_fees": Bucket(AccountKind.EXPENSE, False, True),
    "withdrawal_fees": Bucket(AccountKind.REVENUE, False, True),
    "capital": Bucket(AccountKind.EQUITY, False, True),
    "suspense": Bucket(AccountKind.LIABILITY, False, False),
}

DEBTS: Final = frozenset(name for name, bucket in BUCKETS.items() if bucket.is_debt)


class Kind(StrEnum):
    """What business event an entry records."""

    DEPOSIT = "DEPOSIT"
    """A confirmed deposit is credited to its user."""
    DEPOSIT_UNASSIGNED = "DEPOSIT_UNASSIGNED"
    """A confirmed deposit that nobody was found for is kept in suspense."""
    DEPOSIT_ASSIGNED = "DEPOSIT_ASSIGNED"
    """An operator said whose a deposit in suspense is."""
    DEPOSIT_REVERSED = "DEPOSIT_REVERSED"
    """The block of a credited deposit left the chain."""
    FUNDING = "FUNDING"
    """Money from outside reached a wallet of the tenant itself."""
    FUNDING_REVERSED = "FUNDING_REVERSED"
    """The block of a funding left the chain."""
    WITHDRAWAL_HELD = "WITHDRAWAL_HELD"
    """Amount and fee of a withdrawal are set aside."""
    WITHDRAWAL_RELEASED = "WITHDRAWAL_RELEASED"
    """A withdrawal will not happen; the user has the money back."""
    WITHDRAWAL = "WITHDRAWAL"
    """A withdrawal is final on chain."""
    WITHDRAWAL_FAILED = "WITHDRAWAL_FAILED"
    """A withdrawal was mined without effect: gas is gone, the user has the money back."""
    WITHDRAWAL_REVERSED = "WITHDRAWAL_REVERSED"
    """The block of a settled or failed withdrawal left the chain."""
    NETWORK_COST = "NETWORK_COST"
    """The network took something from an address of ours, or gave it back, beside transfers."""
    NETWORK_COST_REVERSED = "NETWORK_COST_REVERSED"
    """The block of a network cost left the chain."""
    BID_LOCK = "BID_LOCK"
    """Money is held for a bid in an auction."""
    BID_UNLOCK = "BID_UNLOCK"
    """The bid was outbid or withdrawn."""
    ESCROW_LOCK = "ESCROW_LOCK"
    """Money is held in escrow for an order."""
    ESCROW_UNLOCK = "ESCROW_UNLOCK"
    """The escrow ended in favour of the buyer."""


REORGANISED_CREDIT: Final = "reorganised_credit"
"""Frozen because a credit left the chain after its money was spent. Ends with the debt."""

BALANCE_MINOR_LIMIT: Final = 10**78
"""NUMERIC(78,0) holds less than this."""
