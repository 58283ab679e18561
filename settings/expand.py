"""Values of environment variables in configured texts, so that credentials stay out of files."""

from __future__ import annotations

import os
import re

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def variables_in(text: str) -> list[str]:
    """Return the NAME of each ${NAME} in `text`."""
    return _VARIABLE.findall(text)


def expand(text: str) -> str:
    """Return `text` with each ${NAME} replaced. Raises ValueError, naming a variable not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ValueError(f"the environment variable {match[1]} is configured and not set")
        return os.environ[match[1]]

    return _VARIABLE.sub(value, text)
