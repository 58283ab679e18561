"""`millrace up` in one terminal, commands in another, `millrace down`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.dev_env import NAME, PREFIX, read_env
from cli.stack import ADDRESSES, KEYS
from devstack.chains.anvil import Anvil

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def millrace(folder: Path) -> Run:
    """Runs the command in a process of its own, in the folder, with no settings but those given."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=folder,
            env=bare | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture(scope="module")
def servers(database_url: str, kafka: str, topic_prefix: str, anvil: Anvil) -> dict[str, str]:
    """The session's servers, to be used by the stack."""
    return {
        "MILLRACE_DATABASE_URL": database_url,
        "MILLRACE_KAFKA_BOOTSTRAP": kafka,
        "MILLRACE_RPC_URL": anvil.rpc_url,
        "MILLRACE_WEBSOCKET_URL": anvil.push_url,
        "MILLRACE_TOPIC_PREFIX": topic_prefix,
    }


@pytest.fixture(scope="module")
def stack(millrace: Run, servers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The stack in the background."""
    started = millrace("up", "--detach", "--json", **servers)
    try:
        assert started.returncode == 0, started.stderr
        yield json.loads(started.stdout)
    finally:
        millrace("down")


def until_green(millrace: Run) -> list[dict[str, str]]:
    """Return what doctor finds once nothing is red: leases are taken within seconds."""
    for _ in range(30):
        done = millrace("doctor", "--json")
        found: list[dict[str, str]] = json.loads(done.stdout)
        if done.returncode == 0:
            return found
        time.sleep(1)
    raise AssertionError([finding for finding in found if finding["state"] == "red"])


def test_a_second_terminal_finds_everything_well(millrace: Run, stack: dict[str, Any]) -> None:
    found = {finding["check"] for finding in until_green(millrace)}
    (network,) = stack["networks"]
    assert {f"network {network}", f"lease follow_chain {network}", "lease stock_keys"} <= found
    assert "stage match_deposits" in found


def test_the_workers_serve_a_new_address_at_once(millrace: Run, stack: dict[str, Any]) -> None:
    assert millrace("tenant", "new", "acme").returncode == 0
    made = millrace("address", "new", "--tenant", "acme", "--owner", "alice")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("0x")


def test_a_command_without_money_is_rejected_to_whom_waits(
    millrace: Run, stack: dict[str, Any]
) -> None:
    millrace("tenant", "new", "acme")
    address = "0x" + "11" * 20
    order = ["--tenant", "acme", "--owner", "bob", "--asset", "ETH", "--address", address]
    done = millrace("withdraw", "request", *order, "--amount", "1", "--wait", "--json")
    assert done.returncode == 1
    row = json.loads(done.stdout)
    assert (row["status"], row["amount_minor"]) == ("rejected", "1" + "0" * 18)


def test_a_second_stack_in_the_same_folder_is_refused(
    millrace: Run, stack: dict[str, Any], folder: Path
) -> None:
    second = millrace("up", MILLRACE_KAFKA_BOOTSTRAP="x", MILLRACE_DATABASE_URL="x")
    assert second.returncode == 1
    assert "already; `make down` stops it" in second.stderr
    assert (folder / ".millrace" / NAME).exists()


def test_keys_are_for_their_owner_and_no_address_has_them(
    stack: dict[str, Any], folder: Path
) -> None:
    values = read_env(folder / ".millrace" / NAME)
    shown = json.dumps(stack) + (folder / ".millrace" / ADDRESSES).read_text()
    logs = "".join(log.read_text() for log in Path(stack["logs"]).glob("*.log"))
    for key in KEYS:
        assert values[key] not in shown
        assert values[key] not in logs


def test_down_stops_all_and_takes_the_settings_away(
    millrace: Run, stack: dict[str, Any], folder: Path
) -> None:
    stopped = millrace("down")
    assert stopped.returncode == 0, stopped.stderr
    assert not (folder / ".millrace" / NAME).exists()
    assert not (folder / ".millrace" / ADDRESSES).exists()
    again = millrace("down")
    assert "no stack runs" in again.stderr
