"""What a simulated Stellar knows between ledgers: accounts, trustlines, claimable balances.

Amounts are stroops. Part of a test double (see `stellar_node`): written from the protocol's
documentation, without any of the adapter's code.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

BASE_RESERVE = 5_000_000
BASE_FEE = 100
LIMIT_MAX = 2**63 - 1


class OperationFailed(Exception):
    """An operation cannot be applied; `code` is Horizon's word for why, e.g. "op_no_trust"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Line:
    """One account's trustline for one asset, "CODE:ISSUER"."""

    limit: int
    balance: int = 0
    authorized: bool = True


@dataclass
class Account:
    """One account."""

    balance: int
    sequence: int
    lines: dict[str, Line] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    auth_required: bool = False
    changed_in: int = 0

    @property
    def entries(self) -> int:
        """Subentries, each of which costs a reserve."""
        return len(self.lines) + len(self.data)

    @property
    def reserve(self) -> int:
        """What must stay in the account."""
        return (2 + self.entries) * BASE_RESERVE

    @property
    def available(self) -> int:
        """What can leave the account."""
        return self.balance - self.reserve


@dataclass(frozen=True)
class Claimable:
    """Money set aside for somebody to claim."""

    asset: str
    amount: int
    claimants: tuple[str, ...]


class State:
    """All accounts and claimable balances, with one level of undo."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.claimables: dict[str, Claimable] = {}
        self.rates: dict[tuple[str, str], tuple[int, int]] = {}
        """What a market that never runs dry gives: (from, to) → units of `to` per units."""
        self._old_accounts: dict[str, Account | None] = {}
        self._old_claimables: dict[str, Claimable | None] = {}

    def checkpoint(self) -> None:
        """Make everything up to here permanent."""
        self._old_accounts.clear()
        self._old_claimables.clear()

    def roll_back(self) -> None:
        """Undo what was changed since the checkpoint."""
        for address, account in self._old_accounts.items():
            self.accounts.pop(address, None)
            if account is not None:
                self.accounts[address] = account
        for name, claimable in self._old_claimables.items():
            self.claimables.pop(name, None)
            if claimable is not None:
                self.claimables[name] = claimable
        self.checkpoint()

    def find(self, address: str) -> Account | None:
        """Return an account to look at."""
        return self.accounts.get(address)

    def change(self, address: str, missing: str = "op_no_account") -> Account:
        """Return an account to change; OperationFailed(`missing`) if there is none."""
        account = self.accounts.get(address)
        if account is None:
            raise OperationFailed(missing)
        self._remember(address)
        return account

    def _remember(self, address: str) -> None:
        if address not in self._old_accounts:
            self._old_accounts[address] = copy.deepcopy(self.accounts.get(address))

    def create(self, address: str, balance: int, ledger: int) -> None:
        """Add an account; its first sequence number depends on the ledger."""
        self._remember(address)
        self.accounts[address] = Account(balance, ledger << 32)

    def remove(self, address: str) -> None:
        """Take an account away."""
        self._remember(address)
        del self.accounts[address]

    def set_aside(self, name: str, claimable: Claimable | None) -> None:
        """Add a claimable balance, or take it away."""
        self._old_claimables.setdefault(name, self.claimables.get(name))
        self.claimables.pop(name, None)
        if claimable is not None:
            self.claimables[name] = claimable

    def debit(self, address: str, asset: str, amount: int) -> None:
        """Take an asset from an account; an issuer makes it."""
        account = self.change(address)
        if asset == "native":
            if account.available < amount:
                raise OperationFailed("op_underfunded")
            account.balance -= amount
        elif not asset.endswith(":" + address):
            line = account.lines.get(asset)
            if line is None:
                raise OperationFailed("op_src_no_trust")
            if not line.authorized:
                raise OperationFailed("op_src_not_authorized")
            if line.balance < amount:
                raise OperationFailed("op_underfunded")
            line.balance -= amount

    def credit(self, address: str, asset: str, amount: int) -> None:
        """Give an asset to an account; what its issuer gets is gone."""
        account = self.change(address, "op_no_destination")
        if asset == "native":
            if account.balance + amount > LIMIT_MAX:
                raise OperationFailed("op_line_full")
            account.balance += amount
        elif not asset.endswith(":" + address):
            line = account.lines.get(asset)
            if line is None:
                raise OperationFailed("op_no_trust")
            if not line.authorized:
                raise OperationFailed("op_not_authorized")
            if line.balance + amount > line.limit:
                raise OperationFailed("op_line_full")
            line.balance += amount
