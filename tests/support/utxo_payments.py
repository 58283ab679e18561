"""Payments of coins on each chain that has them: what their tests share."""

from __future__ import annotations

import coincurve
import msgspec
import pytest

from chain_adapters.bitcoin.chains import MAINNET as BITCOIN
from chain_adapters.dogecoin.chains import MAINNET as DOGECOIN
from chain_adapters.litecoin.chains import MAINNET as LITECOIN
from chain_adapters.types import (
    Coin,
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)
from chain_adapters.utxo import pay
from chain_adapters.utxo.address import derive_address
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.pay import Bid
from chain_adapters.utxo.transaction import Draft

CHAINS = [BITCOIN, LITECOIN, DOGECOIN]
every_chain = pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.name)
NAMES = {"Bitcoin": "bitcoin", "Litecoin": "litecoin", "Dogecoin": "dogecoin"}
KEY = coincurve.PrivateKey(b"\1" * 32)
STRANGER = coincurve.PrivateKey(b"\2" * 32)
CAP = 10**10


def own(chain: UtxoChain) -> str:
    """Return the sender's address."""
    return derive_address(chain, KEY.public_key.format())


def other(chain: UtxoChain) -> str:
    """Return the recipient's address."""
    return derive_address(chain, STRANGER.public_key.format())


def coin(amount_minor: int, number: int = 0) -> Coin:
    """Return a coin, another one for each number."""
    return Coin(f"{number:064x}:{number % 7}", amount_minor)


def bid_of(chain: UtxoChain, times: int = 1) -> Quote:
    """Return a quote of so many times the lowest rate."""
    bid = Bid(chain.fee_rate_min * times, chain.fee_rate_step)
    return Quote(0, None, msgspec.json.encode(bid), None, None)


def payment_of(chain: UtxoChain, amount_minor: int, recipient: str | None = None) -> Payment:
    """Return a payment to the recipient."""
    return Payment(own(chain), recipient or other(chain), None, amount_minor)


def build(
    chain: UtxoChain,
    amount_minor: int,
    coins: list[Coin],
    *,
    times: int = 1,
    replaces: UnsignedTransaction | None = None,
    cap: int = CAP,
) -> UnsignedTransaction:
    """Build a payment to the recipient."""
    payment = payment_of(chain, amount_minor)
    return pay.build(chain, payment, bid_of(chain, times), coins, replaces, fee_minor_cap=cap)


def draft_of(unsigned: UnsignedTransaction) -> Draft:
    """Return what was decided."""
    return msgspec.json.decode(unsigned.body, type=Draft)


def sign(
    chain: UtxoChain, unsigned: UnsignedTransaction, key: coincurve.PrivateKey = KEY
) -> SignedTransaction:
    """Sign with the sender's key, or another."""
    signatures = [
        key.sign_recoverable(payload, hasher=None) for payload in unsigned.signing_payloads
    ]
    return pay.assemble(chain, unsigned, tuple(signatures))


def refusal(chain: UtxoChain, amount_minor: int, coins: list[Coin], cap: int = CAP) -> str:
    """Return why a payment is refused."""
    with pytest.raises(PaymentRefused) as refused:
        build(chain, amount_minor, coins, cap=cap)
    assert str(refused.value)
    return refused.value.reason
