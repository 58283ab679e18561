"""Withdrawals: the commands of producers, and the hand-over between the stages that pay out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from topics.topic import TENANT_PATTERN, Topic, json_decoder


class WithdrawalCommand(BaseModel):
    """An order to pay out, as a producer sends it. Unknown fields are refused.

    The same (tenant, id) is one withdrawal however often it is sent.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["withdrawal.request"]
    tenant: Annotated[str, Field(pattern=f"^{TENANT_PATTERN}$")]
    id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
    """The producer's own id of the order: the idempotency key."""
    owner: Annotated[str, Field(min_length=1, max_length=128)]
    """Whose money, in the tenant's own words."""
    asset: Annotated[str, Field(min_length=1, max_length=32)]
    amount_minor: Annotated[str, Field(pattern=r"^(0|-?[1-9][0-9]{0,77})$")]
    """Decimal string of minor units."""
    address: Annotated[str, Field(min_length=1, max_length=256)]
    memo: Annotated[str, Field(max_length=256)] | None = None


class WithdrawalsApproved(msgspec.Struct, frozen=True):
    """Withdrawals of one network that may be signed."""

    network: str
    withdrawal_ids: list[int]


class WithdrawalsSigned(msgspec.Struct, frozen=True):
    """Transactions of one network whose bytes are stored and may be sent."""

    network: str
    transaction_ids: list[str]


def _raw(value: bytes) -> bytes:
    return value


WITHDRAWAL_COMMANDS: Topic[bytes] = Topic("withdrawal-commands", "tenant", _raw)
"""Raw, because check_withdrawals answers bad commands with an event of their own."""
WITHDRAWALS_APPROVED: Topic[WithdrawalsApproved] = Topic(
    "withdrawals-approved", "network", json_decoder(WithdrawalsApproved)
)
WITHDRAWALS_SIGNED: Topic[WithdrawalsSigned] = Topic(
    "withdrawals-signed", "network", json_decoder(WithdrawalsSigned)
)
