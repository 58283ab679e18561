"""What a payment on Solana is said to cost, and what is refused before anything is signed.

A node that answers by method stands in for what the emulator would never say.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from solders.keypair import Keypair

from chain_adapters.solana.adapter import SolanaAdapter
from chain_adapters.solana.pay import Plan
from chain_adapters.solana.programs import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from chain_adapters.solana.quoting import (
    UNIT_PRICE_MAX,
    UNIT_PRICE_MIN,
    Findings,
    choose_price,
    judge_expiry,
    least_fee,
    list_sources,
)
from chain_adapters.solana.tokens import (
    ACCOUNT_BYTES,
    Extension,
    Mint,
    TokenAccount,
    associated_account,
    check_receives,
    read_extensions,
    read_mint,
    read_token_account,
)
from chain_adapters.solana.wire import (
    WireAccount,
    WireHeldAccount,
    WireLatestBlockhash,
    WirePriority,
)
from chain_adapters.types import NodeUnavailable, Payment, PaymentRefused

GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
SENDER, RECIPIENT, MINT = (str(Keypair.from_seed(bytes([n]) * 32).pubkey()) for n in (1, 2, 3))
RENT = 890_880
EMPTY = ["", "base64"]
CAP = 10**7


def wallet(lamports: int, **changes: object) -> dict[str, Any]:
    return {"lamports": lamports, "owner": SYSTEM_PROGRAM, "data": EMPTY, **changes}


def told(value: object) -> dict[str, Any]:
    return {"context": {"slot": 1}, "value": value}


@pytest.fixture
def answers() -> dict[str, Any]:
    """What a node says of a payment that can be made."""
    return {
        "getGenesisHash": GENESIS,
        "getLatestBlockhash": told({"blockhash": GENESIS, "lastValidBlockHeight": 1_150}),
        "getBlockHeight": 1_000,
        "getMinimumBalanceForRentExemption": RENT,
        "getRecentPrioritizationFees": [],
        "getMultipleAccounts": told([wallet(10**9), wallet(RENT)]),
        "simulateTransaction": told({"err": None, "unitsConsumed": 500, "logs": []}),
        "getFeeForMessage": told(5_000),
    }


@pytest.fixture
async def adapter(answers: dict[str, Any]) -> AsyncIterator[SolanaAdapter]:
    async def answer(request: web.Request) -> web.Response:
        call = await request.json()
        return web.json_response(
            {"jsonrpc": "2.0", "id": call["id"], "result": answers[call["method"]]}
        )

    application = web.Application()
    application.router.add_post("/", answer)
    async with TestServer(application) as server:
        url = str(server.make_url("/"))
        opened = SolanaAdapter(f"solana:{GENESIS[:32]}", [url], fee_minor_max=CAP)
        yield opened
        await opened.close()


def pay(amount_minor: int = 10**6) -> Payment:
    return Payment(SENDER, RECIPIENT, None, amount_minor)


async def refusal_of(adapter: SolanaAdapter, payment: Payment) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await adapter.quote(payment)
    return refused.value.reason


async def test_a_trial_takes_a_fifth_and_1000_units_more_and_the_fee_is_never_below_the_rules(
    adapter: SolanaAdapter,
) -> None:
    quote = await adapter.quote(pay())
    plan = msgspec.json.decode(quote.parameters, type=Plan)
    assert (plan.unit_limit, plan.unit_price) == (1_600, UNIT_PRICE_MIN)
    assert plan.last_height == 1_150
    assert quote.fee_minor_max == 5_016 == least_fee(plan)
    assert quote.held_minor == quote.held_native_minor == 10**9 - RENT


async def test_a_node_that_asks_for_more_is_paid_more(
    adapter: SolanaAdapter, answers: dict[str, Any]
) -> None:
    answers["getFeeForMessage"] = told(7_777)
    assert (await adapter.quote(pay())).fee_minor_max == 7_777


async def test_a_payment_whose_trial_fails_is_refused(
    adapter: SolanaAdapter, answers: dict[str, Any]
) -> None:
    failed = {"err": {"InstructionError": [2, {"Custom": 7}]}, "unitsConsumed": 500, "logs": []}
    answers["simulateTransaction"] = told(failed)
    assert await refusal_of(adapter, pay()) == "payment_fails"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("simulateTransaction", told({"err": None, "logs": []})),
        ("getFeeForMessage", told(None)),
        ("getMultipleAccounts", told([wallet(10**9)])),
        ("getMultipleAccounts", told([wallet(10**9), wallet(RENT), wallet(RENT)])),
        ("getLatestBlockhash", told({"blockhash": "0OIl" * 11, "lastValidBlockHeight": 1_150})),
    ],
    ids=["no units", "no fee", "an account too few", "an account too many", "no hash"],
)
async def test_what_a_node_leaves_out_is_not_guessed(
    adapter: SolanaAdapter, answers: dict[str, Any], method: str, answer: object
) -> None:
    answers[method] = answer
    with pytest.raises(NodeUnavailable):
        await adapter.quote(pay())


async def test_what_is_paid_and_its_fee_must_be_there_beside_the_rent(
    adapter: SolanaAdapter, answers: dict[str, Any]
) -> None:
    answers["getMultipleAccounts"] = told([wallet(RENT + 10**6 + 5_016), wallet(RENT)])
    assert (await adapter.quote(pay())).fee_minor_max == 5_016
    answers["getMultipleAccounts"] = told([wallet(RENT + 10**6 + 5_015), wallet(RENT)])
    assert await refusal_of(adapter, pay()) == "sender_lacks_funds"


@pytest.mark.parametrize("recipient", [None, wallet(RENT - 100)], ids=["new", "with a little"])
async def test_a_recipient_never_ends_below_the_rent_whatever_a_trial_says(
    adapter: SolanaAdapter, answers: dict[str, Any], recipient: dict[str, Any] | None
) -> None:
    answers["getMultipleAccounts"] = told([wallet(10**9), recipient])
    least = RENT - (0 if recipient is None else recipient["lamports"])
    assert await refusal_of(adapter, pay(least - 1)) == "below_rent_minimum"
    assert await adapter.quote(pay(least))


@pytest.mark.parametrize("odd", [{"executable": True}, {"owner": MINT}])
async def test_a_program_and_what_is_a_programs_is_no_wallet(
    adapter: SolanaAdapter, answers: dict[str, Any], odd: dict[str, Any]
) -> None:
    answers["getMultipleAccounts"] = told([wallet(10**9), wallet(RENT, **odd)])
    assert await refusal_of(adapter, pay()) == "recipient_not_a_wallet"


async def test_the_bid_is_lowered_to_what_the_cap_allows_and_not_below_the_least(
    adapter: SolanaAdapter, answers: dict[str, Any]
) -> None:
    answers["getRecentPrioritizationFees"] = [{"slot": 1, "prioritizationFee": 10**12}]
    answers["simulateTransaction"] = told({"err": None, "unitsConsumed": 2_500_000})
    plan = msgspec.json.decode((await adapter.quote(pay())).parameters, type=Plan)
    assert plan.unit_price == (CAP - 5_000) * 10**6 // 3_001_000
    assert least_fee(plan) <= CAP
    answers["simulateTransaction"] = told({"err": None, "unitsConsumed": 10**9})
    assert await refusal_of(adapter, pay()) == "fee_above_cap"


@pytest.mark.parametrize(
    ("recent", "bid"),
    [
        ([], UNIT_PRICE_MIN),
        ([0, 0, 0, 70_000], 70_000),
        ([90_000, 20_000, 30_000, 40_000, 10_000, 60_000, 50_000, 80_000], 80_000),
        ([0, 0, 0, 0, 70_000], UNIT_PRICE_MIN),
        ([10**9], UNIT_PRICE_MAX),
    ],
)
def test_the_bid_is_above_three_of_four_recent_blocks_and_within_bounds(
    recent: list[int], bid: int
) -> None:
    assert choose_price([WirePriority(price) for price in recent]) == bid


def test_a_units_price_is_rounded_up() -> None:
    assert least_fee(Plan("", 0, unit_limit=1, unit_price=1, seed=b"")) == 5_001
    assert least_fee(Plan("", 0, unit_limit=1_000, unit_price=10_000, seed=b"")) == 5_010


def test_an_expiry_twice_as_far_as_the_rule_is_the_last_that_is_believed() -> None:
    assert judge_expiry(WireLatestBlockhash(GENESIS, 1_300), 1_000) == 1_300
    with pytest.raises(NodeUnavailable):
        judge_expiry(WireLatestBlockhash(GENESIS, 1_301), 1_000)


def account(data: bytes, owner: str = TOKEN_PROGRAM) -> WireAccount:
    return WireAccount(1, owner, (base64.b64encode(data).decode(), "base64"))


MINT_DATA = bytes(44) + b"\x06\x01" + bytes(36)
HELD_DATA = b"\1" * 32 + b"\2" * 32 + (77).to_bytes(8, "little") + bytes(36) + b"\1" + bytes(56)


def extended(data: bytes, kind: int, *extensions: tuple[int, bytes]) -> bytes:
    """Return what Token-2022 keeps: the account, its kind, and its extensions."""
    entries = [n.to_bytes(2, "little") + len(v).to_bytes(2, "little") + v for n, v in extensions]
    return data.ljust(ACCOUNT_BYTES, b"\0") + bytes([kind]) + b"".join(entries)


def test_mints_and_token_accounts_are_told_apart_by_program_size_kind_and_state() -> None:
    mint, held = extended(MINT_DATA, 1), extended(HELD_DATA, 2)
    for good in (account(MINT_DATA), account(mint, TOKEN_2022_PROGRAM)):
        found = read_mint(good)
        assert found is not None
        assert (found.decimals, read_token_account(good)) == (6, None)
    for good in (account(HELD_DATA), account(held, TOKEN_2022_PROGRAM)):
        holds = read_token_account(good)
        assert holds is not None
        assert (holds.amount_minor, holds.frozen, read_mint(good)) == (77, False, None)
    for odd in (
        account(MINT_DATA, SYSTEM_PROGRAM),
        account(MINT_DATA[:45] + bytes(37)),
        account(extended(MINT_DATA, 2), TOKEN_2022_PROGRAM),
        account(MINT_DATA[:-1]),
    ):
        assert read_mint(odd) is None
    for odd in (
        account(HELD_DATA, SYSTEM_PROGRAM),
        account(HELD_DATA[:108] + b"\0" + HELD_DATA[109:]),
        account(extended(HELD_DATA, 1), TOKEN_2022_PROGRAM),
        account(HELD_DATA[:-1]),
    ):
        assert read_token_account(odd) is None
    frozen = read_token_account(account(HELD_DATA[:108] + b"\2" + HELD_DATA[109:]))
    assert frozen is not None
    assert frozen.frozen


@pytest.mark.parametrize("data", [("AA==", "base58"), ("?", "base64")])
def test_an_accounts_data_in_another_form_is_the_nodes_fault(data: tuple[str, str]) -> None:
    with pytest.raises(NodeUnavailable):
        read_mint(WireAccount(1, TOKEN_PROGRAM, data))


def test_extensions_are_read_one_behind_the_other_to_the_end() -> None:
    entries = ((Extension.MEMO_TRANSFER, b"\1"), (Extension.PAUSABLE, b"\2" * 33))
    assert read_extensions(extended(HELD_DATA, 2, *entries)) == dict(entries)
    padded = extended(HELD_DATA, 2, *entries) + bytes(8)
    assert read_extensions(padded) == dict(entries)


def holder(**changes: Any) -> TokenAccount:  # noqa: ANN401
    usual: dict[str, Any] = {"owner": RECIPIENT, "frozen": False, "extensions": {}}
    return TokenAccount(mint=MINT, amount_minor=0, **{**usual, **changes})


OPEN = Mint(TOKEN_2022_PROGRAM, 6, {})
CONFIDENTIAL = Extension.CONFIDENTIAL_TRANSFER_ACCOUNT


@pytest.mark.parametrize(
    ("mint", "target", "reason"),
    [
        (Mint(TOKEN_2022_PROGRAM, 6, {6: b"\2"}), None, "recipient_frozen"),
        (OPEN, holder(frozen=True), "recipient_frozen"),
        (OPEN, holder(owner=SENDER), "recipient_account_not_theirs"),
        (OPEN, holder(extensions={Extension.MEMO_TRANSFER: b"\1"}), "recipient_requires_memo"),
        (OPEN, holder(extensions={CONFIDENTIAL: bytes(263)}), "recipient_only_confidential"),
    ],
)
def test_an_account_that_takes_no_plain_transfer_is_refused(
    mint: Mint, target: TokenAccount | None, reason: str
) -> None:
    with pytest.raises(PaymentRefused) as refused:
        check_receives(RECIPIENT, mint, target)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("mint", "target"),
    [
        (OPEN, None),
        (Mint(TOKEN_2022_PROGRAM, 6, {6: b"\1"}), None),
        (OPEN, holder()),
        (OPEN, holder(extensions={Extension.MEMO_TRANSFER: b"\0"})),
        (OPEN, holder(extensions={CONFIDENTIAL: bytes(262) + b"\1"})),
    ],
)
def test_an_account_that_takes_plain_transfers_is_paid(
    mint: Mint, target: TokenAccount | None
) -> None:
    check_receives(RECIPIENT, mint, target)


def found_held(*held: tuple[str, int, bool]) -> Findings:
    """A sender's token accounts: whose address, how much, whether frozen."""
    accounts = [
        WireHeldAccount(
            key,
            account(
                HELD_DATA[:64]
                + amount.to_bytes(8, "little")
                + bytes(36)
                + bytes([1 + frozen])
                + HELD_DATA[109:]
            ),
        )
        for key, amount, frozen in held
    ]
    return Findings(GENESIS, 1, RENT, 1, None, None, None, {}, accounts)


TOKENS = Payment(SENDER, RECIPIENT, MINT, 5)
USUAL = associated_account(SENDER, MINT, TOKEN_PROGRAM)
OTHERS = [str(Keypair.from_seed(bytes([n]) * 32).pubkey()) for n in (8, 9)]


def test_tokens_are_taken_from_the_usual_account_first_then_from_the_fullest() -> None:
    found = found_held((OTHERS[0], 3, False), (OTHERS[1], 9, False), (USUAL, 1, False))
    listed = [(source.account, source.amount_minor) for source in list_sources(TOKENS, found)]
    assert listed == [(USUAL, 1), (OTHERS[1], 9), (OTHERS[0], 3)]


def test_frozen_and_empty_accounts_are_not_taken_from() -> None:
    found = found_held((OTHERS[0], 3, True), (OTHERS[1], 9, False), (USUAL, 0, False))
    assert [source.amount_minor for source in list_sources(TOKENS, found)] == [9]
    assert list_sources(TOKENS, found_held((USUAL, 0, False))) == []
    with pytest.raises(PaymentRefused) as refused:
        list_sources(TOKENS, found_held((OTHERS[0], 3, True), (USUAL, 0, False)))
    assert refused.value.reason == "sender_frozen"
