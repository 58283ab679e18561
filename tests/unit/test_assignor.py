"""How a role's workers share the partitions of its topics."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.assignor import share_out

TOPICS = ["blocks", "deposits", "ledger"]


def shared(partitions: int, workers: int) -> dict[str, dict[str, list[int]]]:
    names = [f"worker-{n}" for n in range(workers)]
    return share_out(dict.fromkeys(TOPICS, range(partitions)), dict.fromkeys(names, TOPICS))


@given(st.integers(1, 12), st.integers(1, 8))
def test_every_partition_has_one_worker_and_no_worker_two_more_than_another(
    partitions: int, workers: int
) -> None:
    shares = shared(partitions, workers)
    for topic in TOPICS:
        given_out = [n for share in shares.values() for n in share[topic]]
        assert sorted(given_out) == list(range(partitions))
        counts = [len(share[topic]) for share in shares.values()]
        assert max(counts) - min(counts) <= 1


@given(st.integers(1, 12), st.integers(2, 8))
def test_what_is_matched_in_one_process_is_posted_in_another(partitions: int, workers: int) -> None:
    """All records of a network have the same partition number in all topics of the role."""
    for share in shared(partitions, workers).values():
        assert not set(share["blocks"]) & set(share["ledger"])


@given(st.integers(1, 12))
def test_three_workers_have_a_stage_of_a_network_each(partitions: int) -> None:
    for number in range(partitions):
        having = Counter(
            worker
            for worker, share in shared(partitions, 3).items()
            for topic in TOPICS
            if number in share[topic]
        )
        assert set(having.values()) == {1}


def test_a_topic_goes_to_those_workers_that_read_it() -> None:
    """While a new version is rolled out, some workers do not know of its topic yet."""
    shares = share_out(
        {"blocks": range(2), "news": range(2)}, {"old": ["blocks"], "new": ["blocks", "news"]}
    )
    assert shares == {"new": {"blocks": [0], "news": [0, 1]}, "old": {"blocks": [1]}}
