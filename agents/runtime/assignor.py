"""Shares partitions among a role's workers: each topic among all, one network's stages apart.

Faust's own assignor gives one worker the same partition of all topics, for its tables, of which we
have none. All stages of a network would share a process, however many there are.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

import structlog
from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import PartitionAssignor

log = structlog.get_logger(__name__)

Share = dict[str, list[int]]
"""Partitions by topic."""


def share_out(
    partitions: Mapping[str, Collection[int]], readers: Mapping[str, Collection[str]]
) -> dict[str, Share]:
    """Return each worker's share of topics with these partitions, by the topics that it reads.

    Pure. Of each topic the workers get as many partitions as each other, give or take one. Two
    workers have one partition number of the first half of the topics' names and of the rest; as
    many workers as topics have it of one each.
    """
    shares: dict[str, Share] = {
        worker: {topic: [] for topic in readers[worker]} for worker in readers
    }
    for place, topic in enumerate(sorted(partitions)):
        workers = sorted(worker for worker, topics in readers.items() if topic in topics)
        first = place * len(workers) // len(partitions)
        for turn, partition in enumerate(sorted(partitions[topic]), start=first):
            shares[workers[turn % len(workers)]][topic].append(partition)
    return shares


class SpreadingAssignor(PartitionAssignor):  # type: ignore[misc]
    """Shares out as share_out does, and ends the worker where Faust's would ignore a missing topic.

    A broker that has just come back may not know of all its topics yet. Faust would then give
    their partitions to nobody, and nothing would ever ask again. A worker that starts anew does.
    """

    def _perform_assignment(
        self,
        cluster: Any,  # noqa: ANN401 - Faust is untyped
        member_metadata: Mapping[str, Any],
    ) -> Any:  # noqa: ANN401
        readers = {member: data.subscription for member, data in member_metadata.items()}
        topics = {topic for subscription in readers.values() for topic in subscription}
        partitions = {topic: cluster.partitions_for_topic(topic) or () for topic in topics}
        _require(partitions)
        self._update_member_urls(
            {member: self._get_client_metadata(data) for member, data in member_metadata.items()}
        )
        assignments = {
            member: ClientAssignment(actives=share, standbys={})
            for member, share in share_out(partitions, readers).items()
        }
        return self._protocol_assignments(
            assignments,
            self._get_changelog_distribution(assignments),
            self._get_external_topic_distribution(assignments),
            dict.fromkeys(topics, 0),
        )


def _require(partitions: Mapping[str, Collection[int]]) -> None:
    if missing := sorted(topic for topic, found in partitions.items() if not found):
        log.critical("topics missing, the worker ends itself; see millrace init", topics=missing)
        os._exit(1)
