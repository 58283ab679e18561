"""Sends an order to pay out as a producer would, and follows it to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli import session
from cli.asset import require_asset
from cli.errors import Problem, misused
from cli.orders import show
from cli.output import minor, say
from cli.tenant import require_tenant

if TYPE_CHECKING:
    from settings.model import Settings
    from sql.pool import Pool
    from sql.withdrawals import Withdrawal
    from topics.withdrawals import WithdrawalCommand

FINAL = frozenset({"confirmed", "failed", "rejected"})
POLL_S = 0.2


async def place_order(
    order: dict[str, str | None], amount: str | None, wait_s: float | None
) -> dict[str, Any] | None:
    """Send an order whose amount is in minor units, or whole ones in `amount`; follow it if told.

    Return it at its end, as it is printed; None without `wait_s`. Problem if it is plainly a slip,
    or has not come to its end in that time.
    """
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
    from agents.runtime.publisher import Publisher
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
