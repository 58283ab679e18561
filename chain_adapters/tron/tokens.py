"""TRC-20 contracts, asked by constant calls: nothing here makes a transaction."""

from __future__ import annotations

import msgspec

from chain_adapters.abi import read_token
from chain_adapters.rpc import Absent, Endpoint
from chain_adapters.tron import node, wire
from chain_adapters.tron.decode import add_log_transfers
from chain_adapters.tron.pay import encode_words
from chain_adapters.types import NodeUnavailable, Payment, PaymentRefused, Token, Transfer

NOBODY = "41" + 40 * "0"
"""Who asks for balances: a constant call needs a caller, not an account."""

FRESH_HOLDER_ENERGY = 15_000
"""A transfer costs so much more if the recipient holds none of the token: storage that was zero
costs 20,000 instead of 5,000 (Yellow Paper, appendix G), before the contract's penalty."""

ENERGY_MARGIN = (6, 5)
"""A busy contract's penalty rises by a fifth at most in a maintenance period
(getDynamicEnergyIncreaseFactor)."""

_ERROR_SELECTOR = "08c379a0"
"""First four bytes of keccak256("Error(string)"), Solidity's revert reason."""


class Energy(msgspec.Struct, frozen=True):
    """Units of energy: `used` by the call as things are, `limit` with room for changes."""

    used: int
    limit: int


async def fetch_balance(
    endpoint: Endpoint, contract: str, address: str, state: str = "wallet"
) -> int:
    """Return what an address holds of a token; 0 if there is no such contract."""
    words = bytes.fromhex(address[2:]).rjust(32, b"\0")
    answer = await node.call_constant(
        endpoint, NOBODY, contract, "balanceOf(address)", words, state=state
    )
    if is_missing(answer):
        return 0
    result = read_result(answer)
    if len(result) != 64:
        raise NodeUnavailable("a balance is not 32 bytes long")
    return int(result, 16)


async def fetch_token(endpoint: Endpoint, contract: str) -> Token:
    """Return what a contract tells of itself as a token; Absent if there is no contract."""
    decimals = await _ask(endpoint, contract, "decimals()")
    return read_token(decimals, await _ask(endpoint, contract, "symbol()"))


async def _ask(endpoint: Endpoint, contract: str, function: str) -> bytes:
    """Return what a function answers: nothing, if the contract has no such function."""
    answer = await node.call_constant(endpoint, NOBODY, contract, function, b"")
    if is_missing(answer):
        raise Absent("there is no contract at the token's address")
    try:
        return bytes.fromhex(read_result(answer))
    except PaymentRefused:
        return b""


async def try_transfer(endpoint: Endpoint, payment: Payment, contract: str) -> tuple[int, Energy]:
    """Return the sender's balance and the energy of a transfer; refuse one that would not move.

    A transfer that fails does so for good only if the sender holds enough before and after it was
    tried: another payment may land between two looks.
    """
    held_minor = await fetch_balance(endpoint, contract, payment.sender)
    words = encode_words(payment.recipient, payment.amount_minor)
    answer = await node.call_constant(
        endpoint, payment.sender, contract, "transfer(address,uint256)", words
    )
    if is_missing(answer):
        raise PaymentRefused("token_missing", "there is no contract at the token's address")
    require_held(payment, held_minor)
    try:
        check_result(answer, payment)
    except PaymentRefused:
        require_held(payment, await fetch_balance(endpoint, contract, payment.sender))
        raise
    return held_minor, estimate(answer)


def require_held(payment: Payment, held_minor: int) -> None:
    """Refuse a payment of more than the sender holds of the token."""
    if held_minor < payment.amount_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender holds less of the token")


def check_result(answer: wire.ConstantAnswer, payment: Payment) -> None:
    """Refuse a transfer that reverted or moved nothing.

    USDT answers false although it moved the money, so that an answer alone says nothing: the
    Transfer event does.
    """
    result = read_result(answer)
    if result and int(result, 16) == 0 and not has_event(answer, payment):
        raise PaymentRefused("token_transfer_reverts", "the token answers that it would not pay")


def is_missing(answer: wire.ConstantAnswer) -> bool:
    """Whether the node says that there is no contract."""
    result = answer.result
    return (
        result is not None
        and result.code == "CONTRACT_VALIDATE_ERROR"
        and "not exist" in node.read_message(result.message)
    )


def read_result(answer: wire.ConstantAnswer) -> str:
    """Return a call's result in hex. PaymentRefused("token_transfer_reverts") if it reverted."""
    outcome = answer.result
    if outcome is None:
        raise NodeUnavailable("the node did not run the call")
    message = node.read_message(outcome.message)
    result = answer.constant_result[0] if answer.constant_result else ""
    if not outcome.result or "time" in message.lower():
        raise NodeUnavailable(f"the node did not run the call: {message[:200]} ({outcome.code})")
    if message:
        raise PaymentRefused("token_transfer_reverts", describe_revert(message, result))
    return result


def describe_revert(message: str, result: str) -> str:
    """Return the node's words, with the contract's own reason if it gave one."""
    if not result.startswith(_ERROR_SELECTOR):
        return message[:200]
    content = bytes.fromhex(result[8:])
    length = int.from_bytes(content[32:64])
    reason = content[64 : 64 + length].decode(errors="replace")
    return f"{message[:200]}: {reason[:200]}"


def has_event(answer: wire.ConstantAnswer, payment: Payment) -> bool:
    """Whether the call made the Transfer event of this payment."""
    found: list[Transfer] = []
    add_log_transfers(answer.logs, found)
    return any(
        (t.sender, t.address, t.contract) == (payment.sender, payment.recipient, payment.contract)
        for t in found
    )


def estimate(answer: wire.ConstantAnswer) -> Energy:
    """Return the energy of a call: as it is, and if the recipient's balance becomes zero before it
    is made and the contract's penalty grows."""
    used, penalty = answer.energy_used, answer.energy_penalty
    if not 0 <= penalty < used:
        raise NodeUnavailable("the node does not tell how much energy the call takes")
    fresh = -(-FRESH_HOLDER_ENERGY * used // (used - penalty))
    more, than = ENERGY_MARGIN
    return Energy(used, -(-(used + fresh) * more // than))
