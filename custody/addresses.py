"""New deposit addresses: made from the pool of public keys, so no secret is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chain_adapters.adapter import ChainPayer
from custody.errors import CustodyError
from sql.deposits import add_addresses, advance_counter, reserve_addresses
from sql.pool import Connection
from sql.tenants import add_users, list_tenants


class TenantClosed(CustodyError):
    """There is no such tenant, or it is not active."""


class NoFreeKeys(CustodyError):
    """The pool has too few unused keys. The signer fills it within seconds while it runs."""


class NewAddress(NamedTuple):
    """An address in the chain's canonical form, watched from the commit on."""

    owner: str
    address: str
    key_path: str


async def assign_addresses(
    conn: Connection,
    payer: ChainPayer,
    network: str,
    tenant: str,
    owners: Sequence[str],
    *,
    label: str | None = None,
) -> list[NewAddress]:
    """Give each of `owners` one new deposit address, in order; a repeated owner gets several.

    To be called inside a transaction, which must be rolled back on an error. Concurrent calls wait
    for each other at the network's counter, so no key is given out twice. Raises TenantClosed,
    NoFreeKeys.
    """
    await _require_active(conn, tenant)
    await add_users(conn, tenant, owners)
    keys = await reserve_addresses(conn, network, len(owners))
    if len(keys) < len(owners):
        raise NoFreeKeys(f"{network} has {len(keys)} unused keys, {len(owners)} are wanted")
    made = [
        NewAddress(owner, payer.derive_address(key.public_key, key.key_path), key.key_path)
        for owner, key in zip(owners, keys, strict=True)
    ]
    rows = [(new.address, new.owner, new.key_path, label) for new in made]
    await add_addresses(conn, network, tenant, "deposit", rows)
    await advance_counter(conn, network, addresses=len(made), keys=len(made))
    return made


async def _require_active(conn: Connection, tenant: str) -> None:
    found = await list_tenants(conn, tenant)
    if not found:
        raise TenantClosed(f"there is no tenant {tenant!r}")
    if found[0].status != "active":
        raise TenantClosed(f"tenant {tenant!r} is {found[0].status}")
