"""`millrace withdraw`: orders to pay out, and an operator's word on them."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.errors import misused, not_found
from cli.operator import operator_of
from cli.options import (
    Actor,
    AssetNamed,
    Detail,
    JsonWanted,
    Limit,
    Owner,
    OwnerWanted,
    Tenant,
    TenantWanted,
)
from cli.orders import print_order, show, show_all
from cli.output import as_json, print_fields, print_rows, without_amount
from cli.place_order import FINAL, place_order
from cli.tenant import require_tenant, with_tenant

if TYPE_CHECKING:
    from settings.model import Network, Settings
    from sql.pool import Pool

app = typer.Typer(no_args_is_help=True, help="Orders to pay out.")
STATUSES = (
    "requested", "awaiting_approval", "approved", "signed", "broadcast", *sorted(FINAL),
)  # fmt: skip
COLUMNS = (
    "id", "owner", "amount", "asset", "address", "memo", "status", "reason", "waits_for",
    "updated_at",
)  # fmt: skip
COIN_TRANSACTION = re.compile("[0-9a-fA-F]{64}")
HEX_TRANSACTION = re.compile("(0x)?[0-9a-fA-F]{64}")
"""An id that means the same in capitals; Solana's are no such."""

OrderId = Annotated[str, typer.Argument(metavar="ID", help="The producer's id of the order.")]


@app.command("request")
def request(
    *,
    tenant: Tenant,
    owner: Owner,
    asset: AssetNamed,
    address: Annotated[str, typer.Option("--address", help="Where to.")],
    amount: Annotated[
        str | None, typer.Option("--amount", help="In whole units of the asset, e.g. 0.25.")
    ] = None,
    amount_minor: Annotated[
        str | None, typer.Option("--amount-minor", help="In minor units instead.")
    ] = None,
    memo: Annotated[
        str | None, typer.Option("--memo", help="For chains that have one, e.g. id:7.")
    ] = None,
    order_id: Annotated[
        str | None,
        typer.Option("--id", help="Your own id of the order: a repeat is not paid again."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0, help="Wait so long.")] = 300.0,
    json_wanted: JsonWanted = False,
) -> None:
    """Send a withdrawal command to Kafka, just as any producer would."""
    if (amount is None) == (amount_minor is None):
        raise misused("give either --amount or --amount-minor")
    if order_id == "":  # a script's empty variable: each repeat would be another order
        raise misused("--id is empty: give the order's id, or leave --id out for a random one")
    order = {
        "type": "withdrawal.request",
        "tenant": tenant,
        "id": order_id or str(uuid.uuid4()),
        "owner": owner,
        "asset": asset,
        "amount_minor": amount_minor,
        "address": address,
        "memo": memo,
    }
    final = session.run(place_order(order, amount, timeout_s if wait else None))
    if final is None:
        print_fields({"id": order["id"], "status": "sent"}, json_wanted=json_wanted)
        return
    print_order(final, json_wanted=json_wanted)
    if final["status"] != "confirmed":
        raise typer.Exit(1)


@app.command("approve")
def approve(
    order_id: OrderId, *, tenant: Tenant, actor: Actor = "", json_wanted: JsonWanted = False
) -> None:
    """Let a withdrawal that waits for approval be paid."""
    by = operator_of(actor)
    row = session.run_again(lambda: _decide(tenant, order_id, by, approve_it=True, detail=""))
    print_order(row, json_wanted=json_wanted)


@app.command("reject")
def reject(
    order_id: OrderId,
    *,
    tenant: Tenant,
    actor: Actor = "",
    detail: Detail = "",
    json_wanted: JsonWanted = False,
) -> None:
    """Refuse a withdrawal that waits for approval, and give the money back."""
    by = operator_of(actor)
    row = session.run_again(lambda: _decide(tenant, order_id, by, approve_it=False, detail=detail))
    print_order(row, json_wanted=json_wanted)


@app.command("cancel")
def cancel(
    order_id: OrderId,
    *,
    tenant: Tenant,
    detail: Detail = "",
    taken_by: Annotated[
        str | None,
        typer.Option("--taken-by", help="The transaction that took its coin (Bitcoin's kind)."),
    ] = None,
    paid_order: Annotated[
        str | None,
        typer.Option(
            "--paid-order", metavar="ID", help="The order to the same recipient that it paid."
        ),
    ] = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Give up an approved withdrawal that can never be paid, and give the money back.

    Either it was not signed yet, or somebody else has used its nonce, or the chain shows that the
    transaction --taken-by took a coin it needs. All others are refused. If that transaction took
    coins of two orders to one recipient and paid one, --paid-order says which.
    """
    if paid_order is not None and taken_by is None:
        raise misused("--paid-order says what the transaction --taken-by paid: name that too")
    row = session.run_again(
        lambda: (
            _cancel(tenant, order_id, detail)
            if taken_by is None
            else _cancel_taken(tenant, order_id, taken_by, paid_order)
        )
    )
    print_order(row, json_wanted=json_wanted)


@app.command("adopt")
def adopt(
    order_id: OrderId,
    *,
    tenant: Tenant,
    transaction: Annotated[
        str, typer.Option("--transaction", help="The transaction on the chain that paid it.")
    ],
    height: Annotated[
        int | None,
        typer.Option("--height", min=0, help="Its block, if Millrace did not note it by itself."),
    ] = None,
    actor: Actor = "",
    json_wanted: JsonWanted = False,
) -> None:
    """Book a payment that the database forgot, after a restore that lost commits.

    The order's money is held, and nothing that was signed for it can land. The chain must show that
    the hot wallet paid the recipient just that with the transaction, which is the order's from then
    on.
    """
    by = operator_of(actor)
    id_ = transaction.lower() if HEX_TRANSACTION.fullmatch(transaction) else transaction
    row = session.run_again(lambda: _adopt(tenant, order_id, id_, height, by))
    print_order(row, json_wanted=json_wanted)


@app.command("status")
def status(order_id: OrderId, *, tenant: Tenant, json_wanted: JsonWanted = False) -> None:
    """Show where a withdrawal stands, what it waits for, and every transaction made for it."""
    row, transactions = session.run(_status(tenant, order_id))
    if json_wanted:
        print_order({**row, "transactions": transactions}, json_wanted=True)
        return
    print_order(row, json_wanted=False)
    if transactions:
        columns = ("attempt", "nonce", "state", "transaction_id", "height", "last_outcome")
        print_rows(transactions, json_wanted=False, empty="", columns=columns)


@app.command("list")
def list_(
    *,
    tenant: TenantWanted = None,
    owner: OwnerWanted = None,
    status_wanted: Annotated[
        str | None, typer.Option("--status", help=f"One of {', '.join(STATUSES)}.")
    ] = None,
    limit: Limit = 100,
    json_wanted: JsonWanted = False,
) -> None:
    """List withdrawals, newest first."""
    if status_wanted is not None and status_wanted not in STATUSES:
        raise misused(f"{status_wanted!r} is no status; there is {', '.join(STATUSES)}")
    rows = session.run(_list(tenant, owner, status_wanted, limit))
    if json_wanted:
        rows = [without_amount(row) for row in rows]
    columns = with_tenant(COLUMNS, tenant)
    print_rows(rows, json_wanted=json_wanted, empty="No withdrawals.", columns=columns)


async def _decide(
    tenant: str, order_id: str, actor: str, *, approve_it: bool, detail: str
) -> dict[str, Any]:
    from agents.runtime.transact import transact_on
    from custody.approve import approve_withdrawal, reject_withdrawal

    config = session.settings()
    async with session.database(config) as pool:
        async with transact_on(pool, config.topic_prefix) as work:
            if approve_it:
                decided = await approve_withdrawal(work, tenant, order_id, actor)
            else:
                decided = await reject_withdrawal(work, tenant, order_id, actor, detail)
        return await show(config, pool, decided)


async def _cancel(tenant: str, order_id: str, detail: str) -> dict[str, Any]:
    from agents.runtime.transact import transact_on
    from custody.approve import cancel_withdrawal

    config = session.settings()
    async with session.database(config) as pool:
        async with transact_on(pool, config.topic_prefix) as work:
            cancelled = await cancel_withdrawal(work, tenant, order_id, detail)
        return await show(config, pool, cancelled)


async def _network_of(config: Settings, pool: Pool, tenant: str, order_id: str) -> Network:
    from sql.withdrawals import find_withdrawal

    async with pool.acquire() as conn:
        found = await find_withdrawal(conn, tenant, order_id)
    if found is None or found.network is None:
        raise not_found(f"tenant {tenant!r} has no withdrawal {order_id!r}")
    return session.pick_network(config, found.network)


async def _cancel_taken(
    tenant: str, order_id: str, taken_by: str, paid_order: str | None
) -> dict[str, Any]:
    from agents.by_operator.cancel_taken import cancel_taken
    from chain_adapters.adapter import CoinReader

    config = session.settings()
    async with session.database(config) as pool:
        network = await _network_of(config, pool, tenant, order_id)
        async with session.chain(network) as reader:
            if not isinstance(reader, CoinReader):
                raise misused(f"{network.network} has no coins: leave --taken-by out")
            if not COIN_TRANSACTION.fullmatch(taken_by):
                raise misused(f"{taken_by!r} is no transaction id: 64 hexadecimal digits")
            cancelled = await cancel_taken(
                pool,
                config.topic_prefix,
                reader,
                tenant=tenant,
                order_id=order_id,
                taken_by=taken_by.lower(),
                paid_order=paid_order,
            )
        return await show(config, pool, cancelled)


async def _adopt(
    tenant: str, order_id: str, transaction_id: str, height: int | None, actor: str
) -> dict[str, Any]:
    from agents.by_operator.adopt_payment import adopt_payment
    from agents.runtime.context import Context
    from agents.runtime.publisher import Publisher

    config = session.settings()
    async with session.database(config) as pool:
        network = await _network_of(config, pool, tenant, order_id)
        async with session.chain(network, config.contracts(network.network)) as adapter:
            adopted = await adopt_payment(
                Context(config, pool, {network.network: adapter}, Publisher(config)),
                adapter,
                tenant=tenant,
                order_id=order_id,
                transaction_id=transaction_id,
                height=height,
                actor=actor,
            )
        return await show(config, pool, adopted)


async def _status(tenant: str, order_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a withdrawal and its transactions."""
    from sql.transactions import list_transactions
    from sql.withdrawals import find_withdrawal

    config = session.settings()
    async with session.database(config) as pool, pool.acquire() as conn:
        found = await find_withdrawal(conn, tenant, order_id)
        if found is None:
            raise not_found(
                f"tenant {tenant!r} has no withdrawal {order_id!r}",
                "A command that was sent is taken up within a second if the role withdrawals runs.",
            )
        transactions = await list_transactions(conn, found.withdrawal_id)
        (shown,) = await show_all(config, conn, [found])
    return shown, [as_json(row) for row in transactions]


async def _list(
    tenant: str | None, owner: str | None, status_wanted: str | None, limit: int
) -> list[dict[str, Any]]:
    from sql.withdrawals import list_withdrawals

    config = session.settings()
    async with session.database(config) as pool, pool.acquire() as conn:
        if tenant is not None:
            await require_tenant(conn, tenant)
        rows = await list_withdrawals(conn, tenant, owner, status_wanted, limit)
        return await show_all(config, conn, rows)
