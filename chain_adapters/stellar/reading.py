"""Reading one ledger from one Horizon server, whole or not at all.

A ledger takes one call, and for each 200 transactions or operations in it one more. Only where an
account was merged or a claimable balance claimed, that transaction's effects are asked for too:
all effects of a ledger, mostly trades, would be several times as much. What a page holds is
checked against the ledger's own counts, so that a server that has ingested only a part, keeps
only some accounts (ingestion filters) or cuts its pages short shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from chain_adapters.rpc import Absent, Endpoint
from chain_adapters.stellar import wire
from chain_adapters.stellar.decode import HIDDEN_AMOUNTS, normalise_ledger
from chain_adapters.types import Block, NodeUnavailable

PAGE_RECORDS = 200
"""The most that Horizon gives at once."""

PAGES_MAX = 500
"""Pages of one collection: five times what a ledger of 20,000 operations takes."""

BEFORE_HISTORY = 410
"""Status for ledgers that the server has dropped (Horizon, "Before History")."""


RecordT = TypeVar("RecordT")
Decode = Callable[[bytes], wire.Page[RecordT]]


async def read_ledger(endpoint: Endpoint, height: int) -> Block:
    """Return the endpoint's ledger; Absent if it does not have it yet."""
    ledger = await fetch_ledger(endpoint, height)
    path = f"ledgers/{height}"
    count = ledger.successful_transaction_count + ledger.failed_transaction_count
    transactions, operations = await asyncio.gather(
        collect(
            endpoint,
            f"{path}/transactions",
            wire.decode_transactions,
            lambda record: record.paging_token,
            count,
            failed=True,
        ),
        collect(
            endpoint,
            f"{path}/operations",
            wire.decode_operations,
            lambda record: record.id,
            ledger.operation_count,
        ),
    )
    effects = await fetch_effects(endpoint, operations)
    return normalise_ledger(ledger, transactions, operations, effects)


async def fetch_ledger(endpoint: Endpoint, height: int) -> wire.WireLedger:
    """Return the ledger's own record."""
    status, raw = await endpoint.ask("ledger", f"ledgers/{height}")
    if status == 404:
        raise Absent(f"no ledger {height}")
    if status == BEFORE_HISTORY:
        raise NodeUnavailable(f"the server no longer has ledger {height}")
    ledger = wire.decode_ledger(expect_ok(status, raw))
    if ledger.sequence != height:
        raise NodeUnavailable("the server answered with another ledger")
    return ledger


async def fetch_latest(endpoint: Endpoint) -> wire.WireLedger:
    """Return the record of the latest ledger that the server has ingested."""
    query = {"order": "desc", "limit": "1"}
    status, raw = await endpoint.ask("ledgers", "ledgers", query=query)
    records = wire.decode_ledgers(expect_ok(status, raw)).embedded.records
    if not records:
        raise NodeUnavailable("the server has no ledgers")
    return records[0]


def expect_ok(status: int, raw: bytes) -> bytes:
    """Return the answer, or raise NodeUnavailable if it is an error."""
    if status != 200:
        raise NodeUnavailable(f"HTTP status {status}")
    return raw


async def fetch_effects(
    endpoint: Endpoint, operations: Sequence[wire.WireOperation]
) -> list[wire.WireEffect]:
    """Return the effects of the transactions in which an amount is told nowhere else."""
    hashes = dict.fromkeys(o.transaction_hash for o in operations if o.type in HIDDEN_AMOUNTS)
    return [
        effect
        for transaction_id in hashes
        for effect in await collect(
            endpoint,
            f"transactions/{transaction_id}/effects",
            wire.decode_effects,
            lambda record: record.paging_token,
        )
    ]


async def collect(
    endpoint: Endpoint,
    path: str,
    decode: Decode[RecordT],
    token_of: Callable[[RecordT], str],
    count: int | None = None,
    *,
    failed: bool = False,
) -> list[RecordT]:
    """Follow a collection from its start, page by page, until `count` records are there.

    Without a count until a page is empty: a gateway's pages may be shorter than asked for.
    """
    query = {"order": "asc", "limit": str(PAGE_RECORDS)}
    if failed:
        query["include_failed"] = "true"
    found: list[RecordT] = []
    for _ in range(PAGES_MAX):
        if count is not None and len(found) >= count:
            return found
        status, raw = await endpoint.ask(path.rpartition("/")[2], path, query=query)
        records = decode(expect_ok(status, raw)).embedded.records
        if not records:
            return found
        found += records
        query["cursor"] = token_of(records[-1])
    raise NodeUnavailable("the pages of a collection do not end")
