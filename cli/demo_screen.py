"""The demo's terminal: what is going on now, and a line for everything that is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.status import Status
from rich.table import Table
from rich.text import Text

INDENT = 4
TITLE_WIDTH = 66
NAMES = frozenset({"owner", "asset"})
"""Columns of words; all others are figures."""


class Screen:
    """Steps with their details, and tables, one below the other."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, markup=False, soft_wrap=True)
        self._status: Status | None = None
        self._step = "the start"
        self._details: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step while it runs; when it is done, the time it took and its details."""
        self._step = title
        self._details = []
        started = time.monotonic()
        with self._console.status(title) as self._status:
            yield
        self._status = None
        took_s = time.monotonic() - started
        self._console.print(
            Text("✔ ", "green") + f"{title:<{TITLE_WIDTH}}" + Text(f"{took_s:6.1f} s", "dim")
        )
        for text in self._details:
            self._console.print(Text(" " * INDENT + text, "dim"))

    def headline(self, text: str) -> None:
        """Print what the next steps are about."""
        self._console.print(Text(f"\n{text}", "bold"))

    def note(self, text: str) -> None:
        """Print something that is no step."""
        self._console.print(Text(f"  {text}", "dim"))

    def progress(self, text: str) -> None:
        """Show how far the step is."""
        if self._status is not None:
            self._status.update(f"{self._step} … {text}")

    def detail(self, text: str) -> None:
        """Note a detail of the running step, to stand below it when it is done."""
        self._details.append(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table: words to the left, figures to the right."""
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        for column in columns:
            table.add_column(column, justify="left" if column in NAMES else "right")
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (1, 0, 0, INDENT)))

    def succeed(self, took_s: float) -> None:
        """Print the good end, and where to go from here."""
        self._console.print(Text(f"Everything adds up, after {took_s:.0f} s.", "bold green"))
        self._console.print(
            "Nothing is left running. Next: `make up` keeps such a stack for you to try."
        )

    def interrupt(self) -> None:
        """Print that somebody did not want to see the rest."""
        self._console.print(Text(f"Stopped at: {self._step}", "yellow"))
        self._console.print("Nothing is left running.")

    def fail(self, what: str, logs: Path) -> None:
        """Print which step failed, how, and where to look."""
        self._console.print(Text(f"✘ {self._step}", "bold red"))
        self._console.print(f"    {what}")
        self._console.print(f"    Logs of servers and workers, until the next demo: {logs}")
