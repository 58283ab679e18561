"""What the failure of a payment's trial run means: for the payment, or for the node alone. Pure."""

from __future__ import annotations

import msgspec

from chain_adapters.solana.wire import WireSimulation
from chain_adapters.types import NodeUnavailable, PaymentRefused

POOR = frozenset({"AccountNotFound", "InsufficientFundsForFee", "InvalidRentPayingAccount"})
SHORT_OF_RENT = "InsufficientFundsForRent"
"""Errors of a transaction whose accounts hold too little (solana-transaction-error)."""
SHORT_IN_PROGRAM = {"Custom": 1}
"""What the system program and both token programs call an account that holds too little. Each was
found to hold enough: another payment of the sender landed between the two looks."""
PASSING = frozenset(
    {
        "AccountInUse",
        "AlreadyProcessed",
        "BlockhashNotFound",
        "ClusterMaintenance",
        "CommitCancelled",
        "ProgramCacheHitMaxLimit",
        "ProgramExecutionTemporarilyRestricted",
        "ResanitizationNeeded",
        "WouldExceedAccountDataBlockLimit",
        "WouldExceedAccountDataTotalLimit",
        "WouldExceedMaxAccountCostLimit",
        "WouldExceedMaxBlockCostLimit",
        "WouldExceedMaxVoteCostLimit",
    }
)
"""Errors that are of a node, a block or a moment, and say nothing of the payment."""


def refusal(simulation: WireSimulation) -> Exception:
    """Return what the failure of a trial run means. The sender is the transaction's account 0."""
    named, told = name_error(simulation.err)
    detail = msgspec.json.encode(simulation.err).decode()[:200]
    if named is None or named in PASSING:
        return NodeUnavailable(f"the node could not try the payment: {detail}")
    if named in POOR or (named == SHORT_OF_RENT and told == {"account_index": 0}):
        return PaymentRefused("sender_lacks_funds", detail)
    if named == "InstructionError" and isinstance(told, list) and told[1:] == [SHORT_IN_PROGRAM]:
        return PaymentRefused("sender_lacks_funds", detail)
    if named == SHORT_OF_RENT:
        return PaymentRefused("below_rent_minimum", detail)
    if simulation.logs:
        detail += f": {simulation.logs[-1][:200]}"
    return PaymentRefused("payment_fails", detail)


def name_error(error: object) -> tuple[str | None, object]:
    """Return an error's name and what it says besides; no name if it has another form."""
    if isinstance(error, dict) and len(error) == 1:
        ((error, told),) = error.items()
        return (error if isinstance(error, str) else None), told
    return (error if isinstance(error, str) else None), None
