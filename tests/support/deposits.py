"""A tenant that is paid on a simulated chain: real stages and Postgres."""

from __future__ import annotations

import secrets

from coincurve import PrivateKey
from pydantic import SecretStr

from agents.by_operator.assign_deposit import assign_deposit
from agents.confirm_deposits import ConfirmDeposits
from agents.follow_chain import FollowChain
from agents.match_deposits import MatchDeposits
from agents.post_ledger import PostLedger
from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from agents.runtime.transact import transact_on
from chain_adapters.simulated import SimulatedAdapter, SimulatedChain
from custody.addresses import assign_memos
from ledger.entries import AccountRef
from settings.model import Asset, Network, Settings
from sql import addresses as addresses_sql
from sql import deposits as deposits_sql
from sql import ledger as ledger_sql
from sql.deposits import Deposit
from sql.pool import Pool
from tests.support.pipeline import Pipeline
from topics.events import EVENTS, event_type

CONFIRMATIONS = 3
TOKEN = "0x" + "70" * 20


class World:
    """A chain of its own with a tenant, a user and an address, and the stages that watch it."""

    def __init__(self, pool: Pool, database_url: str) -> None:
        self.network = f"sim:{secrets.token_hex(8)}"
        suffix = secrets.token_hex(4)
        self.coin, self.token = f"SIM-{suffix}", f"TOK-{suffix}"
        self.tenant = f"t-{suffix}"
        self.chain = SimulatedChain(self.network)
        self.adapter = SimulatedAdapter(self.chain)
        settings = Settings(
            database_url=SecretStr(database_url),
            topic_prefix=f"{suffix}.",
            networks=(
                Network(
                    network=self.network,
                    kind="simulated",
                    rpc_urls=("simulated",),
                    native_asset=self.coin,
                    confirmations=CONFIRMATIONS,
                    start_height=0,
                    reorg_depth_max=40,
                ),
            ),
            assets=(Asset(asset=self.coin, network=self.network, decimals=18),),
        )
        context = Context(settings, pool, {self.network: self.adapter}, Publisher(settings))
        self.pool = pool
        self.pipeline = Pipeline(
            context, [MatchDeposits(context), ConfirmDeposits(context), PostLedger(context)]
        )
        self.follower: FollowChain

    async def start(self) -> None:
        async with self.pool.acquire() as conn:
            await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", self.tenant)
            await conn.execute(
                "INSERT INTO users (tenant, owner) VALUES ($1, 'alice'), ($1, 'bob')", self.tenant
            )
            await conn.execute(
                "INSERT INTO networks (network, kind, native_asset, confirmations)"
                " VALUES ($1, 'simulated', $2, $3)",
                self.network,
                self.coin,
                CONFIRMATIONS,
            )
            await conn.execute(
                "INSERT INTO assets (asset, network, contract, decimals, deposit_minor_min)"
                " VALUES ($1, $2, NULL, 18, 10), ($3, $2, $4, 6, 0)",
                self.coin,
                self.network,
                self.token,
                TOKEN,
            )
        await self.pipeline.start()
        self.follower = await self.pipeline.follower(self.network)

    async def watch(self, owner: str = "alice", address: str | None = None) -> str:
        address = address or "0x" + secrets.token_hex(20)
        async with self.pool.acquire() as conn, conn.transaction():
            await addresses_sql.lock_counter(conn, self.network)
            await addresses_sql.add_addresses(
                conn, self.network, self.tenant, "deposit", [(address, owner, None, None)]
            )
            await addresses_sql.advance_counter(conn, self.network, 1)
        return address

    async def give_memo(self, owner: str = "alice") -> tuple[str, str]:
        """Return the pooled address and a new memo on it."""
        async with self.pool.acquire() as conn, conn.transaction():
            index = await conn.fetchval(
                "SELECT first_index FROM unused_keys WHERE network = $1", self.network
            )
            await conn.execute(
                "INSERT INTO key_pool (network, branch, key_index, key_path, public_key)"
                " VALUES ($1, 0, $2, $3, $4) ON CONFLICT DO NOTHING",
                self.network,
                index,
                self.adapter.key_path(0, index),
                PrivateKey().public_key.format(),
            )
            (new,) = await assign_memos(conn, self.adapter, self.network, self.tenant, [owner])
        return new.address, new.memo

    async def assign(self, deposit_id: int, owner: str = "alice") -> Deposit:
        prefix = self.pipeline.kafka.prefix
        async with transact_on(self.pool, prefix) as work:
            return await assign_deposit(work, self.tenant, deposit_id, owner, "operator")

    async def unassigned(self) -> list[Deposit]:
        async with self.pool.acquire() as conn:
            return await deposits_sql.list_deposits(conn, self.tenant, None, 1000, unassigned=True)

    async def balance(self, bucket: str, owner: str = "") -> int:
        async with self.pool.acquire() as conn:
            return await ledger_sql.fetch_account_balance(
                conn, self.tenant, owner, self.coin, bucket
            )

    async def follow(self) -> None:
        await self.follower.catch_up(self.chain.tip)
        await self.pipeline.settle()

    async def available(self, asset: str | None = None, owner: str = "alice") -> int:
        ref = AccountRef(self.tenant, owner, asset or self.coin, "available")
        async with self.pool.acquire() as conn:
            return await ledger_sql.fetch_account_balance(
                conn, ref.tenant, ref.owner, ref.asset, ref.bucket
            )

    async def statuses(self) -> list[str]:
        async with self.pool.acquire() as conn:
            rows = await deposits_sql.list_deposits(conn, self.tenant, None, 1000)
        return [row.status for row in reversed(rows)]

    async def waiting(self) -> list[int]:
        """Return the heights at which deposits are to be confirmed."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch(
                "SELECT confirm_height FROM waiting_deposits WHERE network = $1", self.network
            )
        return [row["confirm_height"] for row in rows]

    async def event_types(self) -> list[str]:
        log = self.pipeline.kafka.topics[self.pipeline.kafka.prefix + EVENTS.name]
        return [
            event_type(event)
            for record in log
            for event in EVENTS.decode(record.value or b"").events
        ]
