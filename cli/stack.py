"""`millrace up` and `millrace down`: the development stack, kept running."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.dev_env import NAME, data_dir, read_env, write_env
from cli.errors import Problem, misused
from cli.options import Chains, JsonWanted
from cli.output import print_fields, say

if TYPE_CHECKING:
    from devstack.stack import Stack

KEYS = ("MILLRACE_WALLET_ENC_KEY", "MILLRACE_WEBHOOK_ENC_KEY")
ROLE_KEYS = {"signer": KEYS[0], "notify": KEYS[1]}
KEY_FILE = "keys.env"
ADDRESSES = "stack.json"
READY_TIMEOUT_S = 60.0
DETACHED_TIMEOUT_S = 180.0
WATCH_S = 0.5


def up(
    chain: Chains = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on in the background; stop with `millrace down`.")
    ] = False,
    block_time_s: Annotated[
        int | None,
        typer.Option(
            "--block-time-s", min=1, help="Mine so often; without it, each transaction is mined."
        ),
    ] = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Run broker, database, chain nodes and all workers on this machine until Ctrl-C."""
    folder, chains = data_dir(os.environ), read_chains(chain)
    if detach:
        show_stack(start_detached(folder, chains, block_time_s), json_wanted)
    else:
        session.run(run_stack(folder, chains, block_time_s, json_wanted=json_wanted))


def down() -> None:
    """Stop what `millrace up` started here."""
    from devstack.down import stop_stack

    try:
        say(stop_stack(data_dir(os.environ)))
    except TimeoutError as error:
        raise Problem(str(error), remedy="Stop that process by its id.") from error


def read_chains(wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the kinds of chain that were asked for. Problem for one that has no node here."""
    from devstack.chains.registry import NODES, installed_kinds

    if not wanted:
        return ("ethereum",)
    if "all" in wanted:
        chains = installed_kinds()
        if missing := [kind for kind in NODES if kind not in chains]:
            say(f"left out, for there is no node of them here: {', '.join(missing)}")
        return chains
    if unknown := [kind for kind in wanted if kind not in NODES]:
        raise misused(
            f"no chain {', '.join(map(repr, unknown))}; there is {', '.join(NODES)} and all"
        )
    return tuple(dict.fromkeys(wanted))


def dev_keys(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of the development stack: the environment's, the kept ones, or new ones."""
    file = folder / KEY_FILE
    kept = read_env(file) if file.exists() else {}
    keys = {name: kept.get(name) or secrets.token_urlsafe(32) for name in KEYS}
    if keys != kept:
        folder.mkdir(parents=True, exist_ok=True)
        write_env(file, keys)
    return {name: environ.get(name) or keys[name] for name in KEYS}


async def run_stack(
    folder: Path, chains: Sequence[str], block_time_s: int | None, *, json_wanted: bool
) -> None:
    """Start everything, print where it is, and stop it again on SIGINT or SIGTERM."""
    from devstack.process import ServerError
    from devstack.stack import Stack

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    keys = dev_keys(folder, os.environ)
    environ = {name: value for name, value in os.environ.items() if name not in KEYS}
    stack = Stack(folder, chains=chains, block_time_s=block_time_s, environ=environ)
    say(f"starting broker, database and nodes ({', '.join(chains)}) in {folder} …")
    try:
        async with stack:
            await stack.issue_tokens()
            await start_workers(stack, keys, stopped)
            with published(stack, keys):
                if not stopped.is_set():
                    show_stack(stack_addresses(stack), json_wanted)
                try:
                    await watch(stack, stopped, say)
                finally:
                    say("stopping …")
    except ServerError as error:
        raise Problem(str(error)) from error


async def start_workers(stack: Stack, keys: Mapping[str, str], stopped: asyncio.Event) -> None:
    """Set the stack up, start a worker of each role, and wait until all are ready."""
    from agents.roles import ROLES
    from cli.setup import set_up, tell_step

    os.environ.update(stack.environment() | dict(keys))
    await set_up(session.settings(), tell_step)
    role_keys = {role: {name: keys[name]} for role, name in ROLE_KEYS.items()}
    stack.run_workers(ROLES, secrets=role_keys)
    await wait_for_workers(stack, stopped, say)


async def wait_for_workers(
    stack: Stack, stopped: asyncio.Event, tell: Callable[[str], None]
) -> None:
    """Wait until every worker says it is ready, and tell of each.

    Problem, naming the logs, if one does not.
    """
    import aiohttp

    waiting = set(stack.workers)
    deadline = time.monotonic() + READY_TIMEOUT_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
        while waiting and not stopped.is_set():
            for role in sorted(waiting):
                if await _is_ready(client, stack.workers[role].metrics_port):
                    waiting.discard(role)
                    tell(f"worker {role} is ready")
            if waiting and time.monotonic() > deadline:
                logs = ", ".join(str(stack.workers[role].log_path) for role in sorted(waiting))
                raise Problem(
                    f"workers not ready: {', '.join(sorted(waiting))}", remedy=f"See {logs}."
                )
            await asyncio.sleep(0.2)


async def watch(stack: Stack, stopped: asyncio.Event, tell: Callable[[str], None]) -> None:
    """Wait until the stack is to stop, and tell of each worker that was started again.

    Problem if a server ends by itself: nobody starts it again.
    """
    starts = {role: worker.starts for role, worker in stack.workers.items()}
    while not stopped.is_set():
        for role, worker in stack.workers.items():
            if worker.starts > starts[role]:
                starts[role] = worker.starts
                tell(f"worker {role} ended and was started again; see {worker.log_path}")
        for server in stack.servers:
            if not server.alive:
                raise Problem(
                    f"{server.name} ended by itself, so the stack is stopped",
                    meaning="Its data is kept.",
                    remedy=f"See {server.log_path}, then start the stack again.",
                )
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), WATCH_S)


async def _is_ready(client: Any, port: int) -> bool:  # noqa: ANN401 - aiohttp is imported late
    import aiohttp

    try:
        async with client.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return bool(answer.status == 200)
    except (aiohttp.ClientError, TimeoutError):
        return False


@contextmanager
def published(stack: Stack, keys: Mapping[str, str]) -> Iterator[None]:
    """Keep the files by which other terminals find the stack."""
    variables = {
        name: value for name, value in stack.environment().items() if name.startswith("MILLRACE_")
    }
    (stack.data_dir / ADDRESSES).write_text(json.dumps(stack_addresses(stack)))
    write_env(stack.data_dir / NAME, variables | dict(keys))
    try:
        yield
    finally:
        (stack.data_dir / NAME).unlink(missing_ok=True)
        (stack.data_dir / ADDRESSES).unlink(missing_ok=True)


def stack_addresses(stack: Stack) -> dict[str, Any]:
    """Return where everything is; no secrets."""
    where = stack.database_url.rpartition("@")[2].partition("?")[0]
    return {
        "kafka": stack.kafka_bootstrap,
        "postgres": where,
        "networks": {n["network"]: without_password(n["rpc_urls"][0]) for n in stack.networks},
        "logs": str(stack.data_dir / "logs"),
        "settings": str(stack.data_dir / NAME),
        "workers": {
            role: f"http://127.0.0.1:{worker.metrics_port}/metrics"
            for role, worker in stack.workers.items()
        },
    }


def without_password(url: str) -> str:
    """Return an URL without the user and password that may be in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def show_stack(addresses: Mapping[str, Any], json_wanted: bool) -> None:
    """Print where everything is."""
    if json_wanted:
        print_fields(addresses, json_wanted=True)
    else:
        flat = {name: value for name, value in addresses.items() if isinstance(value, str)}
        flat |= {f"network {name}": url for name, url in addresses["networks"].items()}
        workers = {f"worker {role}": url for role, url in addresses["workers"].items()}
        print_fields(flat | workers, json_wanted=False)
        say("\nNext: `millrace doctor` in another terminal; README.md, “Try it”, goes on.")
        say("`make down` stops all of it, and so does Ctrl-C here.")
    sys.stdout.flush()


def start_detached(folder: Path, chains: Sequence[str], block_time_s: int | None) -> dict[str, Any]:
    """Start `millrace up` in the background; return its addresses once all is ready."""
    log = folder / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cli", "up", "--json"]
    command += [word for kind in chains for word in ("--chain", kind)]
    command += ["--block-time-s", str(block_time_s)] if block_time_s else []
    started = time.time()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    file = folder / ADDRESSES
    while not (file.exists() and (folder / NAME).exists() and file.stat().st_mtime >= started):
        if process.poll() is not None:
            said = log.read_text().rstrip()
            raise Problem(f"the stack did not start:\n{said}", remedy=f"See {log}.")
        if time.time() > started + DETACHED_TIMEOUT_S:
            process.terminate()
            raise Problem("the stack did not start in time", remedy=f"See {log}.")
        time.sleep(0.1)
    addresses: dict[str, Any] = json.loads(file.read_text())
    return addresses
