"""A tenant with money on a simulated chain, and the command line of its operator."""

from __future__ import annotations

import pytest

from sql.pool import Pool
from tests.support.command_line import CommandLine
from tests.support.withdrawals import SimulatedWorld


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    """A world with a tenant, a hot wallet and a user who has money."""
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


@pytest.fixture
def millrace(world: SimulatedWorld, database_url: str) -> CommandLine:
    """The command line of an operator who has the workers' role and no more."""
    return CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": f"{database_url}&role=millrace_app",
            "MILLRACE_TOPIC_PREFIX": world.pipeline.kafka.prefix,
        }
    )
