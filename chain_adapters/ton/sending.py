"""Sending signed messages, and reading what nodes say of them.

A node runs an external message before it passes it on, and refuses what its account does not
accept. Nodes forget what they passed on, so sending again is how a message survives.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from pytoniq_core import Address, Cell

from chain_adapters.rpc import Absent, Endpoint, RpcClient
from chain_adapters.ton.asking import ask_transactions, get, read_answer, refusal_text
from chain_adapters.ton.wire import SentMessage, WalletStates
from chain_adapters.types import (
    Broadcast,
    BroadcastOutcome,
    NodeUnavailable,
    SignedTransaction,
)

_REFUSING = frozenset({400, 409, 422, 500})
"""Statuses with which toncenter says that a message was not accepted."""
_EXIT_CODE = re.compile(r"exit ?code[= ]*(-?[0-9]+)")
_REFUSED_CODES = frozenset({34, 35, 36})
"""Of wallet v4R2: another wallet id, a wrong signature, expired."""
_REFUSED_WORDS = ("failed to unpack account state", "not accepted")
"""An account without money or code; a message that the account did not accept at all."""

_MINED = Broadcast(BroadcastOutcome.ACCEPTED, "already in a block")


async def broadcast(rpc: RpcClient, signed: SignedTransaction) -> Broadcast:
    """Send the bytes to endpoints in turn until one gives a definite answer."""

    async def send(endpoint: Endpoint) -> Broadcast:
        body = {"boc": base64.b64encode(signed.raw).decode()}
        status, raw = await endpoint.ask("message", "message", body=body, judged=_REFUSING)
        if status == 200:
            read_answer(status, raw, SentMessage)
            return Broadcast(BroadcastOutcome.ACCEPTED)
        return await explain(endpoint, signed, refusal_text(raw) or f"HTTP status {status}")

    return await rpc.first(send)


async def explain(endpoint: Endpoint, signed: SignedTransaction, words: str) -> Broadcast:
    """Return what a refusal means: most often the message was taken long ago.

    The wallet's state is asked for before the transaction, and both of the index, so that a
    sequence number that is used up is never seen without the transaction that used it.
    """
    slot = read_slot(signed.raw)
    used = await has_used(endpoint, slot)
    if await is_mined(endpoint, signed.transaction_id):
        return _MINED
    if used:
        return Broadcast(BroadcastOutcome.NONCE_USED, words)
    if is_refusal(words):
        return Broadcast(BroadcastOutcome.REFUSED, words)
    raise NodeUnavailable(words)


class Slot(NamedTuple):
    """Which wallet's which transaction a message is."""

    sender: str
    seqno: int


def read_slot(raw: bytes) -> Slot:
    """Return the slot of a message that `pay.assemble` made."""
    message = Cell.one_from_boc(raw).begin_parse()
    message.load_uint(4)
    address: Address = message.load_address()
    order = Cell.one_from_boc(raw).refs[-1].begin_parse()
    order.load_bytes(64)
    order.load_uint(64)
    return Slot(f"{address.wc}:{address.hash_part.hex()}", order.load_uint(32))


async def has_used(endpoint: Endpoint, slot: Slot) -> bool:
    """Whether the index has the wallet past this sequence number."""
    query = {"address": slot.sender.upper()}
    answer = await get(endpoint, "walletStates", query, WalletStates)
    return any(
        wallet.address.lower() == slot.sender
        and wallet.seqno is not None
        and wallet.seqno > slot.seqno
        for wallet in answer.wallets
    )


async def is_mined(endpoint: Endpoint, transaction_id: str) -> bool:
    """Whether the index has the transaction that the message caused."""
    id_ = base64.b64encode(bytes.fromhex(transaction_id)).decode()
    query = {"msg_hash": id_, "direction": "in", "limit": "1"}
    try:
        return bool(await ask_transactions(endpoint, "transactionsByMessage", query))
    except Absent:
        return False


def is_refusal(words: str) -> bool:
    """Whether a node's words say for certain that it will not take the message now.

    A differing sequence number (33) is none: perhaps the message itself was taken a moment ago.
    """
    if found := _EXIT_CODE.search(words.lower()):
        return int(found[1]) in _REFUSED_CODES
    return any(hint in words.lower() for hint in _REFUSED_WORDS)
