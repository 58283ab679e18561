"""Nodes of chains that not every machine can have."""

from __future__ import annotations

import pytest

from devstack.chains.registry import installed_kinds


def require_node(kind: str) -> None:
    """Skip the test where there is no node of a kind of chain: `make install` has told why."""
    if kind not in installed_kinds():
        pytest.skip(f"no node of {kind} on this machine")
