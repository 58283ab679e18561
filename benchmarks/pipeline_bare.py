"""The reference of benchmarks.pipeline: one bare loop that does all in one transaction a batch.

aiokafka, msgspec, a dict of addresses, asyncpg. It knows no reorganisations, confirmations, dead
letters, events or guards; a repeat after a crash ends it at the unique index.
"""

from __future__ import annotations

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer

from benchmarks import plain
from benchmarks.plain import setting
from topics.blocks import BLOCKS, BlockAdded

BLOCKS_MAX = 500


async def run() -> None:
    """Match and post until stopped."""
    conn = await asyncpg.connect(setting("DATABASE_URL"))
    owners = await plain.load_owners(conn)
    consumer = AIOKafkaConsumer(
        setting("TOPIC_PREFIX") + BLOCKS.name,
        bootstrap_servers=setting("KAFKA_BOOTSTRAP"),
        group_id=setting("TOPIC_PREFIX") + "bare",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=30_000,
    )
    await consumer.start()
    while True:
        batches = await consumer.getmany(timeout_ms=1000, max_records=BLOCKS_MAX)
        records = [BLOCKS.decode(m.value) for batch in batches.values() for m in batch]
        blocks = [record for record in records if isinstance(record, BlockAdded)]
        deposits = plain.match(blocks, owners)
        if deposits:
            async with conn.transaction():
                await plain.insert(conn, blocks[0].network, deposits, "confirmed")
                await plain.post(
                    conn,
                    [
                        (f"{d.transaction_id}:{d.transfer_index}", d.owner, d.amount_minor)
                        for d in deposits
                    ],
                )
        if batches:
            await consumer.commit()


if __name__ == "__main__":
    uvloop.run(run())
