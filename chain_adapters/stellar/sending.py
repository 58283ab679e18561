"""Sending envelopes, and reading what Horizon and core say of them.

Nothing is concluded from a refusal before Horizon was asked whether the transaction is in a
ledger: core refuses what was applied already, for its sequence number or its time.
"""

from __future__ import annotations

from base64 import b64encode

from stellar_sdk import TransactionEnvelope, xdr

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.stellar import wire
from chain_adapters.stellar.amounts import to_number
from chain_adapters.stellar.quoting import fetch_account
from chain_adapters.types import Broadcast, BroadcastOutcome, NodeUnavailable, SignedTransaction

ASYNC = "transactions_async"
SYNC = "transactions"
"""Horizon before 2.31 has only this one, which waits for the ledger and may time out (504)."""

BAD_SEQUENCE = "tx_bad_seq"
REFUSED = frozenset(
    {
        "tx_too_early",
        "tx_too_late",
        "tx_missing_operation",
        "tx_bad_auth",
        "tx_bad_auth_extra",
        "tx_insufficient_balance",
        "tx_insufficient_fee",
        "tx_no_account",
        "tx_no_source_account",
        "tx_failed",
        "tx_malformed",
        "tx_not_supported",
        "transaction_malformed",
    }
)
"""Core's result codes (Stellar-transaction.x, as Horizon spells them) for what it will not take."""

_LANDED = Broadcast(BroadcastOutcome.ACCEPTED, "already in a ledger")


async def broadcast(rpc: RpcClient, signed: SignedTransaction) -> Broadcast:
    """Send the envelope to endpoints in turn until one gives a definite answer."""

    async def send(endpoint: Endpoint) -> Broadcast:
        code = await submit(endpoint, signed)
        if code is None:
            return Broadcast(BroadcastOutcome.ACCEPTED)
        return await interpret(endpoint, signed, code)

    return await rpc.first(send)


async def submit(endpoint: Endpoint, signed: SignedTransaction) -> str | None:
    """Post the envelope; return None if it was taken or is known, else core's result code.

    NodeUnavailable if the server does not say, as after 504 and for "try again later": then the
    transaction may be applied all the same.
    """
    path = SYNC if ASYNC in endpoint.lacks else ASYNC
    form = {"tx": b64encode(signed.raw).decode()}
    status, raw = await endpoint.ask(path, path, form=form)
    if path == ASYNC and status in {404, 405}:
        endpoint.lacks.add(ASYNC)
        return await submit(endpoint, signed)
    if status in {200, 201, 409}:
        require_same(raw, signed)
        return None
    if status == 400:
        return result_code(raw)
    raise NodeUnavailable(f"HTTP status {status}")


def require_same(raw: bytes, signed: SignedTransaction) -> None:
    """Raise NodeUnavailable if the answer is about another transaction."""
    if wire.decode_submission(raw).hash != signed.transaction_id:
        raise NodeUnavailable("the server answered with another transaction's hash")


def result_code(raw: bytes) -> str:
    """Return why a transaction was not taken, in Horizon's words, of either form of answer."""
    answer = wire.decode_submission(raw)
    if answer.error_result_xdr is not None:
        return code_of(answer.error_result_xdr)
    problem = wire.decode_problem(raw)
    codes = None if problem.extras is None else problem.extras.result_codes
    if codes is not None and codes.transaction:
        return codes.transaction
    return problem.type.rpartition("/")[2]


def code_of(result_xdr: str) -> str:
    """Return the result code of an encoded TransactionResult, e.g. "tx_bad_seq"."""
    try:
        result = xdr.TransactionResult.from_xdr(result_xdr)
    except Exception:  # whatever an XDR parser makes of bytes that are none
        raise NodeUnavailable("a result cannot be read") from None
    name = result.result.code.name
    return f"tx_{name.removeprefix('tx').lower()}"


async def interpret(endpoint: Endpoint, signed: SignedTransaction, code: str) -> Broadcast:
    """Return what a refusal means, after a look at the history; NodeUnavailable if unclear.

    That the sequence number is used by another transaction is said only by a server whose own
    state is past it: one that lags behind core does not know yet whose transaction used it.
    """
    used = code == BAD_SEQUENCE and await is_sequence_used(endpoint, signed)
    if await has_landed(endpoint, signed.transaction_id):
        return _LANDED
    if used:
        return Broadcast(BroadcastOutcome.NONCE_USED, code)
    if code in REFUSED:
        return Broadcast(BroadcastOutcome.REFUSED, code)
    raise NodeUnavailable(f"the server answered {code[:80]!r}")


async def is_sequence_used(endpoint: Endpoint, signed: SignedTransaction) -> bool:
    """Whether the sender's account is at or past the transaction's sequence number."""
    sender, sequence = sequence_of(signed.raw)
    account = await fetch_account(endpoint, sender)
    return account is not None and to_number(account.sequence) >= sequence


def sequence_of(raw: bytes) -> tuple[str, int]:
    """Return source account and sequence number of an envelope of ours."""
    transaction = TransactionEnvelope.from_xdr(b64encode(raw).decode(), "").transaction
    return transaction.source.account_id, transaction.sequence


async def has_landed(endpoint: Endpoint, transaction_id: str) -> bool:
    """Whether the transaction is in a ledger, be it inside a fee bump of somebody else's."""
    status, raw = await endpoint.ask("transaction", f"transactions/{transaction_id}")
    if status == 404 and wire.decode_problem(raw).type.endswith("not_found"):
        return False
    if status != 200:
        raise NodeUnavailable(f"HTTP status {status}")
    found = wire.decode_landed(raw)
    inner = None if found.inner_transaction is None else found.inner_transaction.hash
    if transaction_id not in {found.hash, inner}:
        raise NodeUnavailable("the server answered with another transaction")
    return True
