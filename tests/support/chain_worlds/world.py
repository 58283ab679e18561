"""A chain that tests can drive: its adapter, keys, money from nothing, blocks on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import aclosing
from typing import ClassVar

import coincurve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain_adapters.adapter import ChainAdapter
from chain_adapters.types import (
    Coin,
    Holding,
    KeyScheme,
    Payment,
    Quote,
    SignedTransaction,
    Transaction,
    UnsignedTransaction,
)
from devstack.chains.registry import NODES

Key = coincurve.PrivateKey | Ed25519PrivateKey


def new_key(scheme: KeyScheme) -> Key:
    """Return a random private key."""
    if scheme is KeyScheme.SECP256K1:
        return coincurve.PrivateKey()
    return Ed25519PrivateKey.generate()


def public_key_of(key: Key) -> bytes:
    """Return the public key as adapters take it."""
    if isinstance(key, coincurve.PrivateKey):
        return key.public_key.format()
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign_payload(key: Key, payload: bytes) -> bytes:
    """Sign as the signer does."""
    if isinstance(key, coincurve.PrivateKey):
        return key.sign_recoverable(payload, hasher=None)
    return key.sign(payload)


class World(ABC):
    """One chain with its adapter, where a test mines, funds and reorganises."""

    adapter: ChainAdapter
    kind: ClassVar[str]
    has_tokens: ClassVar[bool] = True
    reorganises: ClassVar[bool] = True
    funds_minor: ClassVar[int] = 10**18
    """Enough for many payments."""
    some_minor: ClassVar[int] = 5
    """An amount that can be paid to a new address."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._fees: dict[str, int] = {}

    def new_address(self) -> str:
        """Return a fresh address whose key is kept."""
        scheme = self.adapter.key_scheme
        key = new_key(scheme)
        path = self.adapter.key_path(0, len(self._keys))
        address = self.adapter.derive_address(public_key_of(key), path)
        self._keys[address] = key
        return address

    async def new_holder(self, contract: str | None) -> str:
        """Return a fresh address that can receive the asset."""
        return self.new_address()

    def signatures(self, signer: str, unsigned: UnsignedTransaction) -> tuple[bytes, ...]:
        """Sign the payloads with the key of any address."""
        key = self._keys[signer]
        return tuple(sign_payload(key, payload) for payload in unsigned.signing_payloads)

    def sign(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign with the sender's key."""
        signatures = self.signatures(unsigned.payment.sender, unsigned)
        signed = self.adapter.assemble(unsigned, signatures)
        self._fees[signed.transaction_id] = unsigned.fee_minor_max
        return signed

    def fee_of(self, transaction: Transaction) -> int:
        """Return what a transaction took beside its transfers; its limit if the node hides it."""
        if transaction.fee_minor is None:
            return self._fees.get(transaction.id, 0)
        return transaction.fee_minor

    async def build(
        self,
        payment: Payment,
        quote: Quote | None = None,
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """Build a payment with what its sender has now."""
        quoted = quote or await self.adapter.quote(payment)
        coins = await self.coins(payment.sender)
        return self.adapter.build(
            payment, quoted, quoted.next_nonce, coins=coins, replaces=replaces
        )

    async def order(self, payment: Payment) -> SignedTransaction:
        """Quote, build and sign a payment."""
        return self.sign(await self.build(payment))

    async def coins(self, address: str) -> list[Coin]:
        """Return the unspent outputs in blocks of the address; none where there are no coins."""
        return []

    async def balance(self, address: str, contract: str | None, height: int) -> int:
        """Return what the address holds."""
        [held_minor] = await self.adapter.fetch_balances([Holding(address, contract)], height)
        return held_minor

    @property
    def token_decimals(self) -> int:
        """Return the decimals of the tokens that are issued here."""
        return NODES[self.kind].token_decimals if self.kind in NODES else 6

    def token_of_nobody(self) -> str:
        """Return the name of a token that there is not."""
        return self.new_address()

    @abstractmethod
    async def fund(self, address: str, amount_minor: int) -> None:
        """Give native money out of nothing, in a block of its own or in none."""

    @abstractmethod
    async def issue_token(self, address: str, amount_minor: int) -> str:
        """Make a token and give so much of it to the address; return its contract."""

    @abstractmethod
    async def mine(self, count: int = 1) -> None:
        """Mine blocks; the first takes what is in the pool."""

    @abstractmethod
    async def reorganise(self, depth: int) -> None:
        """Replace the last blocks by as many others, without their transactions."""

    @abstractmethod
    async def order_failure(self, sender: str) -> SignedTransaction:
        """Return a signed payment that will be in the next block and fail there."""

    async def height(self) -> int:
        """Return the tip's height."""
        async with aclosing(self.adapter.watch_tip()) as tips:
            return (await anext(tips)).height

    async def close(self) -> None:
        """Release connections."""
        await self.adapter.close()
