"""Applying the operations of a simulated Stellar, and telling of them as Horizon does.

Each operation gives the fields that are its type's own in Horizon's record of it, and its effects
in Horizon's order. The rules are those of the protocol's list of operations
(developers.stellar.org) as far as payments need them; the path payments' market is a fixed rate.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any

from stellar_sdk import (
    AccountMerge,
    Asset,
    BumpSequence,
    ChangeTrust,
    ClaimClaimableBalance,
    CreateAccount,
    CreateClaimableBalance,
    ManageData,
    MuxedAccount,
    PathPaymentStrictReceive,
    PathPaymentStrictSend,
    Payment,
    SetOptions,
    SetTrustLineFlags,
)
from stellar_sdk.operation import Operation
from stellar_sdk.operation.set_options import AuthorizationFlag
from stellar_sdk.operation.set_trust_line_flags import TrustLineFlags

from devstack.chains.stellar_state import BASE_RESERVE, Claimable, Line, OperationFailed, State

Fields = dict[str, Any]


@dataclass
class Applied:
    """What one operation did, as Horizon tells of it."""

    kind: str
    number: int
    fields: Fields = field(default_factory=dict)
    effects: list[Fields] = field(default_factory=list)


@dataclass(frozen=True)
class Where:
    """Where an operation is applied: for whom, in which ledger and place."""

    state: State
    source: MuxedAccount
    ledger: int
    place: str

    @property
    def account(self) -> str:
        """The source's base account."""
        return self.source.account_id


def show_amount(amount: int) -> str:
    """Return stroops with seven decimals."""
    return f"{amount // 10_000_000}.{amount % 10_000_000:07d}"


def read_amount(text: str) -> int:
    """Return stroops of the library's decimal."""
    return int(Decimal(text).scaleb(7))


def name_asset(asset: Asset) -> str:
    """Return "native" or "CODE:ISSUER"."""
    return "native" if asset.is_native() else f"{asset.code}:{asset.issuer}"


def asset_fields(name: str, prefix: str = "") -> Fields:
    """Return an asset as Horizon spells it out."""
    if name == "native":
        return {f"{prefix}asset_type": "native"}
    code, issuer = name.split(":")
    kind = "credit_alphanum4" if len(code) <= 4 else "credit_alphanum12"
    return {
        f"{prefix}asset_type": kind,
        f"{prefix}asset_code": code,
        f"{prefix}asset_issuer": issuer,
    }


def party(name: str, account: MuxedAccount) -> Fields:
    """Return an account, and its muxed form if it was given so."""
    found: Fields = {name: account.account_id}
    if account.account_muxed_id is not None:
        found[f"{name}_muxed"] = account.account_muxed
        found[f"{name}_muxed_id"] = str(account.account_muxed_id)
    return found


def effect(kind: str, number: int, account: MuxedAccount | str, **fields: object) -> Fields:
    """Return one effect without what all effects have."""
    owner = MuxedAccount(account) if isinstance(account, str) else account
    return {**party("account", owner), "type": kind, "type_i": number, **fields}


def moved(kind: str, account: MuxedAccount | str, asset: str, amount: int) -> Fields:
    """Return the effect of a credit or debit."""
    number = 2 if kind == "account_credited" else 3
    return effect(kind, number, account, **asset_fields(asset), amount=show_amount(amount))


def apply_create_account(op: CreateAccount, at: Where) -> Applied:
    """Make an account with a starting balance."""
    amount = read_amount(op.starting_balance)
    if at.state.find(op.destination) is not None:
        raise OperationFailed("op_already_exists")
    if amount < 2 * BASE_RESERVE:
        raise OperationFailed("op_low_reserve")
    at.state.debit(at.account, "native", amount)
    at.state.create(op.destination, amount, at.ledger)
    shown = show_amount(amount)
    return Applied(
        "create_account",
        0,
        {"starting_balance": shown, **party("funder", at.source), "account": op.destination},
        [
            effect("account_created", 0, op.destination, starting_balance=shown),
            moved("account_debited", at.source, "native", amount),
            effect("signer_created", 10, op.destination, weight=1, key="", public_key=""),
        ],
    )


def apply_payment(op: Payment, at: Where) -> Applied:
    """Pay."""
    asset, amount = name_asset(op.asset), read_amount(op.amount)
    check_positive(amount)
    if at.state.find(op.destination.account_id) is None:
        raise OperationFailed("op_no_destination")
    at.state.debit(at.account, asset, amount)
    at.state.credit(op.destination.account_id, asset, amount)
    return Applied(
        "payment",
        1,
        {
            **asset_fields(asset),
            **party("from", at.source),
            **party("to", op.destination),
            "amount": show_amount(amount),
        },
        [
            moved("account_credited", op.destination, asset, amount),
            moved("account_debited", at.source, asset, amount),
        ],
    )


def check_positive(amount: int) -> None:
    """Refuse an amount of nothing."""
    if amount <= 0:
        raise OperationFailed("op_malformed")


def apply_strict_receive(op: PathPaymentStrictReceive, at: Where) -> Applied:
    """Pay an exact amount, changing at a fixed rate what is sent."""
    source, asset = name_asset(op.send_asset), name_asset(op.dest_asset)
    amount = read_amount(op.dest_amount)
    given, taken = rate_of(at.state, source, asset)
    cost = -(-amount * taken // given)
    if cost > read_amount(op.send_max):
        raise OperationFailed("op_over_source_max")
    own = {"source_max": show_amount(read_amount(op.send_max))}
    return apply_path(op, at, (source, cost), (asset, amount), ("strict_receive", 2, own))


def apply_strict_send(op: PathPaymentStrictSend, at: Where) -> Applied:
    """Pay what an exact amount is worth at a fixed rate."""
    source, asset = name_asset(op.send_asset), name_asset(op.dest_asset)
    cost = read_amount(op.send_amount)
    given, taken = rate_of(at.state, source, asset)
    amount = cost * given // taken
    if amount < read_amount(op.dest_min):
        raise OperationFailed("op_under_dest_min")
    own = {"destination_min": show_amount(read_amount(op.dest_min))}
    return apply_path(op, at, (source, cost), (asset, amount), ("strict_send", 13, own))


def rate_of(state: State, source: str, asset: str) -> tuple[int, int]:
    """Return how many units are given for how many."""
    if source == asset:
        return 1, 1
    if (source, asset) not in state.rates:
        raise OperationFailed("op_too_few_offers")
    return state.rates[source, asset]


def apply_path(
    op: PathPaymentStrictReceive | PathPaymentStrictSend,
    at: Where,
    sent: tuple[str, int],
    received: tuple[str, int],
    kind: tuple[str, int, Fields],
) -> Applied:
    """Move both sides of a path payment."""
    check_positive(min(sent[1], received[1]))
    at.state.debit(at.account, *sent)
    at.state.credit(op.destination.account_id, *received)
    name, number, own = kind
    return Applied(
        f"path_payment_{name}",
        number,
        {
            **asset_fields(received[0]),
            **party("from", at.source),
            **party("to", op.destination),
            "amount": show_amount(received[1]),
            "path": [asset_fields(name_asset(asset)) for asset in op.path],
            "source_amount": show_amount(sent[1]),
            **own,
            **asset_fields(sent[0], "source_"),
        },
        [
            moved("account_credited", op.destination, *received),
            moved("account_debited", at.source, *sent),
        ],
    )


def apply_merge(op: AccountMerge, at: Where) -> Applied:
    """Move all lumens of an account and remove it."""
    account = at.state.change(at.account)
    if account.entries:
        raise OperationFailed("op_has_sub_entries")
    if at.account == op.destination.account_id:
        raise OperationFailed("op_malformed")
    amount = account.balance
    at.state.credit(op.destination.account_id, "native", amount)
    at.state.remove(at.account)
    return Applied(
        "account_merge",
        8,
        {**party("account", at.source), **party("into", op.destination)},
        [
            moved("account_debited", at.source, "native", amount),
            moved("account_credited", op.destination, "native", amount),
            effect("account_removed", 1, at.source),
        ],
    )


def apply_change_trust(op: ChangeTrust, at: Where) -> Applied:
    """Make, change or remove a trustline."""
    if not isinstance(op.asset, Asset):
        raise OperationFailed("op_not_supported")
    asset, limit, account = name_asset(op.asset), read_amount(op.limit), at.state.change(at.account)
    issuer = at.state.find(op.asset.issuer or "")
    line = account.lines.get(asset)
    if op.asset.issuer == at.account:
        raise OperationFailed("op_self_not_allowed")
    if issuer is None:
        raise OperationFailed("op_no_issuer")
    if limit < (line.balance if line else 0):
        raise OperationFailed("op_invalid_limit")
    if line is None and account.available < BASE_RESERVE:
        raise OperationFailed("op_low_reserve")
    kind = "created" if line is None else "updated" if limit else "removed"
    account.lines[asset] = line or Line(limit, authorized=not issuer.auth_required)
    account.lines[asset].limit = limit
    if not limit:
        del account.lines[asset]
    fields = {**asset_fields(asset), "limit": show_amount(limit)}
    number = {"created": 20, "removed": 21, "updated": 22}[kind]
    return Applied(
        "change_trust",
        6,
        {**fields, "trustee": op.asset.issuer, **party("trustor", at.source)},
        [effect(f"trustline_{kind}", number, at.source, **fields)],
    )


def apply_flags(op: SetTrustLineFlags, at: Where) -> Applied:
    """Let an issuer authorise a trustline, or no longer."""
    asset = name_asset(op.asset)
    line = at.state.change(op.trustor).lines.get(asset)
    if line is None or op.asset.issuer != at.account:
        raise OperationFailed("op_no_trust")
    flag = TrustLineFlags.AUTHORIZED_FLAG
    if op.set_flags is not None and flag in op.set_flags:
        line.authorized = True
    if op.clear_flags is not None and flag in op.clear_flags:
        line.authorized = False
    return Applied("set_trust_line_flags", 21, {**asset_fields(asset), "trustor": op.trustor})


def apply_options(op: SetOptions, at: Where) -> Applied:
    """Set the flags of an issuer; other options are not simulated."""
    flag = AuthorizationFlag.AUTHORIZATION_REQUIRED
    if op.set_flags is not None and flag in AuthorizationFlag(op.set_flags):
        at.state.change(at.account).auth_required = True
    return Applied("set_options", 5)


def apply_data(op: ManageData, at: Where) -> Applied:
    """Set or remove a data entry."""
    data, value = at.state.change(at.account).data, op.data_value
    if value is None:
        data.pop(op.data_name, None)
    else:
        data[op.data_name] = value
    shown = base64.b64encode(value or b"").decode()
    return Applied("manage_data", 10, {"name": op.data_name, "value": shown})


def apply_bump(op: BumpSequence, at: Where) -> Applied:
    """Raise the account's sequence number."""
    account = at.state.change(at.account)
    account.sequence = max(account.sequence, op.bump_to)
    return Applied("bump_sequence", 11, {"bump_to": str(op.bump_to)})


def apply_set_aside(op: CreateClaimableBalance, at: Where) -> Applied:
    """Set money aside. Conditions on when it can be claimed are not simulated."""
    asset, amount = name_asset(op.asset), read_amount(op.amount)
    at.state.debit(at.account, asset, amount)
    name = "00000000" + sha256(at.place.encode()).hexdigest()
    claimants = tuple(claimant.destination for claimant in op.claimants)
    at.state.set_aside(name, Claimable(asset, amount, claimants))
    told = {"balance_id": name, "asset": asset, "amount": show_amount(amount)}
    effects = [effect("claimable_balance_created", 50, at.source, **told)]
    effects += [effect("claimable_balance_claimant_created", 51, c, **told) for c in claimants]
    effects.append(moved("account_debited", at.source, asset, amount))
    fields = {
        **party("sponsor", at.source),
        "asset": asset,
        "amount": show_amount(amount),
        "claimants": [{"destination": c, "predicate": {"unconditional": True}} for c in claimants],
    }
    return Applied("create_claimable_balance", 14, fields, effects)


def apply_claim(op: ClaimClaimableBalance, at: Where) -> Applied:
    """Claim money that was set aside."""
    claimable = at.state.claimables.get(op.balance_id)
    if claimable is None:
        raise OperationFailed("op_does_not_exist")
    if at.account not in claimable.claimants:
        raise OperationFailed("op_cannot_claim")
    at.state.set_aside(op.balance_id, None)
    at.state.credit(at.account, claimable.asset, claimable.amount)
    told = {"asset": claimable.asset, "balance_id": op.balance_id}
    told["amount"] = show_amount(claimable.amount)
    return Applied(
        "claim_claimable_balance",
        15,
        {"balance_id": op.balance_id, **party("claimant", at.source)},
        [
            effect("claimable_balance_claimed", 52, at.source, **told),
            moved("account_credited", at.source, claimable.asset, claimable.amount),
        ],
    )


_APPLIERS: dict[type[Operation], Callable[[Any, Where], Applied]] = {
    CreateAccount: apply_create_account,
    Payment: apply_payment,
    PathPaymentStrictReceive: apply_strict_receive,
    PathPaymentStrictSend: apply_strict_send,
    AccountMerge: apply_merge,
    ChangeTrust: apply_change_trust,
    SetTrustLineFlags: apply_flags,
    SetOptions: apply_options,
    ManageData: apply_data,
    BumpSequence: apply_bump,
    CreateClaimableBalance: apply_set_aside,
    ClaimClaimableBalance: apply_claim,
}


def apply_operation(operation: Operation, at: Where) -> Applied:
    """Apply one operation; OperationFailed if it cannot be."""
    apply = _APPLIERS.get(type(operation))
    if apply is None:
        raise OperationFailed("op_not_supported")
    if at.state.find(at.account) is None:
        raise OperationFailed("op_no_source_account")
    return apply(operation, at)
