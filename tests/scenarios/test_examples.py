"""What README.md shows works as it stands there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from standardwebhooks import Webhook
from typer.core import TyperGroup
from typer.main import get_command

from agents.runtime.kafka_topics import create_topics
from chain_adapters.ethereum.address import parse_address
from cli.main import app as cli
from devstack.process import free_port
from settings.model import Settings
from topics.withdrawals import WITHDRAWAL_COMMANDS, WithdrawalCommand

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_command_in_the_readme_is_valid() -> None:
    [text] = blocks("json")
    command = WithdrawalCommand.model_validate_json(text)
    assert parse_address(command.address)


def test_the_configuration_in_the_readme_is_valid() -> None:
    [text] = blocks("toml")
    settings = Settings.model_validate(tomllib.loads(text))
    assert {asset.network for asset in settings.assets} == {settings.networks[0].network}


def test_every_command_in_the_readme_exists() -> None:
    words = [line.split("#")[0].split() for block in blocks("sh") for line in block.splitlines()]
    command = get_command(cli)
    assert isinstance(command, TyperGroup)
    shown = [line[1:] for line in words if line and line[0] == "millrace"]
    assert shown
    for line in shown:
        names = [word for word in line if not word.startswith("-")]
        found = command.commands[names[0]]
        if isinstance(found, TyperGroup):
            assert names[1] in found.commands, line


def test_every_link_in_the_readme_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    missing = [t for t in targets if not t.startswith("https://") and not (ROOT / t).exists()]
    assert not missing


def test_the_makefile_has_the_targets_of_the_readme() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)`", README)) <= targets


async def test_the_example_producer_orders_a_withdrawal(kafka: str, topic_prefix: str) -> None:
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=topic_prefix, topic_partitions=1)
    await create_topics(settings, [WITHDRAWAL_COMMANDS.name])
    environ = os.environ | {
        "TENANT": "acme",
        "MILLRACE_KAFKA_BOOTSTRAP": kafka,
        "MILLRACE_TOPIC_PREFIX": topic_prefix,
    }
    arguments = ["order-1", "alice", "ETH", "5", "0x" + "d0" * 20]
    producer = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / "producer.py", *arguments, env=environ
    )
    assert await asyncio.wait_for(producer.wait(), 60) == 0
    consumer = AIOKafkaConsumer(
        topic_prefix + WITHDRAWAL_COMMANDS.name,
        bootstrap_servers=kafka,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), 30)
    finally:
        await consumer.stop()
    command = WithdrawalCommand.model_validate_json(record.value or b"")
    assert (command.id, command.amount_minor, record.key) == ("order-1", "5", b"acme")


@pytest.mark.parametrize("example", ["producer.py", "subscriber.py"])
async def test_an_example_without_what_it_needs_says_how_it_is_used(example: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / example, stderr=asyncio.subprocess.PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), 60)
    assert told.startswith(f"usage: {example}".encode())


@pytest.mark.parametrize(("genuine", "status"), [(True, 204), (False, 401)])
async def test_the_example_subscriber_takes_only_what_is_signed(genuine: bool, status: int) -> None:
    secret, other = "whsec_" + "A" * 44, "whsec_" + "B" * 44
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / "subscriber.py",
        str(port),
        env=os.environ | {"WEBHOOK_SECRET": secret},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        body = json.dumps({"id": "evt_1", "type": "webhook.test", "data": {}})
        now = datetime.now(UTC)
        signature = Webhook(secret if genuine else other).sign("evt_1", now, body)
        headers = {
            "webhook-id": "evt_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        url = f"http://127.0.0.1:{port}/webhooks"
        assert await post_once_it_listens(url, body, headers) == status
    finally:
        process.terminate()
        await process.wait()


async def post_once_it_listens(url: str, body: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    return answer.status
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.1)
