"""How far a chain says of itself that it is final. Pure."""

from __future__ import annotations

from sql.chain import Cursor


def final_height_of(cursor: Cursor, finality: str) -> int:
    """Return the height up to which blocks may be relied on by the chain's own word.

    -1 as long as the node has not said; the whole chain where only depth counts.
    """
    if finality == "depth":
        return cursor.height
    final = cursor.safe_height if finality == "safe" else cursor.finalized_height
    return -1 if final is None else final
