"""An operator's word on an owner's money in one asset: none of it leaves, or it may leave again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from custody.errors import CustodyError
from custody.outgoing import Outgoing
from ledger.chart import REORGANISED_CREDIT
from sql import ledger as ledger_sql
from sql.ledger import Freeze
from topics import event_data, events
from topics.events import emit_events, make_event_id

OPERATOR: Final = "operator"
"""Why, for those who read events: an operator said so. The detail has the operator's reason."""


class AlreadyFrozen(CustodyError):
    """An operator has frozen this money already."""


class NotFrozen(CustodyError):
    """This money is not frozen."""


class FrozenForDebt(CustodyError):
    """The owner owes, and no operator has frozen anything: the freeze ends with the debt."""


async def freeze_owner(
    work: Outgoing, tenant: str, owner: str, asset: str, *, reason: str, actor: str
) -> Freeze:
    """Let nothing of an owner's available money leave until unfreeze_owner; more may come in.

    All in the caller's transaction. A posting that runs ends first; one that comes later finds
    the money frozen. A freeze for a debt becomes the operator's, which outlives the debt. Of two
    concurrent words the second raises AlreadyFrozen. Tenant and asset must exist, and `reason`
    must not be the ledger's own.
    """
    await ledger_sql.open_accounts(work.conn, [tenant], [owner], [asset], ["available"])
    before = await _lock(work, tenant, owner, asset)
    if before.frozen_reason not in (None, REORGANISED_CREDIT):
        by = f" by {before.frozen_by}" if before.frozen_by else ""
        raise AlreadyFrozen(f"{asset} of {owner!r} is frozen already{by}: {before.frozen_reason}")
    await ledger_sql.freeze_account(
        work.conn, tenant, owner, asset=asset, reason=reason, frozen_by=actor
    )
    data = event_data.Account(
        owner=owner, asset=asset, reason=OPERATOR, detail=reason, decided_by=actor
    )
    _tell(work, tenant, data, frozen=True)
    return await ledger_sql.fetch_freeze(work.conn, tenant, owner, asset=asset)


async def unfreeze_owner(
    work: Outgoing, tenant: str, owner: str, asset: str, *, detail: str, actor: str
) -> Freeze:
    """Take an operator's freeze back. Who owes stays frozen for the debt, as the answer says.

    All in the caller's transaction. Raises NotFrozen, FrozenForDebt.
    """
    before = await _lock(work, tenant, owner, asset)
    if before.frozen_reason is None:
        raise NotFrozen(f"{asset} of {owner!r} is not frozen")
    if before.frozen_reason == REORGANISED_CREDIT:
        raise FrozenForDebt(
            f"{asset} of {owner!r} is frozen for a debt of {before.receivable_minor} minor units,"
            " not by an operator"
        )
    await ledger_sql.unfreeze_account(
        work.conn, tenant, owner, asset=asset, debt_reason=REORGANISED_CREDIT
    )
    after = await ledger_sql.fetch_freeze(work.conn, tenant, owner, asset=asset)
    if after.frozen_reason is None:
        data = event_data.Account(
            owner=owner, asset=asset, reason=OPERATOR, detail=detail, decided_by=actor
        )
    else:
        owed = f"{after.receivable_minor} minor units are owed"
        data = event_data.Account(owner=owner, asset=asset, reason=REORGANISED_CREDIT, detail=owed)
    _tell(work, tenant, data, frozen=after.frozen_reason is not None)
    return after


async def _lock(work: Outgoing, tenant: str, owner: str, asset: str) -> Freeze:
    """Return how the money stands, which stays so until the transaction ends."""
    await ledger_sql.lock_available(work.conn, tenant, owner, asset=asset)
    return await ledger_sql.fetch_freeze(work.conn, tenant, owner, asset=asset)


def _tell(work: Outgoing, tenant: str, data: event_data.Account, *, frozen: bool) -> None:
    now = datetime.now(UTC)
    made, name = (
        (events.AccountFrozen, "account.frozen")
        if frozen
        else (events.AccountUnfrozen, "account.unfrozen")
    )
    event_id = make_event_id(now, name, tenant, data.owner, data.asset, now.isoformat())
    emit_events(work, [made(id=event_id, tenant=tenant, occurred_at=now, data=data)])
