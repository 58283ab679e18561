"""The ledger without a database: same entries, same results, for tests and for trying rules out.

It is forgotten with the process, and nothing guards it but Python.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ledger.chart import BUCKETS, REORGANISED_CREDIT
from ledger.decide import Account, Key, Plan, PlannedLine, StoredEntry, StoredLine, decide
from ledger.entries import AccountRef, Entry, PostResult
from ledger.validate import problem_of


class _State(NamedTuple):
    account_id: int
    balance_minor: int
    frozen_reason: str | None


class MemoryLedger:
    """Books of the given tenants in the given assets."""

    def __init__(self, tenants: Collection[str], assets: Collection[str]) -> None:
        self._tenants = tenants
        self._assets = assets
        self._accounts: dict[AccountRef, _State] = {}
        self._names: list[AccountRef] = []
        self._entries: dict[Key, StoredEntry] = {}

    async def post(self, entries: Sequence[Entry]) -> list[PostResult]:
        """Post entries in order and return their results, as ledger.post.post does."""
        problems = list(map(problem_of, entries))
        for entry, problem in zip(entries, problems, strict=True):
            if not problem:
                self._open(entry)
        accounts = {ref: Account(ref, *state) for ref, state in self._accounts.items()}
        entry_ids = range(len(self._entries) + 1, len(self._entries) + 1 + len(entries))
        plan = decide(entries, problems, accounts, self._entries, entry_ids)
        self._keep(plan)
        return plan.results

    def balance_minor(self, ref: AccountRef) -> int:
        """Return the balance of an account in its normal side, 0 if it was never opened."""
        state = self._accounts.get(ref)
        return 0 if state is None else state.balance_minor

    def frozen_reason(self, ref: AccountRef) -> str | None:
        """Return why an account is frozen, None if it is not."""
        state = self._accounts.get(ref)
        return None if state is None else state.frozen_reason

    def difference_minor(self) -> int:
        """Return debits - credits over all accounts: 0."""
        return sum(
            state.balance_minor if BUCKETS[ref.bucket].debit_normal else -state.balance_minor
            for ref, state in self._accounts.items()
        )

    def _open(self, entry: Entry) -> None:
        for line in entry.lines:
            for ref in (line.debit, line.credit, line.overflow):
                if ref is None or ref in self._accounts:
                    continue
                if ref.tenant in self._tenants and ref.asset in self._assets:
                    self._accounts[ref] = _State(len(self._names), 0, None)
                    self._names.append(ref)

    def _keep(self, plan: Plan) -> None:
        for line in plan.lines:
            self._apply(line)
        for account_ids, reason in ((plan.frozen, REORGANISED_CREDIT), (plan.unfrozen, None)):
            for account_id in account_ids:
                ref = self._names[account_id]
                self._accounts[ref] = self._accounts[ref]._replace(frozen_reason=reason)

    def _apply(self, line: PlannedLine) -> None:
        debit, credit = self._names[line.debit_account], self._names[line.credit_account]
        entry = line.entry
        stored = self._entries.setdefault(
            (entry.tenant, entry.idempotency_key), StoredEntry(line.entry_id, entry.kind, [])
        )
        stored.lines.append(StoredLine(debit, credit, line.amount_minor))
        for ref, after in ((debit, line.debit_balance_after), (credit, line.credit_balance_after)):
            self._accounts[ref] = self._accounts[ref]._replace(balance_minor=after)
