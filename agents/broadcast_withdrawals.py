"""withdrawals-signed → the chain: stored bytes are sent and the answers written down.

A time-out is unknown, not failed: the transaction stays as it is and resend_withdrawals sends the
same bytes again. Sending bytes twice does no harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from agents.parts.sending import Answer, record_answers, send_all
from agents.runtime.context import Context
from agents.runtime.stage import Stage, Work
from sql import transactions as transactions_sql
from topics.withdrawals import WITHDRAWALS_SIGNED, WithdrawalsSigned

Answers = dict[str, list[Answer]]
"""By network."""


class BroadcastWithdrawals(Stage[WithdrawalsSigned, Answers]):
    """Sends everything at once; none waits for another's answer."""

    name = "broadcast_withdrawals"
    topic = WITHDRAWALS_SIGNED

    def __init__(self, context: Context) -> None:
        self._context = context

    async def prepare(self, records: Sequence[WithdrawalsSigned]) -> Answers:
        """Send. May happen again, or in vain: what is sent is committed already."""
        by_network: dict[str, set[str]] = defaultdict(set)
        for record in records:
            by_network[record.network].update(record.transaction_ids)
        return {network: await self._send(network, ids) for network, ids in by_network.items()}

    async def _send(self, network: str, transaction_ids: set[str]) -> list[Answer]:
        async with self._context.pool.acquire() as conn:
            rows = await transactions_sql.sendable_transactions(conn, network, transaction_ids)
        return await send_all(self._context.adapters[network], network, rows)

    async def apply(self, work: Work, _: Sequence[WithdrawalsSigned], prepared: Answers) -> None:
        """Write down what the nodes said."""
        for network, answers in sorted(prepared.items()):
            await record_answers(work, network, answers)
