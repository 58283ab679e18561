"""Keys and addresses of every chain, beside the bare libraries and beside bitcoinlib.

All run in one process and take turns; figures are medians of CPU time. `python -m benchmarks.keys`.

Ours does what the workers do: the signer parses a path and derives the key, the adapter
makes the address. The bare loops have the parent key at hand and know no paths; on ed25519, where
a path begins at the root, they too go all the way. They make public keys and stop there. TON has
one key for all its addresses: ours makes the address of another wallet contract for each.
bitcoinlib makes Bitcoin's addresses from a parent at hand; its rate stands for all chains, as it
knows few of them.
"""

from __future__ import annotations

import hmac
import json
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from coincurve import PublicKey
from nacl.bindings import crypto_sign_seed_keypair

from chain_adapters.adapter import ChainAdapter
from chain_adapters.registry import open_adapter
from chain_adapters.types import KeyScheme
from custody.bip32 import ORDER, root_key
from custody.key_path import HARDENED, parse_key_path
from custody.signer import Signer
from settings.model import Network
from tests.support.oracles import HDKey

ROUNDS = 15
KEYS = 1_000
KEYS_BITCOINLIB = 50
"""It is slow, and its rate is taken as well from fewer."""
CHAINS = {
    "ethereum": "eip155:1",
    "bitcoin": "bip122:000000000019d6689c085ae165831e93",
    "dogecoin": "bip122:1a91e3dace36e2be3bf030a65679fe82",
    "solana": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    "stellar": "stellar:pubnet",
    "ton": "ton:mainnet",
    "tron": "tron:0x2b6653dc",
}
LIBRARIES = {
    "secp256k1": "bare hmac and coincurve, keys only",
    "ed25519": "bare hmac and PyNaCl, keys only",
}
SEED = secrets.token_bytes(64)
TON_KEY = secrets.token_bytes(32)

Run = Callable[[], object]


class Contender(NamedTuple):
    """Something that does so many things when it runs."""

    run: Run
    things: int


def open_chain(kind: str) -> ChainAdapter:
    """Return the adapter of a main network, of which nothing is asked."""
    network = {"network": CHAINS[kind], "kind": kind, "native_asset": "COIN"}
    return open_adapter(Network.model_validate({**network, "rpc_urls": ["http://127.0.0.1:9"]}))


def ours_addresses(kind: str) -> Run:
    """Make addresses as a worker does."""
    adapter, signer = open_chain(kind), Signer(SEED, TON_KEY)

    def run() -> None:
        for index in range(KEYS):
            path = adapter.key_path(0, index)
            adapter.derive_address(signer.public_key(path, adapter.key_scheme), path)

    return run


def bare_secp256k1() -> None:
    """Make public keys of one parent with hmac and coincurve."""
    parent = root_key(SEED).descend(parse_key_path("m/84'/0'/0'/0"))
    secret, chain_code = parent.reveal()
    number, public_key = int.from_bytes(secret), parent.public_key
    for index in range(KEYS):
        digest = hmac.digest(chain_code, public_key + index.to_bytes(4), "sha512")
        child = (int.from_bytes(digest[:32]) + number) % ORDER
        PublicKey.from_secret(child.to_bytes(32)).format()


def bare_ed25519() -> None:
    """Make public keys of one seed with hmac and PyNaCl."""
    root = hmac.digest(b"ed25519 seed", SEED, "sha512")
    for index in range(KEYS):
        node = root
        for step in (44, 501, index, 0):
            message = b"\0" + node[:32] + (HARDENED + step).to_bytes(4)
            node = hmac.digest(node[32:], message, "sha512")
        crypto_sign_seed_keypair(node[:32])


def bitcoinlib_addresses() -> Run:
    """Make addresses of one parent with bitcoinlib."""
    parent = HDKey.from_seed(SEED).subkey_for_path("m/84'/0'/0'/0")

    def run() -> None:
        for index in range(KEYS_BITCOINLIB):
            parent.child_private(index).address(encoding="bech32")

    return run


def rates(contenders: dict[str, Contender], rounds: int = ROUNDS) -> dict[str, float]:
    """Return how many a CPU second each does: all run in every round, in turn."""
    spent: dict[str, list[int]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = time.process_time_ns()
            contender.run()
            spent[name].append(time.process_time_ns() - started)
    return {
        name: contenders[name].things * 1e9 / statistics.median(taken)
        for name, taken in spent.items()
    }


def row(name: str, ours: float, reference: float, reference_name: str, unit: str) -> dict[str, Any]:
    """Return one line of benchmarks/latest.json."""
    return {
        "name": name,
        "ours": round(ours),
        "reference": round(reference),
        "reference_name": reference_name,
        "unit": unit,
        "ratio": round(ours / reference, 3),
    }


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure all chains."""
    found = rates(
        {
            **{kind: Contender(ours_addresses(kind), KEYS) for kind in CHAINS},
            "secp256k1": Contender(bare_secp256k1, KEYS),
            "ed25519": Contender(bare_ed25519, KEYS),
            "bitcoinlib": Contender(bitcoinlib_addresses(), KEYS_BITCOINLIB),
        },
        rounds,
    )
    unit = "addresses/CPU s"
    beside_bare = [
        row(f"address derivation, {kind}", found[kind], found[bare_of(kind)], words, unit)
        for kind in CHAINS
        for words in (LIBRARIES[bare_of(kind)],)
    ]
    beside_bitcoinlib = [
        row(
            f"address derivation against bitcoinlib, {kind}",
            found[kind],
            found["bitcoinlib"],
            "bitcoinlib, Bitcoin's",
            unit,
        )
        for kind in CHAINS
    ]
    return [*beside_bare, *beside_bitcoinlib]


def bare_of(kind: str) -> str:
    """Return the curve of a chain."""
    return "secp256k1" if open_chain(kind).key_scheme is KeyScheme.SECP256K1 else "ed25519"


def main() -> None:
    """Print the figures."""
    for figures in run():
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
