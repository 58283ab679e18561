"""One address for many users, told apart by memos; and what comes without a memo we know."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import pytest

from agents.by_operator.assign_deposit import NotAssignable
from chain_adapters.simulated import SimulatedAdapter
from custody.addresses import NoMemos, assign_memos, check_number
from ledger import rules
from ledger.post import post
from sql.pool import Pool
from tests.support.deposits import CONFIRMATIONS, World
from topics.events import EVENTS, DepositAssigned

NOBODYS = [None, "", "text of a passer-by", "19 5", "195\0"]


@pytest.fixture
async def world(pool: Pool, database_url: str) -> World:
    made = World(pool, database_url)
    await made.start()
    return made


async def pay(world: World, memo: str | None, amount_minor: int = 500) -> None:
    """Pay to the pooled address and let it be confirmed."""
    address, _ = await world.give_memo("bob")
    world.chain.mint(address, None, amount_minor, memo)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()


async def test_every_user_has_a_memo_of_his_own_on_one_address(world: World) -> None:
    given = [await world.give_memo(owner) for owner in ("alice", "bob", "alice")]
    assert len({address for address, _ in given}) == 1
    assert len({memo for _, memo in given}) == 3
    for (address, memo), amount_minor in zip(given, (100, 20, 3000), strict=True):
        world.chain.mint(address, None, amount_minor, memo)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert (await world.available(), await world.available(owner="bob")) == (3100, 20)
    assert await world.balance("deposit_wallets") == 3120
    assert (await world.event_types()).count("deposit.confirmed") == 3


async def test_a_memo_registered_a_moment_ago_is_not_missed(world: World) -> None:
    for _ in range(5):
        world.chain.mine()
        await world.follow()
        address, memo = await world.give_memo()
        world.chain.mint(address, None, 100, memo)
        await world.follow()
    assert await world.unassigned() == []


async def test_memos_asked_for_at_once_are_all_different(world: World) -> None:
    given = await asyncio.gather(*(world.give_memo() for _ in range(8)))
    assert len({address for address, _ in given}) == 1
    assert len({memo for _, memo in given}) == 8


async def test_a_chain_without_memos_gives_none(world: World) -> None:
    class Memoless(SimulatedAdapter):
        def make_memo(self, number: int) -> str | None:
            return None

    async with world.pool.acquire() as conn, conn.transaction():
        with pytest.raises(NoMemos):
            await assign_memos(conn, Memoless(world.chain), world.network, world.tenant, ["alice"])


@pytest.mark.parametrize("serial", [1, 7, 96, 97, 12_345, 10**15])
def test_a_slip_in_one_digit_of_a_memo_or_two_swapped_is_never_a_memo(serial: int) -> None:
    text = str(check_number(serial))
    slips = {
        text[:i] + digit + text[i + 1 :] for i in range(len(text)) for digit in "0123456789"
    } | {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(len(text) - 1)}
    assert len(text) - len(str(serial)) == 2
    for slip in slips - {text}:
        assert int(slip) % 97 != 1


@pytest.mark.parametrize("memo", NOBODYS)
async def test_what_has_no_known_memo_is_kept_in_suspense_until_it_is_assigned(
    world: World, memo: str | None
) -> None:
    await pay(world, memo)
    assert (await world.balance("suspense"), await world.balance("deposit_wallets")) == (500, 500)
    (deposit,) = await world.unassigned()
    assert (deposit.memo, deposit.status) == (memo and memo.replace("\0", "\ufffd"), "confirmed")
    assert await world.event_types() == ["deposit.detected", "deposit.unassigned"]
    await world.assign(deposit.deposit_id)
    await world.pipeline.settle()
    assert (await world.balance("suspense"), await world.available()) == (0, 500)
    assert await world.unassigned() == []
    assert (await world.event_types())[-1] == "deposit.assigned"


async def test_the_event_tells_who_said_whose_it_is(world: World) -> None:
    await pay(world, None)
    (deposit,) = await world.unassigned()
    await world.assign(deposit.deposit_id)
    await world.pipeline.settle()
    log = world.pipeline.kafka.topics[world.pipeline.kafka.prefix + EVENTS.name]
    (event,) = [
        event
        for record in log
        for event in EVENTS.decode(record.value or b"").events
        if isinstance(event, DepositAssigned)
    ]
    told = msgspec.structs.asdict(event.data)
    assert (told["owner"], told["assigned_by"]) == ("alice", "operator")


async def test_dust_without_a_memo_is_ignored(world: World) -> None:
    await pay(world, None, amount_minor=9)
    assert await world.statuses() == ["ignored"]
    assert await world.event_types() == ["deposit.ignored"]
    assert await world.balance("suspense") == 0


async def test_a_memo_says_nothing_on_an_address_of_somebodys_own(world: World) -> None:
    address, (_, memo) = await world.watch("alice"), await world.give_memo("bob")
    world.chain.mint(address, None, 500, memo)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert (await world.available(), await world.available(owner="bob")) == (500, 0)


async def test_a_deposit_is_assigned_once(world: World) -> None:
    await pay(world, None)
    (deposit,) = await world.unassigned()
    words = [world.assign(deposit.deposit_id, owner) for owner in ("alice", "bob", "alice")]
    said = await asyncio.gather(*words, return_exceptions=True)
    assert [type(result) for result in said].count(NotAssignable) == 2
    assert await world.available() + await world.available(owner="bob") == 500
    assert await world.balance("suspense") == 0


async def test_only_what_waits_for_it_is_assigned_and_to_users_only(world: World) -> None:
    own = await world.watch()
    world.chain.mint(own, None, 100)
    address, _ = await world.give_memo()
    world.chain.mint(address, None, 200)
    await world.follow()
    (waiting,) = await world.unassigned()
    with pytest.raises(NotAssignable, match="detected, not confirmed"):
        await world.assign(waiting.deposit_id)
    with pytest.raises(NotAssignable, match="alice's"):
        await world.assign(waiting.deposit_id - 1)
    with pytest.raises(NotAssignable, match="no deposit"):
        await world.assign(10**9)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    with pytest.raises(NotAssignable, match="no user 'carol'"):
        await world.assign(waiting.deposit_id, "carol")
    assert await world.balance("suspense") == 200


async def test_what_the_ledger_does_not_hold_yet_is_assigned_later(world: World) -> None:
    stages = world.pipeline.stages
    world.pipeline.stages = [stage for stage in stages if stage.name != "post_ledger"]
    await world.pipeline.start()
    await pay(world, None)
    (deposit,) = await world.unassigned()
    with pytest.raises(NotAssignable, match="on its way"):
        await world.assign(deposit.deposit_id)
    world.pipeline.stages = stages
    await world.pipeline.start()
    await world.follow()
    await world.assign(deposit.deposit_id)
    assert await world.available() == 500


async def test_the_database_refuses_another_owner(world: World) -> None:
    await pay(world, None)
    (deposit,) = await world.unassigned()
    await world.assign(deposit.deposit_id)
    async with world.pool.acquire() as conn:
        for change in (
            "owner = 'bob'",
            "owner = ''",
            "owner = 'bob', assigned_by = 'other'",
            "owner = '', assigned_by = NULL, assigned_at = NULL",
        ):
            with pytest.raises(asyncpg.CheckViolationError):
                await conn.execute(
                    f"UPDATE deposits SET {change} WHERE deposit_id = $1", deposit.deposit_id
                )
    world.chain.mint((await world.give_memo())[0], None, 50)
    await world.follow()
    async with world.pool.acquire() as conn:
        await conn.execute("UPDATE deposits SET status = 'orphaned' WHERE status = 'detected'")
        with pytest.raises(asyncpg.CheckViolationError, match="cannot be assigned"):
            await conn.execute(
                "UPDATE deposits SET owner = 'bob', assigned_by = 'o', assigned_at = now()"
                " WHERE status = 'orphaned'"
            )


async def test_money_in_suspense_leaves_it_when_its_block_leaves_the_chain(world: World) -> None:
    await pay(world, None)
    world.chain.reorganise(CONFIRMATIONS + 1, length=40)
    await world.follow()
    assert await world.statuses() == ["orphaned"]
    assert (await world.balance("suspense"), await world.balance("deposit_wallets")) == (0, 0)
    assert (await world.event_types())[-2:] == ["deposit.orphaned", "deposit.reversed"]


async def test_an_assigned_deposit_is_taken_back_from_its_owner_who_owes_what_is_spent(
    world: World,
) -> None:
    await pay(world, None)
    (deposit,) = await world.unassigned()
    await world.assign(deposit.deposit_id)
    spent = rules.withdrawal_held(
        world.tenant, "alice", world.coin, 400, fee_minor=0, withdrawal_id=1
    )
    async with world.pool.acquire() as conn, conn.transaction():
        await post(conn, [spent])
    dropped = world.chain.drop(CONFIRMATIONS + 1)
    world.chain.mine(CONFIRMATIONS + 5)
    await world.follow()
    assert await world.available() == 0
    assert await world.balance("receivable", "alice") == 400
    assert await world.balance("suspense") == 0
    assert (await world.event_types())[-1] == "account.frozen"
    # Mined again, it is alice's still, and makes good what she owes.
    world.chain.include([t for block in dropped for t in block.transactions])
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.balance("receivable", "alice") == 0
    assert await world.available() == 100
    assert await world.balance("suspense") == 0
    assert (await world.event_types())[-2:] == ["deposit.confirmed", "account.unfrozen"]


async def test_a_memo_given_before_it_is_mined_again_tells_the_owner(world: World) -> None:
    address, memo = await world.give_memo()
    unknown = str(check_number(2))
    world.chain.mint(address, None, 500, unknown)
    await world.follow()
    dropped = world.chain.drop(1)
    world.chain.mine(3)
    await world.follow()
    assert (await world.give_memo("bob"))[1] == unknown != memo
    world.chain.include([t for block in dropped for t in block.transactions])
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.available(owner="bob") == 500
