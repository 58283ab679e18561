"""Decides what becomes of each entry of a batch. Pure: no database, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from ledger.chart import BALANCE_MINOR_LIMIT, BUCKETS, REORGANISED_CREDIT
from ledger.entries import AccountRef, Entry, Line, Outcome, PostResult

Key: TypeAlias = tuple[str, str]
"""Tenant and idempotency key."""


class Account:
    """A locked account while a batch is decided; its balance moves along."""

    __slots__ = ("account_id", "asset", "balance_minor", "frozen_reason", "lowest_minor", "sign")

    def __init__(
        self, ref: AccountRef, account_id: int, balance_minor: int, frozen_reason: str | None
    ) -> None:
        bucket = BUCKETS[ref.bucket]
        self.account_id = account_id
        self.asset = ref.asset
        self.sign = bucket.sign
        self.lowest_minor = bucket.lowest_minor
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


class PlannedLine(msgspec.Struct, frozen=True, gc=False):
    """One row to write."""

    entry: Entry
    entry_id: int
    line: int
    asset: str
    debit_account: int
    credit_account: int
    amount_minor: int
    debit_balance_after: int
    credit_balance_after: int


class Plan:
    """What to write, and each entry's result."""

    def __init__(self) -> None:
        self.results: list[PostResult] = []
        self.lines: list[PlannedLine] = []
        self.refused = False
        """Whether any entry was valid and still not posted."""
        self.frozen: set[int] = set()
        self.unfrozen: set[int] = set()


def decide(
    entries: Sequence[Entry],
    problems: Sequence[str],
    accounts: Mapping[AccountRef, Account],
    stored: Mapping[Key, StoredEntry],
    entry_ids: Iterable[int],
) -> Plan:
    """Decide every entry in order, as if each were posted alone after the one before.

    `problems` are the validator's words, "" for a valid entry. `accounts` are the locked accounts
    and are used up: their balances end as the plan leaves them. Posted entries take `entry_ids`
    in turn.
    """
    decider = Decider(accounts, stored, entry_ids)
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
        self,
        accounts: Mapping[AccountRef, Account],
        stored: Mapping[Key, StoredEntry],
        entry_ids: Iterable[int],
    ) -> None:
        self._accounts = accounts
        self._stored = stored
        self._entry_ids = iter(entry_ids)
        self._next_id = next(self._entry_ids, 0)
        self._seen: dict[Key, tuple[Entry, int]] = {}
        self.plan = Plan()

    def run(self, entries: Sequence[Entry], problems: Sequence[str]) -> None:
        """Decide the next entries; the plan grows by them."""
        results = self.plan.results
        for entry, problem in zip(entries, problems, strict=True):
            if problem:
                results.append(PostResult(Outcome.INVALID, None, problem))
            else:
                results.append(self._decide_entry(entry))

    def _decide_entry(self, entry: Entry) -> PostResult:
        key = (entry.tenant, entry.idempotency_key)
        if (stored := self._stored.get(key)) is not None:
            return _compare(repeats(entry, stored), stored.entry_id)
        if (seen := self._seen.get(key)) is not None:
            earlier, entry_id = seen
            return _compare(entry.kind == earlier.kind and entry.lines == earlier.lines, entry_id)
        if self._post_simple(entry):
            return self._posted(entry)
        written, undo = len(self.plan.lines), list[tuple[Account, int]]()
        try:
            return self._posted(entry, *self._post(entry, undo))
        except (_Refused, KeyError) as refused:
            del self.plan.lines[written:]
            for account, balance_minor in reversed(undo):
                account.balance_minor = balance_minor
            self.plan.refused = True
            return refused.result if isinstance(refused, _Refused) else _UNKNOWN

    def _posted(
        self, entry: Entry, shortfall_minor: int = 0, unfrozen: tuple[AccountRef, ...] = ()
    ) -> PostResult:
        entry_id = self._next_id
        self._next_id = next(self._entry_ids, 0)
        self._seen[entry.tenant, entry.idempotency_key] = (entry, entry_id)
        return PostResult(Outcome.POSTED, entry_id, "", shortfall_minor, unfrozen)

    def _post_simple(self, entry: Entry) -> bool:
        """Post an entry of one line without detours or doubts, as nearly all are; False if not."""
        line = entry.lines[0]
        debit, credit = self._accounts.get(line.debit), self._accounts.get(line.credit)
        if len(entry.lines) > 1 or line.overflow is not None or debit is None or credit is None:
            return False
        if debit.frozen_reason is not None or credit.frozen_reason is not None:
            return False
        amount_minor = line.amount_minor
        after = debit.balance_minor + debit.sign * amount_minor
        credit_after = credit.balance_minor - credit.sign * amount_minor
        if not debit.lowest_minor <= after < BALANCE_MINOR_LIMIT:
            return False
        if not credit.lowest_minor <= credit_after < BALANCE_MINOR_LIMIT:
            return False
        debit.balance_minor = after
        credit.balance_minor = credit_after
        self.plan.lines.append(
            PlannedLine(
                entry,
                self._next_id,
                0,
                debit.asset,
                debit.account_id,
                credit.account_id,
                amount_minor,
                after,
                credit_after,
            )
        )
        return True

    def _post(
        self, entry: Entry, undo: list[tuple[Account, int]]
    ) -> tuple[int, tuple[AccountRef, ...]]:
        """Return what is owed from now on, and whose debt is paid."""
        accounts = self._accounts
        shortfall_minor = 0
        detours: list[tuple[Line, Account]] = []
        for line in entry.lines:
            debit, credit = accounts[line.debit], accounts[line.credit]
            if debit.frozen_reason is not None and entry.enforce_frozen:
                raise _Refused(Outcome.FROZEN, debit.frozen_reason)
            amount_minor = line.amount_minor
            if line.overflow is not None and debit.balance_minor < amount_minor:
                over = accounts[line.overflow]
                missing_minor = amount_minor - max(debit.balance_minor, 0)
                self._move(over, credit, missing_minor, entry, undo)
                shortfall_minor += missing_minor
                amount_minor -= missing_minor
                detours.append((line, debit))
            elif line.repays is not None and credit.frozen_reason is not None:
                amount_minor -= self._repay(line, debit, entry, undo)
                detours.append((line, credit))
            if amount_minor:
                self._move(debit, credit, amount_minor, entry, undo)
        unfrozen = [
            line.credit for line, account in detours if self._freeze_or_unfreeze(line, account)
        ]
        return shortfall_minor, tuple(unfrozen)

    def _repay(
        self, line: Line, debit: Account, entry: Entry, undo: list[tuple[Account, int]]
    ) -> int:
        debt = self._accounts.get(line.repays) if line.repays is not None else None
        if debt is None or debt.balance_minor <= 0:
            return 0
        amount_minor = min(debt.balance_minor, line.amount_minor)
        self._move(debit, debt, amount_minor, entry, undo)
        return amount_minor

    def _move(
        self,
        debit: Account,
        credit: Account,
        amount_minor: int,
        entry: Entry,
        undo: list[tuple[Account, int]],
    ) -> None:
        before, credit_before = debit.balance_minor, credit.balance_minor
        after = before + debit.sign * amount_minor
        credit_after = credit_before - credit.sign * amount_minor
        if after < 0 and debit.lowest_minor == 0:
            raise _Refused(Outcome.INSUFFICIENT_FUNDS, f"{-after} minor units are missing")
        if credit_after < 0 and credit.lowest_minor == 0:
            raise _Refused(Outcome.INSUFFICIENT_FUNDS, f"{-credit_after} minor units too many")
        if max(abs(after), abs(credit_after)) >= BALANCE_MINOR_LIMIT:
            raise _Refused(Outcome.INVALID, "a balance would have more than 78 digits")
        line = len(undo) // 2
        undo.append((debit, before))
        undo.append((credit, credit_before))
        debit.balance_minor = after
        credit.balance_minor = credit_after
        self.plan.lines.append(
            PlannedLine(
                entry,
                self._next_id,
                line,
                debit.asset,
                debit.account_id,
                credit.account_id,
                amount_minor,
                after,
                credit_after,
            )
        )

    def _freeze_or_unfreeze(self, line: Line, account: Account) -> bool:
        """Freeze who owes now, let go who does not any more; whether it let go."""
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
                return True
        return False


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
