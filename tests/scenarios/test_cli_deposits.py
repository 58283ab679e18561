"""Memos and unassigned deposits on the command line."""

from __future__ import annotations

import json

import pytest

from sql.pool import Pool
from tests.support.command_line import CommandLine
from tests.support.deposits import CONFIRMATIONS, World


@pytest.fixture
async def world(pool: Pool, database_url: str) -> World:
    made = World(pool, database_url)
    await made.start()
    return made


@pytest.fixture
def millrace(world: World, database_url: str) -> CommandLine:
    settings = world.pipeline.context.settings
    return CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_TOPIC_PREFIX": world.pipeline.kafka.prefix,
            "MILLRACE_NETWORKS": json.dumps([n.model_dump() for n in settings.networks]),
            "MILLRACE_ASSETS": json.dumps([a.model_dump(mode="json") for a in settings.assets]),
        }
    )


async def test_a_user_gets_a_memo_and_it_is_listed(world: World, millrace: CommandLine) -> None:
    address, _ = await world.give_memo("bob")
    alices = ["--tenant", world.tenant, "--owner", "alice"]
    made = await millrace.json("address", "new", *alices, "--memo", "--label", "desk 7")
    assert [(row["address"].lower(), row["owner"]) for row in made] == [(address, "alice")]
    text = (await millrace.run("address", "new", *alices, "--memo", "--count", "2")).stdout
    lines = [line.split(" ") for line in text.splitlines()]
    assert len({memo for _, memo in lines} | {made[0]["memo"]}) == 3
    listed = await millrace.json("address", "list", *alices)
    assert {row["memo"] for row in listed} == {made[0]["memo"], *(memo for _, memo in lines)}
    assert {(row["purpose"], row["owner"]) for row in listed} == {("pooled", "alice")}
    whole = await millrace.json("address", "list", "--tenant", world.tenant, "--purpose", "pooled")
    assert [row["memo"] for row in whole].count(None) == 1, "the address itself"


async def test_an_operator_says_whose_a_deposit_is(world: World, millrace: CommandLine) -> None:
    address, _ = await world.give_memo("bob")
    world.chain.mint(address, None, 500, "for alice, please")
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    listing = ["deposit", "list", "--tenant", world.tenant, "--unassigned"]
    (row,) = await millrace.json(*listing)
    assert (row["memo"], row["owner"]) == ("for alice, please", "")
    assert "for alice" in (await millrace.run(*listing)).stdout
    assign = ["deposit", "assign", str(row["deposit_id"]), "--tenant", world.tenant]
    unknown = await millrace.run(*assign, "--owner", "carol")
    assert (unknown.exit_code, "no user 'carol'" in unknown.stderr) == (1, True)
    given = await millrace.json(*assign, "--owner", "alice", "--actor", "dave")
    assert given["owner"] == "alice"
    again = await millrace.run(*assign, "--owner", "bob")
    assert (again.exit_code, "alice's" in again.stderr) == (1, True)
    assert await millrace.json(*listing) == []
    assert await world.available() == 500
    world.chain.mint(address, None, 7, "who knows")
    await world.follow()
    told = await millrace.run("deposit", "list", "--tenant", world.tenant)
    assert "(pooled)" in told.stdout
    async with world.pool.acquire() as conn:
        actor = await conn.fetchval(
            "SELECT assigned_by FROM deposits WHERE deposit_id = $1", row["deposit_id"]
        )
    assert actor == "dave"


async def test_an_operator_reads_which_deposits_wait_and_for_what(
    world: World, millrace: CommandLine
) -> None:
    address = await world.watch()
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE networks SET finality = 'safe' WHERE network = $1", world.network
        )
    await world.pipeline.start()
    listing = ["deposit", "waiting", "--network", world.network]
    for mined, waits_for in ((1, "confirmations"), (CONFIRMATIONS, "safe")):
        world.chain.mint(address, None, 500)
        world.chain.mine(mined)
        await world.follow()
        rows = await millrace.json(*listing)
        assert (rows[0]["waits_for"], rows[0]["tenant"]) == (waits_for, world.tenant)
        assert rows[0]["amount_minor"] == "500"
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE networks SET finality = 'depth' WHERE network = $1", world.network
        )
    assert [row["waits_for"] for row in await millrace.json(*listing)] == ["confirm_deposits"] * 2
    assert "confirm_deposits" in (await millrace.run(*listing)).stdout
    world.chain.mine(world.chain.finality_depth)
    await world.follow()
    assert await millrace.json(*listing) == []
