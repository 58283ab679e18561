"""What a worker's stages and loops share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg

from agents.runtime.outlet import Outlet
from agents.runtime.publisher import Publisher
from agents.runtime.stage import InvariantBroken
from chain_adapters.adapter import ChainAdapter
from chain_adapters.registry import open_adapter
from custody.hide import forget_variable
from metrics import catalogue
from metrics.pool import watch_pool
from metrics.rpc import observe_request
from settings.model import Settings
from sql import health
from sql.pool import Connection, Pool, open_pool

ANSWER_S = 300.0
"""No statement takes as long, but for those over the whole journal: its server is gone without a
word, as in a failover."""


@dataclass
class Context:
    """One worker's settings, database pool, chains and producer."""

    settings: Settings
    pool: Pool
    adapters: dict[str, ChainAdapter]
    """By network, once they are opened."""
    publisher: Publisher
    holder: UUID = field(default_factory=uuid4)
    """Names this process in leases."""
    outlet: Outlet = field(init=False)
    """Publishes what was just committed."""

    def __post_init__(self) -> None:
        self.outlet = Outlet(self.pool, self.publisher.publish_rows)

    async def open_adapters(self) -> None:
        """Open the adapters of all networks. In a thread, for what they need takes long to load."""
        for network in self.settings.networks:
            self.adapters[network.network] = await asyncio.to_thread(
                open_adapter, network, self.settings.contracts(network.network), observe_request
            )

    async def close_adapters(self) -> None:
        """Close those that were opened."""
        for adapter in self.adapters.values():
            await adapter.close()


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Connect to Postgres and Kafka; all is closed again at the end, adapters too."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            settings.database_url.get_secret_value(),
            settings.database_pool_size,
            keeps_plans=True,
            answer_s=ANSWER_S,
            writes=True,
            examine=require_sound,
        )
        stack.push_async_callback(pool.close)
        watch_pool(pool)
        for network in settings.networks:
            catalogue.prepare_network(network.network)
        for asset in settings.assets:
            catalogue.prepare_asset(asset.network, asset.asset)
        publisher = Publisher(settings)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        context = Context(settings, pool, {}, publisher)
        stack.push_async_callback(context.close_adapters)
        yield context


async def require_sound(conn: Connection) -> None:
    """Raise InvariantBroken if work cannot be trusted to a connection.

    Where texts sort otherwise than when the database was made, an index over texts misses what is
    there, and a unique key lets a deposit in again. Where sequences give ids that are taken,
    records fail, and what is newest by its id is not. A pooler that drops what a session asks for
    mostly gives each transaction another session too, and statements go astray.
    """
    if await health.sorts_otherwise(conn):
        raise InvariantBroken(
            "texts sort otherwise on this database server than when its indexes were made: unique"
            " keys may not hold. See docs/operations.md, 'Texts that sort otherwise'."
        )
    with suppress(asyncpg.UndefinedTableError):  # nothing is set up yet
        if late := await health.late_sequences(conn):
            raise InvariantBroken(
                f"sequences are behind the ids that were given ({', '.join(late)}), as in a copy by"
                " logical replication. See docs/operations.md, 'Sequences that are behind'."
            )
    if not await health.keeps_settings(conn):
        raise InvariantBroken(
            "the database session has not the idle_in_transaction_session_timeout it asked for: a"
            " pooler is in between. See docs/operations.md, 'Poolers'."
        )


def wallet_passphrase(settings: Settings) -> str:
    """Return the key that unlocks the master secret, and forget it in the environment.

    Raises ValueError, naming the variable, if it was not given.
    """
    forget_variable("MILLRACE_WALLET_ENC_KEY")
    if settings.wallet_enc_key is None:
        raise ValueError(
            "MILLRACE_WALLET_ENC_KEY is not set: the signer and `millrace init` need it to unlock"
            " the master secret"
        )
    return settings.wallet_enc_key.get_secret_value()
