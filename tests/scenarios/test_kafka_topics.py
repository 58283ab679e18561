"""What `millrace doctor` finds on a real broker."""

from __future__ import annotations

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from agents.runtime.kafka_survey import Kept, read_bounds
from agents.runtime.kafka_topics import create_topics
from agents.runtime.publisher import Publisher
from cli.doctor import examine_broker
from cli.findings import Finding
from settings.model import Settings
from topics.blocks import BLOCKS
from topics.catalogue import ALL_TOPICS
from topics.withdrawals import WITHDRAWAL_COMMANDS


async def test_doctor_finds_nothing_wrong_with_topics_that_init_made(
    kafka: str, topic_prefix: str
) -> None:
    found = await examine(
        Settings(kafka_bootstrap=kafka, topic_prefix=f"{topic_prefix}a.", topic_partitions=1)
    )
    assert {finding.state for finding in found} == {"green"}
    assert "topic settings" in [finding.check for finding in found]


async def test_doctor_names_each_topic_that_is_set_otherwise_and_how_to_mend_it(
    kafka: str, topic_prefix: str
) -> None:
    """By a producer's clock, Kafka would drop orders before anybody reads them."""
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=f"{topic_prefix}b.", topic_partitions=1)
    commands, blocks = settings.topic_prefix + WITHDRAWAL_COMMANDS.name, f"{topic_prefix}b.blocks"
    assert blocks == settings.topic_prefix + BLOCKS.name
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    rules = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(2**24)}
    await admin.create_topics(
        [
            NewTopic(commands, 1, 1, topic_configs=rules),
            NewTopic(blocks, 1, 1, topic_configs=rules | {"message.timestamp.type": "CreateTime"}),
        ]
    )
    await admin.close()
    found = {one.check: one for one in await examine(settings) if one.state != "green"}
    assert sorted(found) == [f"topic {blocks}", f"topic {commands}"]
    assert found[f"topic {commands}"].detail == (
        "max.message.bytes is 16777216, not 1048576, compression.type is producer, not uncompressed"
    )
    detail = "message.timestamp.type is CreateTime, not LogAppendTime"
    assert found[f"topic {blocks}"].detail == detail
    assert f"--entity-name {blocks} " in found[f"topic {blocks}"].remedy
    assert "message.timestamp.type=LogAppendTime" in found[f"topic {blocks}"].remedy


async def test_what_the_broker_dropped_and_what_it_keeps_is_known(
    kafka: str, topic_prefix: str
) -> None:
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=f"{topic_prefix}c.", topic_partitions=2)
    (topic,) = await create_topics(settings, [BLOCKS.name])
    publisher = Publisher(settings)
    await publisher.publish([(topic, b"key", b"value")] * 5)
    await publisher.stop()
    partitions = [(topic, 0), (topic, 1)]
    (filled,) = [p for p, kept in (await read_bounds(settings, partitions)).items() if kept.end]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(*filled): RecordsToDelete(before_offset=2)})
    await admin.close()
    assert await read_bounds(settings, partitions) == {
        partition: Kept(2, 5) if partition == filled else Kept(0, 0) for partition in partitions
    }


async def test_doctor_asks_for_a_majority_of_replicas_where_there_are_three(
    kafka: str, topic_prefix: str
) -> None:
    """Else Kafka may lose what it has acknowledged, and we have deleted from the outbox."""
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=f"{topic_prefix}c.", topic_partitions=1)
    await examine(settings)
    _, found = await examine_broker(settings.model_copy(update={"topic_replication": 3}))
    (blocks,) = (one for one in found if one.check == f"topic {settings.topic_prefix}blocks")
    assert blocks.detail == "min.insync.replicas is 1, not 2"


async def examine(settings: Settings) -> list[Finding]:
    """Make the topics that are missing, and look at all of them."""
    await create_topics(settings, [topic.name for topic in ALL_TOPICS])
    _, found = await examine_broker(settings)
    return found
