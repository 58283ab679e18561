"""What the command line refuses before it does anything, and the faucet of a toy chain."""

from __future__ import annotations

import json

import pytest

from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.types import Holding
from custody.orders import hash_request
from devstack.chains.anvil import Anvil
from devstack.chains.ethereum import EthereumChain
from sql.pool import open_pool
from sql.withdrawals import Move, NewWithdrawal, add_withdrawals, move_withdrawals
from tests.support.command_line import CommandLine, configuration, network_of
from topics.withdrawals import WithdrawalCommand

DEAD = "0x" + "de" * 20


@pytest.fixture(scope="module")
async def installed(database_url: str, kafka: str, topic_prefix: str, anvil: Anvil) -> CommandLine:
    environ = configuration(database_url, kafka, topic_prefix, anvil)
    millrace = CommandLine(environ | {"MILLRACE_WALLET_ENC_KEY": "correct horse battery staple"})
    await millrace.json("init")
    await millrace.json("tenant", "new", "acme")
    return millrace


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ({"--tenant": "acne"}, "no tenant 'acne'"),
        ({"--asset": "BTC"}, "no asset 'BTC'"),
        ({"--amount": "-1"}, "not more than nothing"),
        ({"--amount": "0"}, "not more than nothing"),
        ({"--address": DEAD[:-1]}, "not an address"),
        ({"--address": "0xD" + DEAD[3:]}, "checksum"),
    ],
)
async def test_a_slip_of_the_pen_is_told_and_not_sent(
    installed: CommandLine, slip: dict[str, str], told: str
) -> None:
    order = {"--tenant": "acme", "--owner": "a", "--asset": "ETH", "--amount": "1"}
    options = order | {"--address": DEAD} | slip
    words = [word for option in options.items() for word in option]
    away = {"MILLRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9"}  # whatever is sent fails otherwise
    result = await installed.run("withdraw", "request", *words, **away)
    assert result.exit_code in (1, 2)
    assert told in result.stderr


async def test_an_id_of_another_order_is_told_and_not_sent(
    installed: CommandLine, database_url: str
) -> None:
    order = [
        "--tenant",
        "acme",
        "--owner",
        "o",
        "--asset",
        "ETH",
        "--address",
        DEAD,
        "--id",
        "id-1",
    ]
    command = WithdrawalCommand(
        type="withdrawal.request",
        tenant="acme",
        id="id-1",
        owner="o",
        asset="ETH",
        amount_minor=str(10**18),
        address=DEAD,
    )
    kept = NewWithdrawal(
        "acme", "id-1", hash_request(command), "o", "ETH", None, DEAD, None, 10**18, 0
    )
    async with await open_pool(database_url, 1) as pool, pool.acquire() as conn:
        await add_withdrawals(conn, [kept])
    away = {"MILLRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9"}  # whatever is sent fails otherwise
    other = await installed.run("withdraw", "request", *order, "--amount", "2", **away)
    assert (other.exit_code, "the id 'id-1' is another order's" in other.stderr) == (1, True)
    repeat = await installed.run("withdraw", "request", *order, "--amount", "1.0", **away)
    assert (repeat.exit_code, "broker" in repeat.stderr) == (1, True)


async def test_who_waits_for_a_withdrawal_is_told_what_it_waits_for_and_how_it_ended(
    installed: CommandLine, database_url: str, anvil: Anvil
) -> None:
    await installed.json("tenant", "new", "globex")
    command = WithdrawalCommand(
        type="withdrawal.request",
        tenant="globex",
        id="id-1",
        owner="o",
        asset="ETH",
        amount_minor="500",
        address=DEAD,
    )
    network = network_of(anvil).network
    kept = NewWithdrawal(
        "globex", "id-1", hash_request(command), "o", "ETH", network, DEAD, None, 500, 0
    )
    order = ["--tenant", "globex", "--owner", "o", "--asset", "ETH", "--address", DEAD]
    wait = ["withdraw", "request", *order, "--amount-minor", "500", "--id", "id-1", "--wait"]
    async with await open_pool(database_url, 1) as pool, pool.acquire() as conn:
        (made,) = (await add_withdrawals(conn, [kept])).values()
        approved = Move(made.withdrawal_id, "approved", decided_by="limits")
        await move_withdrawals(conn, "requested", [approved])
        await installed.json("tenant", "suspend", "globex")
        late = await installed.run(*wait, "--timeout-s", "0")
        assert late.exit_code == 1
        assert "It waits for: tenant_suspended; no_hot_wallet" in late.stderr
        given_up = Move(made.withdrawal_id, "failed", "cancelled_by_operator")
        await move_withdrawals(conn, "approved", [given_up])
    ended = await installed.run(*wait)
    assert (ended.exit_code, "failed: cancelled_by_operator" in ended.stderr) == (1, True)
    assert "500 (0.0000000000000005 ETH)" in ended.stdout


async def test_an_unknown_tenant_is_told_with_where_to_look(installed: CommandLine) -> None:
    for command in (["address", "new", "--owner", "o"], ["wallet", "status"]):
        result = await installed.run(*command, "--tenant", "acne")
        assert (result.exit_code, "no tenant 'acne'" in result.stderr) == (1, True)
        assert "millrace tenant list" in result.stderr


async def test_a_broker_that_is_away_is_told(installed: CommandLine) -> None:
    order = ["--tenant", "acme", "--owner", "o", "--asset", "ETH", "--address", DEAD]
    away = {"MILLRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9"}
    result = await installed.run("withdraw", "request", *order, "--amount", "1", **away)
    assert result.exit_code == 1
    assert "broker" in result.stderr
    assert "MILLRACE_KAFKA_BOOTSTRAP" in result.stderr


async def test_the_faucet_of_a_development_chain_pays_and_confirms(
    installed: CommandLine, anvil: Anvil
) -> None:
    before = await _coins(anvil, DEAD)
    paid = await installed.json("faucet", DEAD, "1.5")
    assert (paid["blocks"], len(paid["transaction_id"])) == (2, 66)
    assert await _coins(anvil, DEAD) == before + 15 * 10**17
    nothing = await installed.run("faucet", DEAD, "0")
    assert (nothing.exit_code, "not more than nothing" in nothing.stderr) == (2, True)


async def test_the_faucet_pays_a_configured_token(installed: CommandLine, anvil: Anvil) -> None:
    async with EthereumChain(anvil.rpc_url) as chain:
        contract = await chain.issue_token("TEST")
    network = f"eip155:{anvil.chain_id}"
    coin = {"asset": "ETH", "network": network, "decimals": 18}
    token = {**coin, "asset": "ETH-TEST", "contract": contract}
    assets = {"MILLRACE_ASSETS": json.dumps([coin, token])}
    paid = await installed.run("faucet", DEAD, "2.5", "--asset", "ETH-TEST", **assets)
    assert paid.exit_code == 0, paid.stderr
    adapter = EthereumAdapter(network, [anvil.rpc_url])
    async with EthereumChain(anvil.rpc_url) as chain:
        height = await chain.height()
    assert await adapter.fetch_balances([Holding(DEAD, contract)], height) == [25 * 10**17]
    await adapter.close()
    unknown = await installed.run("faucet", DEAD, "1", "--asset", "EHT", **assets)
    assert (unknown.exit_code, "ETH, ETH-TEST" in unknown.stderr) == (2, True)


async def _coins(anvil: Anvil, address: str) -> int:
    async with EthereumChain(anvil.rpc_url) as chain:
        return await chain.balance(address)
