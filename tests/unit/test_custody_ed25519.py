"""Keys on ed25519 come out as SLIP-10 and SEP-5 say, and TON's is one for all paths."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from stellar_sdk import Keypair

from custody.bip39 import seed_of
from custody.ed25519 import Ed25519Keys, TonKey
from custody.errors import BadKeyPath, CustodyError
from tests.support.key_vectors import read_key_vectors

SEED = bytes(range(64))
SLIP10 = read_key_vectors("slip10_ed25519_vector_1.json")
SEP5 = read_key_vectors("sep5_stellar_mnemonic_vectors.json")
LENGTHS = (0, 1, 31, 32, 33, 64, 1232, 100_000)


@pytest.mark.parametrize("chain", SLIP10["chains"][1:], ids=lambda chain: chain["chain"])
def test_keys_are_those_of_slip10(chain: dict[str, str]) -> None:
    keys = Ed25519Keys(bytes.fromhex(SLIP10["seed"]))

    assert keys.public_key(chain["chain"]).hex() == chain["public_key"]
    signature = keys.sign(chain["chain"], b"payload")
    assert signature == TonKey(bytes.fromhex(chain["private_key"])).sign("m", b"payload")


@pytest.mark.parametrize("vector", SEP5, ids=["12 words", "15 words", "24 words"])
def test_keys_are_those_of_sep5(vector: dict[str, str]) -> None:
    seed = seed_of(vector["mnemonic"])
    keys = Ed25519Keys(seed)

    assert seed.hex() == vector["bip39_seed"]
    for row in vector["keys"]:
        assert isinstance(row, dict)
        theirs = Keypair.from_secret(row["secret"])
        assert keys.public_key(row["path"]) == theirs.raw_public_key()
        assert keys.sign(row["path"], b"payload") == theirs.sign(b"payload")


@pytest.mark.parametrize("path", ["m/0", "m/44'/501'/0", "m/44/501'/0'/0'"])
def test_a_step_that_is_not_hardened_is_refused(path: str) -> None:
    keys = Ed25519Keys(SEED)

    with pytest.raises(BadKeyPath):
        keys.public_key(path)
    with pytest.raises(BadKeyPath):
        keys.sign(path, b"")


def test_the_root_key_signs_nothing() -> None:
    with pytest.raises(CustodyError):
        Ed25519Keys(SEED).sign("m", b"")


@pytest.mark.parametrize("length", LENGTHS)
def test_payloads_of_any_length_are_signed_and_signatures_repeat(length: int) -> None:
    payload = bytes(range(256)) * (length // 256 + 1)
    payload = payload[:length]
    for keys, path in ((Ed25519Keys(SEED), "m/44'/501'/7'/0'"), (TonKey(SEED[:32]), "m/0'/7'")):
        signature = keys.sign(path, payload)

        assert len(signature) == 64
        assert signature == keys.sign(path, payload)
        Ed25519PublicKey.from_public_bytes(keys.public_key(path)).verify(signature, payload)


def test_every_wallet_of_ton_has_the_same_key() -> None:
    key = TonKey(SEED[:32])

    assert key.public_key("m/0'/0'") == key.public_key("m/1'/1073741823'")
    assert key.sign("m/0'/0'", b"payload") == key.sign("m/1'/7'", b"payload")
    with pytest.raises(BadKeyPath):
        key.public_key("of ton")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        TonKey(bytes(length))
