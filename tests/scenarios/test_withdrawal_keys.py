"""The master secret, the pool of keys, hot wallets, and two signers at once, on real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pytest

from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from agents.runtime.transact import transact
from agents.sign_withdrawals import SignWithdrawals
from agents.stock_keys import StockKeys
from chain_adapters.types import KeyScheme
from custody import keystore
from custody.errors import BadMnemonic, MasterSecretExists, NoMasterSecret, WrongKey
from custody.hot_wallet import NoWalletKey, ensure_hot_wallet
from custody.keystore import (
    MASTER,
    MASTER_SECRETS,
    TON,
    MasterSecret,
    PassphraseKey,
    load_signer,
    open_signer,
    store_master_secret,
)
from sql.addresses import advance_counter, reserve_addresses
from sql.pool import Connection, Pool
from tests.support.key_vectors import read_key_vectors
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld
from topics.withdrawals import WithdrawalsApproved

QUICK = 10
"""PBKDF2 iterations where their number does not matter."""
PATHS = {
    KeyScheme.SECP256K1: "m/44'/60'/0'/0/0",
    KeyScheme.ED25519: "m/44'/148'/0'",
    KeyScheme.TON: "m/0'/0'",
}
BIP39_WORDS = "abandon " * 23 + "art"
TON_WORDS, TON_PUBLIC_KEY = (
    read_key_vectors("ton_mnemonics.json")[0][name] for name in ("words", "public_key")
)
PUBLIC_KEYS = {
    KeyScheme.SECP256K1: "02dc286c821c7490afbe20a79d13123b9f41f3d7ef21e4a9caacd22f5983b28eca",
    KeyScheme.ED25519: "77310902f2978533fa7dfea07a2dc0b4138be38606c2000dfbc6ca6603fd1493",
    KeyScheme.TON: TON_PUBLIC_KEY,
}
"""As other wallets make them of these words (those of BIP-39: wallet-core 4.8.2)."""


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


each_secret = pytest.mark.parametrize("secret", MASTER_SECRETS, ids=lambda secret: secret.name)
KEY = PassphraseKey("correct horse", QUICK)


async def test_the_same_words_give_the_same_keys_in_every_process(conn: Connection) -> None:
    for secret in MASTER_SECRETS:
        await store_master_secret(conn, PassphraseKey("correct horse"), secret)
    first = await open_signer(conn, "correct horse", list(KeyScheme))
    second = await open_signer(conn, "correct horse", list(KeyScheme))
    for scheme, path in PATHS.items():
        assert first.public_key(path, scheme) == second.public_key(path, scheme)


async def test_words_give_the_keys_that_other_wallets_make_of_them(conn: Connection) -> None:
    for secret, words in ((MASTER, BIP39_WORDS), (TON, TON_WORDS)):
        await store_master_secret(conn, KEY, secret, words)
    signer = await load_signer(conn, KEY)
    made = {scheme: signer.public_key(path, scheme).hex() for scheme, path in PATHS.items()}
    assert made == PUBLIC_KEYS


async def test_without_a_master_secret_there_is_no_signer(conn: Connection) -> None:
    with pytest.raises(NoMasterSecret, match="millrace init"):
        await load_signer(conn, KEY)
    await store_master_secret(conn, KEY, TON)
    with pytest.raises(NoMasterSecret, match="millrace init"):
        await load_signer(conn, KEY)


async def test_the_ton_secret_is_missed_only_where_ton_is_configured(conn: Connection) -> None:
    await store_master_secret(conn, KEY)
    others = [KeyScheme.SECP256K1, KeyScheme.ED25519]
    signer = await load_signer(conn, KEY, others)
    for scheme in others:
        signer.public_key(PATHS[scheme], scheme)
    with pytest.raises(NoMasterSecret, match=r"TON network.*millrace init"):
        await load_signer(conn, KEY, [*others, KeyScheme.TON])


@each_secret
async def test_a_second_secret_of_a_name_is_refused(conn: Connection, secret: MasterSecret) -> None:
    await store_master_secret(conn, KEY, MASTER)
    await store_master_secret(conn, KEY, TON)
    before = await load_signer(conn, KEY)
    with pytest.raises(MasterSecretExists):
        await store_master_secret(conn, KEY, secret)
    after = await load_signer(conn, KEY)
    for scheme, path in PATHS.items():
        assert after.public_key(path, scheme) == before.public_key(path, scheme)


async def test_of_two_inits_at_once_one_makes_the_secret(pool: Pool) -> None:
    async def store() -> bool:
        async with pool.acquire() as conn:
            try:
                await store_master_secret(conn, KEY, replace(TON, name="raced"))
            except MasterSecretExists:
                return False
            return True

    try:
        assert sorted(await asyncio.gather(*(store() for _ in range(3)))) == [False, False, True]
    finally:
        await pool.execute("DELETE FROM master_secrets WHERE name = 'raced'")


@each_secret
async def test_another_passphrase_does_not_open_and_is_not_told(
    conn: Connection, secret: MasterSecret
) -> None:
    await store_master_secret(conn, KEY)
    if secret is not MASTER:
        await store_master_secret(conn, PassphraseKey("of another", QUICK), secret)
    with pytest.raises(WrongKey) as caught:
        await load_signer(conn, KEY if secret is not MASTER else PassphraseKey("hunter2", QUICK))
    assert "hunter2" not in str(caught.value)
    assert "correct" not in str(caught.value)


class Watched(PassphraseKey):
    """Remembers the words that it opened."""

    opened: ClassVar[list[bytearray]] = []

    async def unseal(self, envelope: bytes, purpose: str) -> bytearray:
        words = await super().unseal(envelope, purpose)
        assert any(words)
        self.opened.append(words)
        return words


async def test_words_and_what_they_were_expanded_to_are_overwritten_once_the_keys_are_made(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    expanded: list[bytearray] = []

    def expand(of: MasterSecret, words: str) -> bytearray:
        expanded.append(of.expand(words))
        return expanded[-1]

    watched = [replace(one, expand=partial(expand, one)) for one in MASTER_SECRETS]
    monkeypatch.setattr(keystore, "MASTER_SECRETS", watched)
    monkeypatch.setattr(keystore, "MASTER", watched[0])
    key = Watched("correct horse", QUICK)
    for secret in watched:
        await store_master_secret(conn, key, secret)
        assert await keystore.check_master_secret(conn, key, secret)
    await load_signer(conn, key, list(KeyScheme))
    assert (len(key.opened), len(expanded)) == (4, 4)
    assert not any(any(secret) for secret in [*key.opened, *expanded])


async def test_a_secret_put_in_the_place_of_the_other_does_not_open(conn: Connection) -> None:
    await store_master_secret(conn, KEY, MASTER)
    await store_master_secret(conn, KEY, TON)
    await conn.execute("UPDATE master_secrets SET name = name || '!'")
    await conn.execute(
        "UPDATE master_secrets SET name = CASE name WHEN 'ton!' THEN 'master' ELSE 'ton' END"
        " WHERE name IN ('ton!', 'master!')"
    )
    with pytest.raises(WrongKey):
        await load_signer(conn, KEY)


@each_secret
async def test_the_database_never_sees_the_words(conn: Connection, secret: MasterSecret) -> None:
    words = secret.make_words()
    await store_master_secret(conn, KEY, secret, words)
    envelope = await conn.fetchval(
        "SELECT envelope FROM master_secrets WHERE name = $1 AND active", secret.name
    )
    assert words.encode() not in envelope
    assert not any(word.encode() in envelope for word in words.split() if len(word) > 5)


@each_secret
async def test_words_with_a_wrong_checksum_are_not_kept(
    conn: Connection, secret: MasterSecret
) -> None:
    count = "SELECT count(*) FROM master_secrets"
    before = await conn.fetchval(count)
    with pytest.raises(BadMnemonic):
        await store_master_secret(conn, KEY, secret, "abandon " * 24)
    assert await conn.fetchval(count) == before


async def test_a_secret_out_of_use_is_kept_beside_the_active_one(conn: Connection) -> None:
    await store_master_secret(conn, KEY)
    await conn.execute("UPDATE master_secrets SET active = false WHERE name = 'master'")
    with pytest.raises(NoMasterSecret):
        await load_signer(conn, KEY)
    await store_master_secret(conn, KEY)
    await load_signer(conn, KEY)


async def pool_indices(world: SimulatedWorld) -> list[int]:
    """Return the indexes of keys for deposits."""
    async with world.pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT key_index FROM key_pool WHERE network = $1 AND branch = 0 ORDER BY key_index",
            world.network,
        )
    return [row["key_index"] for row in rows]


async def test_the_pool_is_filled_to_its_minimum_and_no_index_comes_twice(
    world: SimulatedWorld,
) -> None:
    first, *_ = indices = await pool_indices(world)
    assert indices == [first, first + 1, first + 2]
    async with world.pool.acquire() as conn, conn.transaction():
        given = await reserve_addresses(conn, world.network, 2)
        await advance_counter(conn, world.network, 0, given)
    await asyncio.gather(*(StockKeys(world.context, world.signer).run_once() for _ in range(4)))
    assert await pool_indices(world) == [*indices, first + 3, first + 4]
    async with world.pool.acquire() as conn, conn.transaction():
        later = await reserve_addresses(conn, world.network, 3)
    assert not {key.public_key for key in given} & {key.public_key for key in later}
    assert [key.public_key for key in later] == [
        world.signer.public_key(f"m/44'/60'/0'/0/{index}", KeyScheme.SECP256K1)
        for index in range(first + 2, first + 5)
    ]


async def test_another_minimum_takes_no_key_away_and_adds_what_is_missing(
    world: SimulatedWorld,
) -> None:
    first, *_ = await pool_indices(world)
    for minimum, count in ((1, 3), (5, 5), (2, 5)):
        settings = world.context.settings.model_copy(update={"address_pool_min": minimum})
        context = Context(settings, world.pool, world.context.adapters, Publisher(settings))
        await StockKeys(context, world.signer).run_once()
        assert await pool_indices(world) == [*range(first, first + count)]


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
