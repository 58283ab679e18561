"""events → deliveries: keeps every event and plans its webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from agents.runtime.stage import LocalStage, Work
from notifications.store import store_events
from topics.events import EVENTS, EventBatch


class Notify(LocalStage[EventBatch]):
    """Hands events over to the deliverer, which sends them at its own pace."""

    name = "notify"
    topic = EVENTS
    batch_max = 80

    async def apply(self, work: Work, records: Sequence[EventBatch], _: None) -> None:
        """Keep the events of all batches; ones that are kept already are skipped."""
        events = [event for record in records for event in record.events]
        await store_events(work.conn, events, datetime.now(UTC))
