"""Addresses, asset names and memos: every form that users paste."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

import pytest
from stellar_sdk import Keypair
from stellar_sdk.strkey import StrKey

from chain_adapters.stellar.adapter import StellarAdapter
from chain_adapters.types import Destination, InvalidAddress, InvalidMemo
from tests.support.stellar_vectors import ISSUER, RECIPIENT, SENDER, muxed

ADAPTER = StellarAdapter("stellar:pubnet", ["http://127.0.0.1:1"])
KEYS = Path(__file__).parent.parent / "vectors" / "keys"
SEP5 = json.loads((KEYS / "sep5_stellar_mnemonic_vectors.json").read_text())
MUXED = "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLK"
BASE = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
"""The example of SEP-23: the id is 2^63."""


@pytest.mark.parametrize("vector", SEP5, ids=lambda vector: vector["mnemonic"].split()[0])
def test_the_published_keys_of_sep5_have_their_addresses(vector: dict[str, object]) -> None:
    keys = vector["keys"]
    assert isinstance(keys, list)
    for index, key in enumerate(keys):
        path = ADAPTER.key_path(0, index)
        public = Keypair.from_secret(key["secret"]).raw_public_key()
        assert (path, ADAPTER.derive_address(public, path)) == (key["path"], key["public"])


def test_the_account_of_zeros_is_refused_in_every_form() -> None:
    muxed = StrKey.encode_med25519_public_key(bytes(40))
    for text in (ADAPTER.derive_address(bytes(32), ""), muxed):
        with pytest.raises(InvalidAddress, match="nobody"):
            ADAPTER.parse_destination(text, None)


def test_system_wallets_have_the_upper_half_of_the_one_counter() -> None:
    assert ADAPTER.key_path(1, 0) == "m/44'/148'/1073741824'"
    assert ADAPTER.key_path(1, 7) == "m/44'/148'/1073741831'"
    for branch, index in [(2, 0), (-1, 0), (0, 2**30), (1, 2**30), (0, -1)]:
        with pytest.raises(ValueError, match="branch"):
            ADAPTER.key_path(branch, index)


def test_any_key_has_the_address_that_the_reference_library_gives() -> None:
    for _ in range(200):
        public = secrets.token_bytes(32)
        address = ADAPTER.derive_address(public, "")
        assert address == Keypair.from_raw_ed25519_public_key(public).public_key
        assert ADAPTER.parse_address(f" {address}\n") == address == ADAPTER.show_address(address)


def test_a_key_of_another_length_has_no_address() -> None:
    with pytest.raises(ValueError, match="32"):
        ADAPTER.derive_address(bytes(33), "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected an account"),
        (SENDER.lower(), "expected an account"),
        (SENDER[:-1] + ("A" if SENDER[-1] != "A" else "B"), "checksum"),
        (SENDER[:-1], "expected an account"),
        (SENDER + "A", "expected an account"),
        (MUXED, "muxed"),
        (StrKey.encode_contract(bytes(32)), "contract"),
        ("anna*example.com", "federated"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "expected an account"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "expected an account"),
    ],
)
def test_what_is_no_account_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(InvalidAddress, match=words):
        ADAPTER.parse_address(text)


def test_a_secret_seed_is_never_repeated() -> None:
    seed = Keypair.random().secret
    with pytest.raises(InvalidAddress, match="secret") as refused:
        ADAPTER.parse_address(seed)
    assert seed not in str(refused.value)


def test_a_muxed_address_is_its_account_and_an_id() -> None:
    assert ADAPTER.parse_destination(MUXED, None) == Destination(BASE, f"id:{2**63}")
    assert ADAPTER.parse_destination(MUXED, f"id:{2**63}") == Destination(BASE, f"id:{2**63}")
    assert ADAPTER.parse_destination(muxed("a", 0), None) == Destination(SENDER, "id:0")


def test_a_muxed_address_takes_no_other_memo() -> None:
    for memo in ("id:1", "text:1", "hash:" + 64 * "a"):
        with pytest.raises(InvalidMemo, match="muxed"):
            ADAPTER.parse_destination(MUXED, memo)


def test_a_muxed_address_with_a_wrong_checksum_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="checksum"):
        ADAPTER.parse_destination(MUXED[:-1] + "A", None)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        (None, None),
        ("id:1", "id:1"),
        ("id:0007", "id:7"),
        (f"id:{2**64 - 1}", f"id:{2**64 - 1}"),
        ("text:1", "text:1"),
        ("text:id:5", "text:id:5"),
        ("invoice 7", "text:invoice 7"),
        ("order:7", "text:order:7"),
        ("text:" + 14 * "é", "text:" + 14 * "é"),
        ("hash:" + 64 * "A", "hash:" + 64 * "a"),
        ("return:" + 64 * "0", "return:" + 64 * "0"),
    ],
)
def test_memos_have_one_canonical_typed_form(given: str | None, canonical: str | None) -> None:
    assert ADAPTER.parse_destination(SENDER, given) == Destination(SENDER, canonical)


@pytest.mark.parametrize(
    ("memo", "words"),
    [
        ("1", "id:.*text:"),
        (" 12 ", "id:.*text:"),
        (64 * "a", "hash:.*return:"),
        ("id:", "2.64"),
        ("id:-1", "2.64"),
        ("id:1.5", "2.64"),
        (f"id:{2**64}", "2.64"),
        ("id:٣", "2.64"),
        ("text:", "28 bytes"),
        ("", "28 bytes"),
        ("text:" + 29 * "a", "28 bytes"),
        ("text:" + 15 * "é", "28 bytes"),
        ("text:a\0b", "28 bytes"),
        ("text:\ud800", "Unicode"),
        ("hash:" + 63 * "a", "64"),
        ("return:" + 64 * "g", "64"),
    ],
)
def test_what_is_no_memo_is_refused_with_the_reason(memo: str, words: str) -> None:
    with pytest.raises(InvalidMemo, match=words):
        ADAPTER.parse_destination(SENDER, memo)


def test_the_memo_of_a_number_is_an_id() -> None:
    assert ADAPTER.make_memo(42) == "id:42"
    assert ADAPTER.parse_destination(RECIPIENT, ADAPTER.make_memo(0)).memo == "id:0"


@pytest.mark.parametrize("code", ["USDC", "a", "yXLM", "ABCDEFGHIJ12"])
def test_an_asset_is_code_and_issuer(code: str) -> None:
    assert ADAPTER.parse_contract(f" {code}:{ISSUER} ") == f"{code}:{ISSUER}"
    assert ADAPTER.parse_contract(f"{code}-{ISSUER}") == f"{code}:{ISSUER}"


@pytest.mark.parametrize(
    "text",
    [
        "USDC",
        ISSUER,
        f":{ISSUER}",
        f"TOOLONGACODE1:{ISSUER}",
        f"US$:{ISSUER}",
        f"USDC:{ISSUER[:-1]}",
        f"USDC:{MUXED}",
        "XLM:native",
    ],
)
def test_what_is_no_asset_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        ADAPTER.parse_contract(text)


def test_only_known_networks_are_opened() -> None:
    with pytest.raises(ValueError, match=re.escape("stellar:mars")):
        StellarAdapter("stellar:mars", ["http://127.0.0.1:1"])
