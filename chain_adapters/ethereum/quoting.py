"""Asking a node what a payment would cost, and whether it could succeed at all."""

from __future__ import annotations

from statistics import median_low

import msgspec

from chain_adapters.ethereum import wire
from chain_adapters.ethereum.pay import Bid, call_of
from chain_adapters.rpc import (
    Endpoint,
    Fault,
    MethodMissing,
    Reply,
    Request,
    describe_fault,
    result_of,
)
from chain_adapters.types import Holding, NodeUnavailable, Payment, PaymentRefused, Quote

TIP_MINOR_MIN = 10**8
"""Least tip that is bid, in wei per gas (0.1 gwei): nodes and builders pass over smaller ones."""

PLAIN_GAS = 21_000
"""Gas of a transaction that runs no code (Yellow Paper, appendix G)."""

RECIPIENT_GAS_MAX = 100_000
"""Gas that whoever is paid in ether may use of our transaction, beside what any payment takes.

Wallets that are contracts take a tenth. Without a limit a recipient has its own work done at our
expense: so exchanges paid for others' coins to be made (GasToken 2018, XEN 2022).
"""

BALANCE_SELECTOR = "0x70a08231"
"""First four bytes of keccak256("balanceOf(address)"), EIP-20."""

_FEE_BLOCKS = 5
_POOR = "insufficient funds"
"""Every node's wording of a balance that is too low."""
_REVERT_CODE = 3
_EXECUTION_FAILURES = ("revert", "invalid opcode", "out of gas", "gas required exceeds", "bad jump")


class _FeeHistory(msgspec.Struct, rename="camel"):
    """Answer of eth_feeHistory; the last base fee is the next block's."""

    base_fee_per_gas: list[str] = []
    reward: list[list[str]] | None = None


_decode_history = msgspec.json.Decoder(_FeeHistory).decode


def balance_call(address: str, contract: str, tag: str) -> Request:
    """Return the call that reads an ERC-20 balance."""
    data = BALANCE_SELECTOR + address[2:].rjust(64, "0")
    return Request("eth_call", ({"to": contract, "data": data}, tag))


def balance_request(holding: Holding, tag: str) -> Request:
    """Return the call that reads what is held of ether or of a token."""
    if holding.contract is None:
        return Request("eth_getBalance", (holding.address, tag))
    return balance_call(holding.address, holding.contract, tag)


def balance_of(reply: Reply) -> int:
    """Return a balance read by eth_getBalance or `balance_call`; no answer from no code is 0."""
    text = wire.decode_text(result_of(reply))
    if len(text) > 66:
        raise NodeUnavailable("a balance is longer than 32 bytes")
    return 0 if text == "0x" else read_quantity(text)


def read_quantity(text: str) -> int:
    """Return a number of the wire, which is never negative (execution-apis, "uint")."""
    number = int(text, 16)
    if number < 0:
        raise NodeUnavailable("a node's number is negative")
    return number


def read_nonce(reply: Reply) -> int:
    """Return the sender's next nonce. Real ones end at 2^64 (EIP-2681), ours at 2^63."""
    nonce = read_quantity(wire.decode_text(result_of(reply)))
    if nonce >= 2**63:
        raise NodeUnavailable(f"no wallet has reached nonce {nonce}")
    return nonce


async def quote(endpoint: Endpoint, payment: Payment, fee_minor_cap: int) -> Quote:
    """Quote a payment at one endpoint.

    PaymentRefused reasons: sender_lacks_funds, fee_above_cap, recipient_reverts,
    recipient_takes_gas, token_transfer_reverts, token_missing (there is no contract at the token's
    address), amount_too_large (the EVM's numbers end at 2^256).
    """
    if payment.amount_minor >= 2**256:
        raise PaymentRefused("amount_too_large", "the amount does not fit into 256 bits")
    to, value, data = call_of(payment)
    call = {"from": payment.sender, "to": to, "value": hex(value), "data": "0x" + data.hex()}
    requests = [
        Request("eth_feeHistory", (hex(_FEE_BLOCKS), "latest", [50])),
        Request("eth_gasPrice"),
        Request("eth_getTransactionCount", (payment.sender, "latest")),
        Request("eth_getBalance", (payment.sender, "latest")),
        Request("eth_getCode", (to, "latest")),
        Request("eth_estimateGas", (call,)),
    ]
    if payment.contract is not None:
        requests.append(balance_call(payment.sender, payment.contract, "latest"))
        requests.append(Request("eth_call", (call, "latest")))
    fees, price, nonce, balance, code, gas, *token = await endpoint.call(requests)
    if payment.contract is not None:
        held, called = token
        check_token(payment, code, held, called, gas)
    balance_minor = balance_of(balance)
    if balance_minor < value:
        raise PaymentRefused("sender_lacks_funds", "the sender holds less than the amount")
    gas_limit = read_gas(payment, gas)
    if payment.contract is None:
        await check_recipient(endpoint, payment, code, gas_limit)
    bid = choose_bid(fees, price, gas_limit)
    bid = cap_bid(bid, fee_minor_cap, current_price(fees, bid))
    if balance_minor < value + bid.fee_minor_max:
        raise PaymentRefused("sender_lacks_funds", "the sender cannot pay the fee")
    return Quote(
        fee_minor_max=bid.fee_minor_max,
        next_nonce=read_nonce(nonce),
        parameters=msgspec.json.encode(bid),
        held_minor=balance_of(token[0]) if token else balance_minor,
        held_native_minor=balance_minor,
        first_nonce=0,
    )


def check_token(payment: Payment, code: Reply, held: Reply, called: Reply, estimate: Reply) -> None:
    """Refuse a token payment that would move nothing.

    Some tokens answer false where others revert; some answer nothing at all and are fine. A payment
    that fails when it is called and not when it is estimated, or the other way round, was tried on
    two states, between which another one of the sender landed: NodeUnavailable.
    """
    if wire.decode_text(result_of(code)) == "0x":
        raise PaymentRefused("token_missing", "there is no contract at the token's address")
    if balance_of(held) < payment.amount_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender holds less of the token")
    if is_reverted(called) != is_reverted(estimate):
        raise NodeUnavailable("the node contradicts itself about whether the payment can be made")
    if called.error is not None:
        raise refusal(payment, called.error)
    answer = wire.decode_text(called.result)
    if answer != "0x" and int(answer, 16) == 0:
        raise PaymentRefused("token_transfer_reverts", "the token answers that it would not pay")


async def check_recipient(
    endpoint: Endpoint, payment: Payment, code: Reply, gas_limit: int
) -> None:
    """Refuse to pay for more than RECIPIENT_GAS_MAX of the recipient's own work.

    What any payment takes is asked for, if it matters: on second layers it is more than PLAIN_GAS,
    differs from one moment to the next, and by as much as no recipient without code can use.
    """
    if gas_limit <= PLAIN_GAS + RECIPIENT_GAS_MAX or wire.decode_text(result_of(code)) == "0x":
        return
    to_itself = msgspec.structs.replace(payment, recipient=payment.sender)
    call = {"from": payment.sender, "to": payment.sender, "value": hex(payment.amount_minor)}
    (plain,) = await endpoint.call([Request("eth_estimateGas", (call,))])
    extra = gas_limit - read_gas(to_itself, plain)
    if extra > RECIPIENT_GAS_MAX:
        raise PaymentRefused(
            "recipient_takes_gas", f"the recipient would use {extra} gas of our transaction"
        )


def is_reverted(reply: Reply) -> bool:
    """Whether a call failed in its execution. Code 3 is geth's for a revert."""
    if reply.error is None or _POOR in reply.error.message.lower():
        return False
    words = reply.error.message.lower()
    return reply.error.code == _REVERT_CODE or any(hint in words for hint in _EXECUTION_FAILURES)


def refusal(payment: Payment, fault: Fault) -> Exception:
    """Return what a node's refusal to estimate means."""
    if _POOR in fault.message.lower():
        return PaymentRefused("sender_lacks_funds", describe_fault(fault))
    if is_reverted(Reply(0, error=fault)):
        reason = "recipient_reverts" if payment.contract is None else "token_transfer_reverts"
        return PaymentRefused(reason, describe_fault(fault))
    return NodeUnavailable(describe_fault(fault))


def read_gas(payment: Payment, estimate: Reply) -> int:
    """Return the gas limit: the estimate, and a fifth more where code runs on changing state."""
    if estimate.error is not None:
        raise refusal(payment, estimate.error)
    gas = read_quantity(wire.decode_text(estimate.result))
    if gas < PLAIN_GAS:
        raise NodeUnavailable(f"no transaction costs only {gas} gas")
    return gas if gas <= PLAIN_GAS else gas + gas // 5


def choose_bid(fees: Reply, price: Reply, gas_limit: int) -> Bid:
    """Return the bid: twice the next base fee, which covers six full blocks, and a usual tip.

    A chain without base fee gets its gas price plus an eighth, in the legacy form.
    """
    history = read_history(fees)
    base_fee = next_base_fee(history)
    if base_fee == 0:
        gas_price = read_quantity(wire.decode_text(result_of(price))) * 9 // 8
        return Bid(gas_limit, gas_price, gas_price, legacy=True)
    rewards = [read_quantity(row[0]) for row in (history.reward or []) if row]
    tip = max(TIP_MINOR_MIN, median_low(rewards) if rewards else 0)
    return Bid(gas_limit, 2 * base_fee + tip, tip)


def read_history(fees: Reply) -> _FeeHistory:
    """Return the fee history, an empty one where the node has none."""
    try:
        return _decode_history(result_of(fees))
    except MethodMissing:
        return _FeeHistory()


def next_base_fee(history: _FeeHistory) -> int:
    """Return the next block's base fee in wei, 0 where the chain has none."""
    return read_quantity(history.base_fee_per_gas[-1]) if history.base_fee_per_gas else 0


def current_price(fees: Reply, bid: Bid) -> int:
    """Return the lowest price at which the bid would be mined now."""
    return bid.price_minor_max if bid.legacy else next_base_fee(read_history(fees)) + bid.tip_minor


def cap_bid(bid: Bid, fee_minor_cap: int, price_minor_min: int) -> Bid:
    """Lower the price to what the cap allows; refuse if that would not be mined now."""
    price = min(bid.price_minor_max, fee_minor_cap // bid.gas_limit)
    if price < price_minor_min:
        raise PaymentRefused(
            "fee_above_cap",
            f"the fee would be {price_minor_min * bid.gas_limit} wei, over {fee_minor_cap}",
        )
    return msgspec.structs.replace(bid, price_minor_max=price)
