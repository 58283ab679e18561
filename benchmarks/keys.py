"""Keys, addresses and signatures, beside the bare libraries and beside bitcoinlib.

All run in one process and take turns; figures are medians of CPU time. `python -m benchmarks.keys`.

Ours does what the signer's process does: parses a path, derives the key, wipes it, and makes the
address or the signature. The bare loops have the parent key at hand and know no paths; on
ed25519, where a path begins at the root, they too go all the way. They make public keys and
stop there. Signing alone has the key's bytes at hand, and derives nothing.
"""

from __future__ import annotations

import hmac
import json
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chain_adapters.adapter import ChainAdapter
from chain_adapters.registry import open_adapter
from chain_adapters.types import KeyScheme
from custody.bip32 import ORDER, root_key
from custody.ed25519 import Ed25519Keys
from custody.key_path import HARDENED, parse_key_path
from custody.signer import Signer
from settings.model import Network
from tests.support.oracles import HDKey

ROUNDS = 15
KEYS = 1_000
SIGNATURES = 500
KEYS_BITCOINLIB = 50
"""It is slow, and its rate is taken as well from fewer."""
CHAINS = {
    "bitcoin": "bip122:000000000019d6689c085ae165831e93",
    "ethereum": "eip155:1",
    "solana": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    "ton": "ton:mainnet",
}
SEED = secrets.token_bytes(64)
TON_KEY = secrets.token_bytes(32)
PAYLOADS = [secrets.token_bytes(32) for _ in range(SIGNATURES)]
PATHS = {KeyScheme.SECP256K1: "m/44'/60'/0'/1/0", KeyScheme.ED25519: "m/44'/501'/0'/0'"}

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
    """Make public keys of one seed with hmac and cryptography."""
    root = hmac.digest(b"ed25519 seed", SEED, "sha512")
    for index in range(KEYS):
        node = root
        for step in (44, 501, index, 0):
            message = b"\0" + node[:32] + (HARDENED + step).to_bytes(4)
            node = hmac.digest(node[32:], message, "sha512")
        Ed25519PrivateKey.from_private_bytes(node[:32]).public_key().public_bytes_raw()


def bitcoinlib_addresses() -> Run:
    """Make addresses of one parent with bitcoinlib."""
    parent = HDKey.from_seed(SEED).subkey_for_path("m/84'/0'/0'/0")

    def run() -> None:
        for index in range(KEYS_BITCOINLIB):
            parent.child_private(index).address(encoding="bech32")

    return run


def ours_signing(scheme: KeyScheme) -> Run:
    """Sign as the signer's process does."""
    signer, path = Signer(SEED), PATHS[scheme]

    def run() -> None:
        for payload in PAYLOADS:
            signer.sign(path, payload, scheme)

    return run


def key_bytes(scheme: KeyScheme) -> bytes:
    """Return the private key that ours signs with."""
    if scheme is KeyScheme.SECP256K1:
        return root_key(SEED).descend(parse_key_path(PATHS[scheme])).reveal()[0]
    return bytes(Ed25519Keys(SEED)._derive(PATHS[scheme]))


def coincurve_signing(*, ready: bool) -> Run:
    """Sign with coincurve alone; `ready`: with one key object for all."""
    secret = key_bytes(KeyScheme.SECP256K1)
    kept = PrivateKey(secret)

    def run() -> None:
        for payload in PAYLOADS:
            key = kept if ready else PrivateKey(secret)
            key.sign_recoverable(payload, hasher=None)

    return run


def cryptography_signing(*, ready: bool) -> Run:
    """Sign with cryptography alone; `ready`: with one key object for all."""
    secret = key_bytes(KeyScheme.ED25519)
    kept = Ed25519PrivateKey.from_private_bytes(secret)

    def run() -> None:
        for payload in PAYLOADS:
            key = kept if ready else Ed25519PrivateKey.from_private_bytes(secret)
            key.sign(payload)

    return run


def rates(contenders: dict[str, Contender]) -> dict[str, float]:
    """Return how many a CPU second each does: all run in every round, in turn."""
    spent: dict[str, list[int]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
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


def run_addresses() -> list[dict[str, Any]]:
    """Measure the making of addresses."""
    found = rates(
        {
            **{kind: Contender(ours_addresses(kind), KEYS) for kind in CHAINS},
            "secp256k1": Contender(bare_secp256k1, KEYS),
            "ed25519": Contender(bare_ed25519, KEYS),
            "bitcoinlib": Contender(bitcoinlib_addresses(), KEYS_BITCOINLIB),
        }
    )
    bare = {"bitcoin": "secp256k1", "ethereum": "secp256k1", "solana": "ed25519"}
    libraries = {
        "secp256k1": "bare hmac and coincurve, keys only",
        "ed25519": "bare hmac and cryptography, keys only",
    }
    unit = "addresses/CPU s"
    return [
        *(
            row(f"address derivation, {kind}", found[kind], found[name], libraries[name], unit)
            for kind, name in bare.items()
        ),
        row(
            "address derivation against bitcoinlib",
            found["bitcoin"],
            found["bitcoinlib"],
            "bitcoinlib, Bitcoin",
            unit,
        ),
        row(
            "addresses of TON's one key", found["ton"], found["ed25519"], libraries["ed25519"], unit
        ),
    ]


def run_signing() -> list[dict[str, Any]]:
    """Measure signing."""
    signers = {"secp256k1": coincurve_signing, "ed25519": cryptography_signing}
    found = rates(
        {
            f"{who} {scheme}": Contender(run, SIGNATURES)
            for scheme, alone in signers.items()
            for who, run in (
                ("ours", ours_signing(KeyScheme(scheme))),
                ("alone", alone(ready=False)),
                ("ready", alone(ready=True)),
            )
        }
    )
    names = {"secp256k1": "coincurve", "ed25519": "cryptography"}
    against = {
        "signing": ("alone", "{} alone, from the key's bytes"),
        "signing beside a key kept ready": ("ready", "{} alone, one key object for all"),
    }
    return [
        row(
            f"{title}, {scheme}",
            found[f"ours {scheme}"],
            found[f"{who} {scheme}"],
            words.format(library),
            "signatures/CPU s",
        )
        for title, (who, words) in against.items()
        for scheme, library in names.items()
    ]


def run() -> list[dict[str, Any]]:
    """Measure all."""
    return [*run_addresses(), *run_signing()]


def main() -> None:
    """Print the figures."""
    for figures in run():
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
