"""Solana's constants: the programs and accounts that Millrace knows, sizes, and rules of expiry."""

from __future__ import annotations

from solders.pubkey import Pubkey
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

SYSTEM_PROGRAM = "11111111111111111111111111111111"
VOTE_PROGRAM = "Vote111111111111111111111111111111111111111"
TOKEN_PROGRAM = str(TOKEN_PROGRAM_ID)
TOKEN_2022_PROGRAM = str(TOKEN_2022_PROGRAM_ID)
TOKEN_PROGRAMS: dict[str, Pubkey] = {
    TOKEN_PROGRAM: TOKEN_PROGRAM_ID,
    TOKEN_2022_PROGRAM: TOKEN_2022_PROGRAM_ID,
}
"""The two programs whose accounts hold tokens. A token of any other program is none."""

SINKS = frozenset({SYSTEM_PROGRAM, "1nc1nerator11111111111111111111111111111111"})
"""Addresses that belong to nobody; what is sent to the second is burned at the block's end."""

SIGNATURE_FEE_MINOR = 5000
"""Lamports for each signature of a transaction."""

BLOCKHASH_BLOCKS = 150
"""A blockhash is good for so many blocks (agave, MAX_PROCESSING_AGE)."""
EXPIRY_MARGIN_BLOCKS = 8
"""Added to a node's lastValidBlockHeight before a transaction counts as expired.

The node counts the blocks from the one that the hash is of, while a leader counts up to its own
block's parent: one block more than the number says. The rest is for nodes that answer from a block
they have not finished.
"""
