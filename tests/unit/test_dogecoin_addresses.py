"""Dogecoin's addresses: no segregated witness, versions of its own."""

from __future__ import annotations

import coincurve
import pytest

from chain_adapters.dogecoin.chains import CHAINS, MAINNET, REGTEST, TESTNET
from chain_adapters.types import InvalidAddress
from chain_adapters.utxo.adapter import UtxoAdapter
from chain_adapters.utxo.address import (
    address_of,
    derive_address,
    p2sh_script,
    parse_address,
    script_of,
    witness_script,
)
from chain_adapters.utxo.chain import UtxoChain
from tests.support.oracles import Key
from tests.support.utxo_vectors import load


@pytest.mark.parametrize(("chain", "name"), [(MAINNET, "dogecoin"), (TESTNET, "dogecoin_testnet")])
def test_random_keys_have_the_addresses_that_another_implementation_gives(
    chain: UtxoChain, name: str
) -> None:
    for _ in range(100):
        key = coincurve.PrivateKey()
        address = derive_address(chain, key.public_key.format())
        assert address == Key(key.secret.hex(), network=name).address(encoding="base58")
        assert parse_address(chain, address) == address
        assert address[0] in {"D"} if chain is MAINNET else {"n"}


def test_an_address_that_a_node_named() -> None:
    answers = load("dogecoin/block_2_answers.json")
    (told,) = [value for key, value in answers.items() if key.startswith("getrawtransaction")]
    key = bytes.fromhex(told["vout"][0]["scriptPubKey"]["hex"])[1:34]
    assert derive_address(MAINNET, key) == told["vout"][0]["scriptPubKey"]["addresses"][0]


def test_script_addresses_are_payable() -> None:
    address = address_of(MAINNET, p2sh_script(b"\7" * 20))
    assert address is not None
    assert address[0] in "9A"
    assert script_of(MAINNET, address) == p2sh_script(b"\7" * 20)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("doge1qcr8te4kr609gcawutmrza0j4xv80jy8zvk4qfn", "no bech32"),
        ("bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", "no bech32"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "version is 0"),
        ("LhK2kQwiaAvhjWY799cZvMyYwnQAcxkarr", "version is 48"),
        ("nUm8xeZ5bWpbHbQkYWTsBWaVgTQ3yNvk2d", "no address of Dogecoin"),
        ("D7Y55r6Yoc1G8EECxkQ6SuSjTgGJJ7M6yE", "checksum"),
    ],
)
def test_addresses_of_other_networks_are_refused(text: str, hint: str) -> None:
    with pytest.raises(InvalidAddress, match=hint):
        parse_address(MAINNET, text)


def test_witness_scripts_have_no_address() -> None:
    for chain in CHAINS:
        for script in (witness_script(0, b"\1" * 20), witness_script(1, b"\1" * 32)):
            assert address_of(chain, script) is None


def test_paths_are_those_of_bip_44() -> None:
    adapter = UtxoAdapter(CHAINS, MAINNET.network, ["http://127.0.0.1:1"], native_symbol="DOGE")
    assert adapter.key_path(0, 7) == "m/44'/3'/0'/0/7"
    assert REGTEST.network != MAINNET.network
