"""Ether that contracts move, or only seem to move, on a real node: what is read of a transaction
explains the balance of everybody it touches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.types import Transaction, Transfer
from devstack.chains.anvil import Anvil
from tests.support.chain_worlds import AnvilWorld, open_anvil_world

SENT = 7
"""Wei that come with every call of a contract under test; in its data is the recipient."""
NO_DATA = "6000600060006000"
"""Of a call: without arguments, and without room for an answer."""
ALL, RECIPIENT, GAS = "34", "600035", "5a"
CALL, CALLCODE, DELEGATECALL, STATICCALL = "f1", "f2", "f4", "fa"
FORWARD = NO_DATA + ALL + RECIPIENT + GAS + CALL
STOP, REVERT = "00", "60006000fd"
DESTROY = RECIPIENT + "ff"
PASS_ON = "6020600060003760006000602060006000"
"""Of a call: with the recipient as its argument, and without ether."""
PASS_ON_ALL = PASS_ON[:-4] + ALL
ETHER = "670de0b6b3a7640000"
CREATE_TWICE = "6000600060006003f550" * 2
"""CREATE2 with 3 wei and one salt: the second has the address of the first."""


@pytest.fixture(scope="module")
async def world(anvil: Anvil) -> AsyncIterator[AnvilWorld]:
    opened = await open_anvil_world(anvil)
    yield opened
    await opened.close()


async def run_contract(world: AnvilWorld, contract: str, argument: str) -> Transaction:
    """Send SENT wei to a contract with an address as argument; return the mined transaction."""
    accounts = await world.call("eth_accounts")
    call = {"from": accounts[0], "to": contract, "value": hex(SENT), "gas": "0x200000"}
    id_ = await world.call(
        "eth_sendTransaction", {**call, "data": "0x" + argument[2:].rjust(64, "0")}
    )
    await world.mine()
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    return next(transaction for transaction in block.transactions if transaction.id == id_)


async def balance(world: AnvilWorld, address: str, back: int = 0) -> int:
    return await world.balance(address, None, await world.height() - back)


async def explain(world: AnvilWorld, mined: Transaction, others: set[str]) -> None:
    """Hold what is read of the only transaction of the newest block against all balances."""
    changes: Counter[str] = Counter(dict.fromkeys(others, 0))
    for transfer in mined.transfers:
        changes[transfer.sender or ""] -= transfer.amount_minor
        changes[transfer.address] += transfer.amount_minor
    changes[mined.payer or ""] -= mined.fee_minor or 0
    for address, change in changes.items():
        assert await balance(world, address) - await balance(world, address, 1) == change, address


async def test_ether_forwarded_by_a_contract_is_a_transfer(world: AnvilWorld) -> None:
    contract, recipient = await world.deploy("0x" + FORWARD + STOP), world.new_address()
    mined = await run_contract(world, contract, recipient)
    assert mined.transfers == (
        Transfer("value", mined.payer, contract, None, SENT),
        Transfer("call:1", contract, recipient, None, SENT),
    )


async def test_ether_forwarded_and_reverted_is_none(world: AnvilWorld) -> None:
    contract, recipient = await world.deploy("0x" + FORWARD + REVERT), world.new_address()
    mined = await run_contract(world, contract, recipient)
    assert (mined.succeeded, mined.transfers) == (False, ())
    await explain(world, mined, {contract, recipient})


async def test_without_traces_inner_calls_are_not_there(anvil: Anvil, world: AnvilWorld) -> None:
    contract = await world.deploy("0x" + FORWARD + STOP)
    mined = await run_contract(world, contract, world.new_address())
    adapter = EthereumAdapter(f"eip155:{anvil.chain_id}", [anvil.rpc_url], traces="never")
    block = await adapter.fetch_block(await world.height())
    await adapter.close()
    assert block is not None
    assert [t.transfers for t in block.transactions if t.id == mined.id] == [mined.transfers[:1]]


class Seeming(NamedTuple):
    """A contract's code, the code of another one that holds 1,000 wei and stands at {other}, and
    the wei that arrive at the recipient.
    """

    code: str
    arrives_minor: int
    other: str = STOP


TO_OTHER = "73{other}" + GAS
SEEMING = {
    "a call with more than the contract has": Seeming(
        NO_DATA + ETHER + RECIPIENT + GAS + CALL + STOP, 0
    ),
    "a call whose caller reverted": Seeming(
        PASS_ON_ALL + TO_OTHER + CALL + STOP, 0, FORWARD + REVERT
    ),
    "a recipient that reverts": Seeming(PASS_ON_ALL + TO_OTHER + CALL + STOP, 0, REVERT),
    "the recipient's code run on the own ether": Seeming(
        NO_DATA + ALL + RECIPIENT + GAS + CALLCODE + STOP, 0
    ),
    "a call where no ether may be moved": Seeming(
        PASS_ON[:-4] + TO_OTHER + STATICCALL + STOP, 0, FORWARD.replace(ALL, "6003") + STOP
    ),
    "a contract destroyed": Seeming(DESTROY, SENT),
    "a contract destroyed by code of another": Seeming(
        PASS_ON[:-4] + TO_OTHER + DELEGATECALL + STOP, SENT, DESTROY
    ),
    "a contract destroyed twice": Seeming(2 * (PASS_ON + TO_OTHER + CALL) + STOP, 1000, DESTROY),
    "a contract destroyed, and its caller reverted": Seeming(
        PASS_ON + TO_OTHER + CALL + REVERT, 0, DESTROY
    ),
    "a contract destroyed for itself": Seeming("30ff" + STOP, 0),
    "a contract destroyed for itself by code of another": Seeming(
        PASS_ON[:-4] + TO_OTHER + DELEGATECALL + STOP, 0, "30ff"
    ),
    "two creations at one address": Seeming(CREATE_TWICE + STOP, 0),
    "a creation with more than the contract has": Seeming("60006000" + ETHER + "f0" + STOP, 0),
    "a creation that reverts": Seeming("6460006000fd6000526005601b6003f0" + STOP, 0),
}


@pytest.mark.parametrize("seeming", SEEMING.values(), ids=SEEMING)
async def test_what_a_contract_seems_to_pay_is_what_arrives(
    world: AnvilWorld, seeming: Seeming
) -> None:
    other = await world.deploy("0x" + seeming.other, 1000)
    contract = await world.deploy("0x" + seeming.code.format(other=other[2:]))
    recipient = world.new_address()
    await world.mine()
    mined = await run_contract(world, contract, recipient)
    arrived = [t.amount_minor for t in mined.transfers if t.address == recipient]
    assert sum(arrived) == await balance(world, recipient) == seeming.arrives_minor
    await explain(world, mined, {contract, other, recipient})
