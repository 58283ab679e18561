"""New deposit addresses and memos: made from the pool of public keys, so no secret is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chain_adapters.adapter import ChainPayer
from custody.errors import CustodyError
from sql.addresses import (
    add_addresses,
    add_memos,
    advance_counter,
    read_pooled,
    reserve_addresses,
    reserve_forgotten,
    take_memo_numbers,
)
from sql.pool import Connection
from sql.tenants import add_users, list_tenants


class TenantClosed(CustodyError):
    """There is no such tenant, or it is not active."""


class NoFreeKeys(CustodyError):
    """The pool has too few unused keys. The signer fills it within seconds while it runs."""


class NoMemos(CustodyError):
    """The chain has no memos, so that every user needs an address."""


class NewAddress(NamedTuple):
    """An address in the chain's canonical form, watched from the commit on."""

    owner: str
    address: str
    key_path: str


class WithheldAddress(NamedTuple):
    """An address that nobody is given. What comes to it waits in suspense for an owner."""

    address: str
    key_path: str


class NewMemo(NamedTuple):
    """A memo on the tenant's pooled address, both in the chain's canonical form."""

    owner: str
    address: str
    memo: str


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

    Networks of one kind make the same address of a key, so it is given out on one of them alone:
    who pays on the wrong one pays no other user. To be called inside a transaction, which must be
    rolled back on an error. Concurrent calls wait for each other at the counters of these
    networks, so no key is given out twice. Raises TenantClosed, NoFreeKeys.
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
    await advance_counter(conn, network, addresses=len(made), keys=keys)
    return made


async def assign_memos(
    conn: Connection,
    payer: ChainPayer,
    network: str,
    tenant: str,
    owners: Sequence[str],
    *,
    label: str | None = None,
) -> list[NewMemo]:
    """Give each of `owners` one new memo on the tenant's pooled address, like assign_addresses.

    The first one of a tenant on a network makes the address, from the next deposit key. Raises
    TenantClosed, NoMemos, NoFreeKeys.
    """
    if payer.make_memo(0) is None:
        raise NoMemos(f"{network} has no memos: give each user an address")
    await _require_active(conn, tenant)
    await add_users(conn, tenant, owners)
    address = await _pooled_address(conn, payer, network, tenant)
    first = await take_memo_numbers(conn, network, len(owners))
    made = [
        NewMemo(owner, address, str(payer.make_memo(check_number(serial))))
        for serial, owner in enumerate(owners, first)
    ]
    rows = [(new.memo, new.owner, label) for new in made]
    await add_memos(conn, network, tenant, address, rows)
    return made


async def withhold_addresses(
    conn: Connection, payer: ChainPayer, network: str, tenant: str, count: int
) -> list[WithheldAddress]:
    """Give the next addresses to nobody, and as many memo numbers, for ever.

    For a restored database, which would give to others what it gave out before and forgot. What
    several networks of one kind forgot is mixed: the same keys are withheld on each of them. The
    addresses are watched like pooled ones without memos: what comes to them is in the tenant's
    suspense and can be assigned. Called like assign_addresses; raises TenantClosed, NoFreeKeys.

    The first of a tenant without a pooled address becomes it once memos are given out.
    """
    await _require_active(conn, tenant)
    keys = await reserve_forgotten(conn, network, count)
    if len(keys) < count:
        raise NoFreeKeys(f"{network} has {len(keys)} unused keys, {count} are wanted")
    made = [
        WithheldAddress(payer.derive_address(key.public_key, key.key_path), key.key_path)
        for key in keys
    ]
    rows = [(new.address, "", new.key_path, "withheld") for new in made]
    await add_addresses(conn, network, tenant, "pooled", rows)
    await advance_counter(conn, network, addresses=count, keys=keys, withheld=True)
    await take_memo_numbers(conn, network, count)
    return made


def check_number(serial: int) -> int:
    """Return a number with two check digits at its end (ISO 7064, MOD 97-10).

    No such number becomes another by one wrong digit or two neighbours in the wrong order, so that
    such a slip names nobody, and never another user.
    """
    return serial * 100 + 98 - serial * 100 % 97


async def _pooled_address(conn: Connection, payer: ChainPayer, network: str, tenant: str) -> str:
    """Return the tenant's pooled address, made if it is not there, with the counter locked."""
    keys = await reserve_addresses(conn, network, 1)
    existing = await read_pooled(conn, tenant, network)
    if existing is not None:
        return existing
    if not keys:
        raise NoFreeKeys(f"{network} has no unused key for a pooled address")
    address = payer.derive_address(keys[0].public_key, keys[0].key_path)
    row = (address, "", keys[0].key_path, "pooled address")
    await add_addresses(conn, network, tenant, "pooled", [row])
    await advance_counter(conn, network, addresses=1, keys=keys)
    return address


async def _require_active(conn: Connection, tenant: str) -> None:
    found = await list_tenants(conn, tenant)
    if not found:
        raise TenantClosed(f"there is no tenant {tenant!r}")
    if found[0].status != "active":
        raise TenantClosed(f"tenant {tenant!r} is {found[0].status}")
