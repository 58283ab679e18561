"""`millrace network`: how far each chain is followed, and letting a halted one go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from cli import session
from cli.errors import Problem, not_found
from cli.options import JsonWanted, NetworkNamed
from cli.output import as_json, print_rows, say

if TYPE_CHECKING:
    from sql.catalogue import NetworkRow

app = typer.Typer(no_args_is_help=True, help="How far each chain is followed.")
COLUMNS = (
    "network", "height", "matched_height", "node_height", "confirmations", "finality",
    "halted_reason", "updated_at",
)  # fmt: skip


@app.command("status")
def status(json_wanted: JsonWanted = False) -> None:
    """Show how far each network is followed and matched."""
    rows = [as_json(row) for row in session.run(_status())]
    empty = "No networks yet: configure them and run `millrace init`."
    print_rows(rows, json_wanted=json_wanted, empty=empty, columns=COLUMNS)


@app.command("resume")
def resume(network: NetworkNamed) -> None:
    """Let a halted network go on, after finding out which branch the chain keeps.

    A network halts again at once if the reorganisation is still deeper than its reorg_depth_max:
    raise that first and restart the role chain.
    """
    say(f"{session.run(_resume(network))} goes on.")


async def _status() -> list[NetworkRow]:
    from sql import catalogue

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        return await catalogue.list_networks(conn)


async def _resume(wanted: str) -> str:
    from agents.parts.network_events import resumed_events
    from agents.runtime.transact import transact_on
    from sql import chain, tenants
    from topics.events import emit_events

    config = session.settings()
    network = session.network_id(config, wanted)
    async with session.database(config) as pool, transact_on(pool, config.topic_prefix) as work:
        cursor = await chain.read_cursor(work.conn, network)
        if cursor is None:
            raise not_found(
                f"{network} was never followed", "`millrace network status` shows all that were."
            )
        if cursor.halted_reason is None:
            raise Problem(f"{network} is not halted")
        await chain.halt_network(work.conn, network, None)
        names = [row.tenant for row in await tenants.list_tenants(work.conn)]
        emit_events(work, resumed_events(names, network, cursor.height, datetime.now(UTC)))
    return network
