"""A database whose sequences are behind, as a copy by logical replication has them."""

from __future__ import annotations

import re

import pytest
from pydantic import SecretStr

from agents.runtime.context import require_sound
from agents.runtime.stage import InvariantBroken
from cli.doctor import examine_database
from devstack.paths import ROOT
from settings.model import Settings
from sql.pool import Pool
from tests.support.books import Books

MANUAL = (ROOT / "docs" / "operations.md").read_text()


async def test_no_worker_starts_before_sequences_are_set_as_the_manual_says(
    pool: Pool, database_url: str
) -> None:
    books = Books(pool, database_url)
    await books.start()
    await books.deposit(500)
    async with pool.acquire() as conn:
        await require_sound(conn)
        await conn.execute("ALTER SEQUENCE deposits_deposit_id_seq RESTART")
        await conn.execute("ALTER SEQUENCE journal_entry_ids RESTART")
        await conn.execute("SET ROLE millrace_app")
        with pytest.raises(InvariantBroken, match="deposits_deposit_id_seq, journal_entry_ids"):
            await require_sound(conn)
        await conn.execute("RESET ROLE")
        assert "sequences" in await named_by_doctor(database_url)
        section = MANUAL.partition("### Sequences that are behind")[2].partition("\n### ")[0]
        [query] = re.findall(r"(?ms)^    (SELECT format.*?)^    \\gexec", section)
        for (statement,) in await conn.fetch(query):
            await conn.execute(statement)
        await require_sound(conn)
    await books.deposit(70)
    assert await books.available() == 570


async def named_by_doctor(database_url: str) -> list[str]:
    _, found = await examine_database(Settings(database_url=SecretStr(database_url)), None)
    return [finding.check for finding in found if finding.state == "red"]
