"""The demo's terminal: what is going on now, and a line for everything that is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.table import Table


class Screen:
    """Steps, details and tables, one below the other."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._status: Status | None = None
        self._step = "the start"

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step while it runs, and the time it took when it is done."""
        self._step = title
        started = time.monotonic()
        with self._console.status(title) as self._status:
            yield
        self._status = None
        self._console.print(f"[green]✔[/] {title} [dim]({time.monotonic() - started:.1f} s)[/]")

    def progress(self, text: str) -> None:
        """Show how far the step is."""
        if self._status is not None:
            self._status.update(f"{self._step} … {text}")

    def detail(self, text: str) -> None:
        """Print a detail of the step."""
        self._console.print(f"    [dim]{text}[/]")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; the first column is a name, the others are figures."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for position, column in enumerate(columns):
            table.add_column(column, justify="right" if position else "left")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def succeed(self, text: str) -> None:
        """Print the good end."""
        self._console.print(f"[bold green]{text}[/]")

    def fail(self, what: str, logs: Path) -> None:
        """Print which step failed, how, and where to look."""
        self._console.print(f"[bold red]✘ {self._step}[/]: {what}")
        self._console.print(f"  The logs of servers and workers are in {logs}.")
