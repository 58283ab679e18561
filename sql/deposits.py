"""Deposits: transfers that came to addresses of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from sql.addresses import OwnedAddress
from sql.arrays import array_literal
from sql.chain import Cursor
from sql.confirmations import Steps, read_steps
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("deposits")


class Survey(NamedTuple):
    """What has to be known of a network before blocks are judged."""

    cursor: Cursor | None
    standing: dict[tuple[int, str], bool]
    """For each block (height, block id) that is remembered, whether it is on the best chain now."""
    addresses: list[tuple[int, str]]
    """(serial, address) of new ones, in order."""
    owned: dict[str, OwnedAddress]
    """Those of the addresses asked about that are ours."""
    due: bool
    """Whether deposits or network costs wait for a height that the network has."""


class NewDeposit(NamedTuple):
    """A transfer to an address of ours, about to be written. Amounts are decimal strings."""

    transaction_id: str
    transfer_index: str
    tenant: str
    owner: str
    purpose: str
    address: str
    sender: str | None
    contract: str | None
    asset: str | None
    amount_minor: str
    memo: str | None
    height: int
    block_id: str
    ignored_reason: str | None
    confirm_height: int


class Deposit(NamedTuple):
    """A deposit as it stands; see the deposits table. The amount is a decimal string."""

    deposit_id: int
    revision: int
    tenant: str
    owner: str
    purpose: str
    asset: str | None
    amount_minor: str
    network: str
    address: str
    transaction_id: str
    transfer_index: str
    height: int
    memo: str | None
    status: str
    ignored_reason: str | None
    sender: str | None
    contract: str | None
    confirm_height: int
    block_id: str


class WaitingDeposit(NamedTuple):
    """A deposit that is found and not confirmed. The amount is a decimal string."""

    deposit_id: int
    tenant: str
    owner: str
    asset: str
    amount_minor: str
    network: str
    address: str
    transaction_id: str
    transfer_index: str
    height: int
    confirm_height: int
    detected_at: datetime
    waits_for: str
    """confirmations; safe or finalized, the chain's own word; or confirm_deposits, the stage."""


@dataclass(frozen=True, slots=True)
class AssetPolicy:
    """How deposits of one asset are judged."""

    asset: str
    minor_min: int
    confirmations: Steps


@dataclass(frozen=True, slots=True)
class DepositPolicy:
    """How deposits on one network are judged. Assets by contract, None is the native one."""

    confirmations: int
    finality: str
    assets: dict[str | None, AssetPolicy]


async def survey_network(
    conn: Connection,
    network: str,
    blocks: Sequence[tuple[int, str]],
    named: Sequence[str],
    *,
    after_serial: int,
    limit_rows: int,
) -> Survey:
    """Return what has to be known before blocks (height, block id) that name addresses are judged.

    New addresses are those after a serial, `limit_rows` at most.
    """
    row = await _queries.survey_network(
        conn,
        network=network,
        heights=[height for height, _ in blocks],
        block_ids=[block_id for _, block_id in blocks],
        named=list(named),
        after_serial=after_serial,
        limit_rows=limit_rows,
    )
    *cursor, standing, serials, addresses, owned, tenants, owners, purposes, due = row
    return Survey(
        None if row["height"] is None else Cursor(*cursor),
        {
            block: canonical
            for block, canonical in zip(blocks, standing, strict=True)
            if canonical is not None
        },
        list(zip(serials, addresses, strict=True)),
        dict(zip(owned, map(OwnedAddress, owned, tenants, owners, purposes), strict=True)),
        due,
    )


async def own_transactions(
    conn: Connection, network: str, transaction_ids: Sequence[str]
) -> set[str]:
    """Return those of these transactions that are attempts at withdrawals of ours."""
    rows = await _queries.own_transactions(
        conn, network=network, transaction_ids=list(transaction_ids)
    )
    return {row["transaction_id"] for row in rows}


async def detect_deposits(
    conn: Connection,
    network: str,
    deposits: Sequence[NewDeposit],
    *,
    tip_height: int,
    final_height: int,
) -> list[Deposit]:
    """Write deposits; return those that are new, were orphaned or were of a token not yet listed.

    What has its confirmations at `tip_height` and is not above `final_height` is confirmed at once.
    No transfer may stand in `deposits` twice.
    """
    columns = [array_literal(column) for column in zip(*deposits, strict=True)]
    rows = await _queries.detect_deposits(
        conn,
        network=network,
        transaction_ids=columns[0],
        transfer_indexes=columns[1],
        tenants=columns[2],
        owners=columns[3],
        purposes=columns[4],
        addresses=columns[5],
        senders=columns[6],
        contracts=columns[7],
        assets=columns[8],
        amounts_minor=columns[9],
        memos=columns[10],
        heights=columns[11],
        block_ids=columns[12],
        ignored_reasons=columns[13],
        confirm_heights=columns[14],
        tip_height=tip_height,
        final_height=final_height,
    )
    new = {deposit[:2]: deposit for deposit in deposits}
    return [_written(new[row[0], row[1]], network, row) for row in rows]


def _written(new: NewDeposit, network: str, row: asyncpg.Record) -> Deposit:
    """Return a deposit as it was written; the owner may be one that an operator has named."""
    return Deposit(
        row["deposit_id"],
        row["revision"],
        new.tenant,
        row["owner"],
        new.purpose,
        new.asset,
        new.amount_minor,
        network,
        new.address,
        new.transaction_id,
        new.transfer_index,
        new.height,
        new.memo,
        row["status"],
        new.ignored_reason,
        new.sender,
        new.contract,
        new.confirm_height,
        new.block_id,
    )


async def orphan_deposits(
    conn: Connection, network: str, blocks: Sequence[tuple[int, str]]
) -> list[Deposit]:
    """Mark the deposits of (height, block id) orphaned; `status` tells what each was before."""
    rows = await _queries.orphan_deposits(
        conn,
        network=network,
        heights=[height for height, _ in blocks],
        block_ids=[block_id for _, block_id in blocks],
    )
    return [Deposit(*row) for row in rows]


async def stale_blocks(
    conn: Connection, network: str, transaction_ids: Sequence[str]
) -> list[tuple[int, str]]:
    """Return (height, block id) of blocks off the chain with deposits or costs of these."""
    rows = await _queries.stale_blocks(conn, network=network, transaction_ids=list(transaction_ids))
    return [(row["height"], row["block_id"]) for row in rows]


async def confirm_deposits(
    conn: Connection, network: str, tip_height: int, final_height: int
) -> list[Deposit]:
    """Confirm what has its confirmations at `tip_height` and is not above `final_height`."""
    rows = await _queries.confirm_deposits(
        conn, network=network, tip_height=tip_height, final_height=final_height
    )
    return [Deposit(*row) for row in rows]


async def decided_deposits(conn: Connection, network: str, first: int, last: int) -> list[Deposit]:
    """Return the deposits of listed assets in blocks from `first` to `last`, of any status."""
    rows = await _queries.decided_deposits(conn, network=network, first=first, last=last)
    return [Deposit(*row) for row in rows]


async def find_deposit(conn: Connection, tenant: str, deposit_id: int) -> Deposit | None:
    """Return a tenant's deposit and lock it until the transaction ends."""
    row = await _queries.find_deposit(conn, tenant=tenant, deposit_id=deposit_id)
    return None if row is None else Deposit(*row)


async def assign_deposit(conn: Connection, deposit_id: int, owner: str, actor: str) -> None:
    """Say whose a deposit is. Refused by the database unless it waits for that."""
    await _queries.assign_deposit(conn, deposit_id=deposit_id, owner=owner, actor=actor)


async def list_deposits(
    conn: Connection,
    tenant: str | None,
    owner: str | None,
    limit_rows: int,
    *,
    unassigned: bool = False,
) -> list[Deposit]:
    """Return deposits, newest first, `unassigned` ones if wanted; None asks for all of them."""
    rows = await _queries.list_deposits(
        conn, tenant=tenant, owner=owner, unassigned=unassigned, limit_rows=limit_rows
    )
    return [Deposit(*row) for row in rows]


async def list_waiting_deposits(
    conn: Connection, network: str | None, limit_rows: int
) -> list[WaitingDeposit]:
    """Return deposits of all tenants that wait, of one network if given, those due first."""
    rows = await _queries.list_waiting_deposits(conn, network=network, limit_rows=limit_rows)
    return [WaitingDeposit(*row) for row in rows]


async def deposit_policies(conn: Connection) -> dict[str, DepositPolicy]:
    """Return the rules of every network."""
    policies: dict[str, DepositPolicy] = {}
    for row in await _queries.deposit_policies(conn):
        policy = policies.setdefault(
            row["network"], DepositPolicy(row["confirmations"], row["finality"], {})
        )
        if row["asset"] is not None:
            policy.assets[row["contract"]] = AssetPolicy(
                row["asset"],
                int(row["deposit_minor_min"]),
                read_steps(row["confirmations_by_amount"], row["confirmations"]),
            )
    return policies
