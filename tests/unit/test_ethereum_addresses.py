"""Addresses of Ethereum: forms, checksums, keys."""

from __future__ import annotations

import json

import coincurve
import pytest

from chain_adapters.ethereum.address import derive_address, parse_address, show_address
from chain_adapters.types import InvalidAddress
from tests.support.ethereum_vectors import FOLDER

VALID = json.loads((FOLDER / "eip55_checksum_addresses.json").read_text())["valid"]


@pytest.mark.parametrize("address", VALID)
def test_every_customary_form_is_one_address(address: str) -> None:
    forms = [address, address.lower(), "0x" + address[2:].upper(), f" {address}\n"]
    assert {parse_address(form) for form in forms} == {address.lower()}
    assert show_address(address.lower()) == address


@pytest.mark.parametrize("address", VALID)
def test_one_letter_of_the_wrong_case_is_refused(address: str) -> None:
    position = next(i for i, letter in enumerate(address) if i > 1 and letter.isalpha())
    wrong = address[:position] + address[position].swapcase() + address[position + 1 :]
    with pytest.raises(InvalidAddress, match="checksum"):
        parse_address(wrong)


@pytest.mark.parametrize(
    "text", ["", "0x", VALID[0][2:], VALID[0][:-1], VALID[0] + "0", "0X" + VALID[0][2:], "0xg" * 21]
)
def test_what_has_not_the_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress, match="40 hexadecimal"):
        parse_address(text)


def test_the_zero_address_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="lost"):
        parse_address("0x" + 40 * "0")


def test_a_key_has_the_same_address_in_both_its_forms() -> None:
    key = coincurve.PrivateKey.from_int(1).public_key
    expected = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
    assert derive_address(key.format()) == derive_address(key.format(compressed=False)) == expected


def test_bytes_that_are_no_key_are_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        derive_address(b"\x02" + b"\xff" * 32)
