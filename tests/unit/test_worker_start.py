"""What a worker leaves out, so that it follows a dead one quickly."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest
from pydantic import SecretStr

from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.match_deposits import MatchDeposits
from agents.roles import ROLES
from agents.runtime.context import Context, open_context
from agents.runtime.kafka_log import KafkaLog
from agents.runtime.publisher import Publisher
from agents.runtime.run_stage import StageRunner
from agents.runtime.stage import Stage
from agents.worker import build_app
from cli.work import NAMES
from devstack.paths import ROOT
from settings.model import Network, Settings
from sql.pool import Pool
from tests.support.faust_worker import Note
from topics.blocks import BLOCKS


def run(program: str) -> list[str]:
    """Return the words that a Python of its own prints."""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_the_command_knows_every_role() -> None:
    assert tuple(ROLES) == NAMES


async def test_of_what_waits_in_kafka_a_worker_holds_few_batches(tmp_path: Path) -> None:
    """Faust would hold thousands of records, which of blocks are gigabytes."""
    settings = Settings(data_dir=str(tmp_path), stage_batch_max=25)
    context = Context(settings, cast(Pool, None), {}, Publisher(settings))
    runner = StageRunner(Note(), context, "cluster", KafkaLog(settings))
    (agent,) = build_app(settings, "torment", [runner]).agents.values()
    assert agent.channel.clone(is_iterator=True).queue.maxsize == 250


@pytest.mark.parametrize("stage", [MatchDeposits, ConfirmWithdrawals])
def test_of_blocks_a_stage_takes_few_at_once(stage: type[Stage[Any, Any]]) -> None:
    """One is up to 2.5 MB, three times that once it is read, and ten batches wait."""
    assert stage.topic is BLOCKS
    assert stage.batch_max <= 25


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


async def test_kafka_is_read_on_the_loop_on_which_stages_run(tmp_path: Path) -> None:
    kafka = build_app(Settings(data_dir=str(tmp_path)), "deposits", []).consumer._thread
    assert kafka.thread_loop is asyncio.get_running_loop()
    assert not issubclass(kafka.Worker, Thread)


def test_garbage_is_collected_once_everything_is_loaded() -> None:
    program = """
import gc
from types import SimpleNamespace
from agents import worker
from settings.model import Settings
async def opened(self):
    assert not gc.isenabled()
def look(*_, **__):
    return SimpleNamespace(execute_from_commandline=lambda: print(gc.isenabled()))
gc.disable()
worker.Worker._open = opened
worker.FaustWorker = look
worker.Worker(Settings(), "deposits").run()
"""
    assert run(program) == ["True"]


def test_a_worker_loads_only_what_the_chains_that_are_configured_need() -> None:
    program = (
        "import sys, agents.worker\n"
        "from chain_adapters.registry import open_adapter\n"
        "from settings.model import Network\n"
        "open_adapter(Network(network='sim:1', kind='simulated', rpc_urls=['sim://'],"
        " native_asset='SIM'))\n"
        "print(*{'stellar_sdk', 'solders', 'pytoniq_core', 'zmq'} & set(sys.modules))"
    )
    assert run(program) == []


async def test_adapters_are_opened_where_nodes_are_asked_or_payments_made(
    database_url: str, kafka: str
) -> None:
    network = Network(network="sim:1", kind="simulated", rpc_urls=("sim://",), native_asset="SIM")
    settings = Settings(
        database_url=SecretStr(database_url),
        kafka_bootstrap=kafka,
        networks=(network,),
        webhook_enc_key=SecretStr("a key for this test alone"),
    )
    opened = {}
    for role in ROLES.keys() - {"signer"}:
        async with open_context(settings) as context:
            await ROLES[role](context)
            opened[role] = list(context.adapters)
    assert opened == {"chain": ["sim:1"], "withdrawals": ["sim:1"], "deposits": [], "notify": []}
