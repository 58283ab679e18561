"""Each chain at the load of its peak, as a multiple of real time on one core.

Ours is what the workers do: from the bytes of a node's answers to a Block, from there to the
records that Kafka carries, in bytes and back, and the look-up of every recipient and every payer
among more than a million watched addresses. One in fifty of the block's recipients is watched.
A multiple of 50 means that one core reads a second of the chain in a fiftieth of a second. Not
part of it: waiting for the node, Kafka's own work, and the database, which hears of hits alone.

"Bare msgspec" makes plain Python objects of the same bytes and stops there. The other references
read the same blocks, or a share of them, with libraries that people use for the chain. All run in
one process and take turns; figures are medians of CPU time. `python -m benchmarks.peak [CHAIN …]`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import islice
from typing import Any, Protocol, cast

import msgspec

from agents.parts.watched_addresses import WatchedAddresses
from agents.runtime.garbage import collect_seldom
from benchmarks.chains.peer import Peer
from benchmarks.watch import address_of
from chain_adapters.types import Block
from topics.blocks import BLOCKS, BlockAdded, block_added

CHAINS = ("ethereum", "bitcoin", "dogecoin", "solana", "stellar", "ton", "tron")
ROUNDS = 15
WATCHED = 1_000_000
ADDED_AT_ONCE = 50_000
WATCHED_OF_BLOCK = 50
"""Every so many-th recipient of the block is watched."""
UNIT = "× real time"


class Chain(Protocol):
    """A module of benchmarks.chains. Some have a `peer` besides."""

    SECONDS_OF_CHAIN: float

    def peak_block(self) -> list[bytes]:
        """Return the bytes of a node's answers."""
        ...

    def decode(self, answers: list[bytes]) -> Block:
        """Return the block, as the adapter reads it."""
        ...


def chain_of(kind: str) -> Chain:
    """Return a chain's module."""
    return cast(Chain, import_module(f"benchmarks.chains.{kind}"))


def watch_strangers() -> WatchedAddresses:
    """Return a large set of addresses that are in no block."""
    watched = WatchedAddresses()
    for start in range(0, WATCHED, ADDED_AT_ONCE):
        watched.add([address_of(number) for number in range(start, start + ADDED_AT_ONCE)])
    return watched


def recipients_of(block: Block) -> list[str]:
    """Return the addresses that a block pays, each once, in order."""
    return list(dict.fromkeys(t.address for tx in block.transactions for t in tx.transfers))


def hand_over(block: Block) -> list[BlockAdded]:
    """Return the block's records as the next stage reads them from Kafka."""
    sent = [BLOCKS.encode(record) for record in block_added("bench:1", block)]
    return cast(list[BlockAdded], [BLOCKS.decode(value) for value in sent])


def match(
    blocks: Sequence[BlockAdded] | Sequence[Block], watched: WatchedAddresses
) -> tuple[list[str], list[str]]:
    """Return the recipients and the payers that may be watched, as agents/match_deposits does."""
    transactions = [transaction for block in blocks for transaction in block.transactions]
    transfers = [transfer for transaction in transactions for transfer in transaction.transfers]
    received = watched.maybe([transfer.address for transfer in transfers]).nonzero()[0]
    paid = watched.maybe([transaction.payer or "" for transaction in transactions]).nonzero()[0]
    return (
        [transfers[n].address for n in received.tolist()],
        [transactions[n].payer or "" for n in paid.tolist()],
    )


def read_bare(answers: list[bytes]) -> list[object]:
    """Make plain objects of every answer."""
    return [msgspec.json.decode(answer) for answer in answers]


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of one run."""
    started = time.process_time_ns()
    run()
    return (time.process_time_ns() - started) / 1e9


def take_turns(runs: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Run each in every round, in turn; return the medians of their CPU seconds."""
    figures: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run_once, taken in zip(runs, figures, strict=True):
            taken.append(cpu_seconds(run_once))
    return [statistics.median(taken) for taken in figures]


def references_of(chain: Chain, answers: list[bytes]) -> list[Peer]:
    """Return what ours is measured beside."""
    peers = [chain.peer(answers)] if hasattr(chain, "peer") else []
    if answers[0][:1] in b"[{":
        peers.insert(0, Peer("bare msgspec, plain objects", lambda: read_bare(answers)))
    return peers


def measure(kind: str, watched: WatchedAddresses, rounds: int) -> list[dict[str, Any]]:
    """Return the rows of one chain: the first against the barest reference."""
    chain = chain_of(kind)
    answers = chain.peak_block()
    ours = islice(recipients_of(chain.decode(answers)), 0, None, WATCHED_OF_BLOCK)
    watched.add(list(ours))
    peers = references_of(chain, answers)
    spent = take_turns(
        [
            lambda: match(hand_over(chain.decode(answers)), watched),
            *(peer.read for peer in peers),
        ],
        rounds,
    )
    multiples = [chain.SECONDS_OF_CHAIN / seconds for seconds in spent]
    return [
        row(kind, peer.name, multiples[0], multiple * peer.share, first=position == 0)
        for position, (peer, multiple) in enumerate(zip(peers, multiples[1:], strict=True))
    ]


def row(
    kind: str, reference_name: str, ours: float, reference: float, *, first: bool
) -> dict[str, Any]:
    """Return one line of benchmarks/latest.json."""
    return {
        "name": f"read and match, {kind}" if first else f"read and match beside a library, {kind}",
        "ours": round(ours, 1),
        "reference": round(reference, 1),
        "reference_name": reference_name,
        "unit": UNIT,
        "ratio": round(ours / reference, 3),
    }


def run(kinds: Iterable[str] = CHAINS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure the chains one after the other."""
    watched = watch_strangers()
    return [row for kind in kinds for row in measure(kind, watched, rounds)]


def main() -> None:
    """Print the figures."""
    collect_seldom()
    for figures in run(sys.argv[1:] or CHAINS):
        print(json.dumps(figures, ensure_ascii=False))


if __name__ == "__main__":
    main()
