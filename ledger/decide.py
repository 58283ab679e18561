"""Decides what becomes of each entry of a batch. Pure: no database, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from ledger.chart import BALANCE_MINOR_LIMIT, BUCKETS, REORGANISED_CREDIT
from ledger.entries import AccountRef, Entry, Line, Outcome, PostResult

Key: TypeAlias = tuple[str, str]
"""Tenant and idempotency key."""


class Account:
    """A locked account while a batch is decided; its balance moves along."""

    __slots__ = (
        "account_id",
        "asset",
        "balance_minor",
        "debit_normal",
        "frozen_reason",
        "may_be_negative",
    )

    def __init__(
        self, ref: AccountRef, account_id: int, balance_minor: int, frozen_reason: str | None
    ) -> None:
        bucket = BUCKETS[ref.bucket]
        self.account_id = account_id
        self.asset = ref.asset
        self.debit_normal = bucket.debit_normal
        self.may_be_negative = bucket.may_be_negative
        self.balance_minor = balance_minor
        self.frozen_reason = frozen_reason


class StoredLine(NamedTuple):
    """A line as the journal has it."""

    debit: AccountRef
    credit: AccountRef
    amount_minor: int


class StoredEntry(NamedTuple):
    """An entry of an earlier transaction."""

    entry_id: int
    kind: str
    lines: list[StoredLine]


class PlannedLine(NamedTuple):
    """One row to write. `entry_number` counts the posted entries of the batch from 0."""

    entry_number: int
    line: int
    asset: str
    debit_account: int
    credit_account: int
    amount_minor: int
    debit_balance_after: int
    credit_balance_after: int


class Plan:
    """What to write, and each entry's result.

    A posted entry, and a duplicate of one posted in the same batch, has its entry number in
    place of the entry id until the database has given one.
    """

    def __init__(self) -> None:
        self.results: list[PostResult] = []
        self.numbered: list[bool] = []
        self.posted: list[Entry] = []
        self.lines: list[PlannedLine] = []
        self.refused = False
        """Whether any entry was valid and still not posted."""
        self.frozen: set[int] = set()
        self.unfrozen: set[int] = set()

    def results_with_ids(self, entry_ids: Sequence[int]) -> list[PostResult]:
        """Return the results with entry numbers replaced by the ids given to them."""
        return [
            PostResult(result.outcome, entry_ids[result.entry_id], "", result.shortfall_minor)
            if numbered and result.entry_id is not None
            else result
            for result, numbered in zip(self.results, self.numbered, strict=True)
        ]


def decide(
    entries: Sequence[Entry],
    problems: Sequence[str],
    accounts: Mapping[AccountRef, Account],
    stored: Mapping[Key, StoredEntry],
) -> Plan:
    """Decide every entry in order, as if each were posted alone after the one before.

    `problems` are the validator's words, "" for a valid entry. `accounts` are the locked accounts
    and are used up: their balances end as the plan leaves them.
    """
    decider = Decider(accounts, stored)
    decider.run(entries, problems)
    return decider.plan


class _Refused(Exception):
    """Ends the attempt at one entry."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.result = PostResult(outcome, None, detail)


_UNKNOWN: Final = PostResult(Outcome.INVALID, None, "unknown tenant or asset")


class Decider:
    """Decides entry after entry; see `decide`, which does it at one go."""

    def __init__(
        self, accounts: Mapping[AccountRef, Account], stored: Mapping[Key, StoredEntry]
    ) -> None:
        self._accounts = accounts
        self._stored = stored
        self._seen: dict[Key, tuple[Entry, int]] = {}
        self.plan = Plan()

    def run(self, entries: Sequence[Entry], problems: Sequence[str]) -> None:
        """Decide the next entries; the plan grows by them."""
        plan = self.plan
        for entry, problem in zip(entries, problems, strict=True):
            if problem:
                result, numbered = PostResult(Outcome.INVALID, None, problem), False
            else:
                result, numbered = self._decide_entry(entry)
            plan.results.append(result)
            plan.numbered.append(numbered)

    def _decide_entry(self, entry: Entry) -> tuple[PostResult, bool]:
        key = (entry.tenant, entry.idempotency_key)
        if (stored := self._stored.get(key)) is not None:
            return _compare(repeats(entry, stored), stored.entry_id), False
        if (seen := self._seen.get(key)) is not None:
            earlier, number = seen
            same = entry.kind == earlier.kind and entry.lines == earlier.lines
            return _compare(same, number), True
        written, undo = len(self.plan.lines), list[tuple[Account, int]]()
        try:
            shortfall_minor = self._post(entry, undo)
        except (_Refused, KeyError) as refused:
            del self.plan.lines[written:]
            for account, balance_minor in reversed(undo):
                account.balance_minor = balance_minor
            self.plan.refused = True
            return refused.result if isinstance(refused, _Refused) else _UNKNOWN, False
        number = len(self.plan.posted)
        self.plan.posted.append(entry)
        self._seen[key] = (entry, number)
        return PostResult(Outcome.POSTED, number, "", shortfall_minor), True

    def _post(self, entry: Entry, undo: list[tuple[Account, int]]) -> int:
        accounts = self._accounts
        shortfall_minor = 0
        detours: list[tuple[Line, Account]] = []
        first = len(self.plan.lines)
        for line in entry.lines:
            debit, credit = accounts[line.debit], accounts[line.credit]
            if debit.frozen_reason is not None and entry.enforce_frozen:
                raise _Refused(Outcome.FROZEN, debit.frozen_reason)
            amount_minor = line.amount_minor
            if line.overflow is not None and debit.balance_minor < amount_minor:
                over = accounts[line.overflow]
                missing_minor = amount_minor - max(debit.balance_minor, 0)
                self._move(over, credit, missing_minor, first, undo)
                shortfall_minor += missing_minor
                amount_minor -= missing_minor
                detours.append((line, debit))
            elif line.repays is not None and credit.frozen_reason is not None:
                amount_minor -= self._repay(line, debit, first, undo)
                detours.append((line, credit))
            if amount_minor:
                self._move(debit, credit, amount_minor, first, undo)
        for line, account in detours:
            self._freeze_or_unfreeze(line, account)
        return shortfall_minor

    def _repay(
        self, line: Line, debit: Account, first: int, undo: list[tuple[Account, int]]
    ) -> int:
        debt = self._accounts.get(line.repays) if line.repays is not None else None
        if debt is None or debt.balance_minor <= 0:
            return 0
        amount_minor = min(debt.balance_minor, line.amount_minor)
        self._move(debit, debt, amount_minor, first, undo)
        return amount_minor

    def _move(
        self,
        debit: Account,
        credit: Account,
        amount_minor: int,
        first: int,
        undo: list[tuple[Account, int]],
    ) -> None:
        before, credit_before = debit.balance_minor, credit.balance_minor
        after = before + amount_minor if debit.debit_normal else before - amount_minor
        credit_after = (
            credit_before - amount_minor if credit.debit_normal else credit_before + amount_minor
        )
        if after < 0 and not debit.may_be_negative:
            raise _Refused(Outcome.INSUFFICIENT_FUNDS, f"{-after} minor units are missing")
        if credit_after < 0 and not credit.may_be_negative:
            raise _Refused(Outcome.INSUFFICIENT_FUNDS, f"{-credit_after} minor units too many")
        if max(abs(after), abs(credit_after)) >= BALANCE_MINOR_LIMIT:
            raise _Refused(Outcome.INVALID, "a balance would have more than 78 digits")
        undo.append((debit, before))
        undo.append((credit, credit_before))
        debit.balance_minor = after
        credit.balance_minor = credit_after
        plan = self.plan
        plan.lines.append(
            PlannedLine(
                len(plan.posted),
                len(plan.lines) - first,
                debit.asset,
                debit.account_id,
                credit.account_id,
                amount_minor,
                after,
                credit_after,
            )
        )

    def _freeze_or_unfreeze(self, line: Line, account: Account) -> None:
        plan = self.plan
        if line.overflow is not None and account.frozen_reason is None:
            account.frozen_reason = REORGANISED_CREDIT
            plan.frozen.add(account.account_id)
            plan.unfrozen.discard(account.account_id)
        elif line.repays is not None and account.frozen_reason == REORGANISED_CREDIT:
            debt = self._accounts.get(line.repays)
            if debt is None or debt.balance_minor == 0:
                account.frozen_reason = None
                plan.unfrozen.add(account.account_id)
                plan.frozen.discard(account.account_id)


def _compare(same: bool, entry_id: int) -> PostResult:
    return PostResult(Outcome.DUPLICATE if same else Outcome.CONFLICT, entry_id)


def repeats(entry: Entry, stored: StoredEntry) -> bool:
    """Whether the stored lines are this entry's, split by an overflow or a debt or not."""
    if entry.kind != stored.kind:
        return False
    position = 0
    for line in entry.lines:
        left_minor = line.amount_minor
        while left_minor > 0 and position < len(stored.lines):
            part = stored.lines[position]
            if not _is_part(part, line):
                break
            left_minor -= part.amount_minor
            position += 1
        if left_minor != 0:
            return False
    return position == len(stored.lines)


def _is_part(part: StoredLine, line: Line) -> bool:
    return part.debit in (line.debit, line.overflow) and part.credit in (line.credit, line.repays)
