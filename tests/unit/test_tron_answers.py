"""What java-tron's answers mean, odd and hostile ones included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.rpc import Absent
from chain_adapters.tron import node, tokens, wire
from chain_adapters.tron.adapter import TronAdapter
from chain_adapters.tron.heads import Place, read_place
from chain_adapters.tron.prices import read_prices
from chain_adapters.tron.sending import REFUSALS, read_answer
from chain_adapters.types import BroadcastOutcome, Holding, NodeUnavailable, PaymentRefused
from devstack.chains.tron_chain import GENESIS, NETWORK, make_block
from tests.support.tron_vectors import encode

ID = "ab" * 32
ACCOUNT = "41" + "1" * 40
HEX_REVERT = b"REVERT opcode executed".hex()


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_codes_about_the_transaction_are_refusals(code: str) -> None:
    answer = read_answer(wire.BroadcastAnswer(code=code, message="why"), ID)
    assert (answer.outcome, answer.detail) == (BroadcastOutcome.REFUSED, f"why ({code})")


@pytest.mark.parametrize(
    "code",
    [
        "SERVER_BUSY",
        "NO_CONNECTION",
        "NOT_ENOUGH_EFFECTIVE_CONNECTION",
        "BLOCK_UNSOLIDIFIED",
        "OTHER_ERROR",
        "SOMETHING_NEW",
        "",
    ],
)
def test_codes_about_the_node_are_no_outcome(code: str) -> None:
    with pytest.raises(NodeUnavailable):
        read_answer(wire.BroadcastAnswer(code=code), ID)


def test_a_transaction_that_is_known_was_accepted() -> None:
    answer = read_answer(wire.BroadcastAnswer(code="DUP_TRANSACTION_ERROR"), ID)
    assert answer.outcome is BroadcastOutcome.ACCEPTED


def test_an_acceptance_of_something_else_is_no_outcome() -> None:
    with pytest.raises(NodeUnavailable):
        read_answer(wire.BroadcastAnswer(result=True, id="cd" * 32), ID)
    accepted = read_answer(wire.BroadcastAnswer(result=True, id=ID.upper()), ID)
    assert accepted.outcome is BroadcastOutcome.ACCEPTED


def test_an_empty_object_is_absence_and_an_error_is_none() -> None:
    with pytest.raises(Absent):
        node.read(b"{}\n", node.decode_account)
    with pytest.raises(NodeUnavailable, match="lack of computing") as raised:
        node.read(b'{"Error":"class X : lack of computing resources"}', node.decode_account)
    assert not isinstance(raised.value, Absent)


def test_the_solidified_block_of_a_nodes_own_report() -> None:
    block_id = f"{77:016x}" + 48 * "a"
    assert read_place(f"Num:77,ID:{block_id}") == Place(77, block_id)
    for text in ("", "Num:77", f"Num:78,ID:{block_id}", f"Num:x,ID:{block_id}", "Num:77,ID:ab"):
        with pytest.raises(NodeUnavailable):
            read_place(text)


def parameters(**changes: int | None) -> list[wire.ChainParameter]:
    usual = {
        "getTransactionFee": 1_000,
        "getEnergyFee": 100,
        "getCreateNewAccountFeeInSystemContract": 1_000_000,
        "getCreateAccountFee": 100_000,
        "getMaxFeeLimit": 15_000_000_000,
    }
    found = {**usual, **changes}
    return [wire.ChainParameter(key, value) for key, value in found.items() if value is not None]


def test_prices_that_are_missing_or_negative_are_not_believed() -> None:
    assert read_prices(parameters()).new_account_minor == 1_100_000
    for changes in ({"getEnergyFee": None}, {"getTransactionFee": -1}):
        with pytest.raises(NodeUnavailable):
            read_prices(parameters(**changes))


def test_energy_without_a_voted_price_costs_100_sun() -> None:
    assert read_prices(parameters(getEnergyFee=0)).energy_minor == 100


def constant(**fields: Any) -> wire.ConstantAnswer:  # noqa: ANN401
    usual: dict[str, Any] = {"result": {"result": True}, "energy_used": 14_650}
    return node.read(encode({**usual, **fields}), node.decode_constant)


def test_a_revert_is_refused_although_the_result_is_true() -> None:
    reason = "08c379a0" + f"{32:064x}" + f"{6:064x}" + b"paused".hex().ljust(64, "0")
    answer = constant(result={"result": True, "message": HEX_REVERT}, constant_result=[reason])
    with pytest.raises(PaymentRefused, match="REVERT opcode executed: paused") as refused:
        tokens.read_result(answer)
    assert refused.value.reason == "token_transfer_reverts"


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"code": "OTHER_ERROR", "message": b"class java.lang.Exception".hex()},
        {"result": True, "message": b"CPU timeout for 'ADD' operation executing".hex()},
        {"result": True, "message": b"Already Time Out".hex()},
    ],
)
def test_a_call_that_was_not_run_is_no_refusal(result: object) -> None:
    with pytest.raises(NodeUnavailable):
        tokens.read_result(constant(result=result))


def test_a_missing_contract_is_told_apart_from_other_refusals() -> None:
    missing = {"code": "CONTRACT_VALIDATE_ERROR", "message": b"Smart contract is not exist.".hex()}
    assert tokens.is_missing(constant(result=missing))
    assert not tokens.is_missing(constant(result={**missing, "message": b"other".hex()}))
    assert not tokens.is_missing(constant())


@pytest.mark.parametrize(("used", "penalty"), [(0, 0), (-5, 0), (100, 100), (100, -1), (100, 200)])
def test_an_estimate_that_makes_no_sense_is_not_believed(used: int, penalty: int) -> None:
    with pytest.raises(NodeUnavailable):
        tokens.estimate(constant(energy_used=used, energy_penalty=penalty))


def test_recorded_energies_of_usdt_are_within_the_limit_of_either_estimate() -> None:
    holder = tokens.estimate(constant(energy_used=64_285, energy_penalty=49_635))
    fresh = tokens.estimate(constant(energy_used=130_285, energy_penalty=100_635))
    assert holder.used < fresh.used <= holder.limit < 2.5 * holder.used
    assert fresh.limit < 2 * fresh.used


Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture
async def answers() -> AsyncIterator[dict[str, object]]:
    """What a server says by path; it knows the genesis block of the simulated network."""
    yield {}


@pytest.fixture
async def adapter(answers: dict[str, object]) -> AsyncIterator[TronAdapter]:
    async def answer(request: web.Request) -> web.Response:
        path = request.path.lstrip("/")
        body = await request.json()
        if path == "wallet/getblock" and body.get("id_or_num") == "0":
            return web.json_response(GENESIS)
        if path not in answers:
            raise web.HTTPNotFound
        return web.json_response(answers[path])

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    opened = TronAdapter(NETWORK, [str(server.make_url("/"))], headers={"TRON-PRO-API-KEY": "k"})
    yield opened
    await opened.close()
    await server.close()


async def test_an_error_is_never_read_as_an_account_that_holds_nothing(
    adapter: TronAdapter, answers: dict[str, object]
) -> None:
    answers["wallet/getnodeinfo"] = {"solidityBlock": f"Num:0,ID:{GENESIS['blockID']}"}
    odd_answers: list[object] = [{"Error": "busy"}, {"message": "no"}, {"balance": 5}, [], None]
    for odd in odd_answers:
        answers["wallet/getaccount"] = odd
        with pytest.raises((NodeUnavailable, msgspec.MsgspecError)):
            await adapter.fetch_balances([Holding(ACCOUNT)], 7)
    answers["wallet/getaccount"] = {}
    assert await adapter.fetch_balances([Holding(ACCOUNT)], 7) == [0]


async def test_a_block_of_another_height_is_not_read(
    adapter: TronAdapter, answers: dict[str, object]
) -> None:
    answers["wallet/getblockbynum"] = GENESIS
    with pytest.raises(NodeUnavailable, match="another height"):
        await adapter.fetch_block(5)


async def test_a_block_without_its_transactions_is_not_read(
    adapter: TronAdapter, answers: dict[str, object]
) -> None:
    answers["wallet/getblockbynum"] = make_block(5, ID, 1, "ab" * 32, ACCOUNT)
    with pytest.raises(NodeUnavailable, match="leaves out"):
        await adapter.fetch_block(5)


@pytest.mark.parametrize("number", [-1, 2**63, 2**64, 10**100])
async def test_a_height_that_no_chain_has_is_not_read(
    adapter: TronAdapter, answers: dict[str, object], number: int
) -> None:
    block = make_block(5, ID, 1, "0" * 64, ACCOUNT)
    block["block_header"]["raw_data"]["number"] = number
    answers["wallet/getblockbynum"] = block
    with pytest.raises(NodeUnavailable):
        await adapter.fetch_block(5)


async def test_no_block_is_none_and_an_error_is_not(
    adapter: TronAdapter, answers: dict[str, object]
) -> None:
    answers["wallet/getblockbynum"] = {}
    assert await adapter.fetch_block(5) is None
    answers["wallet/getblockbynum"] = {"Error": "busy"}
    with pytest.raises(NodeUnavailable, match="busy"):
        await adapter.fetch_block(5)
