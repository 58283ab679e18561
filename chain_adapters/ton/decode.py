"""From toncenter's transactions to a Block. Pure, and the hot path of reading the chain.

A transaction of TON is what one message did to one account, so a payment is at least two: the
sender's wallet takes the signed message and sends an internal one, the recipient's account takes
that. The transfer belongs to the recipient's. Indexes: "in" for the native money of the message
that came in, "jetton" for jettons that came in (then the account is the owner's jetton wallet).

`fee_minor` is what makes the books of an account exact: all by which its balance fell, or rose
(then it is negative), beside transfers. So it holds, beside gas, storage and forwarding: native
money sent along with a jetton payment of ours, and, with a minus, what comes back of it; money
that stayed although the account refused it; and for a bounced payment what was lost on the way,
as `returns` takes the whole payment back.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import NamedTuple

from pytoniq_core import Cell

from chain_adapters.ton import constants, wallet
from chain_adapters.ton.cells import (
    read_bounced_opcode,
    read_internal_transfer,
    read_memo,
    read_opcode,
    read_query_id,
)
from chain_adapters.ton.flow import check_flow
from chain_adapters.ton.marks import is_marked
from chain_adapters.ton.wire import BlockHeader, Description, Message
from chain_adapters.ton.wire import Transaction as WireTransaction
from chain_adapters.types import Block, NodeUnavailable, Transaction, Transfer

COMMENT = constants.opcode_text(constants.COMMENT)
BOUNCED = frozenset(
    {constants.opcode_text(constants.BOUNCED), constants.opcode_text(constants.BOUNCED_WHOLE)}
)
EXCESSES = constants.opcode_text(constants.EXCESSES)
JETTON_TRANSFER = constants.opcode_text(constants.JETTON_TRANSFER)
INTERNAL_TRANSFER = constants.opcode_text(constants.JETTON_INTERNAL_TRANSFER)

ADDRESS_LENGTHS = frozenset({66, 67})
"""Of raw addresses in workchains 0 and -1. Whatever else sends a message is none that we know."""
EMPTY_BODIES = frozenset({"te6cckEBAQEAAgAAAEysuc0=", "te6ccgEBAQEAAgAAAA=="})
"""An empty cell as servers write it: most plain payments have it."""


class Sent(NamedTuple):
    """A message that a wallet sent: its native money; whether it is a jetton payment of ours."""

    amount_minor: int
    jetton: bool


class Root(NamedTuple):
    """The transaction that began a trace: its account, its id, what it sent to whom."""

    account: str
    id: str
    sent: Mapping[str, Sent]


class Held(NamedTuple):
    """Whose jettons, of which master, a jetton wallet holds."""

    owner: str
    master: str


class Facts(NamedTuple):
    """What has to be known beside a block to read it.

    `wallets`: the jetton wallets of allow-listed masters in it. `roots`: by trace, the
    transactions that began what bounced.
    """

    wallets: Mapping[str, Held]
    roots: Mapping[str, Root]


NOTHING = Facts({}, {})


def hex_hash(encoded: str) -> str:
    """Return a hash in lower-case hex."""
    return binascii.a2b_base64(encoded).hex()


def normalise_block(
    header: BlockHeader, parent_id: str, transactions: list[WireTransaction], facts: Facts
) -> Block:
    """Return the Block of a masterchain block and all that it committed, by logical time."""
    ordered = sorted(transactions, key=lambda t: (t.lt, t.account))
    time = int(header.gen_utime)
    return Block(
        height=header.seqno,
        block_id=hex_hash(header.root_hash),
        parent_id=parent_id,
        time=time,
        transactions=tuple([normalise_transaction(t, facts) for t in ordered]),
        clock=time,
    )


def normalise_transaction(transaction: WireTransaction, facts: Facts) -> Transaction:
    """Return one transaction with what arrived by it."""
    check_flow(transaction)
    account = transaction.account.lower()
    message = transaction.in_msg
    fee_minor = transaction.total_fees + cost_of_sending(account, transaction.out_msgs)
    if message is None or message.source is None:
        return began_here(transaction, account, fee_minor)
    if message.bounced is None:
        raise NodeUnavailable("the index does not tell whether a message bounced")
    effective = took_effect(transaction)
    worth_minor = worth(message)
    fee_minor -= worth_minor
    hash_ = hex_hash(transaction.hash)
    opcode = opcode_of(message)
    if message.bounced or opcode in BOUNCED:
        returns, lost_minor = find_return(transaction, account, message, facts, effective)
        succeeded = effective or returns is not None
        return Transaction(hash_, account, succeeded, fee_minor + lost_minor, (), returns)
    transfers: tuple[Transfer, ...] = ()
    if (
        worth_minor
        and (effective or stays_unused(transaction, message))
        and len(message.source) in ADDRESS_LENGTHS
        and message.destination is not None
        and message.destination.lower() == account
        and not is_own_change(account, message)
    ):
        fee_minor += worth_minor
        memo = memo_of(message) if opcode == COMMENT else None
        transfers = (Transfer("in", message.source.lower(), account, None, worth_minor, memo),)
    if effective and opcode == INTERNAL_TRANSFER and account in facts.wallets:
        transfers += jetton_arrival(message, facts.wallets[account])
    succeeded = effective or bool(transfers)
    returns = find_refusal(transaction, account, message, facts)
    return Transaction(hash_, account, succeeded, fee_minor, transfers, returns)


def opcode_of(message: Message) -> str | None:
    """Return a message's operation code as text, from its body if the node tells none."""
    if message.opcode is not None and len(message.opcode) == 10:
        return message.opcode
    content = message.message_content
    if content is None or content.body is None or content.body in EMPTY_BODIES:
        return None
    opcode = read_opcode(content.body)
    return None if opcode is None else constants.opcode_text(opcode)


def worth(message: Message) -> int:
    """Return the native money that a message carries, in nanotons.

    The fee for instant routing is no part of it: since version 11 of the network (July 2025) it is
    always 0, and since version 12 flags stand in its place, which an index may still call a fee.
    """
    return message.value or 0


def cost_of_sending(account: str, messages: list[Message]) -> int:
    """Return what messages cost their sender beside transfers: forwarding, and attached money."""
    cost_minor = 0
    for message in messages:
        cost_minor += message.fwd_fee or 0
        if message.bounced or is_own_call(account, message):
            cost_minor += worth(message)
    return cost_minor


def is_own_call(sender: str, message: Message) -> bool:
    """Whether a message is a jetton payment that an adapter of ours made for its sender."""
    return opcode_of(message) == JETTON_TRANSFER and has_mark(sender, message)


def is_own_change(account: str, message: Message) -> bool:
    """Whether a message's native money is part of a jetton payment, there or back."""
    if opcode_of(message) == EXCESSES:
        return has_mark(account, message)
    return message.source is not None and is_own_call(message.source.lower(), message)


def has_mark(address: str, message: Message) -> bool:
    """Whether a message of TEP-74 has a query id made by the address's own payments.

    One that the node shows without a readable body may have, and is not credited.
    """
    content = message.message_content
    if content is None or content.body is None:
        return True
    try:
        query_id = read_query_id(content.body)
    except ValueError:
        return True
    return query_id is not None and is_marked(address, query_id)


def memo_of(message: Message) -> str | None:
    """Return the memo of a message that says to have a text comment."""
    content = message.message_content
    return None if content is None or content.body is None else read_memo(content.body)


def took_effect(transaction: WireTransaction) -> bool:
    """Whether all phases of an ordinary transaction were successful."""
    description = transaction.description
    compute, action = description.compute_ph, description.action
    return (
        not description.aborted
        and compute is not None
        and compute.success is True
        and compute.skipped is not True
        and compute.type != "skipped"
        and action is not None
        and action.success is True
        and description.type == "ord"
        and not transaction.emulated
    )


def was_skipped(description: Description) -> bool:
    """Whether the contract did not run at all: there is none, or the money was too little."""
    compute = description.compute_ph
    return (
        compute is not None
        and (compute.skipped is True or compute.type == "skipped")
        and compute.success is None
        and (compute.reason or compute.skip_reason) is not None
    )


def stays_unused(transaction: WireTransaction, message: Message) -> bool:
    """Whether the money stayed with an account whose contract did not run.

    So it is with accounts that are not deployed, and with amounts that pay for no gas. A message
    that may bounce does so then, unless it has too little money for the way back.
    """
    description = transaction.description
    if not description.aborted or description.type != "ord" or transaction.emulated:
        return False
    if not was_skipped(description) or transaction.out_msgs:
        return False
    if description.bounce is None:
        return message.bounce is False
    return description.bounce.type == "nofunds"


def jetton_arrival(message: Message, held: Held) -> tuple[Transfer, ...]:
    """Return the transfer of jettons that an internal transfer brought to a genuine wallet."""
    content = message.message_content
    if content is None or content.body is None:
        return ()
    try:
        arrival = read_internal_transfer(content.body)
    except ValueError:
        return ()
    if arrival.amount_minor == 0:
        return ()
    return (
        Transfer(
            "jetton",
            arrival.sender,
            held.owner,
            held.master,
            arrival.amount_minor,
            arrival.memo,
        ),
    )


def began_here(transaction: WireTransaction, account: str, fee_minor: int) -> Transaction:
    """Return a transaction that no other account caused: an external message, or the clock.

    With send mode 3 a payment that the wallet cannot make is left out while all else succeeds:
    skipped actions, or no message sent, mean that it did not take effect.
    """
    message, action = transaction.in_msg, transaction.description.action
    succeeded = (
        took_effect(transaction)
        and action is not None
        and action.skipped_actions == 0
        and bool(transaction.out_msgs)
    )
    id_ = hex_hash(transaction.hash) if message is None else external_id(account, message)
    return Transaction(id_, account, succeeded, fee_minor)


def external_id(account: str, message: Message) -> str:
    """Return the normalised hash of an external message (TEP-467), worked out if it is not told."""
    if message.hash_norm is not None:
        return hex_hash(message.hash_norm)
    content = message.message_content
    try:
        body = Cell.one_from_boc(content.body) if content and content.body else None
        return hex_hash(message.hash) if body is None else wallet.normalised_id(account, body)
    except Exception:  # whatever the library makes of odd bytes
        return hex_hash(message.hash)


def read_root(transaction: WireTransaction) -> Root:
    """Return what is to be known of the transaction that began a trace."""
    account = transaction.account.lower()
    sent = {
        message.destination.lower(): Sent(worth(message), is_own_call(account, message))
        for message in transaction.out_msgs
        if message.destination is not None
    }
    message = transaction.in_msg
    began = message is not None and message.source is None
    id_ = external_id(account, message) if message and began else hex_hash(transaction.hash)
    return Root(account, id_, sent)


def needs_root(transaction: WireTransaction) -> bool:
    """Whether to read a transaction one must know what began it.

    That is so of a bounced message if it came back to a wallet v4R2, or if it is a jetton transfer
    that came back to a jetton wallet; no other can be of a payment of ours. And so it is of a
    refusal (`is_refusal`).
    """
    message = transaction.in_msg
    if message is None or message.source is None:
        return False
    if not message.bounced:
        return is_refusal(transaction, message)
    if code_hash(transaction) in {None, constants.WALLET_CODE_HASH}:
        return True
    return is_bounced_jetton(message)


def code_hash(transaction: WireTransaction) -> str | None:
    """Return the hash of the account's code in base64, as far as it is told."""
    before, after = transaction.account_state_before, transaction.account_state_after
    return (after and after.code_hash) or (before and before.code_hash) or None


def is_bounced_jetton(message: Message) -> bool:
    """Whether a message is an internal transfer between jetton wallets that came back."""
    content = message.message_content
    return (
        content is not None
        and content.body is not None
        and read_bounced_opcode(content.body) == constants.JETTON_INTERNAL_TRANSFER
    )


def is_refusal(transaction: WireTransaction, message: Message) -> bool:
    """Whether a jetton wallet did not do what a payment of its owner's told it, and kept silent.

    Without enough money for its gas it does not run, and sends nothing back. One that fails as it
    sends does not bounce either.
    """
    return (
        message.source is not None
        and not transaction.out_msgs
        and not took_effect(transaction)
        and is_own_call(message.source.lower(), message)
    )


def find_refusal(
    transaction: WireTransaction, account: str, message: Message, facts: Facts
) -> str | None:
    """Return the id of the jetton payment that a jetton wallet refused, if it did."""
    root = facts.roots.get(transaction.trace_id or "")
    if root is None or message.source is None or not is_refusal(transaction, message):
        return None
    sent = root.sent.get(account)
    known = sent is not None and sent.jetton and root.account == message.source.lower()
    return root.id if known else None


def find_return(
    transaction: WireTransaction, account: str, message: Message, facts: Facts, effective: bool
) -> tuple[str | None, int]:
    """Return the id of the payment that a bounced message takes back, and its native amount.

    Back to the wallet came the message that the wallet itself had sent. Of jettons that the
    recipient's jetton wallet refused, the sender's jetton wallet hears, which takes them back.
    """
    root = facts.roots.get(transaction.trace_id or "")
    if root is None or message.destination is None or message.destination.lower() != account:
        return None, 0
    if not (message.bounced and opcode_of(message) in BOUNCED and message.source):
        return None, 0
    sent = root.sent.get(message.source.lower())
    if root.account == account and sent is not None:
        return root.id, 0 if sent.jetton else sent.amount_minor
    sent = root.sent.get(account)
    if sent is not None and sent.jetton and effective and is_bounced_jetton(message):
        return root.id, 0
    return None, 0
