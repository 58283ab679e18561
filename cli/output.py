"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

from cli.errors import Problem

WIDE = 1_000_000
"""Columns when nobody looks, more than any table has: in a file or a pipe none is folded."""
_EXACT = Context(prec=200)
_PLAIN = re.compile(r"-?[0-9]{1,78}(\.[0-9]{1,78})?")


@cache
def console(*, error: bool = False) -> Console:
    """Return the console of standard output or of standard error."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=error, width=width, highlight=False, markup=False, soft_wrap=True)


def prepare_streams() -> None:
    """Let nothing that is printed fail for a stream that is closed or not UTF-8."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def visible(text: str) -> str:
    """Return a text with what a terminal obeys instead of showing written as in JSON, e.g. \\u001b.

    Owners, memos and answers of receivers are the words of strangers: they could clear the screen,
    or turn an address around. Line ends stay. In JSON it means the same as before.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Tell a person something on standard error."""
    console(error=True).print(visible(text))


def print_json(value: object) -> None:
    """Print one JSON value. Amounts must be strings already; see `plain`."""
    sys.stdout.write(visible(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def plain(value: Any) -> Any:  # noqa: ANN401 - any row's field
    """Return a field as JSON has it: bytes in hex, moments in RFC 3339."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    return value


def as_json(row: Any) -> dict[str, Any]:  # noqa: ANN401 - any NamedTuple
    """Return a row's fields for JSON. An amount (`…_minor`, `…_minor_…`) becomes a string."""
    return {
        name: str(value) if _is_amount(name) and value is not None else plain(value)
        for name, value in row._asdict().items()
    }


def without_amount(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without its `amount` in whole units, which is for people and not for JSON."""
    return {name: value for name, value in row.items() if name != "amount"}


def _is_amount(name: str) -> bool:
    return "minor" in name.split("_")


def _is_figure(name: str) -> bool:
    return _is_amount(name) or "amount" in name


def print_rows(
    rows: Sequence[Mapping[str, Any]], *, json_wanted: bool, empty: str, columns: Sequence[str] = ()
) -> None:
    """Print rows as a JSON array, or as a table of `columns` (all, if none are named)."""
    if json_wanted:
        print_json(list(rows))
    elif not rows:
        say(empty)
    else:
        print_table(columns or tuple(rows[0]), rows)


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a table with a heading; rows too wide for the terminal as a line for each field."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = tuple(rows)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right" if _is_figure(name) else "left")
    for row in rows:
        table.add_row(*(Text(_cell(row[name]).replace("\n", "\\n")) for name in columns))
    unfolded = console().options.update(max_width=WIDE)
    if console().measure(table, options=unfolded).maximum <= console().width:
        console().print(table)
        return
    for row in rows:
        print_fields({name: row[name] for name in columns}, json_wanted=False)
        console().print()


def _cell(value: object) -> str:
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def print_fields(fields: Mapping[str, Any], *, json_wanted: bool) -> None:
    """Print one thing: a JSON object, or a line for each field."""
    if json_wanted:
        print_json(dict(fields))
        return
    width = max(map(len, fields), default=0) + 2
    for name, value in fields.items():
        text = _cell(value).replace("\n", "\n" + " " * width)  # so that no line looks like a field
        console().print(f"{name.replace('_', ' '):<{width}}{text}")


def print_problem(problem: Problem) -> None:
    """Tell what happened, what it means and what to do."""
    lines = [f"millrace: {problem.what}", problem.meaning, problem.remedy]
    sys.stderr.write(visible("\n  ".join(line for line in lines if line)) + "\n")


def counted(count: int, one: str, many: str) -> str:
    """Return a count of things: "1 delivery", "2 deliveries"."""
    return f"{count} {one if count == 1 else many}"


def whole(amount_minor: int, decimals: int) -> str:
    """Return an amount in whole units of its asset, exactly: (1500, 3) is "1.5"."""
    text = f"{Decimal(amount_minor).scaleb(-decimals, _EXACT):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def minor(text: str, decimals: int) -> int:
    """Return an amount in minor units. Raises ValueError unless it is a whole number of them.

    Digits and one point, nothing else: 1e3, 1_000 and the like are slips more often than meant.
    """
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{text!r} is no amount: write it like 1234.5")
    amount = Decimal(text).scaleb(decimals, _EXACT)
    if amount != amount.to_integral_value(context=_EXACT):
        raise ValueError(f"{text!r} is no amount with at most {decimals} decimals")
    return int(amount)


def progress_bar() -> Progress:
    """Return a progress bar on standard error, which keeps quiet when nobody looks."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(error=True),
        disable=not sys.stderr.isatty(),
    )
