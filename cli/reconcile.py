"""`millrace reconcile`: chain = ledger = balances, or who differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.errors import Problem, not_found
from cli.options import JsonWanted, NetworkWanted
from cli.output import as_json, counted, plain, print_json, print_table, progress_bar, say
from cli.shown import show_addresses

if TYPE_CHECKING:
    from agents.parts.reconcile_figures import Report
    from settings.model import Settings
    from sql.reconciliation import DifferenceRow, Run

COLUMNS = ("network", "scope", "tenant", "asset", "account", "expected_minor", "actual_minor")
WALLETS = ("network", "tenant", "asset", "bucket", "recorded_minor", "in_transit_minor", "ledger_minor")  # fmt: skip  # noqa: E501


def reconcile(
    network: NetworkWanted = None,
    last: Annotated[
        bool, typer.Option("--last", help="Show what the last run found; compare nothing anew.")
    ] = False,
    json_wanted: JsonWanted = False,
) -> None:
    """Compare the chain, the ledger and the balances. Exit status 1 on a difference.

    Asks the node for the balance of every address that was ever used, then checks every balance
    against its postings. Changes nothing.
    """
    rows = session.run(_last(network) if last else _reconcile(network))
    if json_wanted:
        print_json(rows)
    else:
        for row in rows:
            _tell(row, when=last)
    if not all(row["clean"] for row in rows):
        raise typer.Exit(1)


def _report(report: Report) -> dict[str, Any]:
    return {
        "network": report.network,
        "height": report.height,
        "block_id": report.block_id,
        "finished_at": plain(report.finished_at),
        "clean": report.clean,
        "settled": report.settled,
        "figures": report.figures,
        "figures_total": report.figures_total,
        "differences": [as_json(row) for row in report.differences],
        "under_way": [as_json(row) for row in report.unsettled],
        "wallets": [
            {
                "tenant": wallet.tenant,
                "asset": wallet.asset,
                "bucket": wallet.bucket,
                "recorded_minor": str(wallet.recorded_minor),
                "in_transit_minor": str(wallet.in_transit_minor),
                "ledger_minor": str(wallet.ledger_minor),
            }
            for wallet in report.wallets
        ],
    }


def _kept(run: Run, differences: Sequence[DifferenceRow]) -> dict[str, Any]:
    """Return a run as it was kept: without the wallets, and without what was under way."""
    return {
        "network": run.network,
        "height": run.height,
        "block_id": run.block_id,
        "finished_at": plain(run.finished_at),
        "clean": run.settled and not differences,
        "settled": run.settled,
        "figures": run.figures,
        "differences": [as_json(row) for row in differences],
    }


def _tell(row: dict[str, Any], *, when: bool) -> None:
    name = row["network"] or "the books"
    where = "" if row["height"] is None else f" at block {row['height']}"
    where += f", {row['finished_at']}" if when else ""
    if row["clean"]:
        figures = counted(row["figures"], "figure agrees", "figures agree")
        say(f"{name}{where}: {figures}")
    elif not row["settled"]:
        say(f"{name}{where}: too much is under way to tell; try again in a minute")
    else:
        say(f"{name}{where}: {len(row['differences'])} of {row['figures']} figures differ")
    if row.get("wallets"):
        print_table(WALLETS, [{"network": name, **wallet} for wallet in row["wallets"]])
    if row["differences"]:
        print_table(COLUMNS, [{"network": name, **found} for found in row["differences"]])


async def _last(wanted: str | None) -> list[dict[str, Any]]:
    from sql.reconciliation import last_runs, run_differences

    config = session.settings()
    if wanted is not None:
        wanted = session.pick_network(config, wanted).network
    async with session.database(config) as pool, pool.acquire() as conn:
        runs = [r for r in await last_runs(conn) if wanted in {None, r.network} or not r.network]
        found = await run_differences(conn, [run.run_id for run in runs])
    if not runs:
        raise not_found("nothing was compared yet", "The role chain does it by itself, in time.")
    runs.sort(key=lambda run: run.network is None)  # the books in themselves come last, as ever
    return await _show_accounts(config, [_kept(run, found[run.run_id]) for run in runs])


async def _reconcile(wanted: str | None) -> list[dict[str, Any]]:
    from agents.reconcile_chain import reconcile_books

    config = session.settings()
    networks = config.networks
    if wanted is not None:
        networks = (session.pick_network(config, wanted),)
    reports = [await _reconcile_network(config, network.network) for network in networks]
    async with session.database(config) as pool:
        reports.append(await reconcile_books(pool, topic_prefix=config.topic_prefix))
    return await _show_accounts(config, [_report(report) for report in reports])


async def _show_accounts(config: Settings, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return reports, with the accounts that are addresses as people paste them."""

    async def show(network: str | None, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        named = [{**difference, "network": network} for difference in found]
        shown = await show_addresses(config, named, ("account",))
        return [{name: row[name] for name in row if name != "network"} for row in shown]

    lists = ("differences", "under_way")
    return [
        {**row, **{name: await show(row["network"], row[name]) for name in lists if name in row}}
        for row in rows
    ]


async def _reconcile_network(config: Settings, network: str) -> Report:
    from agents.parts.reconcile_look import NotFollowed
    from agents.reconcile_chain import reconcile_network

    with progress_bar() as bar:
        task = bar.add_task(f"balances on {network}", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        async with (
            session.database(config) as pool,
            session.chain(config.network(network)) as reader,
        ):
            try:
                return await reconcile_network(
                    pool, reader, topic_prefix=config.topic_prefix, progress=progress
                )
            except NotFollowed as error:
                raise Problem(
                    str(error), remedy="Are the roles chain and deposits up? `millrace doctor`"
                ) from error
