"""What Solana's nodes say beside blocks: skipped and missing slots, refusals, other networks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.solana import quoting, trial
from chain_adapters.solana.adapter import SolanaAdapter
from chain_adapters.solana.quoting import judge_expiry
from chain_adapters.solana.wire import WireLatestBlockhash, WireSimulation
from chain_adapters.types import (
    BroadcastOutcome,
    Holding,
    NodeUnavailable,
    PaymentRefused,
    SignedTransaction,
    Tip,
    WrongNetwork,
)
from tests.support.solana_vectors import (
    OURS,
    PARENT_HASH,
    PARENT_SLOT,
    SLOT,
    load,
    load_transactions,
    wrap,
)

GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
SIGNED = SignedTransaction("5" * 88, b"raw")

SKIPPED = {"code": -32007, "message": f"Slot {SLOT} was skipped, or missing due to ledger jump"}
SKIPPED_LONG_AGO = {"code": -32009, "message": f"Slot {SLOT} was skipped, or missing in storage"}
NOT_YET = {"code": -32004, "message": f"Block not available for slot {SLOT}"}
NO_STATUS_YET = {"code": -32014, "message": "Block status not yet available for slot"}
CLEANED_UP = {"code": -32001, "message": f"Block {SLOT} cleaned up, does not exist on node"}


class FakeNode:
    """Answers by method, or by method and first parameter; an Error is JSON-RPC's."""

    def __init__(self) -> None:
        self.answers: dict[object, Any] = {"getGenesisHash": GENESIS}
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.Response:
        call = await request.json()
        method, params = call["method"], call.get("params") or [None]
        self.heard.put_nowait(method)
        first = params[0] if isinstance(params[0], int) else None
        answer = self.answers.get((method, first), self.answers.get(method))
        kind = "error" if isinstance(answer, dict) and "code" in answer else "result"
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], kind: answer})


async def read_next(tips: AsyncGenerator[Tip, None]) -> Tip:
    return await anext(tips)


async def serve(node: FakeNode) -> TestServer:
    app = web.Application()
    app.router.add_post("/", node.handle)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
async def adapter(node: FakeNode) -> AsyncIterator[SolanaAdapter]:
    server = await serve(node)
    opened = SolanaAdapter(f"solana:{GENESIS[:32]}", [str(server.make_url("/"))])
    yield opened
    await opened.close()
    await server.close()


@pytest.mark.parametrize("answer", [SKIPPED, SKIPPED_LONG_AGO, NOT_YET, NO_STATUS_YET, None])
async def test_a_slot_is_skipped_if_the_next_block_proves_it(
    adapter: SolanaAdapter, node: FakeNode, answer: object
) -> None:
    node.answers["getBlock", SLOT] = answer
    node.answers["getBlocksWithLimit"] = [SLOT + 2]
    node.answers["getBlock", SLOT + 2] = wrap([], parentSlot=PARENT_SLOT)
    block = await adapter.fetch_block(SLOT)
    assert block is not None
    assert (block.height, block.parent_id, block.transactions) == (SLOT, PARENT_HASH, ())
    assert block.clock == wrap([])["blockHeight"] - 1


@pytest.mark.parametrize("answer", [SKIPPED, SKIPPED_LONG_AGO, NOT_YET, NO_STATUS_YET, None])
async def test_a_slot_of_which_nothing_is_known_is_not_reached(
    adapter: SolanaAdapter, node: FakeNode, answer: object
) -> None:
    node.answers |= {"getBlock": answer, "getBlocksWithLimit": []}
    assert await adapter.fetch_block(SLOT) is None


@pytest.mark.parametrize("answer", [SKIPPED, SKIPPED_LONG_AGO, NOT_YET, NO_STATUS_YET, None])
async def test_a_missing_block_is_not_a_skipped_slot(
    adapter: SolanaAdapter, node: FakeNode, answer: object
) -> None:
    node.answers["getBlock", SLOT] = answer
    node.answers["getBlocksWithLimit"] = [SLOT]
    with pytest.raises(NodeUnavailable, match="does not give"):
        await adapter.fetch_block(SLOT)
    node.answers["getBlocksWithLimit"] = [SLOT + 2]
    node.answers["getBlock", SLOT + 2] = wrap([], parentSlot=SLOT)
    with pytest.raises(NodeUnavailable, match="lacks blocks"):
        await adapter.fetch_block(SLOT)


@pytest.mark.parametrize("answer", [CLEANED_UP, {"code": -32011, "message": "no history"}])
async def test_a_node_that_has_thrown_blocks_away_is_of_no_use(
    adapter: SolanaAdapter, node: FakeNode, answer: object
) -> None:
    node.answers |= {"getBlock": answer, "getBlocksWithLimit": []}
    with pytest.raises(NodeUnavailable):
        await adapter.fetch_block(SLOT)


async def test_recorded_refusals_are_understood(adapter: SolanaAdapter, node: FakeNode) -> None:
    recorded = load("getblock_error_skipped_slots")
    errors = [r["response"]["error"] for r in recorded.values() if "response" in r]
    for error in [*errors, *recorded["error_message_only"]]:
        node.answers |= {"getBlock": error, "getBlocksWithLimit": []}
        assert await adapter.fetch_block(SLOT) is None


async def test_a_node_that_cannot_tell_accounts_is_passed_over_with_its_own_words(
    adapter: SolanaAdapter, node: FakeNode
) -> None:
    words = "Invalid params: unknown variant `accounts`, expected `full`"
    node.answers["getBlock"] = {"code": -32602, "message": words}
    with pytest.raises(NodeUnavailable, match="unknown variant `accounts`"):
        await adapter.fetch_block(SLOT)
    node.answers["getBlock"] = wrap(load_transactions("gettransaction_native_sol_transfer"))
    with pytest.raises(NodeUnavailable, match='ignores transactionDetails "accounts"'):
        await adapter.fetch_block(SLOT)


async def test_another_node_has_what_the_first_lacks(node: FakeNode) -> None:
    node.answers |= {"getBlock": SKIPPED, "getBlocksWithLimit": [SLOT]}
    other = FakeNode()
    other.answers["getBlock"] = wrap([])
    servers = [await serve(one) for one in (node, other)]
    urls = [str(server.make_url("/")) for server in servers]
    adapter = SolanaAdapter(f"solana:{GENESIS[:32]}", urls)
    block = await adapter.fetch_block(SLOT)
    assert block is not None
    assert block.parent_id == PARENT_HASH
    await adapter.close()
    for server in servers:
        await server.close()


async def test_a_node_of_another_network_is_refused(adapter: SolanaAdapter, node: FakeNode) -> None:
    node.answers["getGenesisHash"] = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
    with pytest.raises(WrongNetwork, match="EtWTRABZaYq6iMfeYKouRu166VU2xqa1"):
        await adapter.fetch_block(SLOT)


async def test_the_tip_waits_for_a_node_that_is_behind_itself(
    adapter: SolanaAdapter, node: FakeNode
) -> None:
    node.answers |= {"getSlot": SLOT, "getBlock": wrap([])}
    async with aclosing(adapter.watch_tip()) as tips:
        tip = await anext(tips)
        assert (tip.height, tip.safe_height, tip.finalized_height) == (SLOT, SLOT, SLOT)
        node.answers |= {"getSlot": SLOT + 1, ("getBlock", SLOT + 1): NO_STATUS_YET}
        waiting = asyncio.create_task(read_next(tips))
        for _ in range(8):
            await node.heard.get()
        assert not waiting.done()
        del node.answers["getBlock", SLOT + 1]
        assert (await waiting).height == SLOT + 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("5" * 88, BroadcastOutcome.ACCEPTED),
        (
            {"code": -32002, "message": "failed", "data": {"err": "AlreadyProcessed", "logs": []}},
            BroadcastOutcome.ACCEPTED,
        ),
        (
            {"code": -32002, "message": "This transaction has already been processed"},
            BroadcastOutcome.ACCEPTED,
        ),
        (
            {"code": -32002, "message": "failed", "data": {"err": "BlockhashNotFound"}},
            BroadcastOutcome.REFUSED,
        ),
        (
            {"code": -32002, "message": "x", "data": {"err": {"InstructionError": [0, "A"]}}},
            BroadcastOutcome.REFUSED,
        ),
        ({"code": -32002, "message": "failed", "data": "odd"}, BroadcastOutcome.REFUSED),
        ({"code": -32003, "message": "signature verification"}, BroadcastOutcome.REFUSED),
    ],
)
async def test_what_a_node_says_of_signed_bytes(
    adapter: SolanaAdapter, node: FakeNode, answer: object, outcome: BroadcastOutcome
) -> None:
    node.answers |= {"sendTransaction": answer, "getSignatureStatuses": {"value": [None]}}
    said = await adapter.broadcast(SIGNED)
    assert said.outcome is outcome
    assert said.detail or outcome is BroadcastOutcome.ACCEPTED


@pytest.mark.parametrize(
    "answer",
    [
        {"code": -32005, "message": "Node is behind by 42 slots"},
        {"code": -32016, "message": "Minimum context slot has not been reached"},
        {"code": -32603, "message": "internal error"},
        {"code": 429, "message": "Too many requests"},
        "another signature",
        None,
    ],
)
async def test_what_is_not_understood_says_nothing_of_a_broadcast(
    adapter: SolanaAdapter, node: FakeNode, answer: object
) -> None:
    node.answers["sendTransaction"] = answer
    with pytest.raises(NodeUnavailable):
        await adapter.broadcast(SIGNED)


async def test_an_old_transaction_that_landed_is_not_refused(
    adapter: SolanaAdapter, node: FakeNode
) -> None:
    node.answers |= {
        "sendTransaction": {"code": -32002, "message": "x", "data": {"err": "BlockhashNotFound"}},
        "getSignatureStatuses": {"value": [{"slot": SLOT, "err": None, "confirmations": None}]},
    }
    assert (await adapter.broadcast(SIGNED)).outcome is BroadcastOutcome.ACCEPTED


BLOCKHASH_UNKNOWN = {"code": -32002, "message": "x", "data": {"err": "BlockhashNotFound"}}
UNSEEN: dict[str, object] = {"value": [None]}
SEEN = {"value": [{"slot": SLOT, "err": None, "confirmations": None}]}


@pytest.mark.parametrize(
    ("of_other", "outcome"),
    [
        ({"sendTransaction": SIGNED.transaction_id}, BroadcastOutcome.ACCEPTED),
        (
            {"sendTransaction": BLOCKHASH_UNKNOWN, "getSignatureStatuses": SEEN},
            BroadcastOutcome.ACCEPTED,
        ),
        (
            {"sendTransaction": BLOCKHASH_UNKNOWN, "getSignatureStatuses": UNSEEN},
            BroadcastOutcome.REFUSED,
        ),
        ({"getGenesisHash": "another chain"}, BroadcastOutcome.REFUSED),
        ({"sendTransaction": None}, BroadcastOutcome.REFUSED),
    ],
)
async def test_a_node_that_does_not_know_the_blockhash_yet_does_not_have_the_last_word(
    node: FakeNode, of_other: dict[object, Any], outcome: BroadcastOutcome
) -> None:
    node.answers |= {"sendTransaction": BLOCKHASH_UNKNOWN, "getSignatureStatuses": UNSEEN}
    other = FakeNode()
    other.answers |= of_other
    servers = [await serve(one) for one in (node, other)]
    urls = [str(server.make_url("/")) for server in servers]
    adapter = SolanaAdapter(f"solana:{GENESIS[:32]}", urls)
    assert (await adapter.broadcast(SIGNED)).outcome is outcome
    await adapter.close()
    for server in servers:
        await server.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"code": -32011, "message": "Transaction history is not available from this node"},
        {"value": []},
        {"value": ["finalized"]},
        None,
    ],
)
async def test_a_refusal_counts_only_of_a_node_that_knows_what_is_in_blocks(
    adapter: SolanaAdapter, node: FakeNode, answer: object
) -> None:
    node.answers |= {"sendTransaction": BLOCKHASH_UNKNOWN, "getSignatureStatuses": answer}
    with pytest.raises(NodeUnavailable):
        await adapter.broadcast(SIGNED)


@pytest.mark.parametrize(("told", "judged"), [(1150, 1150), (1181, 1181), (1100, 1150)])
def test_a_blockhash_is_never_held_to_expire_before_the_rule_says(told: int, judged: int) -> None:
    assert judge_expiry(WireLatestBlockhash("1" * 44, told), 1000) == judged


@pytest.mark.parametrize("told", [0, 150, 1000, 1301, 10**8])
def test_an_expiry_in_another_measure_is_not_believed(told: int) -> None:
    with pytest.raises(NodeUnavailable):
        judge_expiry(WireLatestBlockhash("1" * 44, told), 1000)


@pytest.mark.parametrize(
    "error",
    [
        "BlockhashNotFound",
        "ProgramCacheHitMaxLimit",
        "WouldExceedMaxBlockCostLimit",
        {"ProgramExecutionTemporarilyRestricted": {"account_index": 2}},
        [],
        {},
        [["InstructionError"]],
        7,
        True,
    ],
)
def test_a_trial_that_failed_for_the_nodes_sake_gives_no_payment_up(error: object) -> None:
    assert isinstance(trial.refusal(WireSimulation(error)), NodeUnavailable)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"InstructionError": [2, {"Custom": 1}]}, "sender_lacks_funds"),
        ({"InstructionError": [3, {"Custom": 1}]}, "sender_lacks_funds"),
        ({"InstructionError": [2, {"Custom": 17}]}, "payment_fails"),
        ({"InstructionError": [2, "InvalidAccountData"]}, "payment_fails"),
        ({"InsufficientFundsForRent": {"account_index": 0}}, "sender_lacks_funds"),
        ({"InsufficientFundsForRent": {"account_index": 1}}, "below_rent_minimum"),
    ],
)
def test_money_that_left_between_two_looks_is_waited_for(error: object, reason: str) -> None:
    refused = trial.refusal(WireSimulation(error))
    assert isinstance(refused, PaymentRefused)
    assert refused.reason == reason


@pytest.mark.parametrize("text", ["", "0" * 44, "1" * 44, "9" * 40, "\0" * 40, "l" * 43])
def test_a_blockhash_that_is_none_is_not_signed(text: str) -> None:
    with pytest.raises(NodeUnavailable, match="blockhash"):
        quoting.require_hash(text)


@pytest.mark.parametrize(
    "answer",
    [{"value": []}, {"value": [5]}, {"value": [{"lamports": -1}]}, 7, {"code": 1, "message": "a"}],
)
async def test_an_odd_answer_is_never_read_as_nothing_held(
    adapter: SolanaAdapter, node: FakeNode, answer: object
) -> None:
    node.answers["getMultipleAccounts"] = answer
    with pytest.raises(NodeUnavailable):
        await adapter.fetch_balances([Holding(OURS)], SLOT)
    node.answers["getMultipleAccounts"] = {"value": [None]}
    assert await adapter.fetch_balances([Holding(OURS)], SLOT) == [0]


async def test_who_listens_at_a_node_that_went_silent_is_told_so_and_does_not_hang() -> None:
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    place = "{}:{}".format(*silent.sockets[0].getsockname())
    for _ in range(5):  # its socket and its answers time out in the same moment
        adapter = SolanaAdapter(
            f"solana:{GENESIS[:32]}",
            (f"http://{place}",),
            push_url=f"ws://{place}",
            poll_interval_s=0.01,
            timeout_s=0.1,
        )
        async with asyncio.timeout(20) as patience, aclosing(adapter.watch_tip()) as tips:
            with pytest.raises(NodeUnavailable):
                await anext(tips)
        assert not patience.expired(), "it hung until it was torn away"
        await adapter.close()
    silent.close()
    for writer in held:
        writer.close()
