"""Time passes on a chain at once, so that what was signed and is in no block yet expires."""

from __future__ import annotations

from devstack.chains.chain import DevChain
from devstack.chains.solana import SolanaChain
from devstack.chains.stellar import StellarChain
from devstack.chains.ton import TonChain
from devstack.chains.tron import TronChain

SOLANA_BLOCKS = 170
"""A transaction may be in the 151 blocks after the one whose hash it names."""
TRON_BLOCKS = 25
"""Of three seconds each; a transaction has a minute."""
STELLAR_S = 240
TON_S = 300


async def let_time_pass(chain: DevChain) -> int:
    """Make blocks until all that is signed now has expired; return how many were made.

    None on chains where nothing expires.
    """
    if isinstance(chain, SolanaChain | TronChain):
        blocks = SOLANA_BLOCKS if isinstance(chain, SolanaChain) else TRON_BLOCKS
        await chain.mine(blocks)
        return blocks
    if isinstance(chain, StellarChain):
        await chain.mine(later_s=STELLAR_S)
        return 1
    if isinstance(chain, TonChain):
        await chain.drive("shift-clock", seconds=TON_S)
        await chain.mine()
        return 1
    return 0
