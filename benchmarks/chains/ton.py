"""A second of TON at the load of its peak: 2,500 transactions, as toncenter answers.

Recorded traces again and again, each time with other accounts and hashes: payments with and
without comment, USDT (an allow-listed jetton, so each arrival's wallet is worked out), NFTs and
calls of contracts, in about the shares that mainnet has. In pages as the adapter asks for them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from functools import cache
from itertools import cycle
from random import Random

from msgspec import to_builtins
from pytoniq_core import Cell

from benchmarks.chains.peer import Peer
from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.ton import wire
from chain_adapters.ton.decode import Facts, normalise_block
from chain_adapters.ton.jettons import LAYOUTS, Master
from chain_adapters.ton.reading import PAGE_ROWS, check_complete
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


@cache
def usdt() -> Master:
    """Return what the adapter knows of USDT's master once it has asked."""
    states = [t["in_msg"]["init_state"] for t in load_transactions(JETTONS)]
    (state,) = [state for state in states if state]
    return Master(USDT, Cell.one_from_boc(state["body"]).refs[0], LAYOUTS[1])


def peak_block() -> list[bytes]:
    """Return the transactions of one masterchain block in pages."""
    random, master = Random(7), usdt()
    texts = [json.dumps(load_transactions(name)) for name in TRACES]
    made: list[dict[str, object]] = []
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
            transaction["mc_block_seqno"] = _HEADER.seqno
            transaction["block_ref"] = to_builtins(_SHARD)
            transaction["lt"] = str(int(transaction["lt"]) + len(made) * 1000)
        made += transactions
    del made[TRANSACTIONS:]
    pages = [made[start : start + PAGE_ROWS] for start in range(0, TRANSACTIONS, PAGE_ROWS)]
    return [
        json.dumps({"transactions": page, "address_book": {}}, separators=(",", ":")).encode()
        for page in pages
    ]


class KnownTokens(Tokens):
    """Tokens whose master was asked before."""

    def __init__(self) -> None:
        super().__init__([USDT])

    async def master(self, endpoint: Endpoint, contract: str) -> Master:  # noqa: ARG002 - not asked
        """Return what it said."""
        return usdt()


async def no_check(_: Endpoint) -> None:
    """Nothing is asked here."""


_NOWHERE = RpcClient("ton:mainnet", ["http://127.0.0.1:1"], identify=no_check).endpoints[0]
_HEADER = header()
_SHARD = wire.BlockRef(0, "8000000000000000", 1)


def decode(answers: list[bytes]) -> Block:
    """Return the block, as the adapter reads it."""
    transactions = [
        transaction
        for page in answers
        for transaction in wire.decode_transactions(page).transactions
    ]
    check_complete(_HEADER.seqno, {_SHARD: TRANSACTIONS}, transactions)
    wallets = asyncio.run(KnownTokens().held_by(_NOWHERE, transactions))
    return normalise_block(_HEADER, "", transactions, Facts(wallets, {}))


def peer(answers: list[bytes]) -> Peer:
    """Return pytoniq-core, which reads the bodies of one page's messages and nothing else."""
    page = wire.decode_transactions(answers[0]).transactions
    bodies = [
        message.message_content.body
        for transaction in page
        for message in (transaction.in_msg, *transaction.out_msgs)
        if message and message.message_content and message.message_content.body
    ]

    def read() -> None:
        for body in bodies:
            Cell.one_from_boc(body).begin_parse()

    return Peer("pytoniq-core, message bodies alone", read, len(page) / TRANSACTIONS)
