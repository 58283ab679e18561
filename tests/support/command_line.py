"""Runs the `millrace` command in this process, as a user would with these variables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from typer.testing import CliRunner, Result

from cli.main import app
from settings.model import load_settings


class CommandLine:
    """The command line of one installation."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)

    async def run(self, *arguments: str, input: str | None = None, **environ: str) -> Result:  # noqa: A002
        """Run a command in a thread, since it has an event loop of its own."""
        return await asyncio.to_thread(self._run, arguments, input, environ)

    async def json(self, *arguments: str, status: int = 0, **environ: str) -> Any:  # noqa: ANN401
        """Run a command with --json and return what it printed."""
        result = await self.run(*arguments, "--json", **environ)
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    def _run(
        self, arguments: tuple[str, ...], text: str | None, environ: Mapping[str, str]
    ) -> Result:
        load_settings.cache_clear()
        try:
            return CliRunner().invoke(
                app, list(arguments), input=text, env={**self.environ, **environ}
            )
        finally:
            load_settings.cache_clear()
