"""What a transaction does to its account's balance, held against what it says to have moved."""

from __future__ import annotations

from chain_adapters.ton.wire import Transaction
from chain_adapters.types import NodeUnavailable

_BASECHAIN = "0:"


def check_flow(transaction: Transaction) -> None:
    """Raise NodeUnavailable unless what an account had and got is what it has, sent and paid.

    Validators hold every transaction to it (validate-query.cpp, "currency flow condition"). Not
    looked at: the masterchain, where coins are made and burned, and accounts whose balance is not
    told, as between two transactions of one block. Until version 11 of the network (July 2025) the
    fee for instant routing was money that a message carried.
    """
    before, after = transaction.account_state_before, transaction.account_state_after
    if before is None or after is None or after.balance is None:
        return
    if before.balance is None and transaction.orig_status != "nonexist":
        return
    if not transaction.account.startswith(_BASECHAIN):
        return
    lost_minor = (before.balance or 0) - after.balance - transaction.total_fees
    routing_minor = 0
    for message in transaction.out_msgs:
        lost_minor -= (message.value or 0) + (message.fwd_fee or 0)
        routing_minor += message.ihr_fee or 0
    if transaction.in_msg is not None:
        lost_minor += transaction.in_msg.value or 0
        routing_minor -= transaction.in_msg.ihr_fee or 0
    if lost_minor not in {0, routing_minor}:
        raise NodeUnavailable("an account's balance is not what a transaction left")
