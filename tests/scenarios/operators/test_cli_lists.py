"""What an operator reads of all tenants at once."""

from __future__ import annotations

import pytest

from sql.pool import Pool
from tests.support.command_line import CommandLine
from tests.support.withdrawals import SimulatedWorld


@pytest.mark.parametrize("command", ["deposit", "withdraw"])
async def test_without_a_tenant_all_are_listed_newest_first_and_each_row_names_its_own(
    pool: Pool, database_url: str, world: SimulatedWorld, millrace: CommandLine, command: str
) -> None:
    newer = SimulatedWorld(pool, database_url)
    await newer.start()
    for one in (world, newer):
        await one.request(one.command("order-1"))
        one.chain.mint(one.hot_wallet, None, 700)
        await one.mine()
    listed = await millrace.json(command, "list", "--limit", "2")
    assert [row["tenant"] for row in listed] == [newer.tenant, world.tenant]
    assert newer.tenant in (await millrace.run(command, "list", "--limit", "1")).stdout
    of_one = await millrace.json(command, "list", "--tenant", world.tenant)
    assert {row["tenant"] for row in of_one} == {world.tenant}
    shown = await millrace.run(command, "list", "--tenant", world.tenant)
    assert world.tenant not in shown.stdout
