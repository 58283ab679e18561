"""What a worker leaves out, so that it follows a dead one quickly."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from agents.worker import build_app
from cli import work
from cli.errors import Problem
from devstack.paths import ROOT
from settings.model import Settings


async def test_topics_are_subscribed_to_without_waiting_for_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = build_app(Settings(data_dir=str(tmp_path)), "deposits", []).tables
    done = []

    async def wait(_: float) -> None:
        done.append("waited")

    async def finalise() -> None:
        done.append("finalised")

    async def start() -> None:
        done.append("started")

    monkeypatch.setattr(tables, "sleep", wait)
    monkeypatch.setattr(tables, "_update_channels", finalise)
    monkeypatch.setattr(tables.recovery, "start", start)
    await tables.on_start()
    assert done == ["finalised", "started"]


def test_garbage_is_collected_again_after_the_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_set_up(_: Settings) -> None:
        """There are no servers here."""

    monkeypatch.setattr(work, "require_set_up", is_set_up)
    monkeypatch.setattr(work, "require_port", lambda _: None)
    try:
        with pytest.raises(Problem, match="there is no role 'nobody'"):
            work.worker("nobody")
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_a_worker_loads_only_what_the_chains_that_are_configured_need() -> None:
    program = (
        "import sys, agents.worker\n"
        "from chain_adapters.registry import open_adapter\n"
        "from settings.model import Network\n"
        "open_adapter(Network(network='sim:1', kind='simulated', rpc_urls=['sim://'],"
        " native_asset='SIM'))\n"
        "print(*{'stellar_sdk', 'solders', 'pytoniq_core', 'zmq'} & set(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False
    )
    assert (loaded.returncode, loaded.stdout.split()) == (0, []), loaded.stderr
