"""Sending stored bytes and recording what nodes said: shared by the stage and the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from agents.parts.halting import halt_wallet
from agents.runtime.stage import Work
from chain_adapters.adapter import ChainPayer
from chain_adapters.types import AdapterError, BroadcastOutcome, SignedTransaction
from custody import withdrawal_events as told
from metrics import catalogue
from sql import transactions as transactions_sql
from sql import wallets as wallets_sql
from sql import withdrawals as withdrawals_sql
from sql.transactions import BroadcastRow, RawTransaction
from sql.withdrawals import Move
from topics.events import emit_events

UNKNOWN = "unknown"
"""No answer: the transaction may be on its way or not."""
CONCURRENCY = 16
DETAIL_CHARACTERS_MAX = 300


class Answer(NamedTuple):
    """What came of sending one transaction; `outcome` is a BroadcastOutcome or UNKNOWN."""

    transaction_id: str
    outcome: str
    detail: str


async def send_all(
    payer: ChainPayer, network: str, transactions: Sequence[RawTransaction]
) -> list[Answer]:
    """Send bytes, many at a time. Never raises for a node's fault: that is an answer too."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def send(transaction: RawTransaction) -> Answer:
        async with gate:
            answer = await _send(payer, transaction)
        catalogue.broadcast_total.labels(network, answer.outcome).inc()
        return answer

    return list(await asyncio.gather(*(send(transaction) for transaction in transactions)))


async def _send(payer: ChainPayer, transaction: RawTransaction) -> Answer:
    try:
        said = await payer.broadcast(SignedTransaction(transaction.transaction_id, transaction.raw))
    except AdapterError as fault:
        return Answer(transaction.transaction_id, UNKNOWN, str(fault)[:DETAIL_CHARACTERS_MAX])
    return Answer(
        transaction.transaction_id, said.outcome.value, said.detail[:DETAIL_CHARACTERS_MAX]
    )


async def record_answers(work: Work, network: str, answers: Sequence[Answer]) -> list[BroadcastRow]:
    """Write down what nodes said; tell of withdrawals that are on their way for the first time.

    A refusal changes nothing: the same bytes are sent again later.
    """
    rows = await transactions_sql.record_broadcasts(work.conn, network, answers)
    await halt_foreign(work, network, rows)
    accepted = {
        row.withdrawal_id: row.transaction_id
        for row in rows
        if row.outcome == BroadcastOutcome.ACCEPTED
    }
    moves = [Move(withdrawal_id, "broadcast") for withdrawal_id in sorted(accepted)]
    moved = await withdrawals_sql.move_withdrawals(work.conn, "signed", moves)
    emit_events(work, [told.broadcast_event(w, accepted[w.withdrawal_id]) for w in moved])
    for withdrawal in moved:
        work.count(catalogue.withdrawals_total.labels(network, withdrawal.asset, "broadcast"))
    return rows


async def halt_foreign(work: Work, network: str, rows: Sequence[BroadcastRow]) -> None:
    """Halt wallets of which somebody else has used a nonce that we gave out.

    An adapter calls a nonce used only if no node has the transaction in a block; if all attempts
    at a withdrawal are answered so, none of ours has used it.
    """
    suspects = {row.withdrawal_id for row in rows if row.outcome == BroadcastOutcome.NONCE_USED}
    if not suspects:
        return
    for use in await wallets_sql.foreign_nonces(work.conn, suspects):
        slot = "a coin" if use.nonce is None else f"nonce {use.nonce}"
        reason = f"{slot} was used by a transaction that is not ours"
        await halt_wallet(work, network, use.sender, reason)
