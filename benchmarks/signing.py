"""Signing each chain's own transactions, beside the bare libraries.

All run in one process and take turns; figures are medians of CPU time. `python -m
benchmarks.signing`.

Ours does what the signer's process does: parses a path, derives the key, signs what the chain
wants signed, wipes the key. On ed25519 that is the transaction itself, on secp256k1 a hash of it,
on Bitcoin and Dogecoin one for each coin that is spent. The libraries have the key's bytes at
hand and derive nothing; "one key object for all" has gone over them once, and kept what it found,
as the signer never does.

A payment is all that happens to an order beside asking a node and the database: the transaction
is built, signed and put together, with every check of it. The libraries only sign.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from coincurve import PrivateKey
from nacl.signing import SigningKey

from benchmarks.keys import (
    CHAINS,
    ROUNDS,
    SEED,
    TON_KEY,
    Contender,
    Run,
    open_chain,
    rates,
    row,
)
from chain_adapters.ethereum.pay import Bid as EthereumBid
from chain_adapters.solana.pay import Plan
from chain_adapters.stellar.pay import Terms as StellarTerms
from chain_adapters.ton.pay import Terms as TonTerms
from chain_adapters.ton.wallet import wallet_id
from chain_adapters.tron.pay import Terms as TronTerms
from chain_adapters.types import Coin, KeyScheme, Payment, Quote, UnsignedTransaction
from chain_adapters.utxo.pay import Bid as UtxoBid
from custody.bip32 import root_key
from custody.ed25519 import Ed25519Keys
from custody.key_path import parse_key_path
from custody.signer import Signer

PAYMENTS = 100
COIN_MINOR = 2_000_000_000
COINS = 2
"""Spent by each payment where money is held so."""
AMOUNT_MINOR = 3_000_000_000
FEE_MINOR_MAX = 100_000
TIME = 1_790_000_000
LIBRARIES = {
    KeyScheme.SECP256K1: "coincurve",
    KeyScheme.ED25519: "PyNaCl",
    KeyScheme.TON: "PyNaCl",
}
_UTXO = frozenset({"bitcoin", "dogecoin"})
_NUMBERED = frozenset({"ethereum", "stellar", "ton"})
"""Where transactions have a sequence number."""


def parameters_of(kind: str, public_key: bytes) -> msgspec.Struct:
    """Return what the adapter's own quote would say of a plain payment."""
    quoted: dict[str, msgspec.Struct] = {
        "bitcoin": UtxoBid(10_000, 1_000),
        "dogecoin": UtxoBid(1_000_000, 100_000),
        "ethereum": EthereumBid(21_000, 100, 10),
        "solana": Plan("1" * 32, 1000, 1540, 10_000, b"seed"),
        "stellar": StellarTerms("payment", 200, TIME),
        "ton": TonTerms(
            public_key,
            wallet_id(0, 0),
            TIME,
            deploy=False,
            bounce=False,
            jetton_wallet=None,
            fee_minor_max=FEE_MINOR_MAX,
        ),
        "tron": TronTerms("00" * 32, TIME * 1000, TIME * 1000 + 60_000),
    }
    return quoted[kind]


class Desk:
    """Makes payments of one sender on one chain as the roles that prepare and sign them do."""

    def __init__(self, kind: str) -> None:
        self.adapter = open_chain(kind)
        self.scheme = self.adapter.key_scheme
        self.key_path = self.adapter.key_path(0, 0)
        self._signer = Signer(SEED, TON_KEY)
        public_key = self._signer.public_key(self.key_path, self.scheme)
        sender = self.adapter.derive_address(public_key, self.key_path)
        path = self.adapter.key_path(0, 1)
        recipient = self.adapter.derive_address(self._signer.public_key(path, self.scheme), path)
        self._payment = Payment(sender, recipient, None, AMOUNT_MINOR)
        self._has_coins, self._has_numbers = kind in _UTXO, kind in _NUMBERED
        self._quote = Quote(
            FEE_MINOR_MAX,
            0 if self._has_numbers else None,
            msgspec.json.encode(parameters_of(kind, public_key)),
            None if self._has_coins else 10**12,
            None if self._has_coins else 10**12,
        )

    def build(self, number: int) -> UnsignedTransaction:
        """Build one of the transactions."""
        coins = [Coin(f"{number:064x}:{n}", COIN_MINOR) for n in range(COINS * self._has_coins)]
        nonce = number if self._has_numbers else None
        return self.adapter.build(self._payment, self._quote, nonce, coins=coins)

    def sign(self, unsigned: UnsignedTransaction) -> tuple[bytes, ...]:
        """Sign a transaction."""
        return tuple(self.sign_payload(payload) for payload in unsigned.signing_payloads)

    def sign_payload(self, payload: bytes) -> bytes:
        """Sign one of the things that a transaction wants signed."""
        return self._signer.sign(self.key_path, payload, self.scheme)

    def pay(self) -> None:
        """Build, sign and put together all payments."""
        for number in range(1, 1 + PAYMENTS):
            unsigned = self.build(number)
            self.adapter.assemble(unsigned, self.sign(unsigned))

    def payloads(self) -> list[bytes]:
        """Return what all payments want signed."""
        built = [self.build(number) for number in range(1, 1 + PAYMENTS)]
        return [payload for unsigned in built for payload in unsigned.signing_payloads]


def key_bytes(desk: Desk) -> bytes:
    """Return the private key that the desk signs with."""
    if desk.scheme is KeyScheme.SECP256K1:
        return root_key(SEED).descend(parse_key_path(desk.key_path)).reveal()[0]
    return (
        TON_KEY if desk.scheme is KeyScheme.TON else bytes(Ed25519Keys(SEED)._derive(desk.key_path))
    )


def library_signing(desk: Desk, payloads: list[bytes], *, ready: bool) -> Run:
    """Sign with the library alone; `ready`: with one key object for all."""
    secret = key_bytes(desk)

    def sign_hashes() -> None:
        kept = PrivateKey(secret)
        for payload in payloads:
            key = kept if ready else PrivateKey(secret)
            key.sign_recoverable(payload, hasher=None)

    def sign_messages() -> None:
        kept = SigningKey(secret)
        for payload in payloads:
            key = kept if ready else SigningKey(secret)
            key.sign(payload)

    return sign_hashes if desk.scheme is KeyScheme.SECP256K1 else sign_messages


def sign_all(desk: Desk, payloads: list[bytes]) -> None:
    """Sign as the signer's process does."""
    for payload in payloads:
        desk.sign_payload(payload)


def run_chain(kind: str, rounds: int) -> list[dict[str, Any]]:
    """Measure one chain."""
    desk = Desk(kind)
    payloads, library = desk.payloads(), LIBRARIES[desk.scheme]
    found = rates(
        {
            "ours": Contender(lambda: sign_all(desk, payloads), len(payloads)),
            "payments": Contender(desk.pay, PAYMENTS),
            "alone": Contender(library_signing(desk, payloads, ready=False), len(payloads)),
            "ready": Contender(library_signing(desk, payloads, ready=True), len(payloads)),
        },
        rounds,
    )
    unit, each = "signatures/CPU s", len(payloads) / PAYMENTS
    alone = f"{library} alone, from the key's bytes"
    return [
        row(f"signing, {kind}", found["ours"], found["alone"], alone, unit),
        row(
            f"signing beside a key kept ready, {kind}",
            found["ours"],
            found["ready"],
            f"{library} alone, one key object for all",
            unit,
        ),
        row(
            f"payments built and signed, {kind}",
            found["payments"],
            found["alone"] / each,
            f"{library} alone, the signatures",
            "payments/CPU s",
        ),
    ]


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure all chains, sorted by what is measured."""
    rows = [figures for kind in CHAINS for figures in run_chain(kind, rounds)]
    return [figures for first in range(3) for figures in rows[first::3]]


def main() -> None:
    """Print the figures."""
    for figures in run():
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
