"""The reference of benchmarks.latency: a bare chain of the same stages over Kafka.

Two processes, as ours has: `follow` reads new blocks from the node and produces them; `stages`
matches, confirms and posts, each step a consumer of its own with a transaction of its own. In
`stages_joined` what is matched is confirmed with it, for it has its one confirmation, as in ours.
It knows no reorganisations, leases, inbox, outbox, dead letters, events, guards or metrics.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks import plain
from benchmarks.plain import setting
from chain_adapters.ethereum import wire
from chain_adapters.ethereum.decode import normalise_block
from topics.blocks import BLOCKS, BlockAdded, block_added

MATCHED = "bare-matched"
CONFIRMED = "bare-confirmed"
KEY = b"network"
JOINED = "stages_joined"


class Matched(msgspec.Struct):
    """A block with deposits to be confirmed."""

    network: str
    height: int


class Confirmed(msgspec.Struct):
    """Deposits to be posted: key, owner, amount."""

    credits: list[tuple[str, int, str]]


class Head(msgspec.Struct):
    """What a newHeads subscription pushes."""

    class Params(msgspec.Struct):
        """Its parameters."""

        result: wire.WireHead

    params: Params | None = None


async def follow(node: str, websocket: str, network: str) -> None:
    """Produce each block that the node pushes."""
    producer = await _producer()
    topic = setting("TOPIC_PREFIX") + BLOCKS.name
    async with aiohttp.ClientSession() as http, http.ws_connect(websocket) as socket:
        await socket.send_json(
            {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
        )
        async for message in socket:
            head = msgspec.json.decode(message.data, type=Head)
            if head.params is not None:
                for record in await _read(http, node, network, head.params.result.number):
                    await producer.send_and_wait(topic, BLOCKS.encode(record), key=KEY)


async def _read(
    http: aiohttp.ClientSession, node: str, network: str, quantity: str
) -> list[BlockAdded]:
    calls = [("eth_getBlockByNumber", [quantity, True]), ("eth_getBlockReceipts", [quantity])]
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    async with http.post(node, json=batch) as answer:
        block, receipts = wire.decode_block_batch(await answer.read())
    assert block.result is not None
    assert receipts.result is not None
    return block_added(network, normalise_block(block.result, receipts.result, None))


async def run_stages(*, joined: bool) -> None:
    """Run the steps side by side; `joined`: match confirms too."""
    owners = await plain.load_owners(await _database())
    producer = await _producer()

    async def produce(topic: str, record: Matched | Confirmed) -> None:
        value = msgspec.json.encode(record)
        await producer.send_and_wait(setting("TOPIC_PREFIX") + topic, value, key=KEY)

    async def match(conn: Any, value: bytes) -> None:  # noqa: ANN401 - asyncpg's generic
        block = BLOCKS.decode(value)
        assert isinstance(block, BlockAdded)
        deposits = plain.match([block], owners)
        if not deposits:
            return
        async with conn.transaction():
            status = "confirmed" if joined else "detected"
            await plain.insert(conn, block.network, deposits, status)
        if not joined:
            await produce(MATCHED, Matched(block.network, block.height))
            return
        found = [
            (f"{d.transaction_id}:{d.transfer_index}", d.owner, d.amount_minor) for d in deposits
        ]
        await produce(CONFIRMED, Confirmed(found))

    async def confirm(conn: Any, value: bytes) -> None:  # noqa: ANN401 - asyncpg's generic
        block = msgspec.json.decode(value, type=Matched)
        async with conn.transaction():
            rows = await plain.confirm(conn, block.network, block.height)
        await produce(CONFIRMED, Confirmed(rows))

    async def post(conn: Any, value: bytes) -> None:  # noqa: ANN401 - asyncpg's generic
        async with conn.transaction():
            await plain.post(conn, msgspec.json.decode(value, type=Confirmed).credits)

    steps = [_consume(BLOCKS.name, match), _consume(CONFIRMED, post)]
    if not joined:
        steps.append(_consume(MATCHED, confirm))
    await asyncio.gather(*steps)


async def _consume(topic: str, step: Callable[[Any, bytes], Awaitable[None]]) -> None:
    conn = await _database()
    consumer = AIOKafkaConsumer(
        setting("TOPIC_PREFIX") + topic,
        bootstrap_servers=setting("KAFKA_BOOTSTRAP"),
        group_id=setting("TOPIC_PREFIX") + topic,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    async for message in consumer:
        await step(conn, message.value)
        await consumer.commit()


async def _producer() -> AIOKafkaProducer:
    producer = AIOKafkaProducer(bootstrap_servers=setting("KAFKA_BOOTSTRAP"), acks="all")
    await producer.start()
    return producer


async def _database() -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(setting("DATABASE_URL"))


def main() -> None:
    """Be the process that the command line names."""
    name, *arguments = sys.argv[1:]
    uvloop.run(follow(*arguments) if name == "follow" else run_stages(joined=name == JOINED))


if __name__ == "__main__":
    main()
