"""Addresses of TRON in every form that people paste."""

from __future__ import annotations

import coincurve
import pytest

from chain_adapters.tron.adapter import TronAdapter
from chain_adapters.tron.address import derive_address, parse_address, show_address
from chain_adapters.types import Destination, InvalidAddress, InvalidMemo

USDT = "41a614f803b6fd780986a42c78ec9c7f77e6ded13c"
SHOWN = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
ZERO = "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"

PUBLISHED = {
    "2d8f68944bdbfbc0769542fba8fc2d2a3de67393334471624364c7006da2aa54": (
        "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC"
    ),
    "be88df1d0bf30a923cb39c3bb953178baaf3726e8d3ce81e7c8462e046e0d835": (
        "THRF3GuPnvvPzKoaT8pJex5XHmo8NNbCb3"
    ),
}
"""Published test keys and their addresses (tests/vectors/tron/SOURCES.md, wallet-core)."""


@pytest.mark.parametrize("text", [SHOWN, f"  {SHOWN}\n", USDT, USDT.upper()])
def test_every_form_has_one_canonical_form(text: str) -> None:
    assert parse_address(text) == USDT
    assert show_address(parse_address(text)) == SHOWN


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "expected T"),
        (SHOWN[:-1], "expected T"),
        (SHOWN + "a", "expected T"),
        (SHOWN[:-1] + "a", "checksum"),
        (SHOWN[:5] + "0" + SHOWN[6:], "in no address"),
        ("T" + 33 * "z", "checksum"),
        ("T" + 33 * "1", "checksum"),
        ("T9yD14Nj9j7xAB4dbGeiX9h8unkKB9nv2z", "checksum"),  # of version 0x40
        ("TxeQyGyJa63ho3Loe7KMVQEiAoGCbnaMqQ", "checksum"),  # of version 0x42
        ("0x" + USDT[2:], "Ethereum"),
        ("0X" + USDT, "Ethereum"),
        (USDT[2:], "expected T"),
        ("a0" + USDT[2:], "expected T"),
        (USDT[:-1] + "g", "expected T"),
        ("27d3byPxZXKQWfXX7sJvemJJuv5M65F3vjS", "expected T"),
        ("D" + SHOWN[1:], "expected T"),
        (ZERO, "nobody"),
        ("41" + 40 * "0", "nobody"),
        ("１" * 34, "expected T"),
        ("T" + "é" * 33, "in no address"),
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidAddress, match=hint):
        parse_address(text)


def test_one_wrong_character_is_always_found() -> None:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    for position in range(1, len(SHOWN)):
        for character in alphabet.replace(SHOWN[position], ""):
            with pytest.raises(InvalidAddress):
                parse_address(SHOWN[:position] + character + SHOWN[position + 1 :])


@pytest.mark.parametrize("private_key", PUBLISHED)
def test_addresses_of_published_keys(private_key: str) -> None:
    key = coincurve.PrivateKey(bytes.fromhex(private_key)).public_key
    for form in (key.format(), key.format(compressed=False)):
        assert show_address(derive_address(form)) == PUBLISHED[private_key]


def test_what_is_no_key_has_no_address() -> None:
    with pytest.raises(ValueError, match="public key"):
        derive_address(bytes(33))


def test_the_adapter_knows_addresses_and_no_memos() -> None:
    adapter = TronAdapter("tron:0x2b6653dc", ["http://127.0.0.1:1"])
    assert adapter.parse_contract(SHOWN) == USDT
    assert adapter.parse_destination(SHOWN, None) == Destination(USDT)
    assert adapter.key_path(1, 7) == "m/44'/195'/0'/1/7"
    with pytest.raises(InvalidMemo):
        adapter.parse_destination(SHOWN, "5")


def test_a_network_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="TRON"):
        TronAdapter("eip155:1", ["http://127.0.0.1:1"])
