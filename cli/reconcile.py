"""`millrace reconcile`: chain = ledger = balances, or who differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cli import session
from cli.errors import Problem
from cli.options import JsonWanted, NetworkWanted
from cli.output import as_json, plain, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from agents.parts.reconcile_figures import Report
    from settings.model import Settings

COLUMNS = ("network", "scope", "tenant", "asset", "account", "expected_minor", "actual_minor")
WALLETS = ("network", "tenant", "asset", "bucket", "recorded_minor", "in_transit_minor", "ledger_minor")  # fmt: skip  # noqa: E501


def reconcile(network: NetworkWanted = None, json_wanted: JsonWanted = False) -> None:
    """Compare the chain, the ledger and the balances. Exit status 1 on a difference.

    Asks the node for the balance of every address that was ever used, then checks every balance
    against its postings. Changes nothing.
    """
    reports = session.run(_reconcile(network))
    rows = [_report(report) for report in reports]
    if json_wanted:
        print_json(rows)
    else:
        for row in rows:
            _tell(row)
    if not all(report.clean for report in reports):
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


def _tell(row: dict[str, Any]) -> None:
    name = row["network"] or "the books"
    where = "" if row["height"] is None else f" at block {row['height']}"
    if row["clean"]:
        say(f"{name}{where}: {row['figures']} figures agree")
    elif not row["settled"]:
        say(f"{name}{where}: too much is under way to tell; try again in a minute")
    else:
        say(f"{name}{where}: {len(row['differences'])} of {row['figures']} figures differ")
    if row["wallets"]:
        print_table(WALLETS, [{"network": name, **wallet} for wallet in row["wallets"]])
    if row["differences"]:
        print_table(COLUMNS, [{"network": name, **found} for found in row["differences"]])


async def _reconcile(wanted: str | None) -> list[Report]:
    from agents.reconcile_chain import reconcile_books

    config = session.settings()
    networks = config.networks
    if wanted is not None:
        networks = (session.pick_network(config, wanted),)
    reports = [await _reconcile_network(config, network.network) for network in networks]
    async with session.database(config) as pool:
        reports.append(await reconcile_books(pool, topic_prefix=config.topic_prefix))
    return reports


async def _reconcile_network(config: Settings, network: str) -> Report:
    from agents.reconcile_chain import NotFollowed, reconcile_network

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
