"""Orders a withdrawal the way any back end would: one record on the command topic."""

import asyncio
import json
import os
import sys

from aiokafka import AIOKafkaProducer

USAGE = (
    "usage: producer.py ID OWNER ASSET AMOUNT_MINOR ADDRESS,"
    " with TENANT and MILLRACE_KAFKA_BOOTSTRAP in the environment"
)


async def order(order_id: str, owner: str, asset: str, amount_minor: int, address: str) -> None:
    """Send one command. Sending it again with the same id is harmless."""
    command = {
        "type": "withdrawal.request",
        "tenant": os.environ["TENANT"],
        "id": order_id,  # the idempotency key: one id, one payment
        "owner": owner,
        "asset": asset,
        "amount_minor": str(amount_minor),  # always a string of minor units
        "address": address,
    }
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["MILLRACE_KAFKA_BOOTSTRAP"],
        acks="all",
        enable_idempotence=True,
    )
    await producer.start()
    try:
        await producer.send_and_wait(
            os.environ.get("MILLRACE_TOPIC_PREFIX", "millrace.") + "withdrawal-commands",
            json.dumps(command).encode(),
            key=command["tenant"].encode(),
        )
    finally:
        await producer.stop()


if __name__ == "__main__":
    if len(sys.argv) != 6 or not {"TENANT", "MILLRACE_KAFKA_BOOTSTRAP"} <= os.environ.keys():
        sys.exit(USAGE)
    order_id, owner, asset, amount_minor, address = sys.argv[1:]
    asyncio.run(order(order_id, owner, asset, int(amount_minor), address))
