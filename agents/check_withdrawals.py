"""withdrawal-commands → withdrawals-approved: orders are read, judged, and their money is held.

A command that fits the schema is an order: it is kept, whatever the answer, and a repeat of it
does nothing. One that does not is answered by an event and forgotten. One that names no tenant
cannot be answered and becomes a dead letter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from agents.runtime.context import Context
from agents.runtime.stage import LocalStage, Retryable, Work
from chain_adapters.types import InvalidAddress, InvalidMemo
from custody import orders
from custody import withdrawal_events as told
from custody.limits import Verdict
from custody.orders import Address, Judged, Refusal, Surroundings
from ledger import rules
from ledger.entries import Entry, Outcome, PostResult
from ledger.post import post
from metrics import catalogue
from sql import addresses as addresses_sql
from sql import withdrawals as withdrawals_sql
from sql.withdrawals import APPROVED, WAITING, Move, OrderKey, Withdrawal, WithdrawalPolicy
from topics.events import Event, emit_events
from topics.topic import Topic
from topics.withdrawals import (
    WITHDRAWAL_COMMANDS,
    WITHDRAWALS_APPROVED,
    WithdrawalCommand,
    WithdrawalsApproved,
)

LIMITS = "limits"
"""Who decided on a withdrawal that no operator had to look at."""


class CheckWithdrawals(LocalStage[WithdrawalCommand | Refusal]):
    """Judges commands in their order, set-based."""

    name = "check_withdrawals"
    topic = Topic(
        WITHDRAWAL_COMMANDS.name, WITHDRAWAL_COMMANDS.key, orders.read_command, from_outside=True
    )

    def __init__(self, context: Context) -> None:
        self._context = context

    async def apply(
        self, work: Work, answers: Sequence[WithdrawalCommand | Refusal], _: None
    ) -> None:
        """Answer every command."""
        refusals = [answer for answer in answers if isinstance(answer, Refusal)]
        commands = [answer for answer in answers if isinstance(answer, WithdrawalCommand)]
        statuses = await withdrawals_sql.tenant_statuses(work.conn, (c.tenant for c in commands))
        commands, more = await self._drop_repeats(work, commands, statuses)
        self._refuse(work, [*refusals, *more])
        policies = await withdrawals_sql.withdrawal_policies(work.conn)
        await withdrawals_sql.lock_users(work.conn, ((c.tenant, c.owner) for c in commands))
        for commands_of_round in orders.split_rounds(commands, policies):
            await self._take_orders(work, commands_of_round, statuses, policies)

    async def _drop_repeats(
        self, work: Work, commands: Sequence[WithdrawalCommand], tenants: Mapping[str, str]
    ) -> tuple[list[WithdrawalCommand], list[Refusal]]:
        """Return the new orders, and answers to commands that are none."""
        keys = sorted({(command.tenant, command.id) for command in commands})
        known = await withdrawals_sql.ordered_before(work.conn, keys) if keys else {}
        return sort_out(commands, known, tenants)

    def _refuse(self, work: Work, refusals: Sequence[Refusal]) -> None:
        now = datetime.now(UTC)
        emit_events(work, [orders.refused_event(refusal, now) for refusal in refusals])
        refused = catalogue.withdrawals_total.labels("unknown", "unknown", "rejected")
        work.count(refused, len(refusals))

    async def _take_orders(
        self,
        work: Work,
        commands: Sequence[WithdrawalCommand],
        tenants: Mapping[str, str],
        policies: Mapping[str, WithdrawalPolicy],
    ) -> None:
        histories = await withdrawals_sql.withdrawal_history(
            work.conn, ((c.tenant, c.owner, c.asset) for c in commands)
        )
        around = Surroundings(tenants, policies, histories)
        addresses = await self._read_addresses(work, commands, policies)
        judged = [
            orders.judge(command, address, around)
            for command, address in zip(commands, addresses, strict=True)
        ]
        added = await withdrawals_sql.add_withdrawals(work.conn, [row.order for row in judged])
        if len(added) < len(judged):
            raise Retryable("another worker took one of these orders at this moment")
        await self._move(work, await hold(work, judged, added))

    async def _read_addresses(
        self,
        work: Work,
        commands: Sequence[WithdrawalCommand],
        policies: Mapping[str, WithdrawalPolicy],
    ) -> list[Address | None]:
        networks = [self._network(command, policies) for command in commands]
        read = [
            None if network is None else self._parse(network, command)
            for network, command in zip(networks, commands, strict=True)
        ]
        ours: dict[str, set[str]] = defaultdict(set)
        for network in {network for network in networks if network is not None}:
            asked = [a.canonical for n, a in zip(networks, read, strict=True) if n == network and a]
            ours[network] = await addresses_sql.own_addresses(
                work.conn, network, sorted(set(asked))
            )
        return [
            address and address._replace(is_ours=address.canonical in ours[network or ""])
            for network, address in zip(networks, read, strict=True)
        ]

    def _network(
        self, command: WithdrawalCommand, policies: Mapping[str, WithdrawalPolicy]
    ) -> str | None:
        policy = policies.get(command.asset)
        return policy.network if policy and policy.network in self._context.adapters else None

    def _parse(self, network: str, command: WithdrawalCommand) -> Address:
        adapter = self._context.adapters[network]
        try:
            destination = adapter.parse_destination(command.address, command.memo)
        except InvalidAddress as error:
            return Address(command.address, command.memo, "invalid_address", str(error))
        except InvalidMemo as error:
            return Address(command.address, command.memo, "invalid_memo", str(error))
        return Address(destination.address, destination.memo)

    async def _move(self, work: Work, moves: Sequence[Move]) -> None:
        moved = await withdrawals_sql.move_withdrawals(work.conn, "requested", moves)
        events = [event for withdrawal in moved for event in answers_to(withdrawal)]
        emit_events(work, events)
        emit_approved(work, (w for w in moved if w.status == APPROVED))
        for withdrawal in moved:
            counter = catalogue.withdrawals_total.labels(
                withdrawal.network or "unknown",
                withdrawal.asset if withdrawal.network else "unknown",
                withdrawal.status,
            )
            work.count(counter)


def sort_out(
    commands: Sequence[WithdrawalCommand],
    known: Mapping[OrderKey, bytes],
    tenants: Mapping[str, str],
) -> tuple[list[WithdrawalCommand], list[Refusal]]:
    """Return the orders that are new, and answers to those of nobody or under a used id. Pure."""
    fresh: list[WithdrawalCommand] = []
    refusals: list[Refusal] = []
    seen = dict(known)
    for command in commands:
        key, request_hash = (command.tenant, command.id), orders.hash_request(command)
        if command.tenant not in tenants:
            refusals.append(orders.refuse(command, "unknown_tenant"))
        elif key not in seen:
            seen[key] = request_hash
            fresh.append(command)
        elif seen[key] != request_hash:
            refusals.append(orders.refuse(command, "idempotency_conflict"))
    return fresh, refusals


async def hold(
    work: Work, judged: Sequence[Judged], added: Mapping[OrderKey, Withdrawal]
) -> list[Move]:
    """Set the money of accepted orders aside; return the step that each order takes."""
    accepted = [row for row in judged if row.decision.verdict is not Verdict.REJECT]
    entries = [hold_entry(added[row.order.key]) for row in accepted]
    results = await post(work.conn, entries, work.count) if entries else []
    outcomes = {row.order.key: result for row, result in zip(accepted, results, strict=True)}
    return [step_of(row, added[row.order.key], outcomes.get(row.order.key)) for row in judged]


def hold_entry(withdrawal: Withdrawal) -> Entry:
    """Return the entry that holds a withdrawal's money."""
    return rules.withdrawal_held(
        withdrawal.tenant,
        withdrawal.owner,
        withdrawal.asset,
        withdrawal.amount_minor,
        fee_minor=withdrawal.fee_minor,
        withdrawal_id=withdrawal.withdrawal_id,
    )


REFUSED_HOLDS = {
    Outcome.INSUFFICIENT_FUNDS: "insufficient_funds",
    Outcome.FROZEN: "account_frozen",
    Outcome.INVALID: "unpostable",
}


def step_of(judged: Judged, withdrawal: Withdrawal, result: PostResult | None) -> Move:
    """Return what becomes of a requested withdrawal. Pure."""
    withdrawal_id, decision = withdrawal.withdrawal_id, judged.decision
    if decision.verdict is Verdict.REJECT or result is None:
        return Move(withdrawal_id, "rejected", decision.reason, judged.detail)
    if result.outcome in REFUSED_HOLDS:
        return Move(withdrawal_id, "rejected", REFUSED_HOLDS[result.outcome], result.detail)
    if result.outcome is not Outcome.POSTED:
        raise RuntimeError(f"the hold of new withdrawal {withdrawal_id}: {result.outcome}")
    if decision.verdict is Verdict.NEEDS_APPROVAL:
        return Move(withdrawal_id, WAITING)
    return Move(withdrawal_id, APPROVED, decided_by=LIMITS)


def answers_to(withdrawal: Withdrawal) -> list[Event]:
    """Return the events of a withdrawal that was just decided on."""
    if withdrawal.status == "rejected":
        return [told.rejected_event(withdrawal)]
    decided = (
        told.approved_event(withdrawal)
        if withdrawal.status == APPROVED
        else told.awaiting_event(withdrawal)
    )
    return [told.requested_event(withdrawal), decided]


def emit_approved(work: Work, withdrawals: Iterable[Withdrawal]) -> None:
    """Hand approved withdrawals on, one record a network."""
    by_network: dict[str, list[int]] = defaultdict(list)
    for withdrawal in withdrawals:
        by_network[str(withdrawal.network)].append(withdrawal.withdrawal_id)
    for network, withdrawal_ids in by_network.items():
        work.emit(WITHDRAWALS_APPROVED, network, WithdrawalsApproved(network, withdrawal_ids))
