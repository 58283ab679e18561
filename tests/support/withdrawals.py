"""A tenant that pays out on a simulated chain: real stages, loops and Postgres; kills on order."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr

from agents.broadcast_withdrawals import BroadcastWithdrawals
from agents.check_withdrawals import CheckWithdrawals
from agents.confirm_deposits import ConfirmDeposits
from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.follow_chain import FollowChain
from agents.match_deposits import MatchDeposits
from agents.post_ledger import PostLedger
from agents.replace_withdrawals import ReplaceWithdrawals
from agents.resend_withdrawals import ResendWithdrawals
from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from agents.runtime.stage import Stage
from agents.sign_withdrawals import SignWithdrawals
from agents.stock_keys import StockKeys
from chain_adapters.adapter import ChainAdapter
from chain_adapters.simulated import SimulatedChain
from custody.hot_wallet import ensure_hot_wallet
from custody.signer import Signer
from ledger import rules
from ledger.post import post
from settings.model import Asset, Network, Settings
from sql import ledger as ledger_sql
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from sql.pool import Pool
from sql.transactions import TransactionRow
from sql.withdrawals import Withdrawal
from tests.support.fateful_node import FatefulAdapter
from tests.support.mortal import Killed, Moment, Mortal
from tests.support.pipeline import Pipeline, in_order
from topics.events import EVENTS, Event, event_type
from topics.withdrawals import WITHDRAWAL_COMMANDS

CONFIRMATIONS = 2
TOKEN = "0x" + "70" * 20
REORG_DEPTH_MAX = 40
FEE_MINOR = 5
"""What the tenant charges for a withdrawal of the coin."""
AT_ONCE_S = 1e-6
"""Makes the loops act whenever they are run."""


class PayingWorld:
    """One tenant with a funded hot wallet and users, its stages and its loops."""

    def __init__(
        self, pool: Pool, database_url: str, adapter: ChainAdapter, network: Network, kind: str
    ) -> None:
        self.pool, self.network, self.kind = pool, network.network, kind
        suffix = secrets.token_hex(4)
        self.coin, self.token = network.native_asset, f"TOK-{suffix}"
        self.tenant = f"t-{suffix}"
        self.adapter = adapter
        settings = Settings(
            database_url=SecretStr(database_url),
            topic_prefix=f"{suffix}.",
            address_pool_min=3,
            networks=(network,),
            assets=(Asset(asset=self.coin, network=self.network, decimals=18),),
        )
        self.context = Context(settings, pool, {self.network: adapter}, Publisher(settings))
        self.signer = Signer(secrets.token_bytes(64), secrets.token_bytes(32))
        self.deaths: dict[str, Moment] = {}
        self.pipeline = Pipeline(self.context, self._stages())
        self.stock_keys = StockKeys(self.context, self.signer)
        self.resend = ResendWithdrawals(self.context)
        self.replace = ReplaceWithdrawals(self.context, self.signer)
        self.follower: FollowChain
        self.hot_wallet = ""

    def _stages(self) -> list[Stage[Any, Any]]:
        stages: list[Stage[Any, Any]] = [
            CheckWithdrawals(self.context),
            SignWithdrawals(self.context, self.signer),
            BroadcastWithdrawals(self.context),
            ConfirmWithdrawals(self.context),
            MatchDeposits(self.context),
            ConfirmDeposits(self.context),
            PostLedger(self.context),
        ]
        return [Mortal(stage, self.deaths) for stage in stages]

    async def start(self) -> None:
        """Write tenant, users, network and assets; make keys and the hot wallet."""
        async with self.pool.acquire() as conn:
            await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", self.tenant)
            await conn.execute(
                "INSERT INTO users (tenant, owner) VALUES ($1, 'alice'), ($1, 'bob')", self.tenant
            )
            await conn.execute(
                "INSERT INTO networks (network, kind, native_asset, confirmations)"
                " VALUES ($1, $2, $3, $4)",
                self.network,
                self.kind,
                self.coin,
                CONFIRMATIONS,
            )
            await conn.execute(
                "INSERT INTO assets (asset, network, contract, decimals, withdrawal_minor_min,"
                " withdrawal_minor_max, withdrawal_approval_minor, withdrawal_fee_minor)"
                " VALUES ($1, $2, NULL, 18, 10, 1000000, 500000, $5), ($3, $2, $4, 6, 1, NULL,"
                " NULL, 0)",
                self.coin,
                self.network,
                self.token,
                TOKEN,
                FEE_MINOR,
            )
        await self.stock_keys.run_once()
        async with self.pool.acquire() as conn, conn.transaction():
            wallet = await ensure_hot_wallet(conn, self.adapter, self.tenant, self.network)
        self.hot_wallet = wallet.address
        await self.pipeline.start()
        self.follower = await self.pipeline.follower(self.network)

    async def credit(self, owner: str, asset: str, amount_minor: int) -> None:
        """Give a user money that came in by some deposit."""
        entry = rules.deposit_credited(
            self.tenant,
            owner,
            asset,
            amount_minor,
            deposit_id=secrets.randbits(48),
            revision=0,
        )
        async with self.pool.acquire() as conn, conn.transaction():
            await post(conn, [entry])

    def command(self, order_id: str, amount_minor: int = 100, **changes: object) -> dict[str, Any]:
        """Return a command of alice's to an address that no other order pays to."""
        return {
            "type": "withdrawal.request",
            "tenant": self.tenant,
            "id": order_id,
            "owner": "alice",
            "asset": self.coin,
            "amount_minor": str(amount_minor),
            "address": "0x" + secrets.token_hex(20),
        } | changes

    def send(self, *commands: dict[str, Any] | bytes) -> None:
        """Put commands on their topic, as a producer does."""
        topic = self.pipeline.kafka.prefix + WITHDRAWAL_COMMANDS.name
        for command in commands:
            value = command if isinstance(command, bytes) else json.dumps(command).encode()
            self.pipeline.kafka.append(topic, self.tenant.encode(), value)

    async def settle(self) -> None:
        """Run the stages until nothing moves; whatever dies is started again."""
        while True:
            done = dict(self.pipeline.done)
            try:
                await self.pipeline.settle()
            except Killed:
                await self.restart(done)
            else:
                return

    async def restart(self, done: dict[str, int]) -> None:
        """Start all anew and deliver again, inbox forgotten, what was on its way since `done`."""
        self.pipeline.cluster_id = secrets.token_hex(16)
        self.pipeline.done.clear()
        self.pipeline.done.update(done)
        self.pipeline.offsets.clear()
        self.pipeline.stages = self._stages()
        await self.pipeline.start()

    async def request(self, *commands: dict[str, Any]) -> list[Withdrawal]:
        """Send commands, settle, and return their withdrawals."""
        self.send(*commands)
        await self.settle()
        return [await self.withdrawal(command["id"]) for command in commands]

    async def withdrawal(self, order_id: str) -> Withdrawal:
        """Return a withdrawal as it is now."""
        async with self.pool.acquire() as conn:
            found = await withdrawals_sql.find_withdrawal(conn, self.tenant, order_id)
        assert found is not None
        return found

    async def withdrawals(self) -> list[Withdrawal]:
        """Return all withdrawals, oldest first."""
        async with self.pool.acquire() as conn:
            rows = await withdrawals_sql.list_withdrawals(conn, self.tenant, None, None, 10_000)
        return rows[::-1]

    async def attempts(self, order_id: str) -> list[TransactionRow]:
        """Return the transactions of a withdrawal."""
        withdrawal = await self.withdrawal(order_id)
        async with self.pool.acquire() as conn:
            return await transactions_sql.list_transactions(conn, withdrawal.withdrawal_id)

    async def retry(self) -> None:
        """Send again what is in no block, and settle."""
        await self.resend.run_once()
        await self.settle()

    async def replace_due(self) -> None:
        """Let all that is due be replaced, and settle."""
        await self.replace.run_once()
        await self.settle()

    async def tried(self, order_id: str) -> int:
        """Let all that is due be replaced; return how many transactions the order has had."""
        await self.replace_due()
        return len(await self.attempts(order_id))

    async def balance(self, bucket: str, asset: str | None = None, owner: str = "alice") -> int:
        """Return what an account holds."""
        async with self.pool.acquire() as conn:
            return await ledger_sql.fetch_account_balance(
                conn, self.tenant, owner, asset or self.coin, bucket
            )

    async def next_nonce(self) -> int:
        """Return the hot wallet's next nonce as we count it."""
        async with self.pool.acquire() as conn:
            return int(
                await conn.fetchval(
                    "SELECT next_nonce FROM nonces WHERE network = $1 AND sender = $2",
                    self.network,
                    self.hot_wallet,
                )
                or 0
            )

    async def parked_facts(self) -> int:
        """Return how many facts of the chain the ledger would not take. Must be none."""
        async with self.pool.acquire() as conn:
            return int(
                await conn.fetchval(
                    "SELECT count(*) FROM dead_letters WHERE stage = 'post_ledger' AND key = $1",
                    self.network.encode(),
                )
            )

    def events(self) -> list[Event]:
        """Return all events so far."""
        log = self.pipeline.kafka.topics[self.pipeline.kafka.prefix + EVENTS.name]
        return [event for record in log for event in EVENTS.decode(record.value or b"").events]

    def event_types(self) -> list[str]:
        """Return the types of all events about withdrawals and wallets so far."""
        types = [event_type(event) for event in self.events()]
        return [name for name in types if name.startswith(("withdrawal.", "hot_wallet."))]

    def rejections(self) -> list[tuple[str | None, str]]:
        """Return (producer's id, reason) of every withdrawal.rejected so far."""
        return [
            (event.data.idempotency_key, event.data.reason)  # type: ignore[union-attr]
            for event in self.events()
            if event_type(event) == "withdrawal.rejected"
        ]


class SimulatedWorld(PayingWorld):
    """A paying world on a chain in memory."""

    def __init__(self, pool: Pool, database_url: str) -> None:
        self.chain = SimulatedChain(f"sim:{secrets.token_hex(8)}")
        self.node = FatefulAdapter(self.chain)
        network = Network(
            network=self.chain.network,
            kind="simulated",
            rpc_urls=("simulated",),
            native_asset=f"SIM-{secrets.token_hex(4)}",
            confirmations=CONFIRMATIONS,
            start_height=0,
            reorg_depth_max=REORG_DEPTH_MAX,
            rebroadcast_after_s=AT_ONCE_S,
            replace_after_s=AT_ONCE_S,
        )
        super().__init__(pool, database_url, self.node, network, "simulated")

    async def start(self, funds_minor: int = 10**9) -> None:
        """Also fund the hot wallet and alice."""
        await super().start()
        self.chain.mint(self.hot_wallet, None, funds_minor)
        self.chain.mint(self.hot_wallet, TOKEN, funds_minor)
        self.chain.mine(CONFIRMATIONS)
        await self.credit("alice", self.coin, 10**6)
        await self.credit("alice", self.token, 10**6)
        await self.follow()

    async def follow(self) -> None:
        """Read the chain to its tip and settle."""
        await self.follower.catch_up(self.chain.tip)
        await self.settle()

    async def mine(self, count: int = 1) -> None:
        """Mine blocks one by one and follow each."""
        for _ in range(count):
            self.chain.mine()
            await self.follow()

    def received(self, address: str, contract: str | None = None) -> int:
        """Return what an address holds on the chain now."""
        return self.chain.state_at(-1).balance(address, contract)

    def payments_to(self, address: str) -> int:
        """Return how many transfers to an address the best chain has."""
        return sum(
            transfer.address == address
            for block in self.chain.blocks
            for transaction in block.transactions
            for transfer in transaction.transfers
        )

    async def recover(self) -> None:
        """Let all faults end, and time pass until every withdrawal has come to its end."""
        self.deaths.clear()
        self.node.fates.clear()
        self.node.mischief.clear()
        self.pipeline.deliver = in_order
        for _ in range(60):
            await self.node.land_late()
            await self.retry()
            await self.mine(CONFIRMATIONS)
            if all(
                w.status in ("confirmed", "failed", "rejected") for w in await self.withdrawals()
            ):
                return
        raise AssertionError(f"still open: {await self.withdrawals()}")

    async def check_books(self) -> None:
        """Assert that chain, withdrawals and ledger say the same, and nothing was paid twice."""
        orders = await self.withdrawals()
        paid = [order for order in orders if order.status == "confirmed"]
        for order in orders:
            assert self.payments_to(order.address) == (order.status == "confirmed"), order
        nonces = sorted(order.nonce for order in orders if order.nonce is not None)
        assert nonces == list(range(len(nonces)))
        assert self.chain.state_at(-1).nonce(self.hot_wallet) == await self.next_nonce()
        assert await self.next_nonce() == len(nonces)
        assert await self.parked_facts() == 0
        for asset, contract in ((self.coin, None), (self.token, TOKEN)):
            await self._check_asset(asset, contract, [o for o in paid if o.asset == asset])

    async def _check_asset(
        self, asset: str, contract: str | None, paid: Sequence[Withdrawal]
    ) -> None:
        spent = sum(order.amount_minor + order.fee_minor for order in paid)
        assert await self.balance("pending", asset) == 0
        assert await self.balance("available", asset) == 10**6 - spent
        assert sum(self.received(o.address, contract) for o in paid) == sum(
            o.amount_minor for o in paid
        )
        held = await self.balance("hot_wallet", asset, owner="")
        assert held == self.received(self.hot_wallet, contract)
        async with self.pool.acquire() as conn:
            books = await ledger_sql.fetch_trial_balance(conn, self.tenant)
            assert await ledger_sql.fetch_imbalances(conn) == []
        assert all(row.debits_minor == row.credits_minor for row in books)
