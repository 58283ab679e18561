"""Reading and matching recorded mainnet blocks, beside bare msgspec and beside ethereum-etl.

All read the same bytes, the answers to one batch of eth_getBlockByNumber and
eth_getBlockReceipts, taking turns; figures are medians of CPU time. `python -m benchmarks.decode`.
ethereum-etl is another process, after which the caches are cold. So it takes turns with ours alone,
which reads everything five times then: a turn of either is about as long.

Ours makes Blocks of transfers and looks up every recipient and payer among more than a million
watched addresses, one in fifty of the recipients among them. Bare msgspec makes typed records of
all that the node sends and stops there; beside decoding alone, of the few fields that we read.
ethereum-etl does what its jobs do for each block, transaction, receipt, log and token transfer,
and matches nothing.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agents.parts.watched_addresses import WatchedAddresses
from agents.runtime.garbage import collect_seldom
from benchmarks.peak import WATCHED_OF_BLOCK, match, recipients_of, watch_strangers
from chain_adapters.ethereum import wire
from chain_adapters.ethereum.decode import normalise_block
from chain_adapters.ethereum.reading import split_parts
from chain_adapters.types import Block
from tests.support.ethereum_vectors import HEIGHTS, batch_answer, load_block, normalise_answers

ROUNDS = 75
ROOT = Path(__file__).parent.parent
PEER_VENV = ROOT / ".cache" / "bench-peers" / "venv"
PEER_LOCK = ROOT / "requirements" / "bench-peers.lock"


class FullTransaction(wire.WireTransaction, rename="camel"):
    """Every field of a transaction."""

    block_hash: str = ""
    block_number: str = ""
    gas: str = ""
    input: str = ""  # type: ignore[assignment]
    nonce: str = ""
    transaction_index: str = ""
    type: str | None = None
    chain_id: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    access_list: list[dict[str, Any]] | None = None
    blob_versioned_hashes: list[str] | None = None
    y_parity: str | None = None
    v: str = ""
    r: str = ""
    s: str = ""


class FullLog(wire.WireLog, rename="camel"):
    """Every field of a log."""

    block_hash: str = ""
    block_number: str = ""
    transaction_hash: str = ""
    transaction_index: str = ""
    removed: bool = False


class FullReceipt(wire.WireReceipt, rename="camel"):
    """Every field of a receipt."""

    logs: list[FullLog]  # type: ignore[assignment]
    block_number: str = ""
    cumulative_gas_used: str = ""
    sender: str = msgspec.field(name="from", default="")
    to: str | None = None
    logs_bloom: str = ""
    transaction_index: str = ""
    type: str | None = None


class FullBlock(wire.WireBlock, rename="camel"):
    """Every field of a block."""

    transactions: list[FullTransaction]  # type: ignore[assignment]
    nonce: str = ""
    sha3_uncles: str = msgspec.field(name="sha3Uncles", default="")
    logs_bloom: str = ""
    transactions_root: str = ""
    state_root: str = ""
    receipts_root: str = ""
    miner: str = ""
    difficulty: str = ""
    total_difficulty: str | None = None
    size: str = ""
    extra_data: str = ""
    gas_limit: str = ""
    gas_used: str = ""
    mix_hash: str = ""
    base_fee_per_gas: str | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: str | None = None
    uncles: list[str] | None = None
    withdrawals: list[dict[str, str]] | None = None
    withdrawals_root: str | None = None


class FullBlockReply(msgspec.Struct):
    """The answer with a whole block."""

    result: FullBlock


class FullReceiptsReply(msgspec.Struct):
    """The answer with whole receipts."""

    result: list[FullReceipt]


decode_everything = msgspec.json.Decoder(tuple[FullBlockReply, FullReceiptsReply]).decode


def read_block(raw: bytes) -> Block:
    """Read one answer as the adapter does."""
    block, receipts = split_parts(raw, 1, 2)
    assert block is not None
    assert receipts is not None
    return normalise_block(block, receipts, None)


def watch_some(answers: list[bytes]) -> WatchedAddresses:
    """Return a large set of addresses, some of the blocks' recipients among them."""
    watched = watch_strangers()
    for raw in answers:
        watched.add(recipients_of(read_block(raw))[::WATCHED_OF_BLOCK])
    return watched


def cpu_ns(read: Callable[[bytes], object], answers: list[bytes]) -> int:
    """Return the CPU time of reading every answer once."""
    started = time.process_time_ns()
    for raw in answers:
        read(raw)
    return time.process_time_ns() - started


class Peer:
    """ethereum-etl in its own process, which is waiting between its turns."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [peer_python(), str(ROOT / "benchmarks" / "decode_etl.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def take_turn(self) -> tuple[int, int]:
        """Let it read every block once; return CPU nanoseconds and token transfers found."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        spent_ns, found = self._process.stdout.readline().split()
        return int(spent_ns), int(found)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def peer_python() -> str:
    """Return the Python of the peers' environment, which is made and filled at first use."""
    python = PEER_VENV / "bin" / "python"
    ready = PEER_VENV / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER_VENV)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r"]
        subprocess.run([*install, str(PEER_LOCK)], check=True)
        ready.touch()
    return str(python)


def row(name: str, ours_ns: float, reference_ns: float, reference_name: str) -> dict[str, Any]:
    """Return one line of benchmarks/latest.json, in blocks per second of CPU."""
    ours, reference = (len(HEIGHTS) * 1e9 / spent_ns for spent_ns in (ours_ns, reference_ns))
    return {
        "name": name,
        "ours": round(ours),
        "reference": round(reference),
        "reference_name": reference_name,
        "unit": "blocks/CPU s",
        "ratio": round(ours / reference, 3),
    }


def take_turns(runs: list[Callable[[], int]]) -> list[float]:
    """Run each in every round, in turn; return their medians.

    Each round has an order of its own: who comes before decides what the processor's caches hold.
    """
    figures: list[list[int]] = [[] for _ in runs]
    order = list(zip(runs, figures, strict=True))
    shuffle = random.Random(1).shuffle
    for _ in range(ROUNDS):
        shuffle(order)
        for run_once, taken in order:
            taken.append(run_once())
    return [statistics.median(taken) for taken in figures]


def check_peer(peer: Peer) -> None:
    """See that both do the same work: the token transfers found differ by those of no amount."""
    ours = sum(
        transfer.contract is not None
        for height in HEIGHTS
        for transaction in normalise_answers(load_block(height), traced=False).transactions
        for transfer in transaction.transfers
    )
    _, theirs = peer.take_turn()
    assert ours <= theirs <= 1.1 * ours, (ours, theirs)


def run() -> list[dict[str, Any]]:
    """Measure; installs ethereum-etl at the first run."""
    answers = [batch_answer(load_block(height)) for height in HEIGHTS]
    watched = watch_some(answers)

    def read_and_match(raw: bytes) -> object:
        return match([read_block(raw)], watched)

    ours, alone, every, same = take_turns(
        [
            lambda: cpu_ns(read_and_match, answers),
            lambda: cpu_ns(read_block, answers),
            lambda: cpu_ns(decode_everything, answers),
            lambda: cpu_ns(wire.decode_block_batch, answers),
        ]
    )
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        folder = Path(name)
        for height, raw in zip(HEIGHTS, answers, strict=True):
            (folder / f"{height:09d}.json").write_bytes(raw)
        peer = Peer(folder)
        try:
            check_peer(peer)
            beside_etl, etl = take_turns(
                [lambda: cpu_ns(read_and_match, answers * 5) // 5, lambda: peer.take_turn()[0]]
            )
        finally:
            peer.close()
    return [
        row("block decode and match against msgspec", ours, every, "bare msgspec, every field"),
        row("block decode and match against ethereum-etl", beside_etl, etl, "ethereum-etl 2.4.2"),
        row("block decode alone", alone, same, "bare msgspec, the same fields"),
    ]


def main() -> None:
    """Print the figures."""
    collect_seldom()
    for figures in run():
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
