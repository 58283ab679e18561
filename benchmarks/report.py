"""What is aimed at, and how figures are shown and kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

FOLDER = Path(__file__).parent
LATEST = FOLDER / "latest.json"
PAGE = FOLDER.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Row = dict[str, Any]


class Aim(NamedTuple):
    """The least ratio, or the most or the least that `ours` may be."""

    ratio_min: float | None = None
    ours_max: float | None = None
    ours_min: float | None = None

    def words(self) -> str:
        """The aim in a table."""
        if self.ratio_min is not None:
            return f"≥ {self.ratio_min}"
        if self.ours_max is not None:
            return f"ours ≤ {self.ours_max:g}"
        return f"ours ≥ {self.ours_min:g}"

    def is_met(self, row: Row) -> bool:
        """Whether a row reaches it."""
        if self.ratio_min is not None:
            return bool(row["ratio"] >= self.ratio_min)
        if self.ours_max is not None:
            return bool(row["ours"] <= self.ours_max)
        return bool(row["ours"] >= self.ours_min)


AIMS = {
    "ledger, batches of 500": Aim(1.1),
    "ledger, batched against single": Aim(12.0),
    "ledger, one hot account": Aim(0.8),
    "ledger, last tenth": Aim(0.9),
    "ledger, growth": Aim(0.9),
    "pipeline, blocks to ledger": Aim(0.5),
    "latency, block seen": Aim(0.67),
    "watched addresses, memory": Aim(ours_max=25.0),
    "watched addresses, probe": Aim(ours_max=0.6),
    "watched addresses, misses": Aim(ours_max=0.0),
    "signed webhooks": Aim(0.5),
    "block decode and match against ethereum-etl": Aim(5.0),
    "block decode and match": Aim(0.6),
    **{
        f"read and match, {kind}": Aim(ours_min=multiple)
        for kind, multiple in {
            "ethereum": 100,
            "bitcoin": 1000,
            "dogecoin": 1000,
            "solana": 20,
            "stellar": 100,
            "ton": 20,
            "tron": 100,
        }.items()
    },
    "address derivation against bitcoinlib": Aim(20.0),
    "address derivation": Aim(0.5),
    "signing, ": Aim(0.5),
}
"""By the beginning of a row's name."""


def aim_of(name: str) -> Aim | None:
    """Return the aim of a row, None if it is for information."""
    return next((aim for start, aim in AIMS.items() if name.startswith(start)), None)


def verdict(row: Row) -> str:
    """Return the aim and whether it is met."""
    aim = aim_of(row["name"])
    return "" if aim is None else f"{aim.words()} {'✓' if aim.is_met(row) else '✗'}"


def outcome(row: Row) -> str:
    """Return the aim, whether it is met, and by what figure if it is not the ratio."""
    aim = aim_of(row["name"])
    if aim is None or aim.ratio_min is not None:
        return verdict(row)
    return f"{verdict(row)} ({row['ours']:,} {row['unit']})"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as it is shown."""
    return (
        row["name"],
        f"{row['ours']:,} {row['unit']}",
        f"{row['reference']:,} {row['unit']}",
        row["reference_name"],
        f"{row['ratio']:.2f}",
        verdict(row),
    )


HEADINGS = ("what", "ours", "reference", "against", "ratio", "aim")


def terminal_table(rows: Sequence[Row]) -> Table:
    """Return the table for a terminal."""
    table = Table(*HEADINGS, title=f"Ours beside the bare limit ({machine()})")
    for row in rows:
        table.add_row(*cells(row))
    return table


def markdown_table(rows: Sequence[Row]) -> str:
    """Return the table for the documentation: ratios alone, since machines differ."""
    lines = ["| what | against | ratio | aim |", "|---|---|---:|---|"]
    lines += [
        f"| {row['name']} | {row['reference_name']} | {row['ratio']:.2f} | {outcome(row)} |"
        for row in rows
    ]
    return "\n".join([f"Measured on {machine()}.", "", *lines])


def machine() -> str:
    """Describe the machine in general terms."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


def merge(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Return the old rows with those measured anew put in their place."""
    fresh = {row["name"]: row for row in new}
    kept = [fresh.pop(row["name"], row) for row in old]
    return [*kept, *fresh.values()]


def read_latest() -> list[Row]:
    """Return the rows of the last run."""
    rows: list[Row] = json.loads(LATEST.read_text()) if LATEST.exists() else []
    return rows


def keep(rows: Sequence[Row]) -> None:
    """Write the figures down: latest.json, and the table between the marks of the page."""
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    LATEST.write_text(f"[\n{lines}\n]\n")
    PAGE.write_text(put_between(PAGE.read_text(), markdown_table(rows)))


def put_between(page: str, table: str) -> str:
    """Return the page with the table between its marks. ValueError if it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{begin}\n{table}\n{end}{after}"
