"""Keys come out as BIP-32, BIP-39 and BIP-84 say, and secrets do not come out at all."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKey
from coincurve.ecdsa import deserialize_recoverable
from mnemonic import Mnemonic

from chain_adapters.types import Curve
from custody.derive import ORDER, ExtendedKey, parse_key_path, root_key
from custody.errors import BadKeyPath, BadMnemonic, CustodyError
from custody.keystore import PassphraseKey, checked_mnemonic
from custody.signer import Signer
from tests.support.oracles import change_base

VECTORS = Path(__file__).parent.parent / "vectors" / "keys"
SEED = bytes(range(64))


def read_vectors(name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    return json.loads((VECTORS / name).read_text())


def private_parts(extended: str) -> tuple[bytes, bytes]:
    """Return (private key, chain code) of an xprv or zprv."""
    raw = change_base(extended, 58, 256, 82)
    return raw[46:78], raw[13:45]


def public_part(extended: str) -> bytes:
    raw: bytes = change_base(extended, 58, 256, 82)
    return raw[45:78]


def bip32_chains() -> Iterator[tuple[str, str, str, str]]:
    for vector in read_vectors("bip32_vectors_1_2_4_5.json"):
        for chain in vector.get("chains", []):
            yield vector["seed"], chain["chain"], chain["ext_prv"], chain["ext_pub"]


@pytest.mark.parametrize(("seed", "path", "private", "public"), list(bip32_chains()))
def test_keys_are_those_of_bip32(seed: str, path: str, private: str, public: str) -> None:
    key = root_key(bytes.fromhex(seed)).descend(parse_key_path(path.replace("H", "'")))

    assert key.reveal() == private_parts(private)
    assert key.public_key == public_part(public)


@pytest.mark.parametrize(
    ("words", "seed", "extended"),
    [row[1:] for row in read_vectors("bip39_english_vectors.json")],
)
def test_roots_are_those_of_bip39(words: str, seed: str, extended: str) -> None:
    made = Mnemonic.to_seed(words, "TREZOR")

    assert made.hex() == seed
    assert root_key(made).reveal() == private_parts(extended)


def test_public_keys_are_those_of_bip84() -> None:
    rows = read_vectors("bip84_vectors.json")
    signer = Signer(Mnemonic.to_seed(rows[0]["value"], ""))
    public = [row["value"] for row in rows if row["name"] == "pubkey"]

    paths = ("m/84'/0'/0'/0/0", "m/84'/0'/0'/0/1", "m/84'/0'/0'/1/0")
    assert [signer.public_key(path).hex() for path in paths] == public


@pytest.mark.parametrize(
    "text",
    ["", "m/", "n/0", "m/-1", "m/01", "m/x", "m/0''", "m//0", "m/2147483648", "0/1", "m/1" * 300],
)
def test_what_is_no_key_path_is_refused(text: str) -> None:
    with pytest.raises(BadKeyPath):
        parse_key_path(text)


def test_a_signature_recovers_to_the_key_of_its_path() -> None:
    signer = Signer(SEED)
    payload = bytes(range(32))

    signature = signer.sign("m/44'/60'/0'/1/7", payload)

    assert len(signature) == 65
    assert signature[64] in (0, 1)
    deserialize_recoverable(signature)
    recovered = PublicKey.from_signature_and_message(signature, payload, hasher=None)
    assert recovered.format() == signer.public_key("m/44'/60'/0'/1/7")


def test_signatures_repeat_and_have_a_low_s() -> None:
    signer = Signer(SEED)
    for number in range(50):
        payload = number.to_bytes(32, "big")
        signature = signer.sign("m/0/0", payload)
        assert signature == signer.sign("m/0/0", payload)
        assert int.from_bytes(signature[32:64], "big") <= ORDER // 2


@pytest.mark.parametrize("payload", [b"", bytes(31), bytes(33)])
def test_only_hashes_are_signed(payload: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(SEED).sign("m/0/0", payload)


def test_the_root_key_and_unknown_curves_sign_nothing() -> None:
    signer = Signer(SEED)

    with pytest.raises(CustodyError):
        signer.sign("m", bytes(32))
    with pytest.raises(CustodyError):
        signer.public_key("m/0", Curve.ED25519)


@pytest.mark.parametrize("holder", [Signer(SEED), root_key(SEED)])
def test_holders_of_keys_are_neither_printed_nor_pickled(holder: Signer | ExtendedKey) -> None:
    secret = root_key(SEED).reveal()[0]

    assert repr(holder) == f"{type(holder).__name__}(…)"
    assert secret.hex() not in f"{holder!r}{holder!s}"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(holder)


def test_a_wiped_key_holds_only_zeros() -> None:
    key = root_key(SEED)

    key.wipe()

    assert key.reveal() == (bytes(32), bytes(32))


def test_a_passphrase_is_not_printed() -> None:
    assert "hunter2" not in repr(PassphraseKey("hunter2"))


def test_24_words_are_brought_to_one_form() -> None:
    words = Mnemonic("english").generate(256)

    assert checked_mnemonic(f"  {words.upper()} \n") == words


@pytest.mark.parametrize("text", ["", "abandon " * 11 + "about", "abandon " * 24, "sesame " * 24])
def test_what_is_no_mnemonic_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(BadMnemonic) as caught:
        checked_mnemonic(text)

    assert "abandon" not in str(caught.value)
    assert "sesame" not in str(caught.value)
