"""The servers of the development stack."""

from __future__ import annotations

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.anvil import Anvil, fetch_chain_id


async def test_a_module_gets_a_migrated_database(pool: asyncpg.Pool) -> None:
    assert await pool.fetchval("SELECT count(*) FROM deposits") == 0


async def test_the_broker_makes_topics(kafka: str, topic_prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{topic_prefix}a", 2, 1)])
        assert f"{topic_prefix}a" in await admin.list_topics()
    finally:
        await admin.close()


def test_a_module_gets_its_own_chain(anvil: Anvil) -> None:
    assert fetch_chain_id(anvil.rpc_url) == anvil.chain_id
