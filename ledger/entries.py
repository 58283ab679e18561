"""What is posted and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from ledger.chart import Kind


class AccountRef(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Names an account. The empty owner is the tenant itself."""

    tenant: str
    owner: str
    asset: str
    bucket: str


class Line(msgspec.Struct, frozen=True, gc=False):
    """One amount from one account to another, in minor units.

    `overflow`: what `debit` does not hold is debited here instead, and `debit` is frozen.
    `repays`: if `credit` is frozen, what is open here is credited first; once nothing is open,
    a freeze that came from an overflow ends. Both are accounts of the same tenant and asset.
    """

    debit: AccountRef
    credit: AccountRef
    amount_minor: int
    overflow: AccountRef | None = None
    repays: AccountRef | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One business event: all its lines are posted, in order, or none.

    Every line is of `tenant`. `idempotency_key` is unique within the tenant, printable, at most
    200 characters. `metadata` must be JSON. Without `enforce_frozen` money leaves frozen
    accounts too: what happened on chain is posted whatever we think of the user.
    """

    tenant: str
    kind: Kind
    idempotency_key: str
    lines: tuple[Line, ...]
    reference_type: str
    reference_id: str
    metadata: Mapping[str, object] | None = None
    enforce_frozen: bool = True


class Outcome(StrEnum):
    """What became of one entry."""

    POSTED = "posted"
    DUPLICATE = "duplicate"
    """The same entry is in the journal already; entry_id is that one."""
    CONFLICT = "conflict"
    """Another entry is in the journal under this key; entry_id is that one."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    FROZEN = "frozen"
    INVALID = "invalid"
    """Can never be posted as it is; detail says why."""


class PostResult(msgspec.Struct, frozen=True, gc=False):
    """Outcome of one entry.

    `shortfall_minor` > 0 on a posted entry: so much was missing and went to an overflow account,
    whose owner is frozen now; somebody must be told. So must whoever is `unfrozen`: these accounts
    were frozen for a debt, the last of which this entry has paid.
    """

    outcome: Outcome
    entry_id: int | None = None
    detail: str = ""
    shortfall_minor: int = 0
    unfrozen: tuple[AccountRef, ...] = ()
