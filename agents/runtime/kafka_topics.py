"""Making topics, and what they are set to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from agents.runtime.faults import RETRY_S_MIN
from agents.runtime.kafka_access import open_admin
from settings.model import Settings
from topics.withdrawals import WITHDRAWAL_COMMANDS

RECORD_BYTES_MAX = 16 * 1024 * 1024
"""Records are far smaller; but a single transaction can hold 4 MB of transfers."""
COMMAND_BYTES_MAX = 1024 * 1024
"""Kafka's own limit, which producers' batches keep to; what is no command is kept in Postgres."""
TOPIC_SETTINGS = {
    # Never by key: what was ordered or booked first would be dropped for what came last.
    "cleanup.policy": "delete",
    # The broker's clock, whatever a producer's says: Kafka drops what is stamped long ago before
    # anybody reads it, and refuses what is stamped more than an hour ahead.
    "message.timestamp.type": "LogAppendTime",
}
MADE_TIMEOUT_MS = 40_000
SHOWN_S = 10.0
"""Brokers hear a moment later of what their controller has made."""


async def create_topics(settings: Settings, names: Sequence[str]) -> list[str]:
    """Make the topics that are not there yet; return their names, once brokers tell of them all.

    Raises BrokerRefused, OSError, TimeoutError if brokers do not tell of them within SHOWN_S.
    """
    async with open_admin(settings, MADE_TIMEOUT_MS) as admin:
        wanted = {settings.topic_prefix + name for name in names}
        there = set(await admin.list_topics())
        missing = [name for name in names if settings.topic_prefix + name not in there]
        response = await admin.create_topics([_new_topic(settings, name) for name in missing])
        for topic, code, *message in response.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise RuntimeError(f"Kafka would not make topic {topic}: {code} {message}")
        async with asyncio.timeout(SHOWN_S):
            while not wanted <= set(await admin.list_topics()):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(RETRY_S_MIN)
        return [settings.topic_prefix + name for name in missing]


def topic_settings(settings: Settings, name: str) -> dict[str, str]:
    """Return what the topic must be set to, by Kafka's names; `name` is without the prefix."""
    replicas = settings.topic_replication
    # Else one broker that was left alone acknowledges what is gone with its disk.
    kept_by = {} if replicas < 3 else {"min.insync.replicas": str(replicas // 2 + 1)}
    if name == WITHDRAWAL_COMMANDS.name:
        # Kafka unpacks what strangers packed and then measures it: 100 kB can hold gigabytes.
        more = {"max.message.bytes": str(COMMAND_BYTES_MAX), "compression.type": "uncompressed"}
    else:
        more = {"max.message.bytes": str(RECORD_BYTES_MAX)}
    return TOPIC_SETTINGS | kept_by | more


def _new_topic(settings: Settings, name: str) -> NewTopic:
    return NewTopic(
        settings.topic_prefix + name,
        settings.topic_partitions,
        settings.topic_replication,
        topic_configs=topic_settings(settings, name),
    )
