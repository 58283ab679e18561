"""A block of TRON at its peak: 440 transactions in 3 s, the most that mainnet has carried.

Two thirds call USDT, a quarter moves TRX, the rest is TRC-10 and failed calls, as on mainnet.
"""

from __future__ import annotations

import json
from typing import Any

from chain_adapters.tron import node
from chain_adapters.tron.decode import normalise_block
from chain_adapters.types import Block
from devstack.chains.tron_chain import BANK, BLOCK_MS, Chain
from devstack.chains.tron_node import Node

SECONDS_OF_CHAIN = BLOCK_MS / 1000
TRANSACTIONS = 440


def peak_block() -> list[bytes]:
    """Return the answers of getblockbynum and gettransactioninfobyblocknum."""
    chain = Chain()
    driver = Node(chain).dev
    chain.mine(1_790_000_000_000)
    token = driver["issue_token"]({"symbol": "USDT"})
    assert isinstance(token, dict)
    for number in range(TRANSACTIONS):
        order: dict[str, Any] = {"address": f"41{number:040x}", "amount": 1_000_000 + number}
        kind = "pay_token" if number % 12 < 8 else "pay" if number % 12 < 11 else "pay_trc10"
        driver[kind](order | token)
        if number % 24 == 0:
            driver["pay_inner"](order | {"failing": number % 48 == 0})
    chain.put(10**17, "trx", BANK)
    chain.mine(1_790_000_003_000)
    answers = (chain.blocks[-1], chain.infos[-1])
    return [json.dumps(answer, separators=(",", ":")).encode() for answer in answers]


def decode(answers: list[bytes]) -> Block:
    """Return the block, as the adapter reads it."""
    block, infos = answers
    answer = node.read(block, node.decode_block)
    return normalise_block(answer, node.decode_infos(infos), 1_790_000_000_000)
