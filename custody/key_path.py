"""Key paths, as BIP-32 writes them: "m/44'/60'/0'/0/7", an apostrophe for a hardened step."""

from __future__ import annotations

import re

from custody.errors import BadKeyPath

HARDENED = 0x80000000
DEPTH_MAX = 255

_STEP = re.compile(r"(0|[1-9][0-9]{0,9})('?)")


def parse_key_path(text: str) -> tuple[int, ...]:
    """Return the indices of a path, those of hardened steps from HARDENED on. Raises BadKeyPath."""
    head, *steps = text.split("/")
    if head != "m" or len(steps) > DEPTH_MAX:
        raise BadKeyPath(f"{text!r} is no key path")
    return tuple(parse_step(text, step) for step in steps)


def parse_step(path: str, step: str) -> int:
    """Return the index of one step of `path`. Raises BadKeyPath."""
    match = _STEP.fullmatch(step)
    if match is None or int(match[1]) >= HARDENED:
        raise BadKeyPath(f"{path!r} is no key path: {step!r} is no index")
    return int(match[1]) + (HARDENED if match[2] else 0)
