"""What one endpoint said of signed bytes counts, unless another has the transaction in a block."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.adapter import ChainAdapter
from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.solana.adapter import SolanaAdapter
from chain_adapters.tron.adapter import TronAdapter
from chain_adapters.types import BroadcastOutcome, SignedTransaction

ID = "0x" + 64 * "a"
GENESIS = "9" * 32

NONSENSE = {
    "no text": b'"\xff"',
    "a field that is no text": b'{"id":"\xff","blockHash":"\xff"}',
    "nested": b'{"more":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "null": b"null",
    "a place that is no block": b'{"blockHash":null}',
}


class Chain(NamedTuple):
    """A chain whose adapter asks all endpoints about a refusal, and what a node of it answers."""

    open: Callable[[list[str]], ChainAdapter]
    answers: dict[str, bytes]
    elsewhere: dict[str, bytes]
    """What a node of another network answers to the question which it is of."""
    asked_of_others: str
    """What an endpoint is asked that was not the first to answer."""
    known: bytes
    """The answer to that of an endpoint that has the transaction in a block."""
    outcome: BroadcastOutcome


def failure(code: int, words: str) -> bytes:
    return b'"error":' + msgspec.json.encode({"code": code, "message": words})


CHAINS = {
    "ethereum": Chain(
        lambda urls: EthereumAdapter("eip155:5", urls),
        {
            "eth_chainId": b'"result":"0x5"',
            "eth_sendRawTransaction": failure(-32000, "nonce too low"),
            "eth_getTransactionReceipt": b'"result":null',
        },
        {"eth_chainId": b'"result":"0x6"'},
        "eth_getTransactionReceipt",
        b'"result":{"blockHash":"0x5"}',
        BroadcastOutcome.NONCE_USED,
    ),
    "solana": Chain(
        lambda urls: SolanaAdapter("solana:" + GENESIS, urls),
        {
            "getGenesisHash": f'"result":"{GENESIS}"'.encode(),
            "sendTransaction": failure(-32002, "Blockhash not found"),
            "getSignatureStatuses": b'"result":{"value":[null]}',
        },
        {"getGenesisHash": b'"result":"another chain"'},
        "sendTransaction",
        f'"result":"{ID}"'.encode(),
        BroadcastOutcome.REFUSED,
    ),
    "tron": Chain(
        lambda urls: TronAdapter("tron:0x99999999", urls),
        {
            "wallet/getblock": msgspec.json.encode({"blockID": "9" * 64}),
            "wallet/broadcasthex": b'{"code":"TAPOS_ERROR"}',
            "wallet/gettransactioninfobyid": b"{}",
        },
        {"wallet/getblock": msgspec.json.encode({"blockID": "8" * 64})},
        "wallet/gettransactioninfobyid",
        msgspec.json.encode({"id": ID}),
        BroadcastOutcome.REFUSED,
    ),
}


def node(answers: dict[str, bytes]) -> TestServer:
    """Serve JSON-RPC by method at "/", and all else by path."""

    async def answer(request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if path:
            return web.Response(body=answers[path])
        call = json.loads(await request.text())
        body = b'{"id":%d,%s}' % (call["id"], answers[call["method"]])
        return web.Response(body=body)

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    return TestServer(application)


async def outcome_of(chain: Chain, *others: dict[str, bytes]) -> BroadcastOutcome:
    """Return what becomes of a broadcast that the first endpoint refuses.

    `others` are what further endpoints answer otherwise.
    """
    async with AsyncExitStack() as stack:
        answers = [chain.answers, *(chain.answers | changes for changes in others)]
        servers = [await stack.enter_async_context(node(each)) for each in answers]
        adapter = chain.open([str(server.make_url("/")) for server in servers])
        said = await adapter.broadcast(SignedTransaction(ID, b"\x02"))
        await adapter.close()
    return said.outcome


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
async def test_nonsense_of_another_endpoint_takes_no_answer_back(
    chain: Chain, nonsense: bytes
) -> None:
    spoilt = nonsense if chain.asked_of_others.startswith("wallet/") else b'"result":' + nonsense
    assert await outcome_of(chain, {chain.asked_of_others: spoilt}) is chain.outcome


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
async def test_what_another_endpoint_has_in_a_block_is_not_refused(chain: Chain) -> None:
    knows = {chain.asked_of_others: chain.known}
    assert await outcome_of(chain, knows) is BroadcastOutcome.ACCEPTED
    assert await outcome_of(chain, {}, knows) is BroadcastOutcome.ACCEPTED


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
async def test_what_an_endpoint_of_another_network_has_in_a_block_does_not_count(
    chain: Chain,
) -> None:
    knows = {chain.asked_of_others: chain.known}
    assert await outcome_of(chain, knows | chain.elsewhere) is chain.outcome
