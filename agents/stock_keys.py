"""Keeps public keys ready, so that new addresses need no secret. Runs in the signer's process."""

from __future__ import annotations

from agents.runtime.context import Context
from agents.runtime.loop import Loop
from agents.runtime.transact import transact
from custody.signer import Signer
from sql import custody as custody_sql
from sql.custody import PoolKey

DEPOSIT_BRANCH, SYSTEM_BRANCH = 0, 1


class StockKeys(Loop):
    """Fills the pool of each network up to `address_pool_min` keys, and makes tenants' wallet keys.

    Keys are added in order and never taken out, so an index is never used twice.
    """

    name = "stock_keys"
    every_s = 1.0

    def __init__(self, context: Context, signer: Signer) -> None:
        super().__init__(context)
        self._signer = signer

    async def run_once(self) -> None:
        """Add what is missing on every network."""
        networks = [network.network for network in self.context.settings.networks]
        async with transact(self.context) as work:
            await custody_sql.add_keys(
                work.conn,
                [
                    *self._deposit_keys(await custody_sql.count_free_keys(work.conn, networks)),
                    *self._wallet_keys(await custody_sql.missing_wallet_keys(work.conn, networks)),
                ],
            )

    def _deposit_keys(self, stock: list[custody_sql.FreeKeys]) -> list[PoolKey]:
        wanted = self.context.settings.address_pool_min
        return [
            self._key(network, DEPOSIT_BRANCH, next_index + number)
            for network, free_keys, next_index in stock
            for number in range(max(wanted - free_keys, 0))
        ]

    def _wallet_keys(self, missing: list[custody_sql.WalletIndex]) -> list[PoolKey]:
        return [self._key(network, SYSTEM_BRANCH, index) for network, index in missing]

    def _key(self, network: str, branch: int, index: int) -> PoolKey:
        adapter = self.context.adapters[network]
        key_path = adapter.key_path(branch, index)
        public_key = self._signer.public_key(key_path, adapter.key_scheme)
        return PoolKey(network, branch, index, key_path, public_key)
