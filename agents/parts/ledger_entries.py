"""From a fact of a chain to the journal entry it calls for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from ledger import rules
from ledger.decide import Key
from ledger.entries import Entry
from topics.ledger import (
    DepositConfirmed,
    DepositFact,
    DepositOrphaned,
    LedgerFact,
    NetworkCostConfirmed,
    NetworkCostFact,
    NetworkCostOrphaned,
    WithdrawalConfirmed,
    WithdrawalFact,
    WithdrawalFailed,
    WithdrawalUnsettled,
)


def entry_of(fact: LedgerFact, original: Entry | None) -> Entry:
    """Return the entry for a fact; `original` is the posted entry that a reversal undoes."""
    if not isinstance(fact, WithdrawalUnsettled):
        return _MAKERS[type(fact)](fact)
    if original is None:
        raise ValueError("nothing was posted that could be undone")
    return rules.withdrawal_unsettled(original)


def original_of(fact: LedgerFact) -> list[Entry]:
    """Return the entries of which this fact undoes the posted one, if any."""
    if isinstance(fact, DepositOrphaned):
        return [_credit(fact)]
    if isinstance(fact, NetworkCostOrphaned):
        return [_expense(fact)]
    if isinstance(fact, WithdrawalUnsettled):
        return [_settlement(fact), _failure(fact), _release(fact)]
    return []


def with_undoings(fact: LedgerFact) -> list[LedgerFact]:
    """Return a settling, behind the undoing of each that stood before it; other facts alone.

    The undoings are facts of their own and come by themselves, yet perhaps later: without them the
    money is settled already and missing. Whichever comes second is a repeat.
    """
    if not isinstance(fact, WithdrawalConfirmed | WithdrawalFailed):
        return [fact]
    fields = msgspec.structs.asdict(fact)
    earlier = range(fact.revision)
    return [*(WithdrawalUnsettled(**fields | {"revision": r}) for r in earlier), fact]


def credits_before(fact: LedgerFact) -> list[tuple[Key, Key]]:
    """Return of each credit that a deposit may have had before its own: its key, its reversal's."""
    if not isinstance(fact, DepositConfirmed) or not fact.revision:
        return []
    earlier = [msgspec.structs.replace(fact, revision=number) for number in range(fact.revision)]
    return [(key_of(_credit(one)), key_of(_reversal(one))) for one in earlier]


def key_of(entry: Entry) -> Key:
    """Return what an entry is found by."""
    return entry.tenant, entry.idempotency_key


def with_gas(fact: LedgerFact, gas_minor: int) -> LedgerFact:
    """Return an undoing with the network's fee that was posted by what it undoes."""
    if not isinstance(fact, WithdrawalUnsettled):
        return fact
    return msgspec.structs.replace(fact, network_fee_minor=str(gas_minor))


def _credit(fact: DepositFact) -> Entry:
    amount_minor, key = int(fact.amount_minor), _deposit_key(fact)
    if fact.owner:
        return rules.deposit_credited(fact.tenant, fact.owner, fact.asset, amount_minor, **key)
    if fact.purpose == "pooled":
        return rules.deposit_unassigned(fact.tenant, fact.asset, amount_minor, **key)
    return rules.wallet_funded(fact.tenant, fact.asset, _wallet(fact), amount_minor, **key)


def _reversal(fact: DepositFact) -> Entry:
    amount_minor, key = int(fact.amount_minor), _deposit_key(fact)
    if fact.owner:
        return rules.deposit_reversed(fact.tenant, fact.owner, fact.asset, amount_minor, **key)
    if fact.purpose == "pooled":
        return rules.unassigned_reversed(fact.tenant, fact.asset, amount_minor, **key)
    return rules.wallet_funding_reversed(
        fact.tenant, fact.asset, _wallet(fact), amount_minor, **key
    )


def _deposit_key(fact: DepositFact) -> dict[str, int]:
    return {"deposit_id": fact.deposit_id, "revision": fact.revision}


def _expense(fact: NetworkCostFact) -> Entry:
    return rules.network_cost(*_cost(fact), cost_id=fact.cost_id, revision=fact.revision)


def _refund(fact: NetworkCostFact) -> Entry:
    return rules.network_cost_reversed(*_cost(fact), cost_id=fact.cost_id, revision=fact.revision)


def _cost(fact: NetworkCostFact) -> tuple[str, str, rules.Wallet, int]:
    return fact.tenant, fact.asset, _wallet(fact), int(fact.amount_minor)


def _wallet(fact: DepositFact | NetworkCostFact) -> rules.Wallet:
    if fact.purpose in ("deposit", "pooled"):
        return "deposit_wallets"
    return cast("rules.Wallet", f"{fact.purpose}_wallet")


def _settlement(fact: WithdrawalFact) -> Entry:
    return _mined(fact, succeeded=True)


def _failure(fact: WithdrawalFact) -> Entry:
    return _mined(fact, succeeded=False)


def _mined(fact: WithdrawalFact, *, succeeded: bool) -> Entry:
    rule = rules.withdrawal_settled if succeeded else rules.withdrawal_failed_on_chain
    return rule(
        fact.tenant,
        fact.owner,
        fact.asset,
        int(fact.amount_minor),
        fee_minor=int(fact.fee_minor),
        withdrawal_id=fact.withdrawal_id,
        revision=fact.revision,
        native_asset=fact.network_fee_asset,
        gas_minor=int(fact.network_fee_minor),
    )


def _release(fact: WithdrawalFact) -> Entry:
    return rules.withdrawal_released(
        fact.tenant,
        fact.owner,
        fact.asset,
        int(fact.amount_minor),
        fee_minor=int(fact.fee_minor),
        withdrawal_id=fact.withdrawal_id,
        revision=fact.revision,
    )


_MAKERS: dict[type[LedgerFact], Callable[[Any], Entry]] = {
    DepositConfirmed: _credit,
    DepositOrphaned: _reversal,
    NetworkCostConfirmed: _expense,
    NetworkCostOrphaned: _refund,
    WithdrawalConfirmed: _settlement,
    WithdrawalFailed: _failure,
}
