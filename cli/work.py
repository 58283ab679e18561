"""`millrace worker`: one process of one role."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from cli import session
from cli.errors import NOT_SET_UP, Problem, misused

if TYPE_CHECKING:
    from settings.model import Settings

NAMES = ("chain", "deposits", "withdrawals", "signer", "notify")
"""Of agents.roles, which takes too long to load only to refuse a name."""


def worker(
    role: Annotated[
        str, typer.Option("--role", help="chain, deposits, withdrawals, signer or notify.")
    ],
) -> None:
    """Run the stages and loops of one role until SIGTERM. Run as many of a role as you like."""
    if role not in NAMES:
        raise misused(f"there is no role {role!r}; there is {', '.join(NAMES)}")
    config = session.settings()
    require_secrets(config, role)
    asyncio.run(require_set_up(config))
    if role == "notify":
        asyncio.run(require_webhook_key(config))
    require_port(config)

    # Last, for it takes longest: a worker whose servers are away should not keep them busy. What is
    # loaded stays; looking through it for garbage would be a sixth of that time. See Worker.run.
    gc.disable()
    from agents.worker import Worker

    Worker(config, role).run()


def require_secrets(config: Settings, role: str) -> None:
    """Raise Problem if the role's key was not given."""
    keys = {
        "signer": ("MILLRACE_WALLET_ENC_KEY", config.wallet_enc_key, "unlocks the master secret"),
        "notify": ("MILLRACE_WEBHOOK_ENC_KEY", config.webhook_enc_key, "unlocks webhook secrets"),
    }
    name, key, purpose = keys.get(role, ("", "", ""))
    if key is None:
        raise misused(f"{name} is not set: it {purpose}", "Give it in the environment.")


def require_port(config: Settings) -> None:
    """Raise Problem if somebody else serves where this worker's health pages belong."""
    address = (config.metrics_host, config.metrics_port)
    try:
        socket.create_server(address).close()
    except OSError as error:
        raise Problem(
            f"{address[0]}:{address[1]} cannot be listened on: {os.strerror(error.errno or 0)}",
            meaning="Each worker serves its health and metrics there.",
            remedy="Give each worker on a machine a MILLRACE_METRICS_PORT of its own; 0 takes a"
            " free one and logs it.",
        ) from error


async def require_set_up(config: Settings) -> None:
    """Raise Problem unless `millrace init` has run with this configuration."""
    from agents.runtime.kafka_survey import survey_broker
    from cli import installed
    from sql import catalogue, health, stream
    from topics.catalogue import ALL_TOPICS

    async with session.database(config, session.LOOK_S) as pool, pool.acquire() as conn:
        networks = await catalogue.list_networks(conn)
        assets = await catalogue.list_assets(conn)
        open_work = await catalogue.open_work(conn)
        used_topics = await stream.used_topics(conn)
        used_clusters = {row.cluster_id for row in await health.list_progress(conn)}
    missing = sorted({n.network for n in config.networks} - {row.network for row in networks})
    async with session.broker_errors():
        broker = await survey_broker(config)
    missing += sorted(
        {config.topic_prefix + topic.name for topic in ALL_TOPICS} - set(broker.partitions)
    )
    installed.check_cluster(broker.cluster_id, used_clusters)
    installed.check_topics(config, used_topics)
    if missing:
        raise Problem(
            f"not set up yet: {', '.join(missing)}",
            meaning="The database or the broker is new, or the configuration has grown.",
            remedy=NOT_SET_UP,
        )
    installed.check_nothing_left_out(config, assets, open_work)
    installed.check_taken_up(config, networks, assets)


async def require_webhook_key(config: Settings) -> None:
    """Raise Problem if the key does not open the secrets that webhooks are signed with."""
    from cli.webhook import open_box
    from notifications.endpoints import check_box
    from notifications.signing import SecretUnreadable

    async with session.database(config, session.LOOK_S) as pool, pool.acquire() as conn:
        try:
            await check_box(conn, open_box(config))
        except SecretUnreadable as error:
            raise Problem(
                "MILLRACE_WEBHOOK_ENC_KEY does not open the secrets of the endpoints there are",
                meaning="Every delivery would fail, until the endpoints are disabled.",
                remedy="Give the key they were sealed with. If it is lost, disable every endpoint,"
                " then add them again with the new key.",
            ) from error
