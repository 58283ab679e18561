"""How far a stage is behind on the partitions that this process holds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted

from agents.runtime.record import Log
from agents.runtime.run_stage import StageRunner
from metrics import catalogue
from sql.stream import Partition

ASK_TIMEOUT_S = 5.0


class LagMeter:
    """Measures one stage.

    The consumer learns where a partition ends only with the records it fetches; one that fetches no
    more would look as if nothing came. So the broker is asked as well.
    """

    def __init__(
        self,
        consumer: Any,  # noqa: ANN401 - Faust is untyped
        topic: str,
        runner: StageRunner,
        kafka_log: Log,
    ) -> None:
        """Take Faust's consumer, and the stage's topic by its name in Kafka."""
        self.runner = runner
        self._consumer = consumer
        self._topic = topic
        self._log = kafka_log
        self._ends: dict[Partition, int] = {}
        self._shown: set[Partition] = set()
        self._passed_over: dict[Partition, tuple[int, int]] = {}
        """Where partitions stand, and how often they were found there for no reason."""
        self._bare: dict[Partition, int] = {}
        """Where nothing follows below the end but Kafka's own marks, as of a transaction's end."""

    async def ask_ends(self) -> bool:
        """Ask the broker where the partitions end, and return whether it answers.

        If it does not, nothing changes.
        """
        with suppress(ConsumerNotStarted):
            try:
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    held = [tp for tp in self._consumer.assignment() if tp.topic == self._topic]
                    # Who holds none as yet must find the brokers when others' partitions come.
                    asked = held or [TopicPartition(self._topic, 0)]
                    self._ends = dict(await self._consumer.highwaters(*asked))
            except (KafkaError, OSError):
                return False
        return True

    async def look_closer(self) -> None:
        """Find out whether partitions that stand still have any record left for the stage."""
        for partition, (_, count) in self._passed_over.items():
            end = self._ends.get(partition, 0)
            if not count or end <= (done := self._done(partition)):
                continue
            with suppress(KafkaError, OSError):
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    if not await self._log.read(partition, done, end, 1):
                        self._bare[partition] = end

    def measure(self) -> int:
        """Return how many records wait, and show it; what moved elsewhere is shown no longer."""
        lags = {tp: self._lag(tp) for tp in self._consumer.assignment() if tp.topic == self._topic}
        self._watch(lags)
        gauge = catalogue.stage_lag_records
        for partition in self._shown - lags.keys():
            gauge.remove(self.runner.stage.name, *partition)
        for partition, lag in lags.items():
            gauge.labels(self.runner.stage.name, *partition).set(lag)
        self._shown = set(lags)
        return sum(lags.values())

    @property
    def passed_over(self) -> int:
        """How many times in a row the partition that is unread for longest was found so.

        That is, `measure` found records on it, the stage where it was the time before, and nothing
        of any partition to do. The client may fetch from some partitions and forget another.
        """
        return max((count for _, count in self._passed_over.values()), default=0)

    def _watch(self, lags: Mapping[Partition, int]) -> None:
        idle = not any(message.topic == self._topic for message in self._consumer.unacked)
        found = {}
        for partition, lag in lags.items():
            stands = self.runner.next_offset(*partition)
            stood, count = self._passed_over.get(partition, (stands, 0))
            unread = lag > 0 and stands == stood
            found[partition] = stands, (count + idle) if unread else 0
        self._passed_over = found

    def committed(self) -> dict[Partition, int]:
        """Return where the group stands."""
        offsets = self._consumer._committed_offset
        held = [tp for tp in self._consumer.assignment() if tp.topic == self._topic]
        return {(tp.topic, tp.partition): offsets[tp] for tp in held if offsets.get(tp)}

    def _lag(self, tp: Any) -> int:  # noqa: ANN401 - Faust is untyped
        end = max(self._consumer.highwater(tp) or 0, self._ends.get(tp, 0))
        return max(0, end - self._done(tp))

    def _done(self, partition: Partition) -> int:
        committed = self._consumer._committed_offset.get(partition) or 0
        return max(committed, self.runner.next_offset(*partition), self._bare.get(partition, 0))
