"""What the crafted transactions of ton_odd_deposits are put together from."""

from __future__ import annotations

from typing import Any, NamedTuple

from pytoniq_core import Cell

from chain_adapters.ton.decode import Facts, Held, Root, Sent
from chain_adapters.ton.marks import mark
from tests.support.ton_vectors import (
    JETTON_WALLET,
    MASTER,
    OWNER,
    ROOT_HASH,
    SENDER,
    STRANGER,
    UNDEPLOYED,
    body,
    message,
    phases,
    transaction,
)

BOUNCED, TRANSFER = 0xFFFFFFFF, 0x0F8A7EA5
EXCESSES, ENCRYPTED = 0xD53276DB, 0x2167DA4B
NFT_ASSIGNED = 0x05138D91
OURS, THEIRS = mark(OWNER, 1_700_000_000), mark(STRANGER, 1_700_000_000)
WALLETS = Facts({JETTON_WALLET: Held(OWNER, MASTER)}, {})
SENT_NATIVE = {STRANGER: Sent(9_000_000_000, jetton=False)}
SENT_JETTON = {JETTON_WALLET: Sent(50_000_000, jetton=True)}


def rooted(sent: dict[str, Sent], account: str = OWNER) -> Facts:
    return Facts(WALLETS.wallets, {ROOT_HASH: Root(account, "the payment", sent)})


FAILED = phases(aborted=True, compute_ph={"skipped": False, "success": False}, action=None)
NO_ACTION = phases(aborted=True, action={"success": False, "skipped_actions": 0})
NO_GAS = phases(UNDEPLOYED, compute_ph={"skipped": True, "reason": "no_gas"})
OLD_NO_STATE = phases(UNDEPLOYED, compute_ph={"type": "skipped", "skip_reason": "no_state"})
BOUNCED_WHOLE = Cell.one_from_boc(
    "te6cckEBAwEAMgACE/////4A/////0ABAgAdF41FGQAAAAAAAAAHIBLIACFDuaygAAAAAAAAAAAAAAAABEyuWgk="
)
"""What the network's executor (npm @ton/sandbox 0.41) sends back of an internal transfer whose
sender asked for the newer form of bounces: its flags are 1."""
OUT_BOUNCE = [message(body((BOUNCED, 32)), bounced=True, source=OWNER, destination=SENDER)]
REFUSED_ORDER = transaction(
    message(body((TRANSFER, 32), (OURS, 64)), source=OWNER.upper(), destination=JETTON_WALLET),
    NO_GAS,
    account=JETTON_WALLET,
)


class Case(NamedTuple):
    """A crafted transaction. `expected` is how it is read, as `show` writes it."""

    name: str
    what: str
    transaction: dict[str, Any]
    expected: str
    facts: Facts = WALLETS


NATIVE = "7000000000 native (in)"
NOTHING = "nothing"
