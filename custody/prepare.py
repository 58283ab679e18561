"""Makes a wallet of ours ready to receive a token, on chains where its owner must have agreed.

Stellar calls this a trustline. It is a transaction of the wallet and takes one of its nonces, so it
is made only while no payment of that wallet waits. Nothing is stored of it but its nonce and its
expiry: made twice, it does nothing the second time, and a nonce that it took in vain is taken
again, by another preparation at once or by a payment once it has expired.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from chain_adapters.adapter import ChainAdapter
from chain_adapters.types import BroadcastOutcome, Payment, PaymentRefused, SignedTransaction
from custody.errors import CustodyError
from custody.pay import find_foreign_use
from custody.signer import Signer
from sql.custody import SystemWallet
from sql.pool import Connection, Pool
from sql.wallets import (
    NonceRow,
    count_in_flight,
    halt_wallet,
    lock_nonces,
    take_prepared_nonce,
)

READY_ALREADY = "trustline_exists"


class WalletBusy(CustodyError):
    """A payment of the wallet waits, or the chain has not told of the last one yet: try later."""


class Preparation(StrEnum):
    """What became of an attempt to make a wallet ready."""

    READY = "ready"
    """It was ready before; nothing was sent."""
    SENT = "sent"
    """It will be ready once the transaction is in a block. Prepare it again to see."""


class Prepared(NamedTuple):
    """The state of a wallet, and the transaction that was sent."""

    state: Preparation
    transaction_id: str | None = None


async def prepare_wallet(
    pool: Pool, adapter: ChainAdapter, signer: Signer, wallet: SystemWallet, contract: str
) -> Prepared:
    """Let a wallet receive a token; repeatable.

    Raises PaymentRefused if it cannot be (the wallet's account must exist and hold the reserve),
    WalletBusy, NodeUnavailable (then nothing is known: do it again).
    """
    if not adapter.opt_in_tokens:
        return Prepared(Preparation.READY)
    key = signer.public_key(wallet.key_path, adapter.key_scheme)
    if adapter.derive_address(key, wallet.key_path) != wallet.address:
        raise CustodyError(f"the key at {wallet.key_path} is not that of {wallet.address}")
    try:
        signed = await _sign(pool, adapter, signer, wallet, contract)
    except PaymentRefused as refusal:
        if refusal.reason == READY_ALREADY:
            return Prepared(Preparation.READY)
        raise
    answer = await adapter.broadcast(signed)
    if answer.outcome is BroadcastOutcome.NONCE_USED:
        raise WalletBusy(f"the chain has seen another transaction of {wallet.address}")
    if answer.outcome is BroadcastOutcome.REFUSED:
        raise PaymentRefused("refused", answer.detail)
    return Prepared(Preparation.SENT, signed.transaction_id)


async def _sign(
    pool: Pool, adapter: ChainAdapter, signer: Signer, wallet: SystemWallet, contract: str
) -> SignedTransaction:
    """Take a nonce and sign. The nonce is committed before anything can be sent."""
    address, network = wallet.address, adapter.network
    payment = Payment(address, address, contract, 0)
    quote = await adapter.quote(payment)
    chain_nonce = quote.next_nonce or 0
    unsigned = adapter.build(payment, quote, quote.next_nonce)
    # A hot wallet that never paid, as far as we know, has used none: see sign_withdrawals.
    first_nonce = quote.first_nonce if wallet.purpose == "hot" else chain_nonce
    async with pool.acquire() as conn:
        if wallet.purpose == "hot":
            await _halt_if_behind(conn, network, address, chain_nonce, first_nonce)
        async with conn.transaction():
            ours = (await lock_nonces(conn, network, {address: first_nonce}))[address]
            in_flight = await count_in_flight(conn, network, [address])
            check_idle(address, chain_nonce, ours, in_flight.get(address, 0))
            await take_prepared_nonce(conn, network, address, chain_nonce, unsigned.valid_until)
    payloads = unsigned.signing_payloads
    signatures = (signer.sign(wallet.key_path, one, adapter.key_scheme) for one in payloads)
    return adapter.assemble(unsigned, tuple(signatures))


async def _halt_if_behind(
    conn: Connection, network: str, address: str, chain_nonce: int, first_nonce: int | None
) -> None:
    """Halt a wallet whose chain has used nonces that we never gave out, for all to see."""
    async with conn.transaction():
        ours = await lock_nonces(conn, network, {address: first_nonce})
        for use in find_foreign_use({address: chain_nonce}, ours):
            await halt_wallet(conn, network, address, use.reason, chain_nonce)


def check_idle(address: str, chain_nonce: int, ours: NonceRow, in_flight: int) -> None:
    """Raise WalletBusy unless the chain's next nonce is free to be used.

    If the chain is behind us although nothing waits, an earlier preparation did not arrive.
    """
    if ours.halted_reason is not None or chain_nonce > (ours.next_nonce or 0):
        raise WalletBusy(f"wallet {address} is halted or its key is used elsewhere")
    if in_flight:
        raise WalletBusy(f"a payment of {address} waits for a block; try again afterwards")
