"""Shares partitions among a role's workers, and never leaves a topic out."""

from __future__ import annotations

import os
from typing import Any

import structlog
from faust.assignor.partition_assignor import PartitionAssignor

log = structlog.get_logger(__name__)


class CompleteAssignor(PartitionAssignor):  # type: ignore[misc]
    """Faust's assignor, which ends the worker where Faust's would ignore a missing topic.

    A broker that has just come back may not know of all its topics yet. Faust would then give
    their partitions to nobody, and nothing would ever ask again. A worker that starts anew does.
    """

    @classmethod
    def _get_copartitioned_groups(
        cls,
        topics: set[str],
        cluster: Any,  # noqa: ANN401 - Faust is untyped
        subscriptions: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        missing = sorted(topic for topic in topics if not cluster.partitions_for_topic(topic))
        if missing:
            log.critical(
                "topics missing, the worker ends itself; see millrace init", topics=missing
            )
            os._exit(1)
        return super()._get_copartitioned_groups(topics, cluster, subscriptions)
