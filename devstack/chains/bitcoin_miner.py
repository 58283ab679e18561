"""Mines a block on a development node every few seconds.

python -m devstack.chains.bitcoin_miner DATA_DIR PORT SECONDS
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

from devstack.chains.bitcoin import LitecoinNode
from devstack.chains.chain import NodeError


async def mine_on(node: LitecoinNode, block_time_s: int) -> None:
    """Mine until cancelled; a node that is away is waited for."""
    while True:
        try:
            async with node.open_chain() as chain:
                while True:
                    await asyncio.sleep(block_time_s)
                    await chain.mine()
        except (aiohttp.ClientError, OSError, NodeError):
            await asyncio.sleep(1.0)


def main(arguments: list[str]) -> None:
    """Mine as the arguments say."""
    data_dir, port, block_time_s = arguments
    asyncio.run(mine_on(LitecoinNode(Path(data_dir), port=int(port)), int(block_time_s)))


if __name__ == "__main__":
    main(sys.argv[1:])
