"""What the demo plays with closes behind itself, however far it got."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiokafka.errors import KafkaError

from cli.playground import Playground
from devstack.chains.anvil import Anvil
from devstack.stack import Stack
from tests.faults.worlds import kept_environment


async def test_a_start_that_fails_leaves_nothing_open(
    tmp_path: Path, database_url: str, anvil: Anvil
) -> None:
    environ = {
        "MILLRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "MILLRACE_DATABASE_URL": database_url,
        "MILLRACE_RPC_URL": anvil.rpc_url,
    }
    with kept_environment():
        async with Stack(tmp_path, environ=environ) as stack:
            playground = Playground(stack)
            with pytest.raises(KafkaError):
                await playground.__aenter__()
            assert stack.workers == {}
    where = urlsplit(playground.sink.url)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(where.hostname, where.port)
