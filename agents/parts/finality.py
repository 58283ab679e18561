"""How far a chain is final: by its own word, and by the depth that an amount calls for."""

from __future__ import annotations

from agents.runtime.stage import Work
from sql import chain as chain_sql
from sql import withdrawals as withdrawals_sql
from sql.chain import Cursor
from sql.withdrawals import Withdrawal


def final_height_of(cursor: Cursor, finality: str) -> int:
    """Return the height up to which blocks may be relied on by the chain's own word.

    -1 as long as the node has not said; the whole chain where only depth counts. Pure.
    """
    if finality == "depth":
        return cursor.height
    final = cursor.safe_height if finality == "safe" else cursor.finalized_height
    return -1 if final is None else final


async def is_final(work: Work, network: str, withdrawal: Withdrawal, height: int) -> bool:
    """Whether a block is as deep as this withdrawal's own would have to be."""
    cursor = await chain_sql.read_cursor(work.conn, network)
    policy = (await withdrawals_sql.withdrawal_policies(work.conn))[withdrawal.asset]
    if cursor is None:
        return False
    depth = cursor.height - height + 1
    enough = depth >= policy.confirmations_of(withdrawal.amount_minor)
    return enough and height <= final_height_of(cursor, policy.finality)
