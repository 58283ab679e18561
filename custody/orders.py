"""Reading and judging withdrawal commands: pure, up to the question whether the money is there."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import pydantic_core
from pydantic import ValidationError

from custody.limits import Decision, History, Policy, Verdict, decide
from ledger.validate import is_storable
from sql.withdrawals import NewWithdrawal, WithdrawalPolicy
from topics import event_data, events
from topics.events import Event, make_event_id
from topics.topic import TENANT_PATTERN, Undecodable
from topics.withdrawals import WithdrawalCommand

_TENANT = re.compile(TENANT_PATTERN)
_TENANT_WANTED = "it needs one field `tenant`, a string of a-z, 0-9, _ and -, 63 at most"
_FIELD_CHARACTERS_MAX = 64
_DETAIL_CHARACTERS_MAX = 300


class Unanswerable(Undecodable):
    """A command that names no tenant, so that nobody can be told."""


class Refusal(NamedTuple):
    """A command that is answered and not kept: it is no order, or not a new one."""

    tenant: str
    idempotency_key: str | None
    owner: str | None
    asset: str | None
    amount_minor: str | None
    address: str | None
    reason: str
    detail: str


class Surroundings(NamedTuple):
    """What a command is judged against."""

    tenant_statuses: Mapping[str, str]
    policies: Mapping[str, WithdrawalPolicy]
    histories: Mapping[tuple[str, str, str], tuple[int, int]]


class Address(NamedTuple):
    """A command's address and memo as its chain reads them. `reason`: what is wrong with them."""

    canonical: str
    memo: str | None = None
    reason: str | None = None
    problem: str = ""
    is_ours: bool = False


class Judged(NamedTuple):
    """An order as it will be written, and what is to become of it if its money is there."""

    order: NewWithdrawal
    decision: Decision
    detail: str | None = None


def read_command(raw: bytes) -> WithdrawalCommand | Refusal:
    """Read a command. Raises Unanswerable if it is so broken that no tenant can be told."""
    try:
        command = WithdrawalCommand.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return _bad_field(raw, str(first["loc"][0]) if first["loc"] else "", first["msg"])
    if (name := _repeated_field(raw)) is not None:
        return _bad_field(raw, name, "the field is there more than once")
    for name, value in command:
        if value is not None and not is_storable(value):
            return refuse(command, f"bad_field:{name}", "a character that cannot be stored")
    return command


def refuse(command: WithdrawalCommand, reason: str, detail: str = "") -> Refusal:
    """Answer a command without keeping it."""
    return Refusal(
        command.tenant,
        command.id,
        _shown(command.owner),
        _shown(command.asset),
        command.amount_minor,
        _shown(command.address),
        reason,
        detail,
    )


def hash_request(command: WithdrawalCommand) -> bytes:
    """Return what tells a repeat from another order: SHA-256 of the command's fields, sorted."""
    text = json.dumps(command.model_dump(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def judge(command: WithdrawalCommand, address: Address | None, around: Surroundings) -> Judged:
    """Decide on a new order of a known tenant. `address` is None if the asset is unknown."""
    policy = around.policies.get(command.asset)
    if policy is None or address is None:
        said = Address(command.address, command.memo)
        return Judged(_order(command, None, said), _rejected("unknown_asset"))
    order = _order(command, policy, address)
    if around.tenant_statuses[command.tenant] != "active":
        return Judged(order, _rejected("tenant_suspended"))
    if address.reason is not None:
        return Judged(order, _rejected(address.reason), address.problem[:_DETAIL_CHARACTERS_MAX])
    if address.is_ours:
        return Judged(order, _rejected("own_address"))
    if is_token(policy.network, address.canonical, around.policies.values()):
        return Judged(order, _rejected("token_address"))
    key = (command.tenant, command.owner, command.asset)
    history = History(*around.histories.get(key, (0, 0)))
    return Judged(order, decide(_limits(policy), history, order.amount_minor))


def is_token(network: str, address: str, policies: Iterable[WithdrawalPolicy]) -> bool:
    """Whether an address is a token's contract: it keeps whatever is sent to it, or hands tokens
    to our own wallet for it, as those do that wrap a chain's coin.
    """
    return any((p.network, p.contract) == (network, address) for p in policies)


def split_rounds(
    commands: Iterable[WithdrawalCommand], policies: Mapping[str, WithdrawalPolicy]
) -> list[list[WithdrawalCommand]]:
    """Split commands so that a user's next order of an asset sees what became of the one before.

    Commands for assets without limits over time all go into the first round.
    """
    rounds: list[list[WithdrawalCommand]] = []
    counts: dict[tuple[str, str, str], int] = {}
    for command in commands:
        key = (command.tenant, command.owner, command.asset)
        number = counts.get(key, 0)
        if _is_limited(policies.get(command.asset)):
            counts[key] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(command)
    return rounds


def refused_event(refusal: Refusal, now: datetime) -> Event:
    """Return withdrawal.rejected for a command that is not kept."""
    data = event_data.RejectedWithdrawal(withdrawal_id=None, network=None, **_without(refusal))
    return events.WithdrawalRejected(
        id=make_event_id(now, "withdrawal.rejected", *refusal),
        tenant=refusal.tenant,
        occurred_at=now,
        data=data,
    )


def _without(refusal: Refusal) -> dict[str, Any]:
    return {name: value for name, value in refusal._asdict().items() if name != "tenant"}


def _repeated_field(raw: bytes) -> str | None:
    """Return a field that a valid command has twice: readers differ in which of the two counts."""
    fields: list[tuple[str, object]] = json.loads(raw, object_pairs_hook=list)
    if len(fields) == len(dict(fields)):
        return None
    ((name, _),) = Counter(name for name, _ in fields).most_common(1)
    return name


def _bad_field(raw: bytes, name: str, problem: str) -> Refusal:
    said = _read_object(raw)
    tenant = said.get("tenant")
    if not isinstance(tenant, str) or _TENANT.fullmatch(tenant) is None or name == "tenant":
        raise Unanswerable(f"the command names no tenant: {_TENANT_WANTED}")
    return Refusal(
        tenant=tenant,
        idempotency_key=_shown(said.get("id")),
        owner=_shown(said.get("owner")),
        asset=_shown(said.get("asset")),
        amount_minor=_shown(said.get("amount_minor")),
        address=_shown(said.get("address")),
        reason=f"bad_field:{_printable(name)[:_FIELD_CHARACTERS_MAX]}",
        detail=problem[:_DETAIL_CHARACTERS_MAX],
    )


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        said = pydantic_core.from_json(raw)
    except ValueError as error:
        raise Unanswerable(f"the command is no JSON: {error}") from None
    return said if isinstance(said, dict) else {}


def _shown(value: object) -> str | None:
    """What was said, if it was a text that can be repeated."""
    return value[:_DETAIL_CHARACTERS_MAX] if isinstance(value, str) and is_storable(value) else None


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _rejected(reason: str) -> Decision:
    return Decision(Verdict.REJECT, reason)


def _order(
    command: WithdrawalCommand, policy: WithdrawalPolicy | None, address: Address
) -> NewWithdrawal:
    return NewWithdrawal(
        tenant=command.tenant,
        idempotency_key=command.id,
        request_hash=hash_request(command),
        owner=command.owner,
        asset=command.asset,
        network=None if policy is None else policy.network,
        address=address.canonical,
        memo=address.memo,
        amount_minor=int(command.amount_minor),
        fee_minor=0 if policy is None else policy.fee_minor,
    )


def _limits(policy: WithdrawalPolicy) -> Policy:
    return Policy(
        policy.minor_min,
        policy.minor_max,
        policy.minor_max_day,
        policy.count_max_hour,
        policy.approval_minor,
    )


def _is_limited(policy: WithdrawalPolicy | None) -> bool:
    return policy is not None and (
        policy.minor_max_day is not None or policy.count_max_hour is not None
    )
