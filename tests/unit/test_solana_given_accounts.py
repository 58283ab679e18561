"""Token accounts that are made over to us, on Solana's real token program: what is credited is ours
to spend, and nobody else's any longer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import approve, set_authority, transfer
from spl.token.models import ApproveParams, AuthorityType, SetAuthorityParams, TransferParams

from chain_adapters.solana.programs import TOKEN_PROGRAM
from chain_adapters.solana.tokens import associated_account
from chain_adapters.types import Payment, Transfer
from devstack.chains.solana import SolanaNode
from tests.support.chain_worlds.solana import SolanaWorld, open_solana_world

HELD = 7


@pytest.fixture
async def world(solana_node: SolanaNode) -> AsyncIterator[SolanaWorld]:
    opened = await open_solana_world(solana_node)
    yield opened
    await opened.close()


def account_of(owner: Keypair, token: str) -> Pubkey:
    return Pubkey.from_string(associated_account(str(owner.pubkey()), token, TOKEN_PROGRAM))


def give(account: Pubkey, owner: Keypair, kind: AuthorityType, to: Pubkey) -> Instruction:
    return set_authority(
        SetAuthorityParams(
            program_id=TOKEN_PROGRAM_ID,
            account=account,
            authority=kind,
            current_authority=owner.pubkey(),
            new_authority=to,
        )
    )


def move(source: Pubkey, to: Pubkey, by: Keypair, amount_minor: int = HELD) -> Instruction:
    return transfer(
        TransferParams(
            program_id=TOKEN_PROGRAM_ID,
            source=source,
            dest=to,
            owner=by.pubkey(),
            amount=amount_minor,
        )
    )


async def arrived(world: SolanaWorld, token: str, since: int) -> list[Transfer]:
    """Return the token's transfers in the blocks above a slot."""
    blocks = [
        await world.adapter.fetch_block(s) for s in range(since + 1, await world.height() + 1)
    ]
    found = [t for block in blocks if block for x in block.transactions for t in x.transfers]
    return [transfer for transfer in found if transfer.contract == token]


@pytest.fixture
async def token(world: SolanaWorld) -> str:
    return await world.issue_token(world.new_address(), 100)


async def holder(world: SolanaWorld, token: str, amount_minor: int = HELD) -> Keypair:
    """Return somebody who has tokens."""
    made = Keypair()
    await world.chain.pay_token(token, str(made.pubkey()), amount_minor)
    await world.mine()
    return made


async def test_who_made_an_account_over_to_us_takes_nothing_back(
    world: SolanaWorld, token: str
) -> None:
    """Not by a delegate who was let in beforehand, nor by the right to close it."""
    giver, friend = await holder(world, token), await holder(world, token, 1)
    delegate, ours = Keypair(), world.new_address()
    account, since = account_of(giver, token), await world.height()
    let_in = ApproveParams(
        program_id=TOKEN_PROGRAM_ID,
        source=account,
        delegate=delegate.pubkey(),
        owner=giver.pubkey(),
        amount=HELD,
    )
    orders = [
        approve(let_in),
        give(account, giver, AuthorityType.CLOSE_ACCOUNT, giver.pubkey()),
        give(account, giver, AuthorityType.ACCOUNT_OWNER, Pubkey.from_string(ours)),
    ]
    await world.chain.send(orders, giver)
    await world.mine()
    (credited,) = await arrived(world, token, since)
    assert (credited.address, credited.amount_minor) == (ours, HELD)
    for thief in (giver, delegate):
        await world.chain.send([move(account, account_of(friend, token), thief)], thief)
    await world.mine()
    assert await world.balance(str(friend.pubkey()), token, await world.height()) == 1
    await world.fund(ours, 10**8)
    recipient = world.new_address()
    await world.adapter.broadcast(await world.order(Payment(ours, recipient, token, HELD)))
    await world.mine()
    assert await world.balance(recipient, token, await world.height()) == HELD


async def test_an_account_that_is_emptied_and_made_over_brings_nothing(
    world: SolanaWorld, token: str
) -> None:
    """Tokens come to an account that is ours in the end: who reads orders sees a deposit."""
    giver, friend = await holder(world, token), await holder(world, token, 1)
    ours, since = Pubkey.from_string(world.new_address()), await world.height()
    emptied = account_of(friend, token)
    orders = [
        move(account_of(giver, token), emptied, giver),
        move(emptied, account_of(giver, token), friend, HELD + 1),
        give(emptied, friend, AuthorityType.ACCOUNT_OWNER, ours),
    ]
    await world.chain.send(orders, giver, friend)
    await world.mine()
    (moved,) = await arrived(world, token, since)
    assert (moved.address, moved.amount_minor) == (str(giver.pubkey()), 1)
    assert await world.balance(str(ours), token, await world.height()) == 0
