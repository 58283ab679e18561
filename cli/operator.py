"""Who gives an operator's word."""

from __future__ import annotations

import os


def operator_of(given: str) -> str:
    """Return who decides: as given, or the user of this machine."""
    if given:
        return given
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
