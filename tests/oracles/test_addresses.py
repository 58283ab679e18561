"""Addresses of random keys are those that independent implementations make."""

from __future__ import annotations

import secrets
from typing import get_args

import pytest
from eth_account import Account
from pytoniq_core import Cell
from solders.keypair import Keypair as SolanaKeypair
from stellar_sdk import Keypair as StellarKeypair

from chain_adapters.types import InvalidAddress, KeyScheme
from custody import ton_mnemonic
from custody.bip39 import seed_of
from custody.ed25519 import TonKey
from custody.signer import Signer
from settings.model import Kind
from tests.oracles.chains import CHAINS, open_chain, random_mnemonic
from tests.oracles.wallet_core import WalletCore
from tests.support.key_vectors import read_key_vectors
from tests.support.oracles import HDKey

MNEMONICS = 20
KEYS_EACH = 50
"""So 1,000 keys a chain."""
UNPUBLISHED = {"litecoin", "solana", "ton"}
"""The published mnemonic has no address of these, or one at another path than ours."""
BITCOINLIB = {"bitcoin": "segwit", "litecoin": "segwit", "dogecoin": "legacy"}


def random_places(count: int) -> list[tuple[int, int]]:
    """Return places (branch, index) of both branches, the first of each included."""
    places = [(secrets.randbelow(2), secrets.randbelow(2**30)) for _ in range(count - 2)]
    return [(0, 0), (1, 0), *places]


def test_every_kind_of_chain_is_compared() -> None:
    assert {*CHAINS, "simulated"} == set(get_args(Kind))


@pytest.mark.parametrize("kind", [kind for kind in CHAINS if kind != "ton"])
def test_addresses_of_1000_random_keys_are_those_of_wallet_core(
    kind: str, wallet_core: WalletCore
) -> None:
    adapter = open_chain(kind)
    for _ in range(MNEMONICS):
        mnemonic = random_mnemonic()
        signer = Signer(seed_of(mnemonic))
        paths = [adapter.key_path(*place) for place in random_places(KEYS_EACH)]

        theirs = wallet_core.derive(CHAINS[kind].coin, mnemonic, paths)

        ours = [
            adapter.derive_address(signer.public_key(path, adapter.key_scheme), path)
            for path in paths
        ]
        assert [adapter.show_address(address) for address in ours] == theirs
        assert [adapter.parse_address(address) for address in theirs] == ours


def test_addresses_of_1000_ton_wallets_are_those_of_wallet_core(wallet_core: WalletCore) -> None:
    """An address is the hash of what a wallet begins with (its StateInit)."""
    adapter = open_chain("ton")
    for _ in range(MNEMONICS):
        key = TonKey(secrets.token_bytes(32)).public_key("m")
        places = random_places(KEYS_EACH)
        numbers = [698983191 + branch * 2**30 + index for branch, index in places]

        begun = wallet_core.ask("ton_wallet", public_key=key.hex(), wallet_ids=numbers)

        theirs = [f"0:{Cell.one_from_boc(boc).hash.hex()}" for boc in begun]
        assert [adapter.derive_address(key, adapter.key_path(*place)) for place in places] == theirs


def test_ton_words_are_read_and_made_as_ton_wallets_do(wallet_core: WalletCore) -> None:
    ours = [ton_mnemonic.new_mnemonic() for _ in range(5)]

    for row in wallet_core.ask("ton_words", words=ours, count=5):
        words = ton_mnemonic.checked_mnemonic(row["words"])
        key = TonKey(ton_mnemonic.private_key_of(words))
        assert row["valid"]
        assert key.public_key("m/0'/0'").hex() == row["public_key"]


def test_what_ton_wallets_refuse_is_refused(wallet_core: WalletCore) -> None:
    texts = [random_mnemonic() for _ in range(500)]
    rows = wallet_core.ask("ton_check", words=texts)

    assert [ton_mnemonic.is_kept(text) for text in texts] == rows


@pytest.mark.parametrize("kind", [kind for kind in CHAINS if kind not in UNPUBLISHED])
def test_first_addresses_are_the_published_ones(kind: str) -> None:
    vector = read_key_vectors("mnemonic_to_first_address_all_chains.json")
    adapter, path = open_chain(kind), vector["default_paths"][kind]

    key = Signer(seed_of(vector["mnemonic"])).public_key(path, adapter.key_scheme)

    assert path == adapter.key_path(0, 0)
    assert adapter.show_address(adapter.derive_address(key, path)) == vector["addresses"][kind]


@pytest.mark.parametrize("kind", BITCOINLIB)
def test_addresses_are_those_of_bitcoinlib(kind: str) -> None:
    adapter, seed = open_chain(kind), secrets.token_bytes(64)
    theirs = HDKey.from_seed(seed, network=kind)
    for place in random_places(20):
        path = adapter.key_path(*place)
        key = Signer(seed).public_key(path, KeyScheme.SECP256K1)
        child = theirs.subkey_for_path(path)
        encoding = "bech32" if BITCOINLIB[kind] == "segwit" else "base58"
        expected = child.address(encoding=encoding)
        assert adapter.show_address(adapter.derive_address(key, path)) == expected


def test_addresses_are_those_of_eth_account() -> None:
    Account.enable_unaudited_hdwallet_features()
    adapter, mnemonic = open_chain("ethereum"), random_mnemonic()
    signer = Signer(seed_of(mnemonic))
    for place in random_places(20):
        path = adapter.key_path(*place)
        ours = adapter.derive_address(signer.public_key(path, KeyScheme.SECP256K1), path)
        theirs = Account.from_mnemonic(mnemonic, account_path=path).address
        assert adapter.show_address(ours) == theirs


def test_addresses_are_those_of_solders_and_of_the_stellar_sdk() -> None:
    solana, stellar, mnemonic = open_chain("solana"), open_chain("stellar"), random_mnemonic()
    seed = seed_of(mnemonic)
    signer = Signer(seed)
    for branch, index in random_places(20):
        path = solana.key_path(branch, index)
        key = SolanaKeypair.from_seed_and_derivation_path(bytes(seed), path)
        ours = solana.derive_address(signer.public_key(path, KeyScheme.ED25519), path)
        assert ours == str(key.pubkey())
        path = stellar.key_path(branch, index)
        number = index + branch * 2**30
        theirs = StellarKeypair.from_mnemonic_phrase(mnemonic, index=number)
        ours = stellar.derive_address(signer.public_key(path, KeyScheme.ED25519), path)
        assert ours == theirs.public_key


@pytest.mark.parametrize("kind", ["bitcoin", "dogecoin", "litecoin", "tron"])
def test_every_form_of_a_key_s_address_is_read_and_a_mistyped_one_is_refused(
    kind: str, wallet_core: WalletCore
) -> None:
    adapter = open_chain(kind)
    for _ in range(50):
        key = secrets.token_hex(32)
        for address in wallet_core.ask("forms", coin=CHAINS[kind].coin, private_key=key):
            assert adapter.show_address(adapter.parse_address(address)) == address
            with pytest.raises(InvalidAddress):
                adapter.parse_address(mistype(address))


def mistype(address: str) -> str:
    """Return the address with its last character changed into another of the alphabet."""
    return address[:-1] + ("2" if address[-1] != "2" else "3")
