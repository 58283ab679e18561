"""From Horizon's answers to a Block. Pure, and the hot path of reading a ledger.

A credit's index is "op:<n>", n being the operation's place in its transaction from 0 on; where
one operation credits more than once (a contract call may), the others are "op:<n>:1" and so on,
in Horizon's order. None depends on the ledger.

Credited are payments, path payments (what arrived), new accounts, merged accounts, claimable
balances when claimed, transfers by assets' own contracts (CAP-46-6) and the old inflation. Not
told: trades, liquidity pools, claimable balances as long as nobody has claimed them, and what an
issuer gets of its own asset, by payment or clawback (CAP-35), since that destroys it. The sender
is told where it lost what arrived: not where one asset was changed into another on the way, nor
where a claimable balance was claimed.

A fee bump (CAP-15) is told as two transactions: the outer one has the fee and the transfers, as
Horizon shows it; the inner one, without either, is there for whoever knows that hash only. Anyone
can put a fee bump around a transaction that was sent, and it is the inner one's sequence number
that is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from chain_adapters.stellar.address import split_muxed
from chain_adapters.stellar.amounts import contract_of, is_issuer, to_minor, to_number
from chain_adapters.stellar.memo import memo_of, number_memo
from chain_adapters.stellar.wire import (
    WireBalanceChange,
    WireEffect,
    WireLedger,
    WireOperation,
    WireTransaction,
)
from chain_adapters.types import Block, InvalidAddress, NodeUnavailable, Transaction, Transfer

OPERATION_BITS = 12
"""Horizon's ids: 32 bits of ledger, 20 of transaction, 12 of operation, the latter two from 1."""
LEDGER_BITS = 32

HIDDEN_AMOUNTS = frozenset({"account_merge", "claim_claimable_balance", "inflation"})
"""Operations whose records do not say what they credited: only their effects do."""


_ARRIVING = frozenset({"transfer", "mint"})
"""What an asset's contract does that gives to somebody (CAP-46-6); burn and clawback destroy."""


class Credit(NamedTuple):
    """What one operation gave to one party. `routing` is a muxed recipient's number."""

    sender: str | None
    address: str
    contract: str | None
    amount_minor: int
    routing: int | None = None


def normalise_ledger(
    ledger: WireLedger,
    transactions: Sequence[WireTransaction],
    operations: Sequence[WireOperation],
    effects: Sequence[WireEffect],
) -> Block:
    """Return the Block, or raise NodeUnavailable if the parts are not all there.

    `effects` are those of all transactions that have an operation of HIDDEN_AMOUNTS.
    """
    check_transactions(ledger, transactions)
    by_transaction = group_operations(ledger, transactions, operations)
    by_operation = group_effects(effects)
    found: list[Transaction] = []
    for place, transaction in sorted_by_place(transactions):
        found.extend(normalise(transaction, by_transaction.get(place, []), by_operation))
    closed_at = int(ledger.closed_at.timestamp())
    return Block(
        height=ledger.sequence,
        block_id=ledger.hash,
        parent_id=ledger.prev_hash,
        time=closed_at,
        transactions=tuple(found),
        clock=closed_at,
    )


def check_transactions(ledger: WireLedger, transactions: Sequence[WireTransaction]) -> None:
    """Raise NodeUnavailable unless these are all of the ledger's transactions and nothing else."""
    succeeded = [t for t in transactions if t.successful]
    counts = (len(succeeded), len(transactions) - len(succeeded))
    if counts != (ledger.successful_transaction_count, ledger.failed_transaction_count):
        raise NodeUnavailable("the ledger's transactions are not all there")
    if sum(t.operation_count for t in succeeded) != ledger.operation_count:
        raise NodeUnavailable("the transactions have another number of operations than the ledger")
    if len({t.hash for t in transactions}) != len(transactions):
        raise NodeUnavailable("a transaction is there twice")


def sorted_by_place(
    transactions: Sequence[WireTransaction],
) -> list[tuple[int, WireTransaction]]:
    """Return the transactions as they were applied, each with its place in history."""
    return sorted(((to_number(t.paging_token), t) for t in transactions), key=lambda pair: pair[0])


def group_operations(
    ledger: WireLedger,
    transactions: Sequence[WireTransaction],
    operations: Sequence[WireOperation],
) -> dict[int, list[WireOperation]]:
    """Return the operations by their transaction's place, complete and in order."""
    groups: defaultdict[int, list[tuple[int, WireOperation]]] = defaultdict(list)
    for operation in operations:
        place, number = divmod(to_number(operation.id), 1 << OPERATION_BITS)
        groups[place << OPERATION_BITS].append((number, operation))
    for transaction in transactions:
        place = to_number(transaction.paging_token)
        if place >> LEDGER_BITS != ledger.sequence or transaction.ledger != ledger.sequence:
            raise NodeUnavailable("a transaction belongs to another ledger")
        check_operations(transaction, groups[place])
    if len(groups) != len(transactions):
        raise NodeUnavailable("an operation belongs to no transaction of the ledger")
    return {place: [operation for _, operation in group] for place, group in groups.items()}


def check_operations(
    transaction: WireTransaction, operations: list[tuple[int, WireOperation]]
) -> None:
    """Sort one transaction's operations; NodeUnavailable unless they are all there and its own."""
    operations.sort(key=lambda pair: pair[0])
    expected = transaction.operation_count if transaction.successful else 0
    if [number for number, _ in operations] != list(range(1, expected + 1)):
        raise NodeUnavailable("the operations of a transaction are not all there")
    for _, operation in operations:
        if operation.transaction_hash != transaction.hash or not operation.transaction_successful:
            raise NodeUnavailable("an operation belongs to another transaction")


def group_effects(effects: Sequence[WireEffect]) -> dict[int, list[WireEffect]]:
    """Return the effects by their operation's id, in order and without gaps."""
    groups: defaultdict[int, list[tuple[int, WireEffect]]] = defaultdict(list)
    for effect in effects:
        operation, _, number = effect.id.partition("-")
        groups[to_number(operation)].append((to_number(number), effect))
    for group in groups.values():
        group.sort(key=lambda pair: pair[0])
        if [number for number, _ in group] != list(range(1, len(group) + 1)):
            raise NodeUnavailable("an effect of an operation is missing")
    return {place: [effect for _, effect in group] for place, group in groups.items()}


def normalise(
    transaction: WireTransaction,
    operations: Sequence[WireOperation],
    effects: dict[int, list[WireEffect]],
) -> Iterator[Transaction]:
    """Yield the transaction and, behind a fee bump, the one inside it."""
    transfers: list[Transfer] = []
    if operations:
        memo = memo_of(transaction)
        for place, operation in enumerate(operations):
            add_transfers(place, credits_of(operation, effects), memo, transfers)
    yield Transaction(
        id=transaction.hash,
        payer=transaction.fee_account,
        succeeded=transaction.successful,
        fee_minor=to_number(transaction.fee_charged),
        transfers=tuple(transfers),
    )
    if transaction.inner_transaction is not None:
        inner = transaction.inner_transaction.hash
        yield Transaction(inner, transaction.source_account, transaction.successful, 0)


def add_transfers(
    place: int, found: Sequence[Credit], memo: str | None, transfers: list[Transfer]
) -> None:
    """Append one operation's credits. A muxed recipient's number wins over the memo (SEP-23)."""
    for number, credit in enumerate(found):
        if credit.amount_minor <= 0 or is_issuer(credit.address, credit.contract):
            continue
        transfers.append(
            Transfer(
                index=f"op:{place}:{number}" if number else f"op:{place}",
                sender=credit.sender,
                address=credit.address,
                contract=credit.contract,
                amount_minor=credit.amount_minor,
                memo=memo if credit.routing is None else number_memo(credit.routing),
            )
        )


def credits_of(operation: WireOperation, effects: dict[int, list[WireEffect]]) -> Sequence[Credit]:
    """Return what one successful operation credited; nothing for types that credit nobody."""
    if operation.type in HIDDEN_AMOUNTS:
        return read_effects(operation, effects.get(to_number(operation.id), []))
    reader = _READERS.get(operation.type)
    return () if reader is None else reader(operation)


def optional_number(value: int | str | None) -> int | None:
    """Return a number that may be left out."""
    return None if value is None else to_number(value)


def read_payment(operation: WireOperation) -> Sequence[Credit]:
    """Read a payment."""
    contract = contract_of(operation.asset_type, operation.asset_code, operation.asset_issuer)
    return (credit_of(operation, operation.sender, contract),)


def read_path_payment(operation: WireOperation) -> Sequence[Credit]:
    """Read a path payment of either kind: `amount` is what arrived."""
    contract = contract_of(operation.asset_type, operation.asset_code, operation.asset_issuer)
    source = contract_of(
        operation.source_asset_type, operation.source_asset_code, operation.source_asset_issuer
    )
    if operation.source_amount is None:
        raise NodeUnavailable("a path payment does not say what it cost")
    same = source == contract and to_minor(operation.source_amount) == amount_of(operation)
    return (credit_of(operation, operation.sender if same else None, contract),)


def credit_of(operation: WireOperation, sender: str | None, contract: str | None) -> Credit:
    """Return the credit to `to`."""
    if operation.to is None:
        raise NodeUnavailable("a payment has no recipient")
    routing = optional_number(operation.to_muxed_id)
    return Credit(sender, operation.to, contract, amount_of(operation), routing)


def amount_of(operation: WireOperation) -> int:
    """Return the operation's amount."""
    if operation.amount is None:
        raise NodeUnavailable("a payment has no amount")
    return to_minor(operation.amount)


def read_create_account(operation: WireOperation) -> Sequence[Credit]:
    """Read a new account with its starting balance."""
    if operation.account is None or operation.starting_balance is None:
        raise NodeUnavailable("a new account has no address or balance")
    amount_minor = to_minor(operation.starting_balance)
    return (Credit(operation.funder, operation.account, None, amount_minor),)


def read_call(operation: WireOperation) -> Sequence[Credit]:
    """Read the transfers that a contract call made of assets."""
    return [read_change(c) for c in operation.asset_balance_changes if c.type in _ARRIVING]


def read_change(change: WireBalanceChange) -> Credit:
    """Read one movement by an asset's contract. What is minted comes from the issuer.

    The recipient may be muxed; numbers of other types than uint64 (CAP-67) are left to the memo.
    """
    contract = contract_of(change.asset_type, change.asset_code, change.asset_issuer)
    sender = change.asset_issuer if change.type == "mint" else change.sender
    if change.to is None or sender is None:
        raise NodeUnavailable("a transfer by an asset's contract has no sender or recipient")
    address, routing = take_apart(change.to)
    if change.destination_muxed_id_type in {None, "uint64"}:
        told = optional_number(change.destination_muxed_id)
        routing = told if told is not None else routing
    return Credit(take_apart(sender)[0], address, contract, to_minor(change.amount), routing)


def take_apart(party: str) -> tuple[str, int | None]:
    """Return address and number of a party of a contract's transfer."""
    if not party.startswith("M"):
        return party, None
    try:
        return split_muxed(party)
    except InvalidAddress:
        raise NodeUnavailable("a muxed address is not valid") from None


def read_effects(operation: WireOperation, effects: Sequence[WireEffect]) -> Sequence[Credit]:
    """Read what an operation of HIDDEN_AMOUNTS credited: an amount for each effect that says so."""
    merged = operation.account if operation.type == "account_merge" else None
    found = [
        credit_of_effect(effect, merged) for effect in effects if effect.type == "account_credited"
    ]
    if operation.type == "inflation":
        return found
    if len(found) != 1 or (merged is not None and found[0].address != operation.into):
        raise NodeUnavailable("the effects of an operation do not say what it credited")
    return found


def credit_of_effect(effect: WireEffect, sender: str | None) -> Credit:
    """Return the credit that an effect tells of."""
    if effect.account is None or effect.amount is None or len(effect.account) != 56:
        raise NodeUnavailable("an effect has no account or amount")
    contract = contract_of(effect.asset_type, effect.asset_code, effect.asset_issuer)
    routing = optional_number(effect.account_muxed_id)
    return Credit(sender, effect.account, contract, to_minor(effect.amount), routing)


_READERS: dict[str, Callable[[WireOperation], Sequence[Credit]]] = {
    "payment": read_payment,
    "path_payment": read_path_payment,
    "path_payment_strict_receive": read_path_payment,
    "path_payment_strict_send": read_path_payment,
    "create_account": read_create_account,
    "invoke_host_function": read_call,
}
