"""From blocks in Kafka to entries in the ledger, measured beside one bare loop.

Ours are real workers of the role `deposits`, two processes that share its stages, or one that has
all: match, confirm and post over Kafka, with events for webhooks. The reference is
benchmarks.pipeline_bare, one process that writes deposits, journals and balances in a single
transaction. All take the same blocks, which lie ready in Kafka, from a warm standstill. They take
turns; figures are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from benchmarks import plain
from benchmarks.report import Row
from benchmarks.site import Site, address_of, in_turns, open_site, until
from chain_adapters.types import Block, Tip, Transaction, Transfer
from devstack.stack import Stack
from sql import chain as chain_sql
from sql import stream
from sql.pool import Connection
from topics.blocks import BLOCKS, block_added

BLOCKS_TIMED = 400
BLOCKS_WARM = 40
TRANSFERS = 200
DEPOSITS = 50
"""Of the transfers of a block."""
WATCHED = 20_000
ACTIVE = 2_000
"""Of the watched addresses: those that get deposits."""
ROUNDS = 8
POLL_S = 0.005
TIMEOUT_S = 120.0


def make_block(height: int, source: random.Random) -> Block:
    """Return a block of TRANSFERS payments, DEPOSITS of them to watched addresses."""
    ours = set(source.sample(range(TRANSFERS), DEPOSITS))
    return Block(
        height,
        f"0x{height:064x}",
        f"0x{height - 1:064x}",
        1_700_000_000 + height * 12,
        tuple(_payment(height, n, n in ours, source) for n in range(TRANSFERS)),
    )


def _payment(height: int, position: int, watched: bool, source: random.Random) -> Transaction:
    sender = f"0x{source.getrandbits(160) | 1 << 159:040x}"
    stranger = f"0x{source.getrandbits(160) | 1 << 159:040x}"
    address = address_of(source.randrange(ACTIVE)) if watched else stranger
    amount_minor = source.randrange(10**15, 10**19)
    return Transaction(
        f"0x{height:056x}{position:08x}",
        sender,
        True,
        21_000 * 30 * 10**9,
        (Transfer("value", sender, address, None, amount_minor),),
    )


async def lay_ready(site: Site, conn: Connection, blocks: Sequence[Block]) -> None:
    """Put blocks where a follower puts them: table, cursor, topic."""
    fence = chain_sql.Fence("lay_ready", uuid4())
    await stream.take_lease(conn, *fence, lease_s=0)
    tip = Tip(blocks[-1].height, blocks[-1].block_id)
    await chain_sql.append_blocks(
        conn, site.network, blocks, tip, height_before=blocks[0].height - 1, fence=fence
    )
    records = [record for block in blocks for record in block_added(site.network, block)]
    producer = AIOKafkaProducer(bootstrap_servers=site.stack.kafka_bootstrap, acks="all")
    await producer.start()
    topic, key = site.topic_prefix + BLOCKS.name, site.network.encode()
    sent = [await producer.send(topic, BLOCKS.encode(record), key=key) for record in records]
    await asyncio.gather(*sent)
    await producer.stop()


async def _drain(conn: Connection, newest: str, entries: int) -> None:
    async def all_there() -> bool:
        return (await conn.fetchval(newest) or 0) >= entries

    await until(all_there, "all entries in the ledger", TIMEOUT_S, POLL_S)


async def _take_turn(site: Site, conn: Connection, newest: str, count: str, blocks: int) -> float:
    """Return deposits per second, the process being warm and all blocks lying in Kafka."""
    source = random.Random(7)
    heights = iter(range(1, BLOCKS_WARM + blocks + 1))
    for _ in range(2):
        warm = [make_block(next(heights), source) for _ in range(BLOCKS_WARM // 2)]
        await lay_ready(site, conn, warm)
        await _drain(conn, newest, warm[-1].height * DEPOSITS)
    await asyncio.sleep(0.5)
    site.pause()
    timed = [make_block(height, source) for height in heights]
    await lay_ready(site, conn, timed)
    started = time.perf_counter()
    site.resume()
    await _drain(conn, newest, timed[-1].height * DEPOSITS)
    rate = len(timed) * DEPOSITS / (time.perf_counter() - started)
    posted = await conn.fetchval(count)
    if posted != timed[-1].height * DEPOSITS:
        raise RuntimeError(f"{posted} entries instead of {timed[-1].height * DEPOSITS}")
    return rate


async def ours(stack: Stack, workers: int, blocks: int = BLOCKS_TIMED) -> float:
    """Run so many workers of ours; deposits per second."""
    async with open_site(stack, WATCHED) as (site, conn):
        await site.run_roles(*["deposits"] * workers)
        await until(lambda: site.have_joined("deposits"), "all workers in their group")
        newest = "SELECT max(entry_id) FROM journal_lines"
        count = "SELECT count(*) FROM journal_lines"
        return await _take_turn(site, conn, newest, count, blocks)


async def bare(stack: Stack, blocks: int = BLOCKS_TIMED) -> float:
    """Run the bare loop; deposits per second."""
    async with open_site(stack, WATCHED) as (site, conn):
        await plain.make_tables(conn)
        site.run_bare("benchmarks.pipeline_bare")
        newest = "SELECT max(journal_id) FROM plain_journals"
        count = "SELECT count(*) FROM plain_journals"
        return await _take_turn(site, conn, newest, count, blocks)


async def run(stack: Stack, rounds: int = ROUNDS) -> list[Row]:
    """Measure and return the rows of the table."""
    together, alone, reference = await in_turns(
        rounds, lambda: ours(stack, 2), lambda: ours(stack, 1), lambda: bare(stack)
    )
    return [
        _row("pipeline, blocks to ledger in stages", together, reference),
        _row("pipeline, all stages in one process", alone, reference),
    ]


def _row(name: str, our_rates: Sequence[float], bare_rates: Sequence[float]) -> Row:
    ratios = [our / rate for our, rate in zip(our_rates, bare_rates, strict=True)]
    return {
        "name": name,
        "ours": round(statistics.median(our_rates)),
        "reference": round(statistics.median(bare_rates)),
        "reference_name": "one bare loop, one transaction a batch",
        "unit": "deposits/s",
        "ratio": round(statistics.median(ratios), 3),
    }
