"""What every command needs: settings, a database, one event loop, and errors told in words."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cli.errors import NO_BROKER, NO_DATABASE, Problem, explain, misused, words_of
from cli.output import print_problem, say

if TYPE_CHECKING:
    from chain_adapters.adapter import ChainAdapter
    from settings.model import Network, Settings
    from sql.pool import Pool

ResultT = TypeVar("ResultT")
CONNECTIONS = 2
CONNECT_TIMEOUT_S = 10.0
ANSWER_S = 300.0
"""No statement of a command takes as long, but for those over the whole journal."""
LOOK_S = 30.0
"""The same for what only looks whether all is there."""
ATTEMPTS = 5
"""At a transaction that waits in a circle with those of workers."""


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a command's work to its end."""
    return asyncio.run(work)


def run_again(make: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run the work of one transaction; anew if Postgres undid it because others waited for it."""
    from asyncpg import TransactionRollbackError

    for _ in range(ATTEMPTS - 1):
        try:
            return run(make())
        except TransactionRollbackError:
            continue  # nothing of it was done
    return run(make())


def tell(error: BaseException) -> int | None:
    """Print an expected error and return its exit status; None for one nobody expected."""
    problem = explain(error)
    if problem is None:
        return None
    print_problem(problem)
    return problem.status


def settings(*, tell_unknown: bool = True) -> Settings:
    """Return the configuration; of the development stack, if that runs here and nothing is set.

    What is set and means nothing is told, unless the caller does so.
    """
    from cli.dev_env import adopt_dev_env
    from settings.model import load_settings

    quiet_logs()
    adopted = adopt_dev_env(Path.cwd(), os.environ)
    if adopted and sys.stderr.isatty():
        say(f"(settings from {adopted}: the development stack)")
    file = os.environ.get("MILLRACE_CONFIG")
    if file and not Path(file).is_file():
        raise misused(f"MILLRACE_CONFIG names {file}, which is no file")
    config = load_settings()
    if tell_unknown:
        _tell_unknown(config)
    return config


def _tell_unknown(config: Settings) -> None:
    from settings.unknown import unknown_variables

    words = [
        f"{name} (is {nearest} meant?)" if nearest else name
        for name, nearest in unknown_variables(config, os.environ).items()
    ]
    if words:
        say(f"millrace: there is no such setting, so it changes nothing: {', '.join(words)}")


def quiet_logs() -> None:
    """Keep log lines off the terminal: a command tells what matters itself."""
    import structlog

    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())


@asynccontextmanager
async def database(config: Settings, answer_s: float | None = None) -> AsyncIterator[Pool]:
    """Connect to the database. Problem if it is away.

    A statement without an answer after `answer_s`, or ANSWER_S, is given up with TimeoutError.
    """
    from sql.pool import open_pool

    url = config.database_url.get_secret_value()
    opening = open_pool(url, CONNECTIONS, answer_s=answer_s or ANSWER_S)
    try:
        pool = await asyncio.wait_for(opening, CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError) as error:
        from cli.dev_env import why_unread

        raise Problem(
            f"the database cannot be reached: {words_of(error)}",
            meaning=why_unread(Path.cwd(), os.environ),
            remedy=NO_DATABASE,
        ) from error
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def broker_errors() -> AsyncIterator[None]:
    """Tell a broker that cannot be reached as such."""
    try:
        yield
    except (OSError, TimeoutError) as error:
        raise Problem(
            f"the broker cannot be reached: {words_of(error)}", remedy=NO_BROKER
        ) from error


@asynccontextmanager
async def chain(network: Network, contracts: Sequence[str] = ()) -> AsyncIterator[ChainAdapter]:
    """Open a network's adapter; nothing is asked of a node before its first use.

    `contracts` are the tokens that are credited there: whoever reads blocks must name them.
    """
    from chain_adapters.registry import open_adapter

    try:
        adapter = open_adapter(network, contracts)
    except ValueError as error:
        raise misused(f"{network.network} is not configured right: {error}") from error
    try:
        yield adapter
    finally:
        await adapter.close()


def network_id(config: Settings, wanted: str) -> str:
    """Return the id of a network named by its id, configured (any more) or not, or by its kind."""
    return wanted if ":" in wanted else pick_network(config, wanted).network


def pick_network(config: Settings, wanted: str | None) -> Network:
    """Return the network asked for, by its id or its kind, or the only one there is."""
    found = [n for n in config.networks if wanted in {None, n.network, n.kind}]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{n.network} ({n.kind})" for n in found or config.networks)
    if wanted is None or found:
        raise misused(f"say which --network: {names or 'none is configured'}")
    raise misused(f"network {wanted!r} is not configured; there is {names or 'none'}")
