"""Addresses and memos of ours: whose they are, and how they are given out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("addresses")


class OwnedAddress(NamedTuple):
    """An address of ours."""

    address: str
    tenant: str
    owner: str
    purpose: str


class ReservedKey(NamedTuple):
    """A deposit key that is given out for the first and only time."""

    key_index: int
    key_path: str
    public_key: bytes


async def new_addresses(
    conn: Connection, network: str, after_serial: int, limit_rows: int
) -> list[tuple[int, str]]:
    """Return (serial, address) of addresses added after a serial, in order."""
    rows = await _queries.new_addresses(
        conn, network=network, after_serial=after_serial, limit_rows=limit_rows
    )
    return [(row[0], row[1]) for row in rows]


async def owned_addresses(
    conn: Connection, network: str, addresses: Sequence[str]
) -> dict[str, OwnedAddress]:
    """Return those of `addresses` that are ours, by address."""
    rows = await _queries.owned_addresses(conn, network=network, addresses=list(addresses))
    return {row[0]: OwnedAddress(*row) for row in rows}


async def own_addresses(conn: Connection, network: str, addresses: Sequence[str]) -> set[str]:
    """Return those of `addresses` that are ours, or of a key of ours on a network of the kind."""
    rows = await _queries.own_addresses(conn, network=network, addresses=list(addresses))
    return {row["address"] for row in rows}


async def memo_owners(
    conn: Connection, network: str, memos: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Return whose these (pooled address, memo) are; unknown ones are left out."""
    rows = await _queries.memo_owners(
        conn,
        network=network,
        addresses=[address for address, _ in memos],
        memos=[memo for _, memo in memos],
    )
    return {(row["address"], row["memo"]): row["owner"] for row in rows}


async def lock_counter(conn: Connection, network: str) -> int:
    """Lock the network's address counter; return the last serial."""
    rows = await _queries.lock_counter(conn, network=network)
    return int(rows[0]["serial"])


async def make_counters_alike(conn: Connection, network: str) -> None:
    """Make the counters of all networks of this one's kind that are not there."""
    await _queries.make_counters_alike(conn, network=network)


async def lock_counters_alike(conn: Connection, network: str) -> None:
    """Lock the counters of all networks of this one's kind: their addresses are made alike."""
    await _queries.lock_counters_alike(conn, network=network)


async def reserve_addresses(conn: Connection, network: str, wanted: int) -> list[ReservedKey]:
    """Return the next deposit keys that no network of the kind has used, as many as there are.

    The counters of these networks stay locked until the transaction ends.
    """
    await make_counters_alike(conn, network)
    await lock_counters_alike(conn, network)
    rows = await _queries.reserve_addresses(conn, network=network, wanted=wanted)
    return [ReservedKey(*row) for row in rows]


async def reserve_forgotten(conn: Connection, network: str, wanted: int) -> list[ReservedKey]:
    """Return the next deposit keys above all that networks of the kind know to be given.

    With the same locks, and none that this network has used. Others may have withheld them:
    these are for addresses that nobody is to be given.
    """
    await make_counters_alike(conn, network)
    await lock_counters_alike(conn, network)
    rows = await _queries.reserve_forgotten(conn, network=network, wanted=wanted)
    return [ReservedKey(*row) for row in rows]


async def add_addresses(
    conn: Connection,
    network: str,
    tenant: str,
    purpose: str,
    addresses: Sequence[tuple[str, str, str | None, str | None]],
) -> None:
    """Watch (address, owner, key path, label) rows. The counter must be locked by the caller."""
    columns = list(zip(*addresses, strict=True))
    await _queries.add_addresses(
        conn,
        network=network,
        tenant=tenant,
        purpose=purpose,
        addresses=columns[0],
        owners=columns[1],
        key_paths=columns[2],
        labels=columns[3],
    )


async def advance_counter(
    conn: Connection,
    network: str,
    addresses: int,
    keys: Sequence[ReservedKey] = (),
    *,
    withheld: bool = False,
) -> None:
    """Count addresses added and deposit keys used, which are in the order of their reservation."""
    next_key = keys[-1].key_index + 1 if keys else 0
    await _queries.advance_counter(
        conn, network=network, addresses=addresses, next_key=next_key, withheld=withheld
    )


async def read_pooled(conn: Connection, tenant: str, network: str) -> str | None:
    """Return the tenant's pooled address, None if it has none yet."""
    address: str | None = await _queries.read_pooled(conn, tenant=tenant, network=network)
    return address


async def take_memo_numbers(conn: Connection, network: str, wanted: int) -> int:
    """Return the first of `wanted` numbers from 1 on that nobody else is given."""
    first: int = await _queries.take_memo_numbers(conn, network=network, wanted=wanted)
    return first


async def add_memos(
    conn: Connection,
    network: str,
    tenant: str,
    address: str,
    memos: Sequence[tuple[str, str, str | None]],
) -> None:
    """Give owners memos on a pooled address, as (memo, owner, label) rows."""
    await _queries.add_memos(
        conn,
        network=network,
        tenant=tenant,
        address=address,
        memos=[memo for memo, _, _ in memos],
        owners=[owner for _, owner, _ in memos],
        labels=[label for _, _, label in memos],
    )
