"""Solana's addresses and key paths."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain_adapters.solana.adapter import SolanaAdapter
from chain_adapters.solana.address import derive_address, is_wallet, parse_address
from chain_adapters.solana.programs import TOKEN_PROGRAM
from chain_adapters.solana.tokens import associated_account
from chain_adapters.types import Destination, InvalidAddress, InvalidMemo

WALLET = "EN2sCsJ1WDV8UFqsiTXHcUPUxQ4juE71eCknHYYMifkd"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MAINNET = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"


@pytest.fixture
def adapter() -> SolanaAdapter:
    return SolanaAdapter(MAINNET, ["http://127.0.0.1:1"])


@pytest.mark.parametrize("text", [WALLET, f" {WALLET}\n", f"solana:{WALLET}"])
def test_every_form_that_people_paste_is_read(text: str) -> None:
    assert parse_address(text) == WALLET


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "base58"),
        ("hello", "base58"),
        (WALLET[:-4], "base58"),
        (WALLET + "1", "base58"),
        (WALLET.replace("E", "0", 1), "base58"),
        (WALLET.replace("E", "l", 1), "base58"),
        ("1" + WALLET, "base58"),
        ("é" * 32, "base58"),
        (2 * WALLET, "base58"),
        ("0x71C7656EC7ab88b098defB751B7401B5f6d8976F", "base58"),
        ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "base58"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "base58"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "base58"),
        ("GBRPYHIL2CI3FNQ4BXLFMNDLFJUNPU2HY3ZMFSHONUCEOASW7QC7OX2H", "base58"),
        (f"solana:{WALLET}?amount=1", "link"),
        (f"https://solscan.io/account/{WALLET}", "link"),
        ("11111111111111111111111111111111", "nobody"),
        ("1nc1nerator11111111111111111111111111111111", "nobody"),
    ],
)
def test_what_is_no_address_is_refused_with_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(InvalidAddress, match=expected):
        parse_address(text)


def test_canonical_and_customary_form_are_one(adapter: SolanaAdapter) -> None:
    assert adapter.show_address(adapter.parse_address(WALLET)) == WALLET
    assert adapter.parse_contract(USDC) == USDC


def test_a_wallet_is_a_public_key() -> None:
    for _ in range(50):
        public = Ed25519PrivateKey.generate().public_key()
        address = derive_address(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
        assert parse_address(address) == address
        assert is_wallet(address)


@pytest.mark.parametrize("content", [b"", bytes(31), bytes(33), b"\x02" + bytes(31)])
def test_what_is_no_public_key_has_no_address(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|no point"):
        derive_address(content)


def test_the_address_of_an_associated_account_is_no_wallet() -> None:
    assert not is_wallet(associated_account(WALLET, USDC, TOKEN_PROGRAM))


def test_both_branches_are_hardened_and_apart(adapter: SolanaAdapter) -> None:
    assert adapter.key_path(0, 7) == "m/44'/501'/7'/0'"
    assert adapter.key_path(1, 7) == f"m/44'/501'/{2**30 + 7}'/0'"
    for branch, index in [(2, 0), (-1, 0), (0, 2**30), (0, -1)]:
        with pytest.raises(ValueError, match="branch"):
            adapter.key_path(branch, index)


def test_a_memo_is_refused(adapter: SolanaAdapter) -> None:
    assert adapter.parse_destination(WALLET, None) == Destination(WALLET)
    with pytest.raises(InvalidMemo):
        adapter.parse_destination(WALLET, "7")


@pytest.mark.parametrize("network", ["eip155:1", "solana:", "solana:" + "a" * 33])
def test_another_kind_of_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="no network of Solana's kind"):
        SolanaAdapter(network, ["http://127.0.0.1:1"])
