"""The master secret, the pool of keys, hot wallets, and two signers at once, on real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agents.runtime.transact import transact
from agents.sign_withdrawals import SignWithdrawals
from agents.stock_keys import StockKeys
from custody.errors import BadMnemonic, MasterSecretExists, NoMasterSecret, WrongKey
from custody.hot_wallet import NoWalletKey, ensure_hot_wallet
from custody.keystore import (
    PassphraseKey,
    create_master_secret,
    load_signer,
    new_mnemonic,
    open_signer,
    store_master_secret,
)
from sql.deposits import advance_counter, reserve_addresses
from sql.pool import Connection, Pool
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld
from topics.withdrawals import WithdrawalsApproved

QUICK = 10
"""PBKDF2 iterations where their number does not matter."""
PATH = "m/44'/60'/0'/0/0"


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    """A connection whose changes are undone."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield connection
        await transaction.rollback()


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def test_the_same_words_give_the_same_keys_in_every_process(conn: Connection) -> None:
    await create_master_secret(conn, "correct horse", new_mnemonic())
    first = await open_signer(conn, "correct horse")
    second = await open_signer(conn, "correct horse")
    assert first.public_key(PATH) == second.public_key(PATH)


async def test_without_a_master_secret_there_is_no_signer(conn: Connection) -> None:
    with pytest.raises(NoMasterSecret):
        await open_signer(conn, "correct horse")


async def test_a_second_master_secret_is_refused(conn: Connection) -> None:
    key = PassphraseKey("correct horse", QUICK)
    await store_master_secret(conn, key)
    before = (await load_signer(conn, key)).public_key(PATH)
    with pytest.raises(MasterSecretExists):
        await store_master_secret(conn, key)
    assert (await load_signer(conn, key)).public_key(PATH) == before


async def test_another_passphrase_does_not_open_and_is_not_told(conn: Connection) -> None:
    await store_master_secret(conn, PassphraseKey("correct horse", QUICK))
    with pytest.raises(WrongKey) as caught:
        await load_signer(conn, PassphraseKey("hunter2", QUICK))
    assert "hunter2" not in str(caught.value)


async def test_the_database_never_sees_the_words(conn: Connection) -> None:
    words = new_mnemonic()
    await store_master_secret(conn, PassphraseKey("correct horse", QUICK), words)
    envelope: bytes = await conn.fetchval("SELECT envelope FROM master_secrets")
    assert words.encode() not in envelope
    assert not any(word.encode() in envelope for word in words.split() if len(word) > 5)


async def test_words_with_a_wrong_checksum_are_not_kept(conn: Connection) -> None:
    with pytest.raises(BadMnemonic):
        await create_master_secret(conn, "correct horse", "abandon " * 24)
    assert await conn.fetchval("SELECT count(*) FROM master_secrets") == 0


async def pool_indices(world: SimulatedWorld, branch: int) -> list[int]:
    async with world.pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT key_index FROM key_pool WHERE network = $1 AND branch = $2 ORDER BY key_index",
            world.network,
            branch,
        )
    return [row["key_index"] for row in rows]


async def test_the_pool_is_filled_to_its_minimum_and_no_index_comes_twice(
    world: SimulatedWorld,
) -> None:
    assert await pool_indices(world, 0) == [0, 1, 2]
    async with world.pool.acquire() as conn, conn.transaction():
        given = await reserve_addresses(conn, world.network, 2)
        await advance_counter(conn, world.network, 0, len(given))
    await asyncio.gather(*(StockKeys(world.context, world.signer).run_once() for _ in range(4)))
    assert await pool_indices(world, 0) == [0, 1, 2, 3, 4]
    async with world.pool.acquire() as conn, conn.transaction():
        later = await reserve_addresses(conn, world.network, 3)
    assert not {key.public_key for key in given} & {key.public_key for key in later}
    assert [key.public_key for key in later] == [
        world.signer.public_key(f"m/44'/60'/0'/0/{index}") for index in (2, 3, 4)
    ]


async def test_a_new_tenant_gets_its_wallet_key_and_one_wallet(world: SimulatedWorld) -> None:
    tenant = f"{world.tenant}-2"
    async with world.pool.acquire() as conn:
        await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", tenant)
        with pytest.raises(NoWalletKey):
            await ensure_hot_wallet(conn, world.adapter, tenant, world.network)
    await world.stock_keys.run_once()

    async def ensure() -> str:
        async with world.pool.acquire() as conn, conn.transaction():
            return (await ensure_hot_wallet(conn, world.adapter, tenant, world.network)).address

    wallets = set(await asyncio.gather(*(ensure() for _ in range(5))))
    assert len(wallets) == 1
    assert wallets != {world.hot_wallet}


async def test_two_signers_at_once_sign_each_order_once_and_leave_no_gap(
    world: SimulatedWorld,
) -> None:
    signing = world.pipeline.stages[1]
    world.pipeline.runners = [r for r in world.pipeline.runners if r.stage is not signing]
    orders = await world.request(*[world.command(f"order-{number}") for number in range(12)])
    assert {order.status for order in orders} == {"approved"}
    record = WithdrawalsApproved(world.network, [order.withdrawal_id for order in orders])

    async def sign() -> None:
        stage = SignWithdrawals(world.context, world.signer)
        prepared = await stage.prepare([record])
        async with transact(world.context) as work:
            await stage.apply(work, [record], prepared)

    await asyncio.gather(*(sign() for _ in range(4)))
    await world.settle()
    await world.mine(CONFIRMATIONS)
    assert [order.nonce for order in await world.withdrawals()] == list(range(12))
    await world.check_books()
