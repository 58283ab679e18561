"""A ledger of Stellar at the load of its peak: 1,000 operations, as Horizon answers.

Recorded transactions and operations again and again, with all their XDR and links, each time with
another hash and place: payments, path payments, new accounts, claims with their effects, trades
and contract calls, in about the shares that the public network has. The largest ledgers that the
public network allows have 1,000 operations and close every 5 to 6 seconds.
"""

from __future__ import annotations

import json
from itertools import chain, cycle, islice
from typing import Any

from stellar_sdk import TransactionEnvelope

from benchmarks.chains.peer import Peer
from chain_adapters.stellar import wire
from chain_adapters.stellar.decode import HIDDEN_AMOUNTS, normalise_ledger
from chain_adapters.stellar.reading import PAGE_RECORDS
from chain_adapters.types import Block
from tests.support.stellar_vectors import PUBNET, effect, hash_of, ledger, load, place_of

SECONDS_OF_CHAIN = 5.5
OPERATIONS = 1_000
PAGES = OPERATIONS // PAGE_RECORDS
PEER_TRANSACTIONS = 200
"""stellar-sdk is slow, and its rate is taken as well from fewer."""
FAMILY, OTHERS, CALLS = "horizon_ops_payment_family", "horizon_ops_other", "horizon_ops_soroban"

Json = dict[str, Any]


def recorded_operations() -> list[Json]:
    """Return the operations to repeat: a half moves money."""
    family, others = load(FAMILY), load(OTHERS)
    payment, trade = family["operations/payment"], others["operations/manage_sell_offer"]
    claim = {**payment, "type": "claim_claimable_balance"}
    return [
        payment,
        trade,
        family["operations/path_payment_strict_send"],
        trade,
        family["operations/create_account"],
        others["operations/change_trust_asset"],
        payment,
        load(CALLS)["operations/invoke_host_function"],
        claim,
        trade,
    ]


def make_records() -> tuple[list[Json], list[Json], list[Json]]:
    """Return transactions of one operation each, the operations, and the effects of claims."""
    sent = load("horizon_transaction_text_memo")
    transactions: list[Json] = []
    operations: list[Json] = []
    effects: list[Json] = []
    for position, one in enumerate(islice(cycle(recorded_operations()), OPERATIONS), 1):
        own = {"hash": hash_of(position), "ledger": 100, "operation_count": 1}
        transactions.append({**sent, **own, "paging_token": str(place_of(position))})
        place = str(place_of(position, 1))
        told = {"id": place, "paging_token": place, "transaction_hash": hash_of(position)}
        operations.append({**one, **told})
        if one["type"] in HIDDEN_AMOUNTS:
            effects.append(effect(position, 1, 1, type="claimable_balance_claimed"))
            effects.append(effect(position, 1, 2))
    return transactions, operations, effects


def encode(content: object) -> bytes:
    """Return JSON as it comes over the wire."""
    return json.dumps(content, separators=(",", ":")).encode()


def pages_of(records: list[Json]) -> list[bytes]:
    """Return a collection in pages of the size that is asked for."""
    starts = range(0, len(records), PAGE_RECORDS)
    return [encode({"_embedded": {"records": records[s : s + PAGE_RECORDS]}}) for s in starts]


def peak_block() -> list[bytes]:
    """Return all answers that make up one ledger: itself, and three collections in pages."""
    transactions, operations, effects = make_records()
    collections = [pages_of(records) for records in (transactions, operations, effects)]
    return [encode(ledger(transactions)), *chain.from_iterable(collections)]


def decode(answers: list[bytes]) -> Block:
    """Read the ledger as the adapter does."""
    transactions, operations = answers[1 : 1 + PAGES], answers[1 + PAGES : 1 + 2 * PAGES]
    effects = answers[1 + 2 * PAGES :]
    return normalise_ledger(
        wire.decode_ledger(answers[0]),
        [r for page in transactions for r in wire.decode_transactions(page).embedded.records],
        [r for page in operations for r in wire.decode_operations(page).embedded.records],
        [r for page in effects for r in wire.decode_effects(page).embedded.records],
    )


def peer(_: list[bytes]) -> Peer:
    """Return stellar-sdk, which reads the envelopes of some of the transactions."""
    envelope = load("horizon_transaction_text_memo")["envelope_xdr"]

    def read() -> None:
        for _ in range(PEER_TRANSACTIONS):
            TransactionEnvelope.from_xdr(envelope, PUBNET)

    return Peer("stellar-sdk, envelopes alone", read, PEER_TRANSACTIONS / OPERATIONS)
