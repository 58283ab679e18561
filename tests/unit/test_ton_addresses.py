"""Addresses of TON in every form that people paste, and the wallets of a key."""

from __future__ import annotations

import base64

import pytest
from pytoniq_core import Cell

from chain_adapters.ton import wallet
from chain_adapters.ton.adapter import TonAdapter
from chain_adapters.ton.address import parse_address, show_address
from chain_adapters.ton.constants import WALLET_CODE_HASH, WALLET_ID
from chain_adapters.types import Destination, InvalidAddress, InvalidMemo
from tests.support.ton_vectors import load_json

RAW = "0:8a8627861a5dd96c9db3ce0807b122da5ed473934ce7568a5b4b1c361cbb28ae"
BOUNCEABLE = "EQCKhieGGl3ZbJ2zzggHsSLaXtRzk0znVopbSxw2HLsorkdl"
PLAIN = show_address(RAW)
TEST_FORMS = [show_address(RAW, test_network=True, bounceable=b) for b in (False, True)]
MASTERCHAIN = "Ef8JfFPRpHBV_tZpCurvxMJW69nt2js3SuGEWojGnOpCVPRe"
"""A published address of an account of the masterchain (tests/vectors/ton/SOURCES.md)."""


def adapter(network: str = "ton:mainnet") -> TonAdapter:
    return TonAdapter(network, ["http://127.0.0.1:1"])


@pytest.mark.parametrize(
    "text",
    [
        RAW,
        RAW.upper(),
        BOUNCEABLE,
        PLAIN,
        f"  {PLAIN}\n",
        BOUNCEABLE.replace("-", "+").replace("_", "/"),
    ],
)
def test_every_form_has_one_canonical_form(text: str) -> None:
    assert parse_address(text) == RAW


def test_shown_is_the_form_that_is_safe_before_a_wallet_is_deployed() -> None:
    assert PLAIN.startswith("UQ")
    assert show_address(RAW, bounceable=True) == BOUNCEABLE
    assert adapter().show_address(RAW) == PLAIN
    assert adapter("ton:testnet").show_address(RAW).startswith("0Q")


def test_both_alphabets_of_base64_are_read() -> None:
    address = "0:" + "fb" * 32
    shown = show_address(address)
    assert "-" in shown or "_" in shown
    assert parse_address(shown.replace("-", "+").replace("_", "/")) == address


def test_accounts_of_the_masterchain_are_read() -> None:
    address = parse_address(MASTERCHAIN)
    assert address.startswith("-1:")
    assert show_address(address, bounceable=True) == MASTERCHAIN


@pytest.mark.parametrize("text", TEST_FORMS)
def test_forms_of_test_networks_are_refused_elsewhere(text: str) -> None:
    with pytest.raises(InvalidAddress, match="test network"):
        parse_address(text)
    assert parse_address(text, test_network=True) == RAW


@pytest.mark.parametrize("text", [RAW, BOUNCEABLE, PLAIN])
def test_test_networks_take_unmarked_forms(text: str) -> None:
    assert adapter("ton:testnet").parse_address(text) == RAW


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "expected 48"),
        (PLAIN[:-1], "expected 48"),
        (PLAIN + "A", "expected 48"),
        (PLAIN[:-1] + "é", "expected 48"),
        (PLAIN.lower(), "checksum|no account"),
        (RAW[:-1], "expected 48"),
        (RAW[2:], "expected 48"),
        ("1:" + RAW[2:], "expected 48"),
        ("0x" + RAW[2:42], "expected 48"),
        ("0:" + 64 * "0", "nobody"),
        (show_address("0:" + 64 * "0"), "nobody"),
        (show_address("3:" + RAW[2:]), "no account"),
        ("０:" + RAW[2:], "expected 48"),
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidAddress, match=hint):
        parse_address(text)


def test_one_wrong_character_is_always_found() -> None:
    for position in range(48):
        for character in "AQz0-_":
            if BOUNCEABLE[position] == character:
                continue
            with pytest.raises(InvalidAddress):
                parse_address(BOUNCEABLE[:position] + character + BOUNCEABLE[position + 1 :])


def test_the_wallets_code_is_the_published_one() -> None:
    assert base64.b64encode(wallet.CODE.hash).decode() == WALLET_CODE_HASH


def test_wallets_have_the_published_addresses() -> None:
    (published,) = [v for v in load_json("ton_wallet_pubkey_to_address") if v["version"] == "v4R2"]
    key = bytes.fromhex(published["public_key"])
    assert adapter().derive_address(key, "m/0'/0'") == published["address"]


def test_wallets_begin_as_another_implementation_has_them() -> None:
    first, newest = load_json("walletcore_ton_wallet_addresses")
    key, encoded = (literal["value"] for literal in first["literals"])
    state = Cell.one_from_boc(encoded)
    data = wallet.initial_data(bytes.fromhex(key), WALLET_ID)
    assert wallet.state_init(wallet.CODE, data).hash == state.hash
    assert wallet.wallet_address(bytes.fromhex(key), WALLET_ID) == "0:" + state.hash.hex()
    other = "0:" + Cell.one_from_boc(newest["literals"][1]["value"]).hash.hex()
    assert parse_address(show_address(other)) == other  # a wallet v5 is an address like any other


def test_each_path_is_another_wallet_of_the_same_key() -> None:
    ours = adapter()
    paths = [ours.key_path(branch, index) for branch in (0, 1) for index in (0, 1, 2**30 - 1)]
    assert paths[0] == "m/0'/0'"
    assert len({ours.derive_address(b"k" * 32, path) for path in paths}) == len(paths)
    assert wallet.wallet_id(1, 2**30 - 1) < 2**32


@pytest.mark.parametrize("path", ["m/2'/0'", "m/0'/1073741824'", "m/0/0", "m/0'", "0'/0'", ""])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|below"):
        adapter().derive_address(b"k" * 32, path)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        adapter().derive_address(b"k" * 33, "m/0'/0'")


@pytest.mark.parametrize(
    ("pasted", "canonical"),
    [
        (None, None),
        ("  ", None),
        ("text:", None),
        ("12345", "text:12345"),
        (" 12345 ", "text:12345"),
        ("text:12345", "text:12345"),
        ("text: a b ", "text:a b"),
        ("text:id:1", "text:id:1"),
    ],
)
def test_a_memo_is_a_comment(pasted: str | None, canonical: str | None) -> None:
    assert adapter().parse_destination(PLAIN, pasted) == Destination(RAW, canonical)


@pytest.mark.parametrize("pasted", ["id:1", "hash:00", "return:00", "a\0b", 513 * "a", 257 * "é"])
def test_what_is_no_memo_here_is_refused(pasted: str) -> None:
    with pytest.raises(InvalidMemo):
        adapter().parse_destination(PLAIN, pasted)


def test_numbered_memos_are_read_as_they_are_made() -> None:
    memo = adapter().make_memo(12345)
    assert adapter().parse_destination(PLAIN, memo) == Destination(RAW, memo)


def test_a_jetton_is_named_by_its_masters_address() -> None:
    assert adapter().parse_contract(BOUNCEABLE) == RAW
    with pytest.raises(InvalidAddress):
        adapter().parse_contract(MASTERCHAIN)


def test_other_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="no network of TON"):
        adapter("ton:othernet")
