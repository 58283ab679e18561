"""Transactions of ours: signed bytes, and what nodes and blocks say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sql import coins as coins_sql
from sql.pool import Connection
from sql.queries import load_queries
from sql.withdrawals import WITHDRAWAL_COLUMNS, OrderKey, Withdrawal, read_withdrawal

_queries = load_queries("transactions")


class PaymentRow(NamedTuple):
    """What the signer needs to pay a withdrawal. No sender: the tenant has no hot wallet yet."""

    withdrawal_id: int
    tenant: str
    asset: str
    address: str
    amount_minor: int
    memo: str | None
    contract: str | None
    sender: str | None
    key_path: str | None
    public_key: bytes | None
    halted_reason: str | None


class NewTransaction(NamedTuple):
    """A signed transaction about to be stored. `attempt` counts from 0."""

    transaction_id: str
    withdrawal_id: int
    sender: str
    nonce: int | None
    coin: str | None
    """The coin that all attempts at the withdrawal spend, where money is held so."""
    coins: tuple[str, ...]
    valid_until: int | None
    attempt: int
    unsigned: bytes
    raw: bytes
    fee_minor_max: int


class RawTransaction(NamedTuple):
    """Bytes to be sent."""

    transaction_id: str
    raw: bytes


class BroadcastRow(NamedTuple):
    """One answer of a node that was written down."""

    transaction_id: str
    withdrawal_id: int
    outcome: str


class MinedTransaction(NamedTuple):
    """A transaction of ours in a block."""

    transaction_id: str
    height: int
    block_id: str
    succeeded: bool
    fee_minor: int | None
    """None: the node does not tell, and it is what was signed for."""
    confirm_height: int


class OpenTransaction(NamedTuple):
    """A transaction of ours that is not known to be in a block, and its withdrawal."""

    transaction_id: str
    withdrawal_id: int
    idempotency_key: str
    sender: str
    asset: str
    amount_minor: int
    given_up: bool
    """The withdrawal failed, and its money was given back."""
    nonce_released: bool
    is_paid: bool
    """Another transaction of the withdrawal is in a block."""


class Inclusion(NamedTuple):
    """Where a transaction is, or was, in the chain."""

    transaction_id: str
    height: int
    block_id: str
    network_fee_minor: int


class TransactionRow(NamedTuple):
    """One attempt at a withdrawal, for people to look at."""

    transaction_id: str
    nonce: int | None
    attempt: int
    state: str
    height: int | None
    block_id: str | None
    succeeded: bool | None
    fee_minor: str | None
    fee_minor_max: str
    last_outcome: str | None
    last_detail: str | None
    last_sent_at: datetime | None


async def read_payments(
    conn: Connection, network: str, withdrawal_ids: Iterable[int], statuses: Sequence[str]
) -> list[PaymentRow]:
    """Return what is to be paid for those of the withdrawals that are in one of `statuses`."""
    rows = await _queries.read_payments(
        conn, network=network, withdrawal_ids=sorted(set(withdrawal_ids)), statuses=list(statuses)
    )
    return [PaymentRow(*row)._replace(amount_minor=int(row["amount_minor"])) for row in rows]


async def sign_withdrawals(
    conn: Connection, transactions: Sequence[NewTransaction]
) -> list[Withdrawal]:
    """Mark approved withdrawals signed, with sender and nonce or coin; return them."""
    rows = await _queries.sign_withdrawals(
        conn,
        withdrawal_ids=[one.withdrawal_id for one in transactions],
        senders=[one.sender for one in transactions],
        nonces=[one.nonce for one in transactions],
        coins=[one.coin for one in transactions],
    )
    return sorted(map(read_withdrawal, rows))


async def add_transactions(
    conn: Connection, network: str, transactions: Sequence[NewTransaction]
) -> None:
    """Store signed transactions and keep their coins for them.

    A second one at the same attempt, or a coin that is another withdrawal's, is an error.
    """
    await _queries.add_transactions(
        conn,
        network=network,
        transaction_ids=[one.transaction_id for one in transactions],
        withdrawal_ids=[one.withdrawal_id for one in transactions],
        senders=[one.sender for one in transactions],
        nonces=[one.nonce for one in transactions],
        anchors=[one.coin for one in transactions],
        coins=[" ".join(one.coins) for one in transactions],
        valid_untils=[one.valid_until for one in transactions],
        attempts=[one.attempt for one in transactions],
        unsigned=[one.unsigned for one in transactions],
        raws=[one.raw for one in transactions],
        fees_minor_max=[str(one.fee_minor_max) for one in transactions],
    )
    claims = [(coin, one.withdrawal_id) for one in transactions for coin in one.coins]
    await coins_sql.claim_coins(conn, network, claims)


async def sendable_transactions(
    conn: Connection, network: str, transaction_ids: Iterable[str]
) -> list[RawTransaction]:
    """Return the bytes of those that may still land, in the order of their nonces."""
    rows = await _queries.sendable_transactions(
        conn, network=network, transaction_ids=sorted(set(transaction_ids))
    )
    return [RawTransaction(*row) for row in rows]


async def unseen_transactions(
    conn: Connection, network: str, after_s: float, limit_rows: int
) -> list[RawTransaction]:
    """Return the bytes of those not mined and not sent for `after_s`."""
    rows = await _queries.unseen_transactions(
        conn, network=network, after_s=after_s, limit_rows=limit_rows
    )
    return [RawTransaction(*row) for row in rows]


async def record_broadcasts(
    conn: Connection, network: str, answers: Sequence[tuple[str, str, str]]
) -> list[BroadcastRow]:
    """Remember (transaction id, outcome, detail), one a transaction."""
    if not answers:
        return []
    rows = await _queries.record_broadcasts(
        conn,
        network=network,
        transaction_ids=[transaction_id for transaction_id, _, _ in answers],
        outcomes=[outcome for _, outcome, _ in answers],
        details=[detail for _, _, detail in answers],
    )
    return [BroadcastRow(*row) for row in rows]


async def unmine_transactions(
    conn: Connection, network: str, reorg_depth_max: int
) -> dict[int, Inclusion]:
    """Take back what was mined in blocks that left the chain; return it by withdrawal.

    It is looked for down to `reorg_depth_max` blocks below where the chain was searched to.
    """
    rows = await _queries.unmine_transactions(
        conn, network=network, reorg_depth_max=reorg_depth_max
    )
    return {row["withdrawal_id"]: _inclusion(row[1:]) for row in rows}


def _inclusion(columns: Sequence[Any]) -> Inclusion:
    transaction_id, height, block_id, network_fee_minor = columns
    return Inclusion(transaction_id, height, block_id, int(network_fee_minor))


async def unsettle_withdrawals(conn: Connection, withdrawal_ids: Iterable[int]) -> list[Withdrawal]:
    """Open settled withdrawals again; return them as they are now, in their next revision."""
    rows = await _queries.unsettle_withdrawals(conn, withdrawal_ids=sorted(set(withdrawal_ids)))
    return sorted(map(read_withdrawal, rows))


async def revive_attempts(conn: Connection, withdrawal_ids: Iterable[int]) -> None:
    """Let superseded attempts land again that share a nonce or a coin with the others."""
    await _queries.revive_attempts(conn, withdrawal_ids=sorted(set(withdrawal_ids)))


async def has_open_transactions(conn: Connection, network: str) -> bool:
    """Whether any transaction of the network may yet be mined, be it given up."""
    return bool(await _queries.has_open_transactions(conn, network=network))


async def lock_landing(conn: Connection, network: str, transaction_ids: Sequence[str]) -> bool:
    """Lock the withdrawals of those that are ours and not mined yet; whether there are any."""
    rows = await _queries.lock_landing(conn, network=network, transaction_ids=list(transaction_ids))
    return bool(rows)


async def open_transactions(
    conn: Connection, network: str, transaction_ids: Sequence[str]
) -> list[OpenTransaction]:
    """Return those that are ours and not mined yet, the earliest attempts first.

    Their withdrawals are locked before it is asked what became of them.
    """
    if not await lock_landing(conn, network, transaction_ids):
        return []
    rows = await _queries.open_transactions(
        conn, network=network, transaction_ids=list(transaction_ids)
    )
    return [OpenTransaction(*row)._replace(amount_minor=int(row["amount_minor"])) for row in rows]


async def supersede_rivals(conn: Connection, network: str, transaction_ids: Sequence[str]) -> None:
    """Send no more of the attempts beside these, where the chain would take both."""
    await _queries.supersede_rivals(conn, network=network, transaction_ids=list(transaction_ids))


async def mine_transactions(
    conn: Connection, network: str, mined: Sequence[MinedTransaction]
) -> None:
    """Remember the blocks of transactions. Two attempts at one withdrawal are an error."""
    columns = [list(column) for column in zip(*mined, strict=True)]
    await _queries.mine_transactions(
        conn,
        network=network,
        transaction_ids=columns[0],
        heights=columns[1],
        block_ids=columns[2],
        succeeded=columns[3],
        fees_minor=[None if one.fee_minor is None else str(one.fee_minor) for one in mined],
        confirm_heights=columns[5],
    )


async def return_transactions(
    conn: Connection, network: str, transaction_ids: Sequence[str]
) -> dict[int, Inclusion]:
    """Note that mined transactions took no effect after all; return them by withdrawal."""
    rows = await _queries.return_transactions(
        conn, network=network, transaction_ids=list(transaction_ids)
    )
    return {row["withdrawal_id"]: _inclusion(row[1:]) for row in rows}


async def settle_withdrawals(
    conn: Connection, network: str, tip_height: int, final_height: int
) -> list[tuple[Withdrawal, Inclusion]]:
    """Settle what is deep enough; return it with its transaction, by id."""
    rows = await _queries.settle_withdrawals(
        conn, network=network, tip_height=tip_height, final_height=final_height
    )
    return sorted((read_withdrawal(row), _inclusion(row[WITHDRAWAL_COLUMNS:])) for row in rows)


async def decided_withdrawals(
    conn: Connection, network: str, first: int, last: int
) -> list[tuple[Withdrawal, Inclusion]]:
    """Return what is settled by transactions in blocks from `first` to `last`, and by which."""
    rows = await _queries.decided_withdrawals(conn, network=network, first=first, last=last)
    return [(read_withdrawal(row), _inclusion(row[WITHDRAWAL_COLUMNS:])) for row in rows]


async def supersede_attempts(conn: Connection, withdrawal_ids: Iterable[int]) -> None:
    """Send the other attempts no more."""
    await _queries.supersede_attempts(conn, withdrawal_ids=sorted(set(withdrawal_ids)))


async def noted_height(conn: Connection, network: str, transaction_id: str) -> int | None:
    """Return the block of a transaction that a wallet of ours paid for beside withdrawals."""
    height: int | None = await _queries.noted_height(
        conn, network=network, transaction_id=transaction_id
    )
    return height


async def paid_order(conn: Connection, network: str, transaction_id: str) -> OrderKey | None:
    """Return the tenant and the producer's id of the order a transaction was made for."""
    row = await _queries.paid_order(conn, network=network, transaction_id=transaction_id)
    return None if row is None else (row["tenant"], row["idempotency_key"])


async def list_transactions(conn: Connection, withdrawal_id: int) -> list[TransactionRow]:
    """Return all attempts at a withdrawal, first attempt first."""
    rows = await _queries.list_transactions(conn, withdrawal_id=withdrawal_id)
    return [TransactionRow(*row) for row in rows]
