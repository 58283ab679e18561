"""A second of TON at the load of its peak: 2,500 transactions, as toncenter answers.

Recorded traces again and again, each time with other accounts and hashes: payments with and
without comment, USDT (an allow-listed jetton, so each arrival's wallet is worked out), NFTs and
calls of contracts, in about the shares that mainnet has.
"""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import cycle
from random import Random

from pytoniq_core import Cell

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.ton import wire
from chain_adapters.ton.decode import Facts, normalise_block
from chain_adapters.ton.jettons import LAYOUTS, Master
from chain_adapters.ton.tokens import Tokens
from chain_adapters.types import Block
from tests.support.ton_vectors import header, load_transactions

SECONDS_OF_CHAIN = 1.0
TRANSACTIONS = 2_500
USDT = "0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe"
OWNER = "0:9da971af38d2f03abdf308d5f91636a97e5a2b07a66c39d71d7cbae3b032eddc"
WALLET = "0:c4072d7b04ab4c504cd223dfde42c8037c6a99272d3624aec2cbff2e72b102dd"
JETTONS = "toncenter_v3_traces_ft_received"
TRACES = (
    JETTONS,
    "toncenter_v3_traces_ton_received",
    "toncenter_v3_traces_ton_sent",
    "toncenter_v3_traces_contract_call_unknown",
    JETTONS,
    "toncenter_v3_traces_nft_received",
)


def usdt() -> Master:
    """Return what the adapter knows of USDT's master once it has asked."""
    states = [t["in_msg"]["init_state"] for t in load_transactions(JETTONS)]
    (state,) = [state for state in states if state]
    return Master(USDT, Cell.one_from_boc(state["body"]).refs[0], LAYOUTS[1])


def peak_block() -> bytes:
    """Return the transactions of one block in one page."""
    random, master = Random(7), usdt()
    texts = [json.dumps(load_transactions(name)) for name in TRACES]
    made: list[object] = []
    for text in cycle(texts):
        if len(made) >= TRANSACTIONS:
            break
        owner = f"0:{random.randbytes(32).hex()}"
        renamed = text.replace(WALLET.upper(), master.wallet_address(owner).upper())
        transactions = json.loads(renamed.replace(OWNER.upper(), owner.upper()))
        for transaction in transactions:
            transaction["hash"] = base64.b64encode(random.randbytes(32)).decode()
            if transaction["in_msg"]["source"] is None:  # older servers left it out
                transaction["in_msg"]["hash_norm"] = transaction["hash"]
            transaction["lt"] = str(int(transaction["lt"]) + len(made) * 1000)
        made += transactions
    page = {"transactions": made[:TRANSACTIONS], "address_book": {}}
    return json.dumps(page, separators=(",", ":")).encode()


class KnownTokens(Tokens):
    """Tokens whose master was asked before."""

    def __init__(self) -> None:
        super().__init__([USDT])
        self._masters = {USDT: usdt()}


async def no_check(_: Endpoint) -> None:
    """Nothing is asked here."""


_NOWHERE = RpcClient("ton:mainnet", ["http://127.0.0.1:1"], identify=no_check).endpoints[0]
_HEADER = header()


def decode(raw: bytes) -> Block:
    """Return the block, as the adapter reads it."""
    transactions = wire.decode_transactions(raw).transactions
    wallets = asyncio.run(KnownTokens().held_by(_NOWHERE, transactions))
    return normalise_block(_HEADER, "", transactions, Facts(wallets, {}))
