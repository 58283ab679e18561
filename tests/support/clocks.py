"""Clocks that are wrong."""

from __future__ import annotations

from datetime import datetime, tzinfo
from types import ModuleType

import pytest


class Ahead(datetime):
    """A clock that stands in the year 2100."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime(2100, 1, 1, tzinfo=tz)


def put_ahead(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Let what these modules read off the process's own clock be the year 2100."""
    for module in modules:
        monkeypatch.setattr(module, "datetime", Ahead, raising=False)
