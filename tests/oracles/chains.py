"""Which network of ours is which coin of the oracle, and keys that both have."""

from __future__ import annotations

import random
import secrets
from base64 import b64encode
from typing import NamedTuple

from mnemonic import Mnemonic

from chain_adapters.adapter import ChainAdapter
from chain_adapters.registry import open_adapter
from chain_adapters.types import Coin, Payment, Quote, SignedTransaction, UnsignedTransaction
from custody.bip39 import seed_of
from custody.signer import Signer
from settings.model import Network
from tests.oracles.wallet_core import WalletCore

WORDS = "abandon " * 23 + "art"
TON_KEY = bytes(range(1, 33))
source = random.Random(4)
"""Payments are the same in every run."""


class Chain(NamedTuple):
    """A main network, the oracle's name of its coin and of its messages."""

    network: str
    coin: str
    proto: str


CHAINS = {
    "bitcoin": Chain("bip122:000000000019d6689c085ae165831e93", "bitcoin", "Bitcoin"),
    "dogecoin": Chain("bip122:1a91e3dace36e2be3bf030a65679fe82", "dogecoin", "Bitcoin"),
    "litecoin": Chain("bip122:12a765e31ffd4059bada1e25190f6e98", "litecoin", "Bitcoin"),
    "ethereum": Chain("eip155:1", "ethereum", "Ethereum"),
    "solana": Chain("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "solana", "Solana"),
    "stellar": Chain("stellar:pubnet", "stellar", "Stellar"),
    "ton": Chain("ton:mainnet", "ton", "TheOpenNetwork"),
    "tron": Chain("tron:0x2b6653dc", "tron", "Tron"),
}
"""By the kind of network."""


def open_chain(kind: str, *contracts: str) -> ChainAdapter:
    """Return the adapter of a main network. Nobody listens at its address."""
    network = Network.model_validate(
        {
            "network": CHAINS[kind].network,
            "kind": kind,
            "rpc_urls": ["http://127.0.0.1:9"],
            "native_asset": "COIN",
        }
    )
    return open_adapter(network, contracts)


class Wallet(NamedTuple):
    """One key of ours, which the oracle is told."""

    adapter: ChainAdapter
    signer: Signer
    key_path: str
    address: str
    private_key: bytes

    def pay(
        self,
        payment: Payment,
        parameters: bytes,
        *,
        nonce: int | None = None,
        coins: tuple[Coin, ...] = (),
        fee_minor_max: int = 0,
    ) -> tuple[UnsignedTransaction, SignedTransaction]:
        """Build, sign and assemble as the signer's process does."""
        quote = Quote(fee_minor_max, nonce, parameters, None, None)
        unsigned = self.adapter.build(payment, quote, nonce, coins=coins)
        scheme = self.adapter.key_scheme
        signatures = tuple(
            self.signer.sign(self.key_path, payload, scheme)
            for payload in unsigned.signing_payloads
        )
        return unsigned, self.adapter.assemble(unsigned, signatures)


def open_wallet(oracle: WalletCore, kind: str, *contracts: str) -> Wallet:
    """Return a wallet of a well-known mnemonic; on TON the one whose number is the usual one."""
    adapter = open_chain(kind, *contracts)
    signer = Signer(seed_of(WORDS), TON_KEY)
    path = adapter.key_path(0, 0)
    private_key = TON_KEY
    if kind != "ton":
        (theirs,) = oracle.ask("derive", coin=CHAINS[kind].coin, mnemonic=WORDS, paths=[path])
        private_key = bytes.fromhex(theirs["private_key"])
    address = adapter.derive_address(signer.public_key(path, adapter.key_scheme), path)
    return Wallet(adapter, signer, path, address, private_key)


def random_mnemonic() -> str:
    """Return 24 new words of BIP-39."""
    return Mnemonic("english").to_mnemonic(secrets.token_bytes(32))


def text(number_or_bytes: int | bytes) -> str:
    """Return a field of bytes for the oracle: a number is big-endian, without zeros before it."""
    if isinstance(number_or_bytes, int):
        number_or_bytes = number_or_bytes.to_bytes((number_or_bytes.bit_length() + 7) // 8, "big")
    return b64encode(number_or_bytes).decode()


def stranger(oracle: WalletCore, kind: str) -> str:
    """Return the customary address of a random key."""
    key = source.randbytes(32).hex()
    address: str = oracle.ask("forms", coin=CHAINS[kind].coin, private_key=key)[0]
    return address
