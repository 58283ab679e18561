"""What a payment on TON is said to cost, and what is not believed of a wallet.

A server that answers by path stands in for what the emulator would never say.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.ton import quoting
from chain_adapters.ton.keys import Owners
from chain_adapters.ton.quoting import fetch_jettons, fetch_seqno
from chain_adapters.ton.sending import Slot, has_used
from chain_adapters.ton.tokens import Tokens
from chain_adapters.ton.wallet import wallet_address, wallet_id
from chain_adapters.types import NodeUnavailable, Payment, PaymentRefused, Quote

PUBLIC = bytes(range(32))
SENDER = wallet_address(PUBLIC, wallet_id(0, 0))
RECIPIENT, STRANGER = (f"0:{digit * 64}" for digit in "12")
CAP = 10**9
TON = 10**9
HEADER = {
    "workchain": -1,
    "shard": "8000000000000000",
    "seqno": 5,
    "root_hash": base64.b64encode(bytes(32)).decode(),
    "global_id": -239,
    "gen_utime": "1800000000",
    "tx_count": 0,
}


def state(address: str, balance_minor: int, status: str = "active") -> dict[str, object]:
    return {"address": address.upper(), "balance": str(balance_minor), "status": status}


def result(*numbers: int, exit_code: int = 0) -> dict[str, object]:
    return {"exit_code": exit_code, "stack": [{"type": "num", "value": hex(n)} for n in numbers]}


def estimate(total: int) -> dict[str, object]:
    fees = {"in_fwd_fee": 0, "storage_fee": 0, "gas_fee": total, "fwd_fee": 0}
    return {"source_fees": fees}


@pytest.fixture
def answers() -> dict[str, Any]:
    """What a server says of a payment that can be made, by the path's end or the method."""
    return {
        "accountStates": {"accounts": [state(SENDER, TON), state(RECIPIENT, TON)]},
        "masterchainInfo": {"last": HEADER},
        "estimateFee": estimate(6_000_000),
        "seqno": result(7),
        "get_wallet_data": result(exit_code=11),
        "get_jetton_data": result(exit_code=11),
    }


async def accept_any(_: Endpoint) -> None:
    """Take every endpoint for the right network's."""


@pytest.fixture
async def endpoint(answers: dict[str, Any]) -> AsyncIterator[Endpoint]:
    async def answer(request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        return web.json_response(
            answers[(await request.json())["method"] if name == "runGetMethod" else name]
        )

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        rpc = RpcClient("ton:mainnet", [str(server.make_url("/"))], identify=accept_any)
        yield rpc.endpoints[0]
        await rpc.close()


async def quote(endpoint: Endpoint, amount_minor: int = 1000, cap: int = CAP) -> Quote:
    owners = Owners()
    owners.derive(PUBLIC, "m/0'/0'")
    payment = Payment(SENDER, RECIPIENT, None, amount_minor)
    return await quoting.quote(endpoint, payment, owners, Tokens([]), cap)


async def refusal_of(endpoint: Endpoint, amount_minor: int = 1000, cap: int = CAP) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await quote(endpoint, amount_minor, cap)
    return refused.value.reason


@pytest.mark.parametrize(
    ("status", "estimated", "bound"),
    [
        ("active", 6_000_000, 9_000_000),
        ("active", 1_000_000, 5_000_000),
        ("uninit", 8_000_000, 12_000_000),
        ("uninit", 1_000_000, 10_000_000),
    ],
)
async def test_the_bound_is_half_as_much_again_as_the_estimate_or_a_floor(
    endpoint: Endpoint, answers: dict[str, Any], status: str, estimated: int, bound: int
) -> None:
    answers["estimateFee"] = estimate(estimated)
    answers["accountStates"]["accounts"][0] = state(SENDER, TON, status)
    assert (await quote(endpoint)).fee_minor_max == bound


async def test_a_wallet_may_spend_all_that_it_has_and_no_more(endpoint: Endpoint) -> None:
    found = await quote(endpoint, TON - 9_000_000)
    assert (found.held_minor, found.held_native_minor, found.next_nonce) == (TON, TON, 7)
    assert await refusal_of(endpoint, TON - 8_999_999) == "sender_lacks_funds"


async def test_a_fee_of_just_the_cap_is_paid(endpoint: Endpoint) -> None:
    assert (await quote(endpoint, cap=9_000_000)).fee_minor_max == 9_000_000
    assert await refusal_of(endpoint, cap=8_999_999) == "fee_above_cap"


@pytest.mark.parametrize(
    ("place", "address", "reason"),
    [(0, SENDER, "wallet_frozen"), (1, RECIPIENT, "recipient_frozen")],
)
async def test_a_frozen_account_pays_nothing_and_is_not_paid(
    endpoint: Endpoint, answers: dict[str, Any], place: int, address: str, reason: str
) -> None:
    answers["accountStates"]["accounts"][place] = state(address, TON, "frozen")
    assert await refusal_of(endpoint) == reason


@pytest.mark.parametrize("seqno", [0, 1, 2**32 - 1])
async def test_a_sequence_number_that_a_wallet_can_have_is_taken(
    endpoint: Endpoint, answers: dict[str, Any], seqno: int
) -> None:
    answers["seqno"] = result(seqno, exit_code=seqno and 1)
    assert await fetch_seqno(endpoint, SENDER) == seqno


@pytest.mark.parametrize(
    "answer",
    [result(2**32), result(-1), result(7, exit_code=11), result(), result(exit_code=-13)],
    ids=["too large", "negative", "failed with a number", "nothing", "failed"],
)
async def test_a_sequence_number_that_no_wallet_has_is_not_signed_with(
    endpoint: Endpoint, answers: dict[str, Any], answer: object
) -> None:
    answers["seqno"] = answer
    with pytest.raises(NodeUnavailable):
        await fetch_seqno(endpoint, SENDER)


@pytest.mark.parametrize(
    ("answer", "held"),
    [(result(5), 5), (result(5, exit_code=11), 0), (result(), 0), (result(exit_code=-13), 0)],
)
async def test_a_jetton_wallet_that_is_not_there_holds_nothing(
    endpoint: Endpoint, answers: dict[str, Any], answer: object, held: int
) -> None:
    answers["get_wallet_data"] = answer
    assert await fetch_jettons(endpoint, STRANGER) == held


@pytest.mark.parametrize(
    ("wallets", "used"),
    [
        ([], False),
        ([{"address": SENDER.upper(), "seqno": 8}], True),
        ([{"address": SENDER.upper(), "seqno": 7}], False),
        ([{"address": SENDER.upper(), "seqno": None}], False),
        ([{"address": STRANGER.upper(), "seqno": 9}], False),
        ([{"address": STRANGER, "seqno": 1}, {"address": SENDER, "seqno": 8}], True),
    ],
)
async def test_only_the_wallets_own_number_beyond_the_payments_says_that_it_is_used(
    endpoint: Endpoint, answers: dict[str, Any], wallets: list[object], used: bool
) -> None:
    answers["walletStates"] = {"wallets": wallets}
    assert await has_used(endpoint, Slot(SENDER, 7)) is used


OWN = {
    "get_public_key": result(int.from_bytes(PUBLIC)),
    "get_subwallet_id": result(wallet_id(0, 0)),
}


async def test_a_deployed_wallet_tells_whose_it_is(
    endpoint: Endpoint, answers: dict[str, Any]
) -> None:
    answers |= OWN
    owner = await Owners().of(endpoint, SENDER, deployed=True)
    assert (owner.public_key, owner.number) == (PUBLIC, wallet_id(0, 0))
    with pytest.raises(PaymentRefused):
        await Owners().of(endpoint, SENDER, deployed=False)


@pytest.mark.parametrize(
    "odd",
    [
        {"get_public_key": result(1)},
        {"get_subwallet_id": result(wallet_id(0, 1))},
        {"get_public_key": result(2**256)},
        {"get_public_key": result(-1)},
        {"get_public_key": result(int.from_bytes(PUBLIC), exit_code=11)},
        {"get_subwallet_id": result(wallet_id(0, 0), exit_code=11)},
        {"get_public_key": result()},
        {"get_subwallet_id": result()},
    ],
)
async def test_a_wallet_of_another_key_or_number_is_not_signed_for(
    endpoint: Endpoint, answers: dict[str, Any], odd: dict[str, Any]
) -> None:
    answers |= OWN | odd
    with pytest.raises(PaymentRefused) as refused:
        await Owners().of(endpoint, SENDER, deployed=True)
    assert refused.value.reason == "sender_unknown"
