"""What is fixed on TON: networks, contracts, operation codes, limits."""

from __future__ import annotations

GLOBAL_IDS = {"ton:mainnet": -239, "ton:testnet": -3, "ton:sandbox": -777}
"""The global_id that every block of a network carries (TL-B `block`). "sandbox" is the
development node's."""

TEST_NETWORKS = frozenset({"ton:testnet", "ton:sandbox"})

MASTERCHAIN = -1
FULL_SHARD = "8000000000000000"

WALLET_ID = 698983191
"""Wallet id of the first wallet of a key in workchain 0 (ton-blockchain/wallet-contract)."""
BRANCH_STEP = 2**30

WALLET_CODE_HASH = "/rX/aCDi/w2Ug+fg1iyBfYRniftK5YDIeIZtlZ2r1cA="
"""Hash of the code of wallet v4R2, in base64 as toncenter has it."""

COMMENT = 0
"""A text comment follows (TEP-74, smart-contract guidelines of docs.ton.org)."""
BOUNCED = 0xFFFFFFFF
"""First 32 bits of the body of a bounced message; up to 256 bits of what came back follow."""
BOUNCED_WHOLE = 0xFFFFFFFE
"""The same where the sender asked for the newer form (TEP-503, version 12 of the network): the body
that came back is in a cell of its own. Our wallets do not ask for it, jetton wallets may."""
JETTON_TRANSFER = 0x0F8A7EA5
JETTON_INTERNAL_TRANSFER = 0x178D4519
JETTON_NOTIFICATION = 0x7362D09C
EXCESSES = 0xD53276DB
"""Operation codes of TEP-74."""


def opcode_text(opcode: int) -> str:
    """Return an operation code as toncenter writes it."""
    return f"0x{opcode:08x}"


SEND_MODE = 3
"""Fees are paid beside the amount (1), and an action that cannot be done is left out (2): the
wallet's sequence number counts on all the same, so that the failure is final and seen."""

JETTON_ATTACHED_MINOR = 50_000_000
"""Native money sent along with a jetton payment, in nanotons; what is not used comes back."""
JETTON_FORWARD_MINOR = 1
"""What the recipient of a jetton payment gets along with the notification, in nanotons."""

FEE_MINOR_MIN = 5_000_000
DEPLOY_FEE_MINOR_MIN = 10_000_000
"""Least fees that are set aside for a payment, and for a wallet's first one, in nanotons. They are
bounds, not bids: the network takes what it takes, on mainnet about half of it."""
FEE_MINOR_DEFAULT = 25_000_000
"""The bound where a server does not estimate."""

EXPIRY_S = 180
"""How long a payment can be taken into a block after it was quoted."""
COMMIT_S = 60
"""How long after a shard block the masterchain may commit it, as far as is assumed."""

AMOUNT_LIMIT = 2**120
"""Amounts are VarUInteger 16 (TL-B): 15 bytes at most."""
