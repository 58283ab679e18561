"""The benchmarks' own arithmetic, and that what they publish is consistent."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from rich.console import Console

from benchmarks import decode, growth, latency, ledger, pipeline, plain, report
from benchmarks.__main__ import ALONE, measure, rows_kept
from benchmarks.site import address_of
from tests.support.ethereum_vectors import HEIGHTS, load_block
from topics.blocks import block_added

ROW = {
    "name": "pipeline, blocks to ledger in stages",
    "ours": 1,
    "reference": 2,
    "reference_name": "a bare loop",
    "unit": "deposits/s",
    "ratio": 0.5,
}


def test_both_sides_find_the_same_deposits_in_a_block() -> None:
    block = pipeline.make_block(7, random.Random(1))
    owners = {address_of(number): number for number in range(pipeline.WATCHED)}
    transfers = [t for transaction in block.transactions for t in transaction.transfers]
    assert len(transfers) == pipeline.TRANSFERS
    assert sum(t.address in owners for t in transfers) == pipeline.DEPOSITS
    assert len(plain.match(block_added("eip155:1", block), owners)) == pipeline.DEPOSITS


def test_no_two_transfers_of_the_blocks_are_one_deposit() -> None:
    source = random.Random(1)
    blocks = [pipeline.make_block(height, source) for height in (1, 2, 3)]
    ids = [transaction.id for block in blocks for transaction in block.transactions]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("height", HEIGHTS)
def test_the_decoder_of_every_field_names_all_that_a_node_sends(height: int) -> None:
    answers = load_block(height)
    block, receipts = answers["eth_getBlockByNumber"], answers["eth_getBlockReceipts"]
    sent: list[tuple[type[msgspec.Struct], list[dict[str, Any]]]] = [
        (decode.FullBlock, [block]),
        (decode.FullTransaction, block["transactions"]),
        (decode.FullReceipt, receipts),
        (decode.FullLog, [log for receipt in receipts for log in receipt["logs"]]),
    ]
    for record, items in sent:
        named = {field.encode_name for field in msgspec.structs.fields(record)}
        assert {key for item in items for key in item} <= named


def test_percentiles_are_those_of_the_sample() -> None:
    seconds = [number / 100 for number in range(101)]
    assert latency.percentile(seconds, 50) == pytest.approx(0.50)
    assert latency.percentile(seconds, 95) == pytest.approx(0.95)


def test_an_aim_is_met_at_its_border_and_missed_below() -> None:
    assert report.verdict(ROW) == "≥ 0.5 ✓"
    assert report.verdict(ROW | {"ratio": 0.499}) == "≥ 0.5 ✗"
    memory = ROW | {"name": "watched addresses, memory", "ours": 25.1}
    assert report.verdict(memory) == "ours ≤ 25 ✗"


def test_a_row_measured_anew_takes_its_old_place() -> None:
    old = [ROW, ROW | {"name": "other"}]
    merged = report.merge(old, [ROW | {"ratio": 0.9}, ROW | {"name": "new"}])
    assert [row["name"] for row in merged] == [ROW["name"], "other", "new"]
    assert merged[0]["ratio"] == 0.9


def test_the_table_replaces_what_stood_between_the_marks() -> None:
    page = f"before {report.BEGIN} old {report.END} after"
    assert report.put_between(page, "new") == f"before {report.BEGIN}\nnew\n{report.END} after"
    with pytest.raises(ValueError, match="figures"):
        report.put_between("no marks", "new")


def test_the_published_figures_and_the_page_agree() -> None:
    rows = json.loads(report.LATEST.read_text())
    for row in rows:
        assert set(row) == set(ROW)
        line = f"| {row['name']} | {row['reference_name']} | {row['ratio']:.2f} |"
        assert line in report.PAGE.read_text()


def test_every_aim_is_of_a_row_that_is_published_or_of_the_long_run() -> None:
    names = [row["name"] for row in report.read_latest()]
    names += [growth.summary(growth.ENTRIES, 1.0, 1.0)["name"]]
    assert [start for start in report.AIMS if not any(n.startswith(start) for n in names)] == []


def test_an_aim_at_a_multiple_of_real_time_shows_the_multiple() -> None:
    row = ROW | {"name": "read and match, ton", "ours": 19.9, "unit": "× real time"}
    assert report.outcome(row) == "ours ≥ 20 ✗ (19.9 × real time)"
    assert report.outcome(row | {"ours": 20.0}) == "ours ≥ 20 ✓ (20.0 × real time)"


async def test_a_tenth_is_as_quick_as_all_its_pieces_together() -> None:
    rates, told = iter([100.0, 300.0] * 10), []

    async def post(_: int) -> float:
        return next(rates)

    async def tell(tenth: int, rate: float) -> None:
        told.append((tenth, rate))

    step = ledger.BATCH * growth.BATCHES_AT_ONCE
    found = await growth.post_tenths(post, 2 * 10 * step, tell)
    assert found == [pytest.approx(150.0)] * 10  # 1 s for the one half, 1/3 s for the other
    assert told == list(enumerate(found, 1))


def test_a_run_of_the_rest_keeps_the_long_run_of_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long_run = ROW | {"name": f"{growth.NAME} to 10,000,000 entries"}
    monkeypatch.setattr(report, "read_latest", lambda: [ROW, long_run])
    assert rows_kept(partly=False) == [long_run]
    assert rows_kept(partly=True) == [ROW, long_run]


def test_a_benchmark_that_fails_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bool) -> list[report.Row]:
        raise RuntimeError("cannot be measured")

    monkeypatch.setitem(ALONE, "decode", fail)
    monkeypatch.setitem(ALONE, "watch", lambda _: [ROW])
    found = measure(["decode", "watch"], quick=True, console=Console(quiet=True))
    assert found == ([ROW], ["decode"])
