"""Compares the figures of a reconciliation. Pure: no database, no node, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sql.ledger import Imbalance, WrongAccount, WrongPosting
from sql.reconciliation import AddressFigure, DifferenceRow, WalletBalance, WalletFigure

SETTLED = "settled"
FAULTS = frozenset({"overdue", "unexplained"})
"""What the journal should not be like; all other reasons but SETTLED are on their way."""
TRIAL_BALANCE = "trial balance"

AccountKey = tuple[str, str, str]
"""Tenant, asset, bucket."""


@dataclass(frozen=True)
class WalletTotal:
    """One wallet account; ledger_minor = recorded_minor - in_transit_minor if all is well."""

    tenant: str
    asset: str
    bucket: str
    recorded_minor: int
    """On its addresses, as recorded from the chain; each address is compared with the node."""
    in_transit_minor: int
    """Recorded and not in the journal, less what is in the journal and not recorded."""
    ledger_minor: int
    """The balance of the account."""
    in_transit: dict[str, int] = field(default_factory=dict)
    """What in_transit_minor consists of, by reason."""


@dataclass(frozen=True)
class Report:
    """What one reconciliation found."""

    network: str | None
    """None: the books in themselves, of all networks."""
    height: int | None
    """The block after which the chain was read."""
    block_id: str | None
    started_at: datetime
    finished_at: datetime
    settled: bool
    """False: stages were in the middle of things for too long, so nothing is proved either way."""
    figures: int
    """How many were compared."""
    figures_total: int
    """How many there are; more than `figures` if addresses were left for another time."""
    differences: tuple[DifferenceRow, ...]
    """What persists and must be looked into. Empty unless settled."""
    unsettled: tuple[DifferenceRow, ...] = ()
    """What differed and did not persist as it was: probably under way."""
    wallets: tuple[WalletTotal, ...] = ()
    """Every wallet account, whether it differs or not."""

    @property
    def clean(self) -> bool:
        """Whether everything agrees."""
        return self.settled and not self.differences


def compare_addresses(
    figures: Sequence[AddressFigure], balances_minor: Sequence[int]
) -> list[DifferenceRow]:
    """Return the addresses on which the node finds something else than we recorded."""
    return [
        DifferenceRow(
            "chain",
            figure.tenant,
            figure.asset,
            figure.address,
            figure.recorded_minor,
            balance_minor,
            "the node finds another balance than what was recorded from blocks",
        )
        for figure, balance_minor in zip(figures, balances_minor, strict=True)
        if balance_minor != figure.recorded_minor
    ]


def total_wallets(
    figures: Iterable[WalletFigure], balances: Iterable[WalletBalance]
) -> list[WalletTotal]:
    """Return each wallet account with what is recorded, in transit and in the ledger."""
    ledger = {(b.tenant, b.asset, b.bucket): b.balance_minor for b in balances}
    groups = _by_wallet(figures)
    totals = []
    for key in sorted(ledger.keys() | groups.keys()):
        in_transit = {
            figure.reason: figure.recorded_minor - figure.booked_minor
            for figure in groups[key]
            if figure.reason != SETTLED and figure.reason not in FAULTS
        }
        totals.append(
            WalletTotal(
                tenant=key[0],
                asset=key[1],
                bucket=key[2],
                recorded_minor=sum(figure.recorded_minor for figure in groups[key]),
                in_transit_minor=sum(in_transit.values()),
                ledger_minor=ledger.get(key, 0),
                in_transit=in_transit,
            )
        )
    return totals


def compare_wallets(
    totals: Iterable[WalletTotal], figures: Iterable[WalletFigure]
) -> list[DifferenceRow]:
    """Return the wallet accounts whose balance is not what the records of the chain call for.

    An account also differs if single movements do whose amounts cancel each other out; expected and
    actual are equal then, and the detail names the movements.
    """
    faults = {key: _fault_detail(group) for key, group in _by_wallet(figures).items()}
    differences = []
    for total in totals:
        expected_minor = total.recorded_minor - total.in_transit_minor
        detail = faults.get((total.tenant, total.asset, total.bucket), "")
        if detail or expected_minor != total.ledger_minor:
            differences.append(
                DifferenceRow(
                    "chain",
                    total.tenant,
                    total.asset,
                    account_code(total.asset, total.bucket, ""),
                    expected_minor,
                    total.ledger_minor,
                    detail or "the balance is not what the records of the chain call for",
                )
            )
    return differences


def compare_books(
    wrong: Iterable[WrongAccount],
    postings: Iterable[WrongPosting],
    imbalances: Iterable[Imbalance],
) -> list[DifferenceRow]:
    """Return what does not add up: balances, running balances, and debits with credits."""
    accounts = [_wrong_account(account) for account in wrong]
    accounts += [_wrong_posting(posting) for posting in postings]
    return accounts + [
        DifferenceRow(
            "ledger",
            imbalance.tenant,
            imbalance.asset,
            TRIAL_BALANCE,
            0,
            imbalance.difference_minor,
            "debits less credits",
        )
        for imbalance in imbalances
    ]


def account_code(asset: str, bucket: str, owner: str) -> str:
    """Return the code of an account, unique within its tenant, as the view account_codes has it."""
    return f"{asset}:{bucket}:{owner}" if owner else f"{asset}:{bucket}"


def identity(difference: DifferenceRow) -> tuple[object, ...]:
    """Return what makes a difference the same in two looks: the figures may move, their gap not."""
    gap_minor = difference.actual_minor - difference.expected_minor
    return (*difference[:4], gap_minor, difference.detail)


class Persistence:
    """Counts in how many looks in a row each difference was there."""

    def __init__(self, looks_needed: int) -> None:
        self._looks_needed = looks_needed
        self._looks: dict[tuple[object, ...], int] = {}

    def look(
        self, differences: Sequence[DifferenceRow], *, settled: bool
    ) -> tuple[list[DifferenceRow], list[DifferenceRow]]:
        """Add a look; return what persists and what does not (yet).

        What is seen while the stages are not at rest does not count as a look.
        """
        step = 1 if settled else 0
        self._looks = {
            identity(found): self._looks.get(identity(found), 0) + step for found in differences
        }
        persisting: list[DifferenceRow] = []
        passing: list[DifferenceRow] = []
        for found in differences:
            known = self._looks[identity(found)] >= self._looks_needed
            (persisting if known else passing).append(found)
        return persisting, passing


def _by_wallet(figures: Iterable[WalletFigure]) -> defaultdict[AccountKey, list[WalletFigure]]:
    groups: defaultdict[AccountKey, list[WalletFigure]] = defaultdict(list)
    for figure in figures:
        groups[figure.tenant, figure.asset, figure.bucket].append(figure)
    return groups


def _fault_detail(group: Iterable[WalletFigure]) -> str:
    return "; ".join(
        f"{figure.movements} {figure.reason}, first {', '.join(figure.reference_ids)}"
        for figure in group
        if figure.reason in FAULTS
    )


def _wrong_account(account: WrongAccount) -> DifferenceRow:
    named = account.asset is not None and account.bucket is not None
    code = account_code(account.asset or "", account.bucket or "", account.owner or "")
    return DifferenceRow(
        "balance",
        account.tenant or "",
        account.asset or "",
        code if named else f"account {account.account_id}",
        account.journal_minor or 0,
        account.balance_minor or 0,
        f"account {account.account_id}: the balance is not the sum of its postings"
        if named
        else "lines of the journal name an account that does not exist",
    )


def _wrong_posting(posting: WrongPosting) -> DifferenceRow:
    return DifferenceRow(
        "balance",
        posting.tenant,
        posting.asset,
        account_code(posting.asset, posting.bucket, posting.owner),
        posting.following_minor,
        posting.balance_minor,
        f"entry {posting.entry_id}, line {posting.line}: the first running balance that does not"
        " follow from the one before",
    )
