"""Whether a transaction in a block is the payment of an order that this database forgot. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set

from chain_adapters.types import Block, Payment, Spending, Transaction, Transfer
from custody.errors import CustodyError
from sql.transactions import NewTransaction


class NotAdoptable(CustodyError):
    """The transaction is not proven to be the order's payment; nothing was changed."""


def prove_payment(
    block: Block, transaction_id: str, payment: Payment, listed: Set[str | None]
) -> Transaction:
    """Return the transaction of a block that made this payment and no other.

    Raises NotAdoptable unless the block has it, it took effect, the payment's sender paid for it,
    and it brought the recipient exactly the amount, with the memo, and nobody else anything of the
    sender's: two orders have two transactions. Of assets that are not `listed` (contracts; None is
    the native asset) anybody may write what he likes. Change is not counted.
    """
    found = next((one for one in block.transactions if one.id == transaction_id), None)
    if found is None:
        raise NotAdoptable(f"block {block.height} has no {transaction_id}")
    if not found.succeeded:
        raise NotAdoptable(f"{transaction_id} was mined without effect: it paid nobody")
    if found.payer != payment.sender:
        payer = found.payer or "nobody, or several"
        raise NotAdoptable(
            f"{transaction_id} was paid for by {payer}, not by the hot wallet {payment.sender}"
        )
    _require_same(transaction_id, _given(found, payment.sender, listed), payment)
    return found


def _given(transaction: Transaction, sender: str, listed: Set[str | None]) -> list[Transfer]:
    return [
        transfer
        for transfer in transaction.transfers
        if transfer.contract in listed
        and transfer.sender in (None, sender)
        and transfer.address != sender
    ]


def _require_same(transaction_id: str, given: Sequence[Transfer], payment: Payment) -> None:
    if not given:
        raise NotAdoptable(
            f"{transaction_id} shows no payment of the hot wallet's by itself (on TON another"
            " transaction does, so that nothing can be proven there)"
        )
    others = sorted({transfer.address for transfer in given} - {payment.recipient})
    if others:
        raise NotAdoptable(
            f"{transaction_id} pays {', '.join(others)}, not the order's recipient alone"
        )
    if {transfer.contract for transfer in given} != {payment.contract}:
        raise NotAdoptable(f"{transaction_id} pays the recipient in another asset")
    memos = {transfer.memo for transfer in given}
    if memos != {payment.memo}:
        raise NotAdoptable(f"{transaction_id} has another memo than the order")
    paid_minor = sum(transfer.amount_minor for transfer in given)
    if paid_minor != payment.amount_minor:
        raise NotAdoptable(
            f"{transaction_id} pays {paid_minor} minor units, not {payment.amount_minor}"
        )


def account_for(our_nonce: int, chain_nonce: int) -> int:
    """Return a wallet's next nonce once one more that the chain has used is accounted for.

    No block tells which one the transaction has, and none has to: as long as others are forgotten
    the chain stays ahead, and the signer halts the wallet for it. Never beyond the chain, or what
    is signed next would wait for ever.
    """
    return min(our_nonce + 1, chain_nonce) if chain_nonce > our_nonce else our_nonce


def adopted_transaction(
    withdrawal_id: int,
    sender: str,
    proven: Transaction,
    spending: Spending | None,
    attempt: int = 0,
) -> NewTransaction:
    """Return a transaction found in a block as an attempt at its withdrawal.

    What it was built from is gone, so nothing can replace it, and its bytes are known only where
    money is held as coins. Its nonce or coin may be noted as another withdrawal's.
    """
    return NewTransaction(
        transaction_id=proven.id,
        withdrawal_id=withdrawal_id,
        sender=sender,
        nonce=None,
        coin=None,
        coins=() if spending is None else spending.coins,
        valid_until=None,
        attempt=attempt,
        unsigned=b"",
        raw=b"" if spending is None else spending.raw,
        fee_minor_max=max(0, proven.fee_minor or 0),
    )
