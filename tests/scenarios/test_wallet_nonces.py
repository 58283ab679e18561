"""What is noted of one wallet is noted of no other, and a halt keeps what it was made for."""

from __future__ import annotations

import secrets

import pytest

from custody.hot_wallet import ensure_hot_wallet
from sql import wallets as wallets_sql
from sql.pool import Connection, Pool
from sql.wallets import WalletRow
from tests.support.withdrawals import SimulatedWorld


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def add_neighbour(world: SimulatedWorld) -> str:
    """Take in a tenant with a wallet on the same network."""
    tenant = f"n-{secrets.token_hex(4)}"
    await world.pool.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", tenant)
    await world.stock_keys.run_once()
    async with world.pool.acquire() as conn, conn.transaction():
        wallet = await ensure_hot_wallet(conn, world.adapter, tenant, world.network)
        await wallets_sql.lock_nonces(conn, world.network, {wallet.address: 3})
    return tenant


async def read(conn: Connection, tenant: str) -> WalletRow:
    [wallet] = await wallets_sql.list_wallets(conn, tenant)
    return wallet


async def test_a_wallets_nonce_moves_and_is_halted_and_resumed_alone(world: SimulatedWorld) -> None:
    neighbour = await add_neighbour(world)
    network, ours = world.network, world.hot_wallet
    async with world.pool.acquire() as conn, conn.transaction():
        before = await read(conn, neighbour)
        await wallets_sql.lock_nonces(conn, network, {ours: 3})
        await wallets_sql.advance_nonces(conn, network, {ours: 5})
        assert (await read(conn, world.tenant)).next_nonce == 5
        await wallets_sql.take_prepared_nonce(conn, network, ours, 5, None)
        assert (await read(conn, world.tenant)).next_nonce == 6
        await wallets_sql.halt_wallet(conn, network, ours, "for the test", 9)
        assert await read(conn, neighbour) == before
        await wallets_sql.halt_wallet(conn, network, before.address, "for the test", 9)
        halted = await read(conn, neighbour)
        assert await wallets_sql.resume_wallet(conn, network, world.tenant)
        assert (await read(conn, world.tenant)).next_nonce == 9
        assert await read(conn, neighbour) == halted


async def test_a_second_halt_keeps_the_reason_and_the_nonces_of_the_first(
    world: SimulatedWorld,
) -> None:
    async with world.pool.acquire() as conn, conn.transaction():
        await wallets_sql.lock_nonces(conn, world.network, {world.hot_wallet: 3})
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "nonces are used", 9)
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "paid twice", None)
        assert (await read(conn, world.tenant)).halted_reason == "nonces are used"
        assert await wallets_sql.resume_wallet(conn, world.network, world.tenant)
        assert (await read(conn, world.tenant)).next_nonce == 9


async def test_a_halt_after_a_resume_is_written_whole_and_keeps_nothing_of_the_one_before(
    world: SimulatedWorld,
) -> None:
    async with world.pool.acquire() as conn, conn.transaction():
        await wallets_sql.lock_nonces(conn, world.network, {world.hot_wallet: 3})
        for halt, resumed_at in (
            (("nonces are used", 9), 9),
            (("paid twice", None), 9),
            (("nonces are used again", 12), 12),
        ):
            await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, *halt)
            halted = await read(conn, world.tenant)
            assert (halted.halted_reason, halted.chain_nonce) == halt
            assert await wallets_sql.resume_wallet(conn, world.network, world.tenant)
            resumed = await read(conn, world.tenant)
            assert (resumed.halted_reason, resumed.chain_nonce) == (None, None)
            assert resumed.next_nonce == resumed_at
