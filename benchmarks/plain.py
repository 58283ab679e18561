"""What the bare references share: plain tables beside ours, and the plainest statements on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.ledger import PLAIN_POST, PLAIN_SCHEMA
from sql.pool import Connection
from topics.blocks import BlockAdded

PLAIN_DEPOSITS = """
CREATE TABLE plain_deposits (
    deposit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network text NOT NULL,
    transaction_id text NOT NULL,
    transfer_index text NOT NULL,
    owner bigint NOT NULL,
    address text NOT NULL,
    sender text,
    amount_minor numeric(78, 0) NOT NULL,
    height bigint NOT NULL,
    block_id text NOT NULL,
    status text NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    UNIQUE (network, transaction_id, transfer_index)
);
CREATE INDEX ON plain_deposits (network, height) WHERE status = 'detected';
"""

INSERT_DEPOSITS = """
INSERT INTO plain_deposits (
    network, transaction_id, transfer_index, owner, address, sender, amount_minor, height, block_id,
    status
)
SELECT $1, t.*, $2 FROM unnest(
    $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[]::numeric[],
    $9::bigint[], $10::text[]
) AS t
"""

CONFIRM_DEPOSITS = """
UPDATE plain_deposits SET status = 'confirmed', confirmed_at = now()
WHERE network = $1 AND status = 'detected' AND height <= $2
RETURNING transaction_id || ':' || transfer_index, owner, amount_minor::text
"""

TENANT = "bench"


class PlainDeposit(NamedTuple):
    """A transfer to a watched address. The columns of INSERT_DEPOSITS in order."""

    transaction_id: str
    transfer_index: str
    owner: int
    address: str
    sender: str | None
    amount_minor: str
    height: int
    block_id: str


async def make_tables(conn: Connection) -> None:
    """Make the plain tables in a database that has ours."""
    await conn.execute(PLAIN_SCHEMA + PLAIN_DEPOSITS)


async def load_owners(conn: Connection) -> dict[str, int]:
    """Return the number of the owner of each watched address."""
    rows = await conn.fetch("SELECT address, serial FROM addresses")
    return {row["address"]: row["serial"] for row in rows}


def match(blocks: Sequence[BlockAdded], owners: dict[str, int]) -> list[PlainDeposit]:
    """Return the transfers to watched addresses."""
    return [
        PlainDeposit(
            transaction.id,
            transfer.index,
            owner,
            transfer.address,
            transfer.sender,
            transfer.amount_minor,
            block.height,
            block.block_id,
        )
        for block in blocks
        for transaction in block.transactions
        for transfer in transaction.transfers
        if (owner := owners.get(transfer.address)) is not None
    ]


async def insert(
    conn: Connection, network: str, deposits: Sequence[PlainDeposit], status: str
) -> None:
    """Write deposits; one that is there already is an error."""
    await conn.execute(INSERT_DEPOSITS, network, status, *zip(*deposits, strict=True))


async def confirm(conn: Connection, network: str, height: int) -> list[tuple[str, int, str]]:
    """Confirm the deposits up to a height; return (key, owner, amount) of each."""
    return [
        (key, owner, text)
        for key, owner, text in await conn.fetch(CONFIRM_DEPOSITS, network, height)
    ]


async def post(conn: Connection, entries: Sequence[tuple[str, int, str]]) -> None:
    """Post (key, owner, amount) of deposits: journals, postings, balances."""
    count = len(entries)
    keys = [key for key, _, _ in entries]
    await conn.execute(
        PLAIN_POST,
        [TENANT] * count,
        ["DEPOSIT"] * count,
        keys,
        ["deposit"] * count,
        keys,
        [None] * count,
        [-1] * count,
        [owner for _, owner, _ in entries],
        [amount_minor for _, _, amount_minor in entries],
    )


def setting(name: str) -> str:
    """Return one of the variables that our workers are configured with."""
    return os.environ[f"MILLRACE_{name}"]
