"""Keys on secp256k1 come out as BIP-32, BIP-39 and BIP-84 say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mnemonic import Mnemonic

from custody.bip32 import Secp256k1Keys, root_key
from custody.errors import BadKeyPath
from custody.key_path import parse_key_path
from tests.support.key_vectors import private_parts, public_part, read_key_vectors


def bip32_chains() -> Iterator[tuple[str, str, str, str]]:
    for vector in read_key_vectors("bip32_vectors_1_2_4_5.json"):
        for chain in vector.get("chains", []):
            yield vector["seed"], chain["chain"], chain["ext_prv"], chain["ext_pub"]


@pytest.mark.parametrize(("seed", "path", "private", "public"), list(bip32_chains()))
def test_keys_are_those_of_bip32(seed: str, path: str, private: str, public: str) -> None:
    key = root_key(bytes.fromhex(seed)).descend(parse_key_path(path.replace("H", "'")))

    assert key.reveal() == private_parts(private)
    assert key.public_key == public_part(public)


@pytest.mark.parametrize(
    ("words", "seed", "extended"),
    [row[1:] for row in read_key_vectors("bip39_english_vectors.json")],
)
def test_roots_are_those_of_bip39(words: str, seed: str, extended: str) -> None:
    made = Mnemonic.to_seed(words, "TREZOR")

    assert made.hex() == seed
    assert root_key(made).reveal() == private_parts(extended)


def test_public_keys_are_those_of_bip84() -> None:
    rows = read_key_vectors("bip84_vectors.json")
    keys = Secp256k1Keys(Mnemonic.to_seed(rows[0]["value"], ""))
    public = [row["value"] for row in rows if row["name"] == "pubkey"]

    paths = ("m/84'/0'/0'/0/0", "m/84'/0'/0'/0/1", "m/84'/0'/0'/1/0")
    assert [keys.public_key(path).hex() for path in paths] == public


@pytest.mark.parametrize(
    "text",
    ["", "m/", "n/0", "m/-1", "m/01", "m/x", "m/0''", "m//0", "m/2147483648", "0/1", "m/1" * 300],
)
def test_what_is_no_key_path_is_refused(text: str) -> None:
    with pytest.raises(BadKeyPath):
        parse_key_path(text)


def test_a_wiped_key_holds_only_zeros_and_gives_no_public_key() -> None:
    key = root_key(bytes(range(64)))

    key.wipe()

    assert key.reveal() == (bytes(32), bytes(32))
    with pytest.raises(ValueError, match="Invalid secret"):
        _ = key.public_key
