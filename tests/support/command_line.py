"""Runs the `millrace` command in this process, as a user would with these variables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from typer.testing import CliRunner, Result

from cli.main import app
from devstack.chains.anvil import Anvil
from settings.model import Network, load_settings


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


def network_of(anvil: Anvil) -> Network:
    return Network(
        network=f"eip155:{anvil.chain_id}",
        kind="ethereum",
        rpc_urls=(anvil.rpc_url,),
        native_asset="ETH",
        confirmations=2,
    )


def configuration(database_url: str, kafka: str, topic_prefix: str, anvil: Anvil) -> dict[str, str]:
    """Return the variables of an installation on these servers, without keys."""
    network = network_of(anvil)
    asset = {"asset": "ETH", "network": network.network, "decimals": 18}
    return {
        "MILLRACE_CONFIG": "",
        "MILLRACE_DATABASE_URL": database_url,
        "MILLRACE_KAFKA_BOOTSTRAP": kafka,
        "MILLRACE_TOPIC_PREFIX": topic_prefix,
        "MILLRACE_TOPIC_PARTITIONS": "2",
        "MILLRACE_NETWORKS": json.dumps([network.model_dump()]),
        "MILLRACE_ASSETS": json.dumps([asset]),
    }
