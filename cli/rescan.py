"""`millrace rescan`: look at old blocks again for deposits that were missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import session
from cli.errors import Problem, misused
from cli.options import JsonWanted, NetworkWanted
from cli.output import as_json, counted, print_json, progress_bar, say

if TYPE_CHECKING:
    from agents.by_operator.rescan_blocks import Rescanned


def rescan(
    *,
    from_height: Annotated[int, typer.Option("--from", min=0, help="The first block.")],
    to_height: Annotated[
        int | None,
        typer.Option("--to", min=0, help="The last block. Without it, the highest matched."),
    ] = None,
    network: NetworkWanted = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Read blocks again and record the deposits that were missed. Safe at any time.

    Deposits that are there already stay as they are.
    """
    first, last, found = session.run(_rescan(network, from_height, to_height))
    if json_wanted:
        print_json(
            {
                "from": first,
                "to": last,
                "detected": [as_json(deposit) for deposit in found.detected],
                "orphaned": [as_json(deposit) for deposit in found.orphaned],
                "told_again": len(found.told_again),
            }
        )
        return
    blocks = counted(last - first + 1, "block", "blocks")
    say(f"{blocks}: {counted(len(found.detected), 'deposit', 'deposits')} found")
    for deposit in found.detected:
        say(f"  deposit {deposit.deposit_id} of {deposit.tenant}/{deposit.owner}: {deposit.status}")
    if found.orphaned:
        orphaned = counted(len(found.orphaned), "deposit", "deposits")
        say(f"{orphaned} stood in blocks that left the chain: orphaned")
    if found.told_again:
        entries = counted(len(found.told_again), "entry", "entries")
        say(f"{entries} had not come to the ledger: told again")


async def _rescan(wanted: str | None, first: int, last: int | None) -> tuple[int, int, Rescanned]:
    from agents.by_operator.rescan_blocks import NotRescannable, RescanBlocks, read_reach
    from agents.runtime.context import Context
    from agents.runtime.publisher import Publisher
    from agents.runtime.stage import Retryable

    config = session.settings()
    network = session.pick_network(config, wanted)
    reading = session.chain(network, config.contracts(network.network))
    async with session.database(config) as pool, reading as reader:
        context = Context(config, pool, {network.network: reader}, Publisher(config))
        try:
            if last is None:
                last = (await read_reach(context, network.network)).last
            with progress_bar() as bar:
                task = bar.add_task(f"blocks of {network.network}", total=last - first + 1)
                stage = RescanBlocks(context, reader)
                await stage.start()
                found = await stage.rescan(first, last, lambda done: bar.advance(task, done))
        except NotRescannable as error:
            raise misused(str(error), "`millrace network status` shows the heights.") from error
        except Retryable as error:
            raise Problem(str(error)) from error
    return first, last, found
