"""Where the `millrace` command begins: Ctrl-C has its meaning before anything large is loaded."""

from __future__ import annotations

import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from cli.main import main as run

        run()
    except KeyboardInterrupt:
        from cli.errors import INTERRUPTED

        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
