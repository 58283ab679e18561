"""What a worker's stages and loops share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from agents.runtime.kafka_io import Publisher
from agents.runtime.outlet import Outlet
from chain_adapters.adapter import ChainAdapter
from chain_adapters.registry import open_adapter
from custody.hide import forget_variable
from metrics import catalogue
from metrics.pool import watch_pool
from metrics.rpc import observe_request
from settings.model import Settings
from sql.pool import Pool, open_pool


@dataclass
class Context:
    """One worker's settings, database pool, chains and producer."""

    settings: Settings
    pool: Pool
    adapters: dict[str, ChainAdapter]
    """By network."""
    publisher: Publisher
    holder: UUID = field(default_factory=uuid4)
    """Names this process in leases."""
    outlet: Outlet = field(init=False)
    """Publishes what was just committed."""

    def __post_init__(self) -> None:
        self.outlet = Outlet(self.pool, self.publisher.publish_rows)


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Connect to Postgres, Kafka and the nodes; all is closed again at the end."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            settings.database_url.get_secret_value(), settings.database_pool_size
        )
        stack.push_async_callback(pool.close)
        watch_pool(pool)
        adapters: dict[str, ChainAdapter] = {}
        for network in settings.networks:
            catalogue.prepare_network(network.network)
            adapter = open_adapter(network, settings.contracts(network.network), observe_request)
            stack.push_async_callback(adapter.close)
            adapters[network.network] = adapter
        publisher = Publisher(settings)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        yield Context(settings, pool, adapters, publisher)


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
