"""What an approved withdrawal waits for, in plain words; docs/cli.md says more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sql.withdrawals import WaitReason

WORDS: Mapping[WaitReason, str] = {
    "tenant_suspended": "`millrace tenant resume` ends it",
    "account_frozen": "`millrace withdraw status` says why; `millrace owner unfreeze` may end it",
    "network_halted": "docs/operations.md, “A halted network”",
    "wallet_halted": "docs/operations.md, “A halted wallet”",
    "no_hot_wallet": "the signer makes it once it has keys",
    "no_quote": "no node says what it would cost; `millrace doctor` looks at the nodes",
    "token_missing": "the node finds no such token: it still reads the chain, or contract is wrong",
    "fee_above_cap": "the network asks for more than fee_minor_max: wait, or raise it",
    "sender_lacks_funds": "send the hot wallet what the amount or the network's fee lacks",
    "too_many_coins": "its coins do not fit into one transaction: send the wallet larger ones",
    "earlier_payment": "the wallet pays one at a time, and the one before is in no block yet",
    "unsearched_blocks": "blocks have to be searched for payments first: docs/cli.md says which",
    "not_signed": "the signer's log says why",
}
SEEN_NOW = frozenset(
    {"tenant_suspended", "account_frozen", "network_halted", "wallet_halted", "no_hot_wallet"}
)
"""Those that the database shows as they are now, whatever the signer noted when it last looked."""
