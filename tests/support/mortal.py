"""Stages that die at an ordered moment, as by a kill -9."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from agents.runtime.stage import Stage, Work


class Killed(BaseException):
    """The process dies here. No Exception, as nothing catches a kill -9."""


class Moment(StrEnum):
    """When in a batch a process dies."""

    BEFORE = "before the batch"
    PREPARED = "after asking or sending, before the transaction"
    APPLIED = "after writing, before the commit"


class Mortal(Stage[Any, Any]):
    """A stage that dies once at the ordered moment."""

    def __init__(self, stage: Stage[Any, Any], deaths: dict[str, Moment]) -> None:
        self.name, self.topic = stage.name, stage.topic
        self._stage, self._deaths = stage, deaths

    async def start(self) -> None:
        await self._stage.start()

    async def prepare(self, records: Sequence[Any]) -> Any:  # noqa: ANN401
        self._die(Moment.BEFORE)
        prepared = await self._stage.prepare(records)
        self._die(Moment.PREPARED)
        return prepared

    async def apply(self, work: Work, records: Sequence[Any], prepared: Any) -> None:  # noqa: ANN401
        await self._stage.apply(work, records, prepared)
        self._die(Moment.APPLIED)

    def _die(self, moment: Moment) -> None:
        if self._deaths.get(self.name) is moment:
            del self._deaths[self.name]
            raise Killed(self.name)
