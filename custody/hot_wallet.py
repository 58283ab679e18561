"""The wallet a tenant's withdrawals are paid from: one a tenant and network."""

from __future__ import annotations

from chain_adapters.adapter import ChainPayer
from custody.errors import CustodyError
from sql.addresses import add_addresses, advance_counter, lock_counter
from sql.custody import HotWallet, read_hot_wallet, read_wallet_key
from sql.pool import Connection


class NoWalletKey(CustodyError):
    """The signer has not made the tenant's key yet; it does so within seconds of its start."""


async def ensure_hot_wallet(
    conn: Connection, payer: ChainPayer, tenant: str, network: str
) -> HotWallet:
    """Return the tenant's hot wallet, made if it is not there. Raises NoWalletKey.

    To be called inside a transaction. Concurrent calls give one wallet: they wait for each other
    at the network's address counter.
    """
    existing = await read_hot_wallet(conn, tenant, network)
    return existing or await _make_hot_wallet(conn, payer, tenant, network)


async def _make_hot_wallet(
    conn: Connection, payer: ChainPayer, tenant: str, network: str
) -> HotWallet:
    key = await read_wallet_key(conn, tenant, network)
    if key is None:
        raise NoWalletKey(f"no key for the wallets of tenant {tenant!r} on {network} yet")
    await lock_counter(conn, network)
    existing = await read_hot_wallet(conn, tenant, network)
    if existing is not None:
        return existing
    address = payer.derive_address(key.public_key, key.key_path)
    row = (address, "", key.key_path, "hot wallet")
    await add_addresses(conn, network, tenant, "hot", [row])
    await advance_counter(conn, network, addresses=1)
    return HotWallet(address, key.key_path)
