"""How far a stage is behind on the partitions that this process holds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted

from agents.runtime.run_stage import StageRunner
from metrics import catalogue
from sql.stream import Partition

ASK_TIMEOUT_S = 5.0


class LagMeter:
    """Measures one stage.

    The consumer learns where a partition ends only with the records it fetches; one that fetches no
    more would look as if nothing came. So the broker is asked as well.
    """

    def __init__(self, consumer: Any, topic: str, runner: StageRunner) -> None:  # noqa: ANN401
        """Take Faust's consumer, and the stage's topic by its name in Kafka."""
        self.runner = runner
        self._consumer = consumer
        self._topic = topic
        self._ends: dict[Partition, int] = {}
        self._shown: set[Partition] = set()

    async def ask_ends(self) -> None:
        """Ask the broker where the partitions end; nothing changes if it does not answer."""
        with suppress(KafkaError, OSError, ConsumerNotStarted):
            async with asyncio.timeout(ASK_TIMEOUT_S):
                held = [tp for tp in self._consumer.assignment() if tp.topic == self._topic]
                self._ends = dict(await self._consumer.highwaters(*held)) if held else {}

    def measure(self) -> int:
        """Return how many records wait, and show it; what moved elsewhere is shown no longer."""
        lags = {tp: self._lag(tp) for tp in self._consumer.assignment() if tp.topic == self._topic}
        gauge = catalogue.stage_lag_records
        for partition in self._shown - lags.keys():
            gauge.remove(self.runner.stage.name, *partition)
        for partition, lag in lags.items():
            gauge.labels(self.runner.stage.name, *partition).set(lag)
        self._shown = set(lags)
        return sum(lags.values())

    def committed(self) -> dict[Partition, int]:
        """Return where the group stands."""
        offsets = self._consumer._committed_offset
        held = [tp for tp in self._consumer.assignment() if tp.topic == self._topic]
        return {(tp.topic, tp.partition): offsets[tp] for tp in held if offsets.get(tp)}

    def _lag(self, tp: Any) -> int:  # noqa: ANN401 - Faust is untyped
        end = max(self._consumer.highwater(tp) or 0, self._ends.get(tp, 0))
        committed = self._consumer._committed_offset.get(tp) or 0
        return max(0, end - max(committed, self.runner.next_offset(tp.topic, tp.partition)))
