"""Master secrets, the pool of public keys, and hot wallets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("custody")


class FreeKeys(NamedTuple):
    """How many deposit keys of a network wait for use, and the index of the next one to make."""

    network: str
    free_keys: int
    next_index: int


class WalletIndex(NamedTuple):
    """The index of a tenant's key on the system branch of a network."""

    network: str
    wallet_index: int


class PoolKey(NamedTuple):
    """A public key made ahead of need. `branch` is 0 for deposits, 1 for system wallets."""

    network: str
    branch: int
    key_index: int
    key_path: str
    public_key: bytes


class WalletKey(NamedTuple):
    """The public key of a tenant's wallets on a network."""

    key_path: str
    public_key: bytes


class SystemWallet(NamedTuple):
    """An address of a tenant's own: its purpose is hot or pooled."""

    purpose: str
    address: str
    key_path: str


class HotWallet(NamedTuple):
    """The wallet a tenant's withdrawals are paid from."""

    address: str
    key_path: str


async def add_master_secret(conn: Connection, name: str, envelope: bytes) -> bool:
    """Keep a master secret; False if there is one of its name already."""
    added = await _queries.add_master_secret(conn, name=name, envelope=envelope)
    return added is not None


async def read_master_secret(conn: Connection, name: str) -> bytes | None:
    """Return the sealed master secret of a name, None if it is not there."""
    envelope: bytes | None = await _queries.read_master_secret(conn, name=name)
    return envelope


async def count_free_keys(conn: Connection, networks: Sequence[str]) -> list[FreeKeys]:
    """Return what each network has in its pool; unknown networks are left out."""
    rows = await _queries.count_free_keys(conn, networks=list(networks))
    return [FreeKeys(*row) for row in rows]


async def missing_wallet_keys(conn: Connection, networks: Sequence[str]) -> list[WalletIndex]:
    """Return the system keys that tenants lack."""
    rows = await _queries.missing_wallet_keys(conn, networks=list(networks))
    return [WalletIndex(*row) for row in rows]


async def first_keys(conn: Connection, networks: Sequence[str]) -> list[PoolKey]:
    """Return the oldest key of each of these networks, as far as there are any."""
    return [PoolKey(*row) for row in await _queries.first_keys(conn, networks=list(networks))]


async def add_keys(conn: Connection, keys: Sequence[PoolKey]) -> None:
    """Put public keys into the pool; repeats do no harm."""
    if not keys:
        return
    networks, branches, key_indices, key_paths, public_keys = zip(*keys, strict=True)
    await _queries.add_keys(
        conn,
        networks=list(networks),
        branches=list(branches),
        key_indices=list(key_indices),
        key_paths=list(key_paths),
        public_keys=list(public_keys),
    )


async def read_wallet_key(conn: Connection, tenant: str, network: str) -> WalletKey | None:
    """Return the tenant's key, None if the signer has not made it yet."""
    row = await _queries.read_wallet_key(conn, tenant=tenant, network=network)
    return None if row is None else WalletKey(*row)


async def read_hot_wallet(conn: Connection, tenant: str, network: str) -> HotWallet | None:
    """Return the tenant's hot wallet, None if it has none yet."""
    row = await _queries.read_hot_wallet(conn, tenant=tenant, network=network)
    return None if row is None else HotWallet(*row)


async def list_system_wallets(conn: Connection, tenant: str, network: str) -> list[SystemWallet]:
    """Return a tenant's hot wallet and pooled address, as far as there are any."""
    rows = await _queries.list_system_wallets(conn, tenant=tenant, network=network)
    return [SystemWallet(*row) for row in rows]
