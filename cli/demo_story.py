"""What the demo plays: deposits, withdrawals, a reorganisation, and the books in the end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, TypeVar

from agents.kafka_io import Publisher
from agents.reconcile_chain import reconcile_network
from agents.roles import ROLES
from chain_adapters.adapter import ChainAdapter
from chain_adapters.registry import open_adapter
from cli.demo_screen import Screen
from cli.output import whole
from cli.setup import set_up
from cli.stack import wait_for_workers
from custody.addresses import NoFreeKeys, assign_addresses
from custody.box import SecretBox
from custody.hot_wallet import NoWalletKey, ensure_hot_wallet
from devstack.dev_chain import DevChain
from devstack.stack import Stack
from devstack.webhook_sink import WebhookSink
from notifications.endpoints import register_endpoint
from settings.model import Settings
from sql import ledger as ledger_sql
from sql import tenants as tenants_sql
from sql.pool import Pool, open_pool
from topics.withdrawals import WITHDRAWAL_COMMANDS

ETH = 10**18
CONFIRMATIONS = 3
WAIT_S = 30.0
TENANT = "acme"
RECIPIENT = "0x" + "d0" * 20
ResultT = TypeVar("ResultT")


class Story:
    """One tenant with two users on one chain; every step waits for what it promises."""

    def __init__(self, screen: Screen, stack: Stack) -> None:
        self._screen = screen
        self._stack = stack
        self._token = f"DEMO-{secrets.token_hex(3)}"
        self._tenant = f"{TENANT}-{secrets.token_hex(3)}"
        self._sink: WebhookSink
        self._chain: DevChain
        self._pool: Pool
        self._settings: Settings
        self._adapter: ChainAdapter

    async def play(self) -> None:
        """Play it to the end, or raise what went wrong."""
        async with AsyncExitStack() as resources:
            await self._open(resources)
            alice = await self._open_tenant(resources)
            await self._deposit(alice)
            await self._withdraw("ETH", ETH // 2)
            await self._withdraw(self._token, 40 * ETH)
            await self._reorganise()
            await self._close_books()

    async def _open(self, resources: AsyncExitStack) -> None:
        self._chain = await resources.enter_async_context(DevChain(self._stack.rpc_url))
        with self._screen.step("A token is issued, workers of all roles start"):
            contract = await self._chain.issue_token("DEMO", 10**6 * ETH)
            self._configure(contract)
            await set_up(self._settings, lambda _: None)
            own = {name: os.environ[name] for name in ("MILLRACE_NETWORKS", "MILLRACE_ASSETS")}
            self._stack.run_workers(ROLES, own, self._secrets())
            await wait_for_workers(self._stack, asyncio.Event())
        self._pool = await open_pool(self._settings.database_url.get_secret_value(), 3)
        resources.push_async_callback(self._pool.close)
        self._adapter = open_adapter(self._settings.networks[0])
        resources.push_async_callback(self._adapter.close)
        self._contract = contract

    def _configure(self, contract: str) -> None:
        """Put the demo's configuration where settings are read from, for us and the workers."""
        environ = self._stack.environment()
        network = json.loads(environ["MILLRACE_NETWORKS"])[0] | {"confirmations": CONFIRMATIONS}
        name = network["network"]
        assets = [
            {"asset": "ETH", "network": name, "decimals": 18},
            {"asset": self._token, "network": name, "decimals": 18, "contract": contract},
        ]
        os.environ.update(
            {key: value for key, value in environ.items() if key.startswith("MILLRACE_")}
            | {
                "MILLRACE_NETWORKS": json.dumps([network]),
                "MILLRACE_ASSETS": json.dumps(assets),
                "MILLRACE_WALLET_ENC_KEY": secrets.token_urlsafe(32),
                "MILLRACE_WEBHOOK_ENC_KEY": secrets.token_urlsafe(32),
            }
        )
        self._settings = Settings()

    def _secrets(self) -> dict[str, dict[str, str]]:
        return {
            role: {name: os.environ[name]}
            for role, name in (
                ("signer", "MILLRACE_WALLET_ENC_KEY"),
                ("notify", "MILLRACE_WEBHOOK_ENC_KEY"),
            )
        }

    @property
    def _network(self) -> str:
        return self._settings.networks[0].network

    async def _open_tenant(self, resources: AsyncExitStack) -> str:
        with self._screen.step("A tenant, its webhook endpoint, a user and a deposit address"):
            self._sink = await resources.enter_async_context(WebhookSink())
            async with self._pool.acquire() as conn:
                await tenants_sql.add_tenant(conn, self._tenant, "Acme")
                key = self._settings.webhook_enc_key
                assert key is not None
                endpoint = await register_endpoint(
                    conn,
                    SecretBox(key.get_secret_value()),
                    self._tenant,
                    self._sink.url,
                    datetime.now(UTC),
                    allow_private=True,
                )
            self._sink.trust(endpoint.secret)
            address = await self._new_address("alice")
        self._screen.detail(f"alice pays in at {self._adapter.show_address(address)}")
        with self._screen.step("The tenant's hot wallet is funded"):
            wallet = await self._until(self._hot_wallet)
            await self._chain.pay(wallet, 5 * ETH)
            await self._chain.pay_token(self._contract, wallet, 1000 * ETH)
            await self._chain.mine(CONFIRMATIONS)
            await self._until(lambda: self._has("", "ETH", "hot_wallet", 5 * ETH))
            await self._until(lambda: self._has("", self._token, "hot_wallet", 1000 * ETH))
        return address

    async def _deposit(self, address: str) -> None:
        with self._screen.step("alice deposits 2 ETH and 250 tokens"):
            await self._chain.pay(address, 2 * ETH)
            await self._chain.pay_token(self._contract, address, 250 * ETH)
            await self._hear("deposit.detected", asset="ETH")
            await self._hear("deposit.detected", asset=self._token)
            await self._confirm()
            await self._hear("deposit.confirmed", asset="ETH")
            await self._hear("deposit.confirmed", asset=self._token)
            await self._until(lambda: self._has("alice", "ETH", "available", 2 * ETH))
            await self._until(lambda: self._has("alice", self._token, "available", 250 * ETH))
        self._screen.detail("detected, confirmed, posted; signed webhooks received and verified")

    async def _withdraw(self, asset: str, amount_minor: int) -> None:
        order = f"order-{secrets.token_hex(4)}"
        with self._screen.step(
            f"alice withdraws {whole(amount_minor, 18)} {asset} by Kafka command"
        ):
            await self._command(order, asset, amount_minor)
            await self._hear("withdrawal.requested", idempotency_key=order)
            sent = await self._hear("withdrawal.broadcast", idempotency_key=order)
            await self._confirm()
            paid = await self._hear("withdrawal.confirmed", idempotency_key=order)
        fee = whole(int(paid["network_fee_minor"]), 18)
        self._screen.detail(f"checked, signed, broadcast as {sent['transaction_id'][:18]}…")
        self._screen.detail(f"confirmed and posted; the network took {fee} ETH from the hot wallet")

    async def _command(self, order: str, asset: str, amount_minor: int) -> None:
        """Send the command as any producer would."""
        command = {
            "type": "withdrawal.request",
            "tenant": self._tenant,
            "id": order,
            "owner": "alice",
            "asset": asset,
            "amount_minor": str(amount_minor),
            "address": self._adapter.show_address(RECIPIENT),
        }
        publisher = Publisher(self._settings)
        await publisher.start()
        topic = self._settings.topic_prefix + WITHDRAWAL_COMMANDS.name
        await publisher.publish([(topic, self._tenant.encode(), json.dumps(command).encode())])
        await publisher.stop()

    async def _reorganise(self) -> None:
        address = await self._new_address("bob")
        with self._screen.step("bob deposits 1 ETH and is credited"):
            await self._chain.pay(address, ETH)
            await self._confirm()
            await self._hear("deposit.confirmed", owner="bob")
            await self._until(lambda: self._has("bob", "ETH", "available", ETH))
        with self._screen.step("A reorganisation drops bob's deposit, and its credit is reversed"):
            await self._chain.reorganise(CONFIRMATIONS + 1)
            await self._chain.mine()
            await self._hear("deposit.orphaned", owner="bob")
            await self._hear("deposit.reversed", owner="bob")
            await self._until(lambda: self._has("bob", "ETH", "available", 0))

    async def _close_books(self) -> None:
        with self._screen.step("The books are closed and compared with the chain"):
            report = await self._until(self._reconcile)
            async with self._pool.acquire() as conn:
                balances = await tenants_sql.list_balances(conn, self._tenant, None, 100)
                trial = await ledger_sql.fetch_trial_balance(conn, self._tenant)
        self._screen.table(
            "Balances",
            ("owner", "asset", "available", "locked", "pending"),
            [
                (
                    b.owner,
                    b.asset,
                    *(whole(n, 18) for n in (b.available_minor, b.locked_minor, b.pending_minor)),
                )
                for b in balances
            ],
        )
        self._screen.table(
            "Trial balance",
            ("asset", "debits", "credits"),
            [(t.asset, whole(t.debits_minor, 18), whole(t.credits_minor, 18)) for t in trial],
        )
        if any(t.debits_minor != t.credits_minor for t in trial):
            raise AssertionError("debits and credits differ")
        self._screen.detail(
            f"{report.figures} balances of the node at block {report.height} = ledger = balances"
        )

    async def _reconcile(self) -> Any:  # noqa: ANN401
        report = await reconcile_network(
            self._pool, self._adapter, topic_prefix=self._settings.topic_prefix
        )
        if report.differences:
            raise AssertionError(f"chain and ledger differ: {report.differences}")
        return report if report.clean else None

    async def _confirm(self) -> None:
        """Mine what is missing, block by block, and show the count."""
        for number in range(1, CONFIRMATIONS + 1):
            self._screen.progress(f"confirmations {number}/{CONFIRMATIONS}")
            await self._chain.mine()
            await asyncio.sleep(0.1)

    async def _new_address(self, owner: str) -> str:
        async def assign() -> str | None:
            try:
                async with self._pool.acquire() as conn, conn.transaction():
                    made = await assign_addresses(
                        conn, self._adapter, self._network, self._tenant, [owner]
                    )
            except NoFreeKeys:
                return None
            return made[0].address

        return await self._until(assign)

    async def _hot_wallet(self) -> str | None:
        try:
            async with self._pool.acquire() as conn, conn.transaction():
                wallet = await ensure_hot_wallet(conn, self._adapter, self._tenant, self._network)
        except NoWalletKey:
            return None
        return wallet.address

    async def _has(self, owner: str, asset: str, bucket: str, amount_minor: int) -> bool | None:
        async with self._pool.acquire() as conn:
            balance = await ledger_sql.fetch_account_balance(
                conn, self._tenant, owner, asset, bucket
            )
        self._screen.progress(f"{owner or 'the tenant'} has {whole(balance, 18)} {asset} {bucket}")
        return True if balance == amount_minor else None

    async def _hear(self, event_type: str, **fields: str) -> dict[str, Any]:
        """Return the data of a verified webhook of this type with these fields."""
        self._screen.progress(f"waiting for {event_type}")

        def matches(data: dict[str, Any]) -> bool:
            return all(data.get(name) == value for name, value in fields.items())

        try:
            event = await self._sink.expect(event_type, matches, WAIT_S)
        except TimeoutError:
            raise TimeoutError(f"no webhook {event_type} {fields} within {WAIT_S:.0f} s") from None
        data: dict[str, Any] = event["data"]
        return data

    async def _until(self, look: Callable[[], Awaitable[ResultT | None]]) -> ResultT:
        """Look again and again until there is an answer."""
        deadline = time.monotonic() + WAIT_S
        while (found := await look()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not come about within {WAIT_S:.0f} s")
            await asyncio.sleep(0.1)
        return found
