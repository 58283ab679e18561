"""A tenant on a chain that tests can drive: all money comes from the chain, and is compared."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import aclosing

from agents.parts.reconcile_figures import Report
from agents.reconcile_chain import Patience, reconcile_network
from chain_adapters.types import Payment, SignedTransaction
from custody.addresses import assign_addresses
from devstack.chains.chain import DevChain
from settings.model import Network
from sql import addresses as addresses_sql
from sql.pool import Pool
from sql.withdrawals import Withdrawal
from tests.support.chain_worlds.world import World
from tests.support.withdrawals import AT_ONCE_S, CONFIRMATIONS, PayingWorld


class PayingNodeWorld(PayingWorld):
    """A tenant whose hot wallet and users have what its deposits brought.

    `chain` is the node's own client, `contract` a token that its bank holds and the world's
    adapter reads.
    """

    def __init__(
        self, pool: Pool, database_url: str, node: World, chain: DevChain, contract: str
    ) -> None:
        self.node, self.chain, self.contract = node, chain, contract
        network = Network.model_validate(
            {
                "network": node.adapter.network,
                "kind": node.kind,
                "rpc_urls": ("http://127.0.0.1",),
                "native_asset": f"COIN-{secrets.token_hex(4)}",
                "confirmations": CONFIRMATIONS,
                "start_height": 1,
                "rebroadcast_after_s": AT_ONCE_S,
                "replace_after_s": AT_ONCE_S,
            }
        )
        super().__init__(pool, database_url, node.adapter, network, node.kind)

    async def start(self) -> None:
        """Also list the token, without limits."""
        await super().start()
        async with self.pool.acquire() as conn:
            await conn.execute(
                "UPDATE assets SET withdrawal_minor_min = 1, withdrawal_minor_max = NULL,"
                " withdrawal_approval_minor = NULL WHERE network = $1",
                self.network,
            )
            await conn.execute(
                "UPDATE assets SET contract = $2 WHERE asset = $1", self.token, self.contract
            )
        await self.pipeline.start()

    async def new_address(self, owner: str = "alice") -> str:
        """Return a new deposit address of a user."""
        await self.stock_keys.run_once()
        async with self.pool.acquire() as conn, conn.transaction():
            [made] = await assign_addresses(conn, self.adapter, self.network, self.tenant, [owner])
        return made.address

    async def pay_in(self, address: str, coins_minor: int, tokens_minor: int = 0) -> None:
        """Pay out of the node's bank, and wait until it is booked."""
        await self.chain.pay(address, coins_minor)
        if tokens_minor:
            await self.mine()
            await self.chain.pay_token(self.contract, address, tokens_minor)
        await self.confirm()

    async def mine(self, count: int = 1) -> None:
        """Mine blocks one by one and follow each."""
        for _ in range(count):
            await self.node.mine()
            await self.follow()

    async def confirm(self) -> None:
        """Mine until what was sent has arrived and is deep enough, on chains that take long too."""
        await self.mine(CONFIRMATIONS + 4)

    async def follow(self) -> None:
        """Read the chain to its tip and settle."""
        async with aclosing(self.node.adapter.watch_tip()) as tips:
            tip = await anext(tips)
        await self.follower.catch_up(tip)
        await self.settle()

    async def order(self, asset: str, amount_minor: int, address: str) -> str:
        """Order a withdrawal of alice's and have it sent; return its id."""
        order_id = f"order-{secrets.token_hex(4)}"
        await self.request(
            self.command(order_id, amount_minor, asset=asset, address=self.shown(address))
        )
        return order_id

    async def withdraw(self, asset: str, amount_minor: int, address: str) -> Withdrawal:
        """Order a withdrawal of alice's, wait until it is decided on chain, and return it."""
        order_id = await self.order(asset, amount_minor, address)
        await self.confirm()
        return await self.withdrawal(order_id)

    async def finish(self, order_ids: Iterable[str]) -> None:
        """Hand over again what waits, and mine, until all these withdrawals are confirmed."""
        waiting = list(order_ids)
        for _ in range(10):
            await self.retry()
            await self.mine(CONFIRMATIONS)
            if all([(await self.withdrawal(i)).status == "confirmed" for i in waiting]):
                return
        raise AssertionError([await self.withdrawal(i) for i in waiting])

    async def adopt(self, address: str) -> None:
        """Take an address in as a cold wallet of the tenant, whatever is on its way to it."""
        async with self.pool.acquire() as conn, conn.transaction():
            await addresses_sql.lock_counter(conn, self.network)
            row = (address, "", None, None)
            await addresses_sql.add_addresses(conn, self.network, self.tenant, "cold", [row])
            await addresses_sql.advance_counter(conn, self.network, 1)

    async def send_by_hand(self, payment: Payment) -> SignedTransaction:
        """Broadcast a payment of an address of ours that is no withdrawal."""
        async with self.pool.acquire() as conn:
            key_path = await conn.fetchval(
                "SELECT key_path FROM addresses WHERE network = $1 AND address = $2",
                self.network,
                payment.sender,
            )
        quote = await self.adapter.quote(payment)
        unsigned = self.adapter.build(payment, quote, quote.next_nonce)
        scheme = self.adapter.key_scheme
        signatures = [self.signer.sign(key_path, p, scheme) for p in unsigned.signing_payloads]
        signed = self.adapter.assemble(unsigned, tuple(signatures))
        await self.adapter.broadcast(signed)
        return signed

    async def held(self, address: str, contract: str | None = None) -> int:
        """Return what the node finds at an address now."""
        return await self.node.balance(address, contract, await self.node.height())

    def shown(self, address: str) -> str:
        """Return an address as people paste it."""
        return self.adapter.show_address(address)

    async def reconcile(self) -> Report:
        """Compare the chain with the books."""
        return await reconcile_network(
            self.pool,
            self.adapter,
            topic_prefix=self.pipeline.kafka.prefix,
            patience=Patience(pause_s=0),
        )

    async def check_books(self) -> None:
        """Assert that node, records and ledger agree to the last unit, and the ledger took all."""
        report = await self.reconcile()
        assert report.clean, (report.differences, report.unsettled)
        assert await self.parked_facts() == 0
