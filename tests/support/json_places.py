"""Places in JSON values, for tests that put something odd into each."""

from __future__ import annotations

from typing import Any, TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""The keys and positions that lead to a value."""


def paths(node: object, prefix: Place = ()) -> list[Place]:
    """Every place in a JSON value."""
    items: list[tuple[str | int, object]] = []
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list):
        items = list(enumerate(node))
    found = [(*prefix, key) for key, _ in items]
    for key, inner in items:
        found += paths(inner, (*prefix, key))
    return found


def place(root: Any, path: Place) -> Any:  # noqa: ANN401
    """What stands there."""
    for key in path:
        root = root[key]
    return root
