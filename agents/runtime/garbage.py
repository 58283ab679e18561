"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc

OBJECTS_MIN = 70_000
"""Objects made and not yet freed before Python looks at the newest; 700 by itself."""


def collect_seldom() -> None:
    """From now on look for garbage in cycles, a hundred times less often than Python by itself.

    What is loaded already is taken to stay, and is left out. A batch makes thousands of objects
    that live until it is committed and are in no cycle: looking through them again and again took
    a sixth of a worker's time.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_MIN, *gc.get_threshold()[1:])
    gc.enable()
