"""Withdrawals as they are printed: as people write amounts and addresses, and why one waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.asset import decimals_by_asset
from cli.output import as_json, print_fields, whole, without_amount
from cli.shown import show_addresses
from cli.waits import SEEN_NOW, WORDS

if TYPE_CHECKING:
    from settings.model import Settings
    from sql.pool import Connection, Pool
    from sql.withdrawals import Obstacles, Withdrawal

PARTIES = ("address", "sender")


async def show(config: Settings, pool: Pool, withdrawal: Withdrawal) -> dict[str, Any]:
    """Return a withdrawal as it is printed."""
    async with pool.acquire() as conn:
        (row,) = await show_all(config, conn, [withdrawal])
    return row


async def show_all(
    config: Settings, conn: Connection, withdrawals: Sequence[Withdrawal]
) -> list[dict[str, Any]]:
    """Return withdrawals as they are printed; `amount` is for people, JSON goes without."""
    from sql.withdrawals import list_obstacles

    decimals = await decimals_by_asset(conn)
    approved = [row for row in withdrawals if row.status == "approved"]
    found = await list_obstacles(conn, [row.withdrawal_id for row in approved])
    known = {one.withdrawal_id: one for one in found}
    rows = [
        {
            **_fields(row),
            "amount": _whole(row.amount_minor, decimals.get(row.asset)),
            "waits_for": list(waits_for(row, known.get(row.withdrawal_id), decimals)),
        }
        for row in withdrawals
    ]
    return await show_addresses(config, rows, PARTIES)


def print_order(row: Mapping[str, Any], *, json_wanted: bool) -> None:
    """Print one withdrawal, as `show` returns it."""
    fields = without_amount(row)
    if not json_wanted and "amount" in row:
        fields["amount_minor"] = f"{row['amount_minor']} ({row['amount']} {row['asset']})"
    print_fields(fields, json_wanted=json_wanted)


def waits_for(
    withdrawal: Withdrawal, found: Obstacles | None, decimals: Mapping[str, int]
) -> Iterator[str]:
    """Yield what keeps an approved withdrawal from being signed, or did when the signer looked."""
    if found is None:
        return
    if found.tenant_status != "active":
        yield f"tenant_{found.tenant_status}"
    if found.frozen_reason is not None:
        yield f"account_frozen: {found.frozen_reason}"
    if found.network_halted is not None:
        yield f"network_halted: {found.network_halted}"
    if found.wallet is None:
        yield "no_hot_wallet: the signer makes it"
    if found.wallet_halted is not None:
        yield f"wallet_halted: {found.wallet_halted}"
    if found.wallet is not None and found.free_minor < withdrawal.amount_minor:
        free = _whole(found.free_minor, decimals.get(withdrawal.asset))
        yield f"wallet_short: by the books it has {free} {withdrawal.asset} left to pay with"
    if found.waits_for is not None and found.waits_for not in SEEN_NOW:
        yield f"{found.waits_for}: {WORDS[found.waits_for]}"


def _fields(withdrawal: Withdrawal) -> dict[str, Any]:
    """Return a withdrawal's fields; its id is the producer's."""
    row = as_json(withdrawal)
    return {"id": row.pop("idempotency_key"), **row}


def _whole(amount_minor: int, decimals: int | None) -> str:
    return f"{amount_minor} minor" if decimals is None else whole(amount_minor, decimals)
