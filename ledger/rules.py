"""Turns business events into entries. Pure; amounts are int minor units of the asset.

An idempotency key names the event and how often it has happened, so that posting an event again
does nothing, and an event that happened again (mined, orphaned, mined again) is posted again.
`revision` counts how often the transaction was mined: the same one in an entry and its reversal.
"""

from __future__ import annotations

from typing import Literal

from ledger.chart import Kind
from ledger.entries import AccountRef, Entry, Line

Wallet = Literal["deposit_wallets", "hot_wallet", "cold_wallet", "gas_wallet"]
HoldReason = Literal["BID_LOCK", "ESCROW_LOCK"]

_UNHOLD_KINDS = {"BID_LOCK": Kind.BID_UNLOCK, "ESCROW_LOCK": Kind.ESCROW_UNLOCK}


def deposit_credited(
    tenant: str, owner: str, asset: str, amount_minor: int, *, deposit_id: int, revision: int
) -> Entry:
    """Credit a confirmed deposit to its user; what the user owes is repaid first."""
    line = Line(
        AccountRef(tenant, "", asset, "deposit_wallets"),
        AccountRef(tenant, owner, asset, "available"),
        amount_minor,
        repays=AccountRef(tenant, owner, asset, "receivable"),
    )
    return _entry(tenant, Kind.DEPOSIT, "deposit", deposit_id, f"credit:{revision}", line)


def deposit_reversed(
    tenant: str, owner: str, asset: str, amount_minor: int, *, deposit_id: int, revision: int
) -> Entry:
    """Take a credit back because its block left the chain.

    What the user has spent already is owed from now on and the user's account is frozen.
    """
    line = Line(
        AccountRef(tenant, owner, asset, "available"),
        AccountRef(tenant, "", asset, "deposit_wallets"),
        amount_minor,
        overflow=AccountRef(tenant, owner, asset, "receivable"),
    )
    return _entry(
        tenant, Kind.DEPOSIT_REVERSED, "deposit", deposit_id, f"reversal:{revision}", line
    )


def deposit_unassigned(
    tenant: str, asset: str, amount_minor: int, *, deposit_id: int, revision: int
) -> Entry:
    """Keep a confirmed deposit in suspense, as nobody knows yet whose it is."""
    line = _tenant_line(tenant, asset, "deposit_wallets", "suspense", amount_minor)
    return _entry(
        tenant, Kind.DEPOSIT_UNASSIGNED, "deposit", deposit_id, f"credit:{revision}", line
    )


def deposit_assigned(
    tenant: str, owner: str, asset: str, amount_minor: int, *, deposit_id: int, revision: int
) -> Entry:
    """Credit a deposit in suspense to its user; what the user owes is repaid first."""
    line = Line(
        AccountRef(tenant, "", asset, "suspense"),
        AccountRef(tenant, owner, asset, "available"),
        amount_minor,
        repays=AccountRef(tenant, owner, asset, "receivable"),
    )
    return _entry(tenant, Kind.DEPOSIT_ASSIGNED, "deposit", deposit_id, f"assign:{revision}", line)


def unassigned_reversed(
    tenant: str, asset: str, amount_minor: int, *, deposit_id: int, revision: int
) -> Entry:
    """Take money out of suspense because its block left the chain before it was assigned."""
    line = _tenant_line(tenant, asset, "suspense", "deposit_wallets", amount_minor)
    return _entry(
        tenant, Kind.DEPOSIT_REVERSED, "deposit", deposit_id, f"reversal:{revision}", line
    )


def network_cost(
    tenant: str, asset: str, wallet: Wallet, amount_minor: int, *, cost_id: int, revision: int
) -> Entry:
    """Record as expense what the network took beside transfers; negative: what it gave back."""
    line = _cost_line(tenant, asset, wallet, amount_minor)
    return _entry(tenant, Kind.NETWORK_COST, "cost", cost_id, f"expense:{revision}", line)


def network_cost_reversed(
    tenant: str, asset: str, wallet: Wallet, amount_minor: int, *, cost_id: int, revision: int
) -> Entry:
    """Take a network cost back because its block left the chain."""
    line = _cost_line(tenant, asset, wallet, -amount_minor)
    return _entry(tenant, Kind.NETWORK_COST_REVERSED, "cost", cost_id, f"reversal:{revision}", line)


def wallet_funded(
    tenant: str, asset: str, wallet: Wallet, amount_minor: int, *, deposit_id: int, revision: int
) -> Entry:
    """Record money from outside that reached a wallet of the tenant itself."""
    line = _tenant_line(tenant, asset, wallet, "capital", amount_minor)
    return _entry(tenant, Kind.FUNDING, "deposit", deposit_id, f"credit:{revision}", line)


def wallet_funding_reversed(
    tenant: str, asset: str, wallet: Wallet, amount_minor: int, *, deposit_id: int, revision: int
) -> Entry:
    """Take a funding back because its block left the chain."""
    line = _tenant_line(tenant, asset, "capital", wallet, amount_minor)
    return _entry(
        tenant, Kind.FUNDING_REVERSED, "deposit", deposit_id, f"reversal:{revision}", line
    )


def withdrawal_held(
    tenant: str, owner: str, asset: str, amount_minor: int, *, fee_minor: int, withdrawal_id: int
) -> Entry:
    """Set amount and fee of a withdrawal aside. Refused if the user lacks it or is frozen."""
    line = Line(
        AccountRef(tenant, owner, asset, "available"),
        AccountRef(tenant, owner, asset, "pending"),
        amount_minor + fee_minor,
    )
    return _entry(
        tenant,
        Kind.WITHDRAWAL_HELD,
        "withdrawal",
        withdrawal_id,
        "hold",
        line,
        enforce_frozen=True,
    )


def withdrawal_released(
    tenant: str,
    owner: str,
    asset: str,
    amount_minor: int,
    *,
    fee_minor: int,
    withdrawal_id: int,
    revision: int = 0,
) -> Entry:
    """Give amount and fee back: the withdrawal is rejected or given up."""
    line = _release_line(tenant, owner, asset, amount_minor + fee_minor)
    return _entry(
        tenant,
        Kind.WITHDRAWAL_RELEASED,
        "withdrawal",
        withdrawal_id,
        f"release:{revision}",
        line,
    )


def withdrawal_settled(
    tenant: str,
    owner: str,
    asset: str,
    amount_minor: int,
    *,
    fee_minor: int,
    withdrawal_id: int,
    revision: int,
    native_asset: str,
    gas_minor: int,
) -> Entry:
    """Record that a withdrawal is final on chain.

    `fee_minor` is what the user pays for it, in the asset; `gas_minor` is what the network took
    from the hot wallet, in the native asset.
    """
    lines = [
        Line(
            AccountRef(tenant, owner, asset, "pending"),
            AccountRef(tenant, "", asset, "hot_wallet"),
            amount_minor,
        )
    ]
    if fee_minor:
        pending = AccountRef(tenant, owner, asset, "pending")
        lines.append(Line(pending, AccountRef(tenant, "", asset, "withdrawal_fees"), fee_minor))
    lines += _gas_lines(tenant, native_asset, gas_minor)
    return _entry(
        tenant, Kind.WITHDRAWAL, "withdrawal", withdrawal_id, f"settle:{revision}", *lines
    )


def withdrawal_failed_on_chain(
    tenant: str,
    owner: str,
    asset: str,
    amount_minor: int,
    *,
    fee_minor: int,
    withdrawal_id: int,
    revision: int,
    native_asset: str,
    gas_minor: int,
) -> Entry:
    """Record that a withdrawal was mined without effect: its gas is gone, nothing else."""
    lines = [
        _release_line(tenant, owner, asset, amount_minor + fee_minor),
        *_gas_lines(tenant, native_asset, gas_minor),
    ]
    return _entry(
        tenant, Kind.WITHDRAWAL_FAILED, "withdrawal", withdrawal_id, f"fail:{revision}", *lines
    )


def withdrawal_unsettled(settled: Entry) -> Entry:
    """Take a settlement or an on-chain failure back because its block left the chain.

    Or a release, because the payment is in a block after all. `settled` is the entry to reverse.
    Money that was given back may be spent already: what is missing is owed, as with a deposit.
    """
    return Entry(
        settled.tenant,
        Kind.WITHDRAWAL_REVERSED,
        f"{settled.idempotency_key}:reversal",
        tuple(_mirrored(line) for line in reversed(settled.lines)),
        settled.reference_type,
        settled.reference_id,
        enforce_frozen=False,
    )


def hold(
    tenant: str, owner: str, asset: str, amount_minor: int, *, reason: HoldReason, hold_id: str
) -> Entry:
    """Lock a user's money for a bid or an escrow. Refused if the user lacks it or is frozen."""
    line = Line(
        AccountRef(tenant, owner, asset, "available"),
        AccountRef(tenant, owner, asset, "locked"),
        amount_minor,
    )
    return _entry(tenant, Kind(reason), "hold", hold_id, "lock", line, enforce_frozen=True)


def unhold(
    tenant: str, owner: str, asset: str, amount_minor: int, *, reason: HoldReason, hold_id: str
) -> Entry:
    """Give locked money back to the user's available money; debts are repaid first."""
    line = Line(
        AccountRef(tenant, owner, asset, "locked"),
        AccountRef(tenant, owner, asset, "available"),
        amount_minor,
        repays=AccountRef(tenant, owner, asset, "receivable"),
    )
    return _entry(tenant, _UNHOLD_KINDS[reason], "hold", hold_id, "unlock", line)


def _entry(
    tenant: str,
    kind: Kind,
    reference_type: str,
    reference_id: int | str,
    step: str,
    *lines: Line,
    enforce_frozen: bool = False,
) -> Entry:
    return Entry(
        tenant,
        kind,
        f"{reference_type}:{reference_id}:{step}",
        lines,
        reference_type,
        str(reference_id),
        enforce_frozen=enforce_frozen,
    )


def _tenant_line(tenant: str, asset: str, debit: str, credit: str, amount_minor: int) -> Line:
    return Line(
        AccountRef(tenant, "", asset, debit), AccountRef(tenant, "", asset, credit), amount_minor
    )


def _cost_line(tenant: str, asset: str, wallet: Wallet, amount_minor: int) -> Line:
    if amount_minor < 0:
        return _tenant_line(tenant, asset, wallet, "network_fees", -amount_minor)
    return _tenant_line(tenant, asset, "network_fees", wallet, amount_minor)


def _release_line(tenant: str, owner: str, asset: str, amount_minor: int) -> Line:
    """Pending to available; what the user owes is repaid first, as with any credit."""
    return Line(
        AccountRef(tenant, owner, asset, "pending"),
        AccountRef(tenant, owner, asset, "available"),
        amount_minor,
        repays=AccountRef(tenant, owner, asset, "receivable"),
    )


def _gas_lines(tenant: str, native_asset: str, gas_minor: int) -> list[Line]:
    if not gas_minor:
        return []
    return [_tenant_line(tenant, native_asset, "network_fees", "hot_wallet", gas_minor)]


def _mirrored(line: Line) -> Line:
    overflow = line.repays if line.credit.bucket == "available" else None
    return Line(line.credit, line.debit, line.amount_minor, overflow=overflow)
