"""Whatever secret is made on the way to a key or a signature is overwritten, not only let go of."""

from __future__ import annotations

import pytest

from chain_adapters.types import KeyScheme
from custody import bip32, ed25519
from custody.bip32 import ExtendedKey, Secp256k1Keys, root_key
from custody.ed25519 import Ed25519Keys, TonKey
from custody.key_path import parse_key_path
from custody.seal import wipe
from custody.signer import Signer
from tests.support.key_vectors import read_key_vectors

SEED = bytes(range(64))
TON_KEY = bytes(range(100, 132))
SLIP10 = read_key_vectors("slip10_ed25519_vector_1.json")
HASH = bytes(range(32))


class Wiped:
    """What was overwritten, as it was before."""

    def __init__(self) -> None:
        self.secrets: list[bytes] = []

    def __call__(self, secret: bytearray) -> None:
        self.secrets.append(bytes(secret))
        wipe(secret)
        assert not any(secret)


@pytest.fixture
def wiped(monkeypatch: pytest.MonkeyPatch) -> Wiped:
    made = Wiped()
    for module in (bip32, ed25519):
        monkeypatch.setattr(module, "wipe", made)
    return made


def below_root(path: str) -> list[tuple[bytes, bytes]]:
    """Return (private key, chain code) at every step of a path on secp256k1."""
    steps = parse_key_path(path)
    return [root_key(SEED).descend(steps[:depth]).reveal() for depth in range(len(steps) + 1)]


def test_a_signature_on_secp256k1_leaves_its_key_and_those_above_the_branch_wiped(
    wiped: Wiped,
) -> None:
    path = "m/44'/60'/0'/0/7"
    root, *above, branch, key = below_root(path)
    keys = Secp256k1Keys(SEED)
    wiped.secrets.clear()
    keys.sign(path, HASH)
    assert set(wiped.secrets) == {secret for pair in (*above, key) for secret in pair}
    wiped.secrets.clear()
    keys.close()
    assert set(wiped.secrets) == {*root, *branch}


def test_the_root_that_a_path_begins_at_is_not_wiped_with_what_is_between(wiped: Wiped) -> None:
    root = root_key(SEED)
    first = root.descend(parse_key_path("m/1'/2")).reveal()
    assert root.descend(parse_key_path("m/1'/2")).reveal() == first
    assert not set(root.reveal()) & set(wiped.secrets)


def slip10_keys() -> list[bytes]:
    return [bytes.fromhex(chain["private_key"]) for chain in SLIP10["chains"]]


@pytest.mark.parametrize("asked", ["public key", "signature"])
def test_on_ed25519_every_key_on_the_way_and_the_last_are_wiped(wiped: Wiped, asked: str) -> None:
    path = SLIP10["chains"][-1]["chain"]
    keys = Ed25519Keys(bytes.fromhex(SLIP10["seed"]))
    if asked == "signature":
        keys.sign(path, b"payload")
    else:
        keys.public_key(path)
    nodes = [secret[:32] for secret in wiped.secrets if len(secret) == 64]
    keys_alone = [secret for secret in wiped.secrets if len(secret) == 32]
    assert nodes == slip10_keys()
    assert keys_alone == slip10_keys()[-1:]


def test_of_ton_the_copies_that_sign_are_wiped_and_the_key_is_when_it_is_closed(
    wiped: Wiped,
) -> None:
    key = TonKey(TON_KEY)
    key.sign("m/0'", b"payload")
    key.sign("m/0'", b"payload")
    assert wiped.secrets == [TON_KEY] * 3
    assert key.sign("m/0'", b"payload") == TonKey(TON_KEY).sign("m/0'", b"payload")
    wiped.secrets.clear()
    key.close()
    assert wiped.secrets == [TON_KEY]


def test_closing_a_signer_wipes_the_keys_of_every_scheme(wiped: Wiped) -> None:
    path = "m/44'/60'/0'/0/7"
    root, *_, branch, _ = below_root(path)
    signer = Signer(SEED, TON_KEY)
    signer.public_key(path, KeyScheme.SECP256K1)
    wiped.secrets.clear()
    signer.close()
    assert {*root, *branch, TON_KEY} < set(wiped.secrets)
    assert len([secret for secret in wiped.secrets if len(secret) == 64]) == 1  # ed25519's root


def test_a_wiped_key_shows_nothing(wiped: Wiped) -> None:
    key = ExtendedKey(HASH, SEED[:32])
    key.wipe()
    assert key.reveal() == (bytes(32), bytes(32))
    assert wiped.secrets == [HASH, SEED[:32]]
