"""Payments on Solana's real virtual machine: what they cost, and what is refused before."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from spl.token.constants import ACCOUNT_LEN, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID
from spl.token.instructions import initialize_account3, mint_to, set_authority
from spl.token.models import (
    AuthorityType,
    InitializeAccount3Params,
    MintToParams,
    SetAuthorityParams,
)

from chain_adapters.solana.programs import EXPIRY_MARGIN_BLOCKS, TOKEN_PROGRAM
from chain_adapters.solana.tokens import associated_account
from chain_adapters.types import BroadcastOutcome, Payment, PaymentRefused, Transaction
from devstack.chains.solana import SolanaNode
from devstack.chains.solana_ledger import BANK, BLOCKHASHES_AGE_MAX
from tests.support.chain_worlds.solana import SolanaWorld, open_solana_world

RENT = 890_880
ACCOUNT_RENT = 2_039_280
FUNDS = 10**10


def blocks_needed() -> int:
    """Return how many blocks a transaction outlives its blockhash, and one more."""
    return BLOCKHASHES_AGE_MAX + 2


@pytest.fixture
async def world(solana_node: SolanaNode) -> AsyncIterator[SolanaWorld]:
    opened = await open_solana_world(solana_node)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: SolanaWorld) -> str:
    address = world.new_address()
    await world.fund(address, FUNDS)
    return address


async def read(world: SolanaWorld, id_: str, since: int) -> Transaction:
    for slot in range(since, await world.height() + 1):
        block = await world.adapter.fetch_block(slot)
        for transaction in block.transactions if block else ():
            if transaction.id == id_:
                return transaction
    raise AssertionError(f"{id_} is in no block")


async def send(world: SolanaWorld, payment: Payment) -> Transaction:
    since, signed = await world.height(), await world.order(payment)
    answer = await world.adapter.broadcast(signed)
    assert answer.outcome is BroadcastOutcome.ACCEPTED, answer.detail
    await world.mine()
    return await read(world, signed.transaction_id, since)


async def refusal(
    world: SolanaWorld, sender: str, recipient: str, contract: str | None, amount_minor: int
) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(Payment(sender, recipient, contract, amount_minor))
    assert str(refused.value)
    return refused.value.reason


async def test_a_token_payment_makes_the_recipients_account_and_counts_its_rent(
    world: SolanaWorld, sender: str
) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    quote = await world.adapter.quote(Payment(sender, recipient, token, 60))
    first = await send(world, Payment(sender, recipient, token, 60))
    second = await send(world, Payment(sender, recipient, token, 40))
    assert first.fee_minor is not None
    assert second.fee_minor is not None
    assert ACCOUNT_RENT + 5000 < first.fee_minor == quote.fee_minor_max
    assert 5000 < second.fee_minor < 6000
    assert [t.index for t in first.transfers] == [f"spl:{token}:{recipient}"]
    assert (quote.held_minor, quote.held_native_minor) == (100, FUNDS - RENT)


async def test_of_a_token_with_a_fee_the_net_amount_arrives(
    world: SolanaWorld, sender: str
) -> None:
    token, recipient = await world.chain.issue_fee_token(250), world.new_address()
    await world.chain.pay_token(token, sender, 1000)
    await world.mine()
    assert await world.balance(sender, token, await world.height()) == 975
    quote = await world.adapter.quote(Payment(sender, recipient, token, 975))
    [transfer] = (await send(world, Payment(sender, recipient, token, 975))).transfers
    assert (transfer.address, transfer.amount_minor) == (recipient, 950)
    assert quote.fee_minor_max > ACCOUNT_RENT


async def test_the_fee_of_every_kind_of_payment_is_as_quoted(
    world: SolanaWorld, sender: str
) -> None:
    plain, charged = await world.issue_token(sender, 100), await world.chain.issue_fee_token(250)
    await world.chain.pay_token(charged, sender, 1000)
    await world.mine()
    for contract in (None, plain, charged):
        for recipient in (world.new_address(), sender):
            payment = Payment(sender, recipient, contract, 10**6 if contract is None else 10)
            quote = await world.adapter.quote(payment)
            assert (await send(world, payment)).fee_minor == quote.fee_minor_max


async def test_tokens_in_several_accounts_are_spent_together(
    world: SolanaWorld, sender: str
) -> None:
    token = await world.issue_token(sender, 10)
    owner, mint = Pubkey.from_string(sender), Pubkey.from_string(token)
    for _ in range(2):
        await add_account(world, owner, mint, 45)
    recipient = world.new_address()
    await send(world, Payment(sender, recipient, token, 95))
    height = await world.height()
    assert await world.balance(recipient, token, height) == 95
    assert await world.balance(sender, token, height) == 5


async def add_account(world: SolanaWorld, owner: Pubkey, mint: Pubkey, amount: int) -> None:
    """Give an owner tokens in an account that is not the associated one."""
    account = Keypair()
    made = CreateAccountParams(
        from_pubkey=BANK.pubkey(),
        to_pubkey=account.pubkey(),
        lamports=ACCOUNT_RENT,
        space=ACCOUNT_LEN,
        owner=TOKEN_PROGRAM_ID,
    )
    opened = InitializeAccount3Params(
        program_id=TOKEN_PROGRAM_ID, account=account.pubkey(), mint=mint, owner=owner
    )
    minted = MintToParams(
        program_id=TOKEN_PROGRAM_ID,
        mint=mint,
        dest=account.pubkey(),
        mint_authority=BANK.pubkey(),
        amount=amount,
    )
    steps = [create_account(made), initialize_account3(opened), mint_to(minted)]
    await world.chain.send(steps, account)
    await world.mine()


async def test_tokens_in_too_many_accounts_are_refused(world: SolanaWorld, sender: str) -> None:
    token = await world.issue_token(sender, 10)
    for _ in range(8):
        await add_account(world, Pubkey.from_string(sender), Pubkey.from_string(token), 10)
    recipient = world.new_address()
    assert await refusal(world, sender, recipient, token, 90) == "tokens_scattered"
    await send(world, Payment(sender, recipient, token, 80))


async def test_the_sender_keeps_what_its_account_must_hold(world: SolanaWorld, sender: str) -> None:
    recipient = world.new_address()
    quote = await world.adapter.quote(Payment(sender, recipient, None, RENT))
    most = (quote.held_native_minor or 0) - quote.fee_minor_max
    assert await refusal(world, sender, recipient, None, most + 1) == "sender_lacks_funds"
    await send(world, Payment(sender, recipient, None, most))
    assert await world.balance(sender, None, await world.height()) == RENT


async def test_a_token_payment_needs_money_for_fee_and_rent(world: SolanaWorld) -> None:
    holder, recipient = world.new_address(), world.new_address()
    token = await world.issue_token(holder, 100)
    assert await refusal(world, holder, recipient, token, 5) == "sender_lacks_funds"
    await world.fund(holder, RENT + ACCOUNT_RENT)
    assert await refusal(world, holder, recipient, token, 5) == "sender_lacks_funds"
    await world.fund(holder, 10_000)
    await send(world, Payment(holder, recipient, token, 5))


async def test_a_recipient_must_end_with_what_its_account_must_hold(
    world: SolanaWorld, sender: str
) -> None:
    recipient = world.new_address()
    assert await refusal(world, sender, recipient, None, RENT - 1) == "below_rent_minimum"
    await send(world, Payment(sender, recipient, None, RENT))
    await send(world, Payment(sender, recipient, None, 1))


async def test_recipients_that_are_no_wallets_are_refused(world: SolanaWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    stranger = world.new_address()
    unmade = associated_account(stranger, token, TOKEN_PROGRAM)
    reasons = {
        token: "recipient_is_mint",
        associated_account(sender, token, TOKEN_PROGRAM): "recipient_is_token_account",
        TOKEN_PROGRAM: "recipient_not_a_wallet",
        "SysvarC1ock11111111111111111111111111111111": "recipient_not_a_wallet",
        unmade: "recipient_off_curve",
    }
    for recipient, reason in reasons.items():
        assert await refusal(world, sender, recipient, None, 10**6) == reason
        assert await refusal(world, sender, recipient, token, 5) == reason


async def test_a_vault_of_a_program_that_is_in_use_is_paid(world: SolanaWorld, sender: str) -> None:
    vault = str(Pubkey.find_program_address([b"vault"], TOKEN_PROGRAM_ID)[0])
    assert await refusal(world, sender, vault, None, 10**6) == "recipient_off_curve"
    await world.fund(vault, 10**6)
    token = await world.issue_token(sender, 100)
    await send(world, Payment(sender, vault, None, 5))
    await send(world, Payment(sender, vault, token, 5))
    assert await world.balance(vault, token, await world.height()) == 5


async def test_frozen_tokens_are_refused(world: SolanaWorld, sender: str) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    await send(world, Payment(sender, recipient, token, 50))
    await world.chain.freeze(token, recipient)
    await world.mine()
    assert await refusal(world, sender, recipient, token, 5) == "recipient_frozen"
    await world.chain.freeze(token, sender)
    await world.mine()
    assert await refusal(world, sender, world.new_address(), token, 5) == "sender_frozen"


async def test_a_token_account_that_was_given_away_is_refused(
    world: SolanaWorld, sender: str
) -> None:
    token, recipient = await world.issue_token(sender, 100), Keypair()
    address = str(recipient.pubkey())
    await world.chain.pay_token(token, address, 5)
    await world.mine()
    account = Pubkey.from_string(associated_account(address, token, TOKEN_PROGRAM))
    params = SetAuthorityParams(
        program_id=TOKEN_PROGRAM_ID,
        account=account,
        authority=AuthorityType.ACCOUNT_OWNER,
        current_authority=recipient.pubkey(),
        new_authority=Keypair().pubkey(),
    )
    await world.chain.send([set_authority(params)], recipient)
    await world.mine()
    assert await refusal(world, sender, address, token, 5) == "recipient_account_not_theirs"


ALICE, BOB = str(Keypair().pubkey()), str(Keypair().pubkey())
HOOK = bytes([0]) + bytes(32) + bytes(Keypair().pubkey())
NO_HOOK = bytes([0]) + bytes(Keypair().pubkey()) + bytes(32)
PAUSE = bytes([0]) + bytes(BANK.pubkey())


async def test_tokens_that_a_plain_transfer_cannot_move_are_refused(
    world: SolanaWorld, sender: str
) -> None:
    issue = world.chain.issue_raw_token
    hooked = await issue(166 + 4 + 64, {36: HOOK})
    refused = [await refusal(world, sender, BOB, hooked, 5)]
    bound = await issue(166 + 4, {32: b""})
    refused.append(await refusal(world, sender, BOB, bound, 5))
    assert refused == ["token_has_transfer_hook", "token_not_transferable"]
    assert await refusal(world, sender, BOB, world.new_address(), 5) == "token_missing"
    assert await refusal(world, sender, BOB, ALICE, 2**64) == "amount_too_large"


async def test_a_hook_extension_without_a_program_is_no_hook(
    world: SolanaWorld, sender: str
) -> None:
    token = await world.chain.issue_raw_token(166 + 4 + 64, {36: NO_HOOK})
    await world.chain.pay_token(token, sender, 10)
    await world.mine()
    payment = Payment(sender, world.new_address(), token, 5)
    quote = await world.adapter.quote(payment)
    sent = await send(world, payment)
    assert sent.fee_minor == quote.fee_minor_max


async def test_a_paused_token_is_refused(world: SolanaWorld, sender: str) -> None:
    token = await world.chain.issue_raw_token(166 + 4 + 33, {44: PAUSE})
    await world.chain.pay_token(token, sender, 10)
    await world.mine()
    await send(world, Payment(sender, world.new_address(), token, 5))
    mint = Pubkey.from_string(token)
    keys = [
        AccountMeta(mint, is_signer=False, is_writable=True),
        AccountMeta(BANK.pubkey(), is_signer=True, is_writable=False),
    ]
    await world.chain.send([Instruction(TOKEN_2022_PROGRAM_ID, bytes([44, 1]), keys)])
    await world.mine()
    assert await refusal(world, sender, world.new_address(), token, 5) == "token_paused"


async def test_a_fee_above_the_cap_is_refused(solana_node: SolanaNode) -> None:
    world = await open_solana_world(solana_node, fee_minor_max=ACCOUNT_RENT)
    sender = world.new_address()
    await world.fund(sender, FUNDS)
    token = await world.issue_token(sender, 100)
    assert await refusal(world, sender, world.new_address(), token, 5) == "fee_above_cap"
    await send(world, Payment(sender, world.new_address(), None, RENT))
    await world.close()


async def test_a_payment_that_fails_in_its_block_costs_its_fee_and_moves_nothing(
    world: SolanaWorld, sender: str
) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    signed = await world.order(Payment(sender, recipient, token, 60))
    await world.chain.freeze(token, sender)
    held, since = await world.balance(sender, None, await world.height()), await world.height()
    options = {"encoding": "base64", "skipPreflight": True}
    content = base64.b64encode(signed.raw).decode()
    await world.chain.call("sendTransaction", content, options)
    await world.mine()
    failed = await read(world, signed.transaction_id, since)
    assert (failed.succeeded, failed.transfers, failed.payer) == (False, (), sender)
    assert await world.balance(sender, None, await world.height()) == held - (failed.fee_minor or 0)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED


async def test_an_expired_transaction_is_refused_and_its_blocks_clock_is_past_it(
    world: SolanaWorld, sender: str
) -> None:
    unsigned = await world.build(Payment(sender, world.new_address(), None, 10**6))
    signed = world.sign(unsigned)
    await world.mine(blocks_needed())
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.REFUSED
    await world.mine(EXPIRY_MARGIN_BLOCKS)
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    assert unsigned.valid_until is not None
    assert block.clock > unsigned.valid_until


async def test_an_old_transaction_that_landed_is_still_accepted(
    world: SolanaWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, 10**6))
    await world.adapter.broadcast(signed)
    await world.mine(blocks_needed())
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED


async def test_a_payment_lands_until_its_blockhash_is_150_blocks_old(
    world: SolanaWorld, sender: str
) -> None:
    recipient = world.new_address()
    unsigned = await world.build(Payment(sender, recipient, None, 10**6))
    await world.mine(BLOCKHASHES_AGE_MAX)
    signed = world.sign(unsigned)
    await world.adapter.broadcast(signed)
    await world.mine(2)
    held = await world.balance(recipient, None, await world.height())
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    assert held == 10**6
    assert unsigned.valid_until is not None
    assert block.clock <= unsigned.valid_until
