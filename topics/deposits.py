"""What match_deposits made of blocks; the signal on which deposits are confirmed.

Of a block after which nothing can be confirmed there is no record.
"""

from __future__ import annotations

import msgspec

from topics.topic import Topic, json_decoder


class BlockMatched(msgspec.Struct, frozen=True):
    """All transfers to addresses of ours are in the deposits table up to this block."""

    network: str
    height: int


DEPOSITS: Topic[BlockMatched] = Topic("deposits", "network", json_decoder(BlockMatched))
