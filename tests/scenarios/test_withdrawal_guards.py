"""The database itself refuses what could pay a withdrawal twice, whoever connects."""

from __future__ import annotations

import asyncpg
import pytest

from chain_adapters.simulated import Mischief
from sql.pool import Pool
from tests.support.withdrawals import SimulatedWorld


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


FORBIDDEN = [
    ("DELETE FROM withdrawals WHERE tenant = $1", "never deleted"),
    ("UPDATE withdrawals SET amount_minor = 1 WHERE tenant = $1", "does not change"),
    ("UPDATE withdrawals SET address = 'x' WHERE tenant = $1", "does not change"),
    ("UPDATE withdrawals SET nonce = nonce + 1 WHERE tenant = $1", "set once"),
    ("UPDATE withdrawals SET status = 'approved' WHERE tenant = $1", "cannot go"),
    (
        "UPDATE transactions SET nonce = nonce + 1 WHERE sender IN"
        " (SELECT address FROM addresses WHERE tenant = $1)",
        "not allowed",
    ),
    ("UPDATE transactions SET raw = '' WHERE $1 <> ''", "not allowed"),
    ("UPDATE transactions SET valid_until = 0 WHERE $1 <> ''", "not allowed"),
    ("DELETE FROM transactions WHERE $1 <> ''", "not allowed"),
    (
        "INSERT INTO transactions (network, transaction_id, withdrawal_id, sender, nonce, attempt,"
        " unsigned, raw, fee_minor_max) SELECT network, 'other', withdrawal_id, sender, nonce + 1,"
        " 1, '', '', 0 FROM withdrawals WHERE tenant = $1",
        "transactions_withdrawal_id",
    ),
    (
        "INSERT INTO transactions (network, transaction_id, withdrawal_id, sender, attempt,"
        " unsigned, raw, fee_minor_max) SELECT network, 'other', withdrawal_id, 'stranger',"
        " 1, '', '', 0 FROM withdrawals WHERE tenant = $1",
        "withdrawal_id_network_sender_fkey",
    ),
    (
        "INSERT INTO transactions (network, transaction_id, withdrawal_id, sender, coin, coins,"
        " attempt, unsigned, raw, fee_minor_max) SELECT network, 'other', withdrawal_id, sender,"
        " 'c', '{c}', 1, '', '', 0 FROM withdrawals WHERE tenant = $1",
        "withdrawal_id_network_sender_coin_fkey",
    ),
    (
        "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset, network,"
        " address, amount_minor, fee_minor) SELECT tenant, 'other', '', owner, asset, 'other:1',"
        " address, 1, 0 FROM withdrawals WHERE tenant = $1",
        "withdrawals_asset_network_fkey",
    ),
    (
        "INSERT INTO nonces (network, sender, next_nonce) SELECT network, 'stranger', 0"
        " FROM withdrawals WHERE tenant = $1",
        "nonces_network_sender_fkey",
    ),
    (
        "INSERT INTO memos (network, address, memo, tenant, owner)"
        " SELECT network, address, '1', tenant, 'mallory' FROM addresses WHERE tenant = $1",
        "memos_tenant_owner_fkey",
    ),
    (
        "INSERT INTO memos (network, address, memo, tenant, owner)"
        " SELECT network, 'elsewhere', '1', tenant, 'alice' FROM addresses WHERE tenant = $1",
        "memos_network_address_fkey",
    ),
    (
        "INSERT INTO coin_claims (network, coin, withdrawal_id)"
        " SELECT network, 'c', -1 FROM withdrawals WHERE tenant = $1",
        "coin_claims_withdrawal_id_fkey",
    ),
    (
        "INSERT INTO coin_losses (withdrawal_id, network, transaction_id, height, block_id)"
        " SELECT -1, network, 'x', 1, 'b' FROM withdrawals WHERE tenant = $1",
        "coin_losses_withdrawal_id_fkey",
    ),
    (
        "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset, address,"
        " amount_minor, fee_minor, status) SELECT tenant, 'other', '', owner, asset, address,"
        " 1, 0, 'approved' FROM withdrawals WHERE tenant = $1",
        "begins as requested",
    ),
]


@pytest.mark.parametrize(("statement", "words"), FORBIDDEN)
async def test_the_database_refuses_what_could_pay_twice(
    world: SimulatedWorld, statement: str, words: str
) -> None:
    await world.request(world.command("order-1"))
    async with world.pool.acquire() as conn:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=words):
            await conn.execute(statement, world.tenant)


async def test_two_withdrawals_never_share_a_nonce(world: SimulatedWorld) -> None:
    world.node.order_mischief([Mischief.UNAVAILABLE])
    orders = await world.request(world.command("order-1"), world.command("order-2"))
    signed = next(order for order in orders if order.sender)
    async with world.pool.acquire() as conn:
        with pytest.raises(asyncpg.UniqueViolationError):
            await conn.execute(
                "UPDATE withdrawals SET status = 'signed', sender = $2, nonce = $3"
                " WHERE tenant = $1 AND status = 'approved'",
                world.tenant,
                signed.sender,
                signed.nonce,
            )
