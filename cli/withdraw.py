"""`millrace withdraw`: orders to pay out, and an operator's word on them."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.asset import require_asset
from cli.errors import Problem, misused, not_found
from cli.operator import operator_of
from cli.options import Actor, AssetNamed, JsonWanted, Limit, Owner, OwnerWanted, Tenant
from cli.orders import print_order, show, show_all, without_amount
from cli.output import as_json, minor, print_fields, print_rows, say
from cli.tenant import require_tenant

if TYPE_CHECKING:
    from settings.model import Settings
    from sql.pool import Pool
    from sql.withdrawals import Withdrawal
    from topics.withdrawals import WithdrawalCommand

app = typer.Typer(no_args_is_help=True, help="Orders to pay out.")
FINAL = frozenset({"confirmed", "failed", "rejected"})
STATUSES = (
    "requested", "awaiting_approval", "approved", "signed", "broadcast", *sorted(FINAL),
)  # fmt: skip
COLUMNS = (
    "id", "owner", "amount", "asset", "address", "memo", "status", "reason", "waits_for",
    "updated_at",
)  # fmt: skip
POLL_S = 0.2
COIN_TRANSACTION = re.compile("[0-9a-fA-F]{64}")

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
    final = session.run(_request(order, amount, timeout_s if wait else None))
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
    detail: Annotated[str, typer.Option("--detail", help="Why; the tenant reads it.")] = "",
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
    detail: Annotated[str, typer.Option("--detail", help="Why; the tenant reads it.")] = "",
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
    tenant: Tenant,
    owner: OwnerWanted = None,
    status_wanted: Annotated[
        str | None, typer.Option("--status", help=f"One of {', '.join(STATUSES)}.")
    ] = None,
    limit: Limit = 100,
    json_wanted: JsonWanted = False,
) -> None:
    """List a tenant's withdrawals, newest first."""
    if status_wanted is not None and status_wanted not in STATUSES:
        raise misused(f"{status_wanted!r} is no status; there is {', '.join(STATUSES)}")
    rows = session.run(_list(tenant, owner, status_wanted, limit))
    if json_wanted:
        rows = [without_amount(row) for row in rows]
    print_rows(rows, json_wanted=json_wanted, empty="No withdrawals.", columns=COLUMNS)


async def _request(
    order: dict[str, str | None], amount: str | None, wait_s: float | None
) -> dict[str, Any] | None:
    from topics.withdrawals import WithdrawalCommand

    config = session.settings()
    if amount is None:
        if not str(order["amount_minor"]).lstrip("-").isdecimal():
            raise misused(f"{order['amount_minor']!r} is no amount of minor units: digits alone")
        WithdrawalCommand.model_validate(order)  # before anything is connected to
    async with session.database(config) as pool:
        await _check(config, pool, order, amount)
        command = WithdrawalCommand.model_validate(order)
        await require_own_id(pool, command)
        await send(config, command)
        if wait_s is None:
            return None
        done = await follow(config, pool, command, wait_s)
        await require_own_id(pool, command)  # somebody may have sent another one meanwhile
        return await show(config, pool, done)


async def require_own_id(pool: Pool, command: WithdrawalCommand) -> None:
    """Raise Problem if another order came under the id of this one: it is refused then."""
    from custody.orders import hash_request
    from sql.withdrawals import ordered_before

    key = command.tenant, command.id
    async with pool.acquire() as conn:
        known = await ordered_before(conn, [key])
    if known.get(key, hash_request(command)) != hash_request(command):
        raise Problem(
            f"the id {command.id!r} is another order's",
            meaning="An id is one order for ever; this one is not paid.",
            remedy=f"`millrace withdraw status {command.id} --tenant {command.tenant}` shows the"
            " other. Give each order an id of its own.",
        )


async def _check(
    config: Settings, pool: Pool, order: dict[str, str | None], amount: str | None
) -> None:
    """Put the amount in minor units into an order. Problem if the order is plainly a slip."""
    async with pool.acquire() as conn:
        await require_tenant(conn, str(order["tenant"]))
        asset = await require_asset(conn, str(order["asset"]))
    if amount is not None:
        order["amount_minor"] = _to_minor(amount, asset.decimals)
    if str(order["amount_minor"]).startswith("-") or not str(order["amount_minor"]).strip("0"):
        raise misused(f"{amount or order['amount_minor']} is not more than nothing")
    async with session.chain(session.pick_network(config, asset.network)) as adapter:
        adapter.parse_destination(str(order["address"]), order["memo"])


def _to_minor(amount: str, decimals: int) -> str:
    try:
        return str(minor(amount, decimals))
    except ValueError as error:
        raise misused(str(error)) from error


async def send(config: Settings, command: WithdrawalCommand) -> None:
    """Publish a command, keyed by its tenant; returns once Kafka has it."""
    from agents.runtime.kafka_access import require_access
    from agents.runtime.kafka_io import Publisher
    from topics.withdrawals import WITHDRAWAL_COMMANDS

    publisher = Publisher(config)
    topic = config.topic_prefix + WITHDRAWAL_COMMANDS.name
    value = command.model_dump_json(exclude_none=True).encode()
    async with session.broker_errors():
        try:
            await require_access(config)  # says why, which the publisher does not
            await publisher.start()
            await publisher.publish([(topic, command.tenant.encode(), value)])
        finally:
            await publisher.stop()


async def follow(
    config: Settings, pool: Pool, command: WithdrawalCommand, wait_s: float
) -> Withdrawal:
    """Tell each step of a withdrawal on standard error; return it at its end."""
    from sql.withdrawals import find_withdrawal

    deadline = asyncio.get_running_loop().time() + wait_s
    last = "sent"
    while True:
        async with pool.acquire() as conn:
            found = await find_withdrawal(conn, command.tenant, command.id)
        if found is not None and found.status != last:
            last = found.status
            say(last + (f": {found.reason}" if found.reason else ""))
        if found is not None and last in FINAL:
            return found
        if asyncio.get_running_loop().time() > deadline:
            waits = [] if found is None else (await show(config, pool, found))["waits_for"]
            raise still(command, last, wait_s, waits)
        await asyncio.sleep(POLL_S)


def still(
    command: WithdrawalCommand, status: str, waited_s: float, waits_for: Sequence[str] = ()
) -> Problem:
    """Return the problem of a withdrawal that has not come to its end in time."""
    what = f"withdrawal {command.id} is {status} after {waited_s:g} s"
    if status == "awaiting_approval":
        decide = f"`millrace withdraw approve {command.id} --tenant {command.tenant}`"
        return Problem(what, meaning="An operator decides on it.", remedy=f"{decide}, or reject.")
    if waits_for:
        return Problem(
            what,
            meaning=f"It waits for: {'; '.join(waits_for)}.",
            remedy="docs/cli.md, `millrace withdraw status`, says what ends that. Nothing is lost.",
        )
    down = "`millrace doctor` tells what is down."
    if status == "sent":
        down = "No worker of the role withdrawals took it: " + down
    return Problem(
        what,
        meaning="Nothing is lost: it goes on by itself.",
        remedy=f"{down} `millrace withdraw status` tells later.",
    )


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


async def _cancel_taken(
    tenant: str, order_id: str, taken_by: str, paid_order: str | None
) -> dict[str, Any]:
    from agents.parts.cancel_taken import cancel_taken
    from chain_adapters.adapter import CoinReader
    from sql.withdrawals import find_withdrawal

    config = session.settings()
    async with session.database(config) as pool:
        async with pool.acquire() as conn:
            found = await find_withdrawal(conn, tenant, order_id)
        if found is None or found.network is None:
            raise not_found(f"tenant {tenant!r} has no withdrawal {order_id!r}")
        async with session.chain(session.pick_network(config, found.network)) as reader:
            if not isinstance(reader, CoinReader):
                raise misused(f"{found.network} has no coins: leave --taken-by out")
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
    tenant: str, owner: str | None, status_wanted: str | None, limit: int
) -> list[dict[str, Any]]:
    from sql.withdrawals import list_withdrawals

    config = session.settings()
    async with session.database(config) as pool, pool.acquire() as conn:
        await require_tenant(conn, tenant)
        rows = await list_withdrawals(conn, tenant, owner, status_wanted, limit)
        return await show_all(config, conn, rows)
