"""What match_deposits made of blocks; the signal on which deposits are confirmed.

Of a block after which nothing can be confirmed there is no record.
"""

from __future__ import annotations

import msgspec

from topics.topic import Topic, json_decoder


class BlockMatched(msgspec.Struct, frozen=True):
    """All transfers of a block to addresses of ours are in the deposits table.

    `orphaned` names the deposits whose block left the chain after they had been confirmed: what
    was credited for them is to be taken back.
    """

    network: str
    height: int
    detected: list[int] = []
    orphaned: list[int] = []


DEPOSITS: Topic[BlockMatched] = Topic("deposits", "network", json_decoder(BlockMatched))
