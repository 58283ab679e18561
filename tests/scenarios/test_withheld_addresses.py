"""A restored database gives nobody what it gave to others after the backup and forgot."""

from __future__ import annotations

import json

import pytest
from coincurve import PrivateKey

from custody.addresses import (
    NoFreeKeys,
    assign_addresses,
    assign_memos,
    check_number,
    withhold_addresses,
)
from sql.pool import Pool
from tests.support.command_line import CommandLine
from tests.support.deposits import CONFIRMATIONS, World

KEYS = [PrivateKey().public_key.format() for _ in range(6)]
FORGOTTEN = 3


class Restored(World):
    """A database as in the backup: it has keys, and knows of no address made of them.

    The networks of other tests, which are of the same kind, have used the keys before `first`.
    """

    first: int

    async def start(self) -> None:
        await super().start()
        async with self.pool.acquire() as conn:
            self.first = await conn.fetchval(
                "SELECT first_index FROM unused_keys WHERE network = $1", self.network
            )
            await conn.executemany(
                "INSERT INTO key_pool (network, branch, key_index, key_path, public_key)"
                " VALUES ($1, 0, $2, $3, $4)",
                [
                    (self.network, index, self.adapter.key_path(0, index), key)
                    for index, key in enumerate(KEYS, self.first)
                ],
            )

    def address(self, number: int) -> str:
        path = self.adapter.key_path(0, self.first + number)
        return self.adapter.derive_address(KEYS[number], path)

    async def give(self, owners: list[str]) -> list[str]:
        async with self.pool.acquire() as conn, conn.transaction():
            made = await assign_addresses(conn, self.adapter, self.network, self.tenant, owners)
        return [new.address for new in made]

    async def give_memos(self, owners: list[str]) -> list[str]:
        async with self.pool.acquire() as conn, conn.transaction():
            made = await assign_memos(conn, self.adapter, self.network, self.tenant, owners)
        return [new.memo for new in made]

    async def withhold(self, count: int = FORGOTTEN) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            await withhold_addresses(conn, self.adapter, self.network, self.tenant, count)


@pytest.fixture
async def world(pool: Pool, database_url: str) -> Restored:
    made = Restored(pool, database_url)
    await made.start()
    return made


async def test_withheld_addresses_and_memos_are_given_to_nobody(world: Restored) -> None:
    await world.withhold()
    assert await world.give(["alice", "bob"]) == [world.address(3), world.address(4)]
    assert [int(memo) // 100 for memo in await world.give_memos(["alice", "bob"])] == [4, 5]


async def test_the_same_orders_in_the_same_order_give_the_same_addresses(world: Restored) -> None:
    assert await world.give(["alice", "bob"]) == [world.address(0), world.address(1)]


async def test_what_comes_to_a_withheld_address_waits_for_an_owner(world: Restored) -> None:
    await world.withhold()
    world.chain.mint(world.address(1), None, 500)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert (await world.balance("suspense"), await world.available()) == (500, 0)
    (deposit,) = await world.unassigned()
    await world.assign(deposit.deposit_id, "alice")
    assert (await world.balance("suspense"), await world.available()) == (0, 500)


async def test_no_memo_that_was_given_before_becomes_another_users(world: Restored) -> None:
    ((address, memo), *_) = [await world.give_memo(owner) for owner in ("alice", "bob")]
    await world.withhold(2)
    assert memo not in await world.give_memos(["bob", "bob"])
    world.chain.mint(address, None, 500, str(check_number(3)))
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.balance("suspense") == 500


async def test_a_tenant_keeps_its_pooled_address_beside_withheld_ones(world: Restored) -> None:
    before, _ = await world.give_memo("alice")
    await world.withhold()
    after, _ = await world.give_memo("bob")
    assert before == after


async def test_more_than_the_signer_made_keys_for_is_withheld_not_in_part(
    world: Restored,
) -> None:
    with pytest.raises(NoFreeKeys):
        await world.withhold(len(KEYS) + 1)
    assert await world.give(["alice"]) == [world.address(0)]


async def test_an_operator_withholds_addresses(world: Restored, database_url: str) -> None:
    settings = world.pipeline.context.settings
    millrace = CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_NETWORKS": json.dumps([n.model_dump() for n in settings.networks]),
            "MILLRACE_ASSETS": json.dumps([a.model_dump(mode="json") for a in settings.assets]),
        }
    )
    withhold = ["address", "withhold", "--tenant", world.tenant, "--wait-s", "0", "--count"]
    rows = await millrace.json(*withhold, "2")
    shown = [world.adapter.show_address(world.address(index)) for index in (0, 1)]
    assert [row["address"] for row in rows] == shown
    told = await millrace.run(*withhold, "1")
    assert told.stdout.split() == [world.adapter.show_address(world.address(2))]
    refused = await millrace.run(*withhold, "1000")
    assert (refused.exit_code, "3 unused keys" in refused.stderr) == (1, True)
