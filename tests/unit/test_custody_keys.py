"""The signer signs in the form of each key scheme, and its secrets do not come out."""

from __future__ import annotations

import copy
import pickle

import pytest
from coincurve import PublicKey
from coincurve.ecdsa import deserialize_recoverable
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from chain_adapters.types import KeyScheme
from custody.bip32 import ORDER, ExtendedKey, Secp256k1Keys, root_key
from custody.ed25519 import Ed25519Keys, TonKey
from custody.errors import BadKeyPath, CustodyError, NoMasterSecret
from custody.keystore import PassphraseKey
from custody.signer import Signer

SEED = bytes(range(64))
TON_KEY = bytes(range(100, 132))
SECP256K1, ED25519, TON = KeyScheme
PATHS = {SECP256K1: "m/44'/60'/0'/1/7", ED25519: "m/44'/501'/7'/0'", TON: "m/1'/7'"}
HOLDERS = [
    Signer(SEED, TON_KEY),
    root_key(SEED),
    Secp256k1Keys(SEED),
    Ed25519Keys(SEED),
    TonKey(TON_KEY),
]


@pytest.fixture
def signer() -> Signer:
    return Signer(SEED, TON_KEY)


def test_a_signature_on_secp256k1_recovers_to_the_key_of_its_path(signer: Signer) -> None:
    payload = bytes(range(32))

    signature = signer.sign(PATHS[SECP256K1], payload, SECP256K1)

    assert len(signature) == 65
    assert signature[64] in (0, 1)
    deserialize_recoverable(signature)
    recovered = PublicKey.from_signature_and_message(signature, payload, hasher=None)
    assert recovered.format() == signer.public_key(PATHS[SECP256K1], SECP256K1)


def test_signatures_on_secp256k1_repeat_and_have_a_low_s(signer: Signer) -> None:
    for number in range(50):
        payload = number.to_bytes(32, "big")
        signature = signer.sign("m/0/0", payload, SECP256K1)
        assert signature == signer.sign("m/0/0", payload, SECP256K1)
        assert int.from_bytes(signature[32:64], "big") <= ORDER // 2


@pytest.mark.parametrize("payload", [b"", bytes(31), bytes(33)])
def test_only_hashes_are_signed_on_secp256k1(signer: Signer, payload: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        signer.sign("m/0/0", payload, SECP256K1)


@pytest.mark.parametrize("scheme", [ED25519, TON])
def test_a_signature_on_ed25519_is_that_of_its_path(signer: Signer, scheme: KeyScheme) -> None:
    public_key = signer.public_key(PATHS[scheme], scheme)

    signature = signer.sign(PATHS[scheme], b"a payload of no certain length", scheme)

    assert (len(public_key), len(signature)) == (32, 64)
    Ed25519PublicKey.from_public_bytes(public_key).verify(
        signature, b"a payload of no certain length"
    )


def test_schemes_share_no_key(signer: Signer) -> None:
    path = "m/44'/0'"

    assert len({signer.public_key(path, scheme) for scheme in KeyScheme}) == 3


@pytest.mark.parametrize("scheme", [SECP256K1, ED25519])
def test_the_root_key_signs_nothing(signer: Signer, scheme: KeyScheme) -> None:
    with pytest.raises(CustodyError):
        signer.sign("m", bytes(32), scheme)


@pytest.mark.parametrize("scheme", KeyScheme)
def test_what_is_no_key_path_is_refused_in_every_scheme(signer: Signer, scheme: KeyScheme) -> None:
    with pytest.raises(BadKeyPath):
        signer.sign("m/x", bytes(32), scheme)
    with pytest.raises(BadKeyPath):
        signer.public_key("m/x", scheme)


def test_without_the_ton_secret_the_command_that_makes_it_is_named() -> None:
    signer = Signer(SEED)

    with pytest.raises(NoMasterSecret, match="millrace init"):
        signer.public_key("m/0'/0'", TON)
    with pytest.raises(NoMasterSecret, match="millrace init"):
        signer.sign("m/0'/0'", b"", TON)


@pytest.mark.parametrize("scheme", KeyScheme)
def test_a_closed_signer_signs_nothing(signer: Signer, scheme: KeyScheme) -> None:
    signer.sign(PATHS[scheme], bytes(32), scheme)

    signer.close()

    with pytest.raises(CustodyError):
        signer.sign(PATHS[scheme], bytes(32), scheme)


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_holders_of_keys_are_neither_printed_nor_pickled(
    holder: Signer | ExtendedKey | Secp256k1Keys | Ed25519Keys | TonKey,
) -> None:
    assert repr(holder) == f"{type(holder).__name__}(…)"
    for secret in (SEED, TON_KEY, root_key(SEED).reveal()[0]):
        assert secret.hex() not in f"{holder!r}{holder!s}"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(holder)


def test_a_passphrase_is_not_printed() -> None:
    assert "hunter2" not in repr(PassphraseKey("hunter2"))
