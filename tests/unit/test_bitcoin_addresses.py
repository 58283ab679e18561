"""Bitcoin's and Litecoin's addresses: every form, every mistake, and as others make them."""

from __future__ import annotations

import secrets

import coincurve
import pytest
from mnemonic import Mnemonic

from chain_adapters.bitcoin.chains import CHAINS, MAINNET, REGTEST, SIGNET, TESTNET3, TESTNET4
from chain_adapters.litecoin.chains import MAINNET as LITECOIN
from chain_adapters.types import InvalidAddress
from chain_adapters.utxo.adapter import UtxoAdapter
from chain_adapters.utxo.address import (
    address_of,
    addresses_of,
    derive_address,
    hash_key,
    p2pkh_script,
    p2sh_script,
    parse_address,
    script_of,
    witness_script,
)
from chain_adapters.utxo.base58 import encode_base58check
from chain_adapters.utxo.bech32 import decode_segwit, encode_segwit
from chain_adapters.utxo.chain import UtxoChain, find_chain
from tests.support.oracles import HDKey, Key
from tests.support.utxo_vectors import load

BIP_350 = load("bitcoin/bip350_bech32_vectors.json")
VALID = [row["codes"] for row in BIP_350 if len(row["codes"]) == 2]
INVALID = [row["codes"][0] for row in BIP_350 if row["group"] == "their invalidity."]
PAYABLE = {(0, 20), (0, 32), (1, 32)}


def adapter(chain: UtxoChain = MAINNET, chains: tuple[UtxoChain, ...] = CHAINS) -> UtxoAdapter:
    return UtxoAdapter(chains, chain.network, ["http://127.0.0.1:1"], native_symbol="BTC")


def chain_for(address: str) -> UtxoChain:
    return MAINNET if address.lower().startswith("bc1") else TESTNET4


@pytest.mark.parametrize(("address", "script"), VALID)
def test_segwit_addresses_stand_for_their_scripts(address: str, script: str) -> None:
    prefix, version, program = decode_segwit(address)
    assert witness_script(version, program).hex() == script
    assert encode_segwit(prefix, version, program) == address.lower()


@pytest.mark.parametrize(("address", "script"), VALID)
def test_only_what_someone_can_spend_from_is_an_address(address: str, script: str) -> None:
    _, version, program = decode_segwit(address)
    chain = chain_for(address)
    if (version, len(program)) in PAYABLE:
        assert script_of(chain, address).hex() == script
        assert parse_address(chain, address) == address.lower()
        return
    assert address_of(chain, bytes.fromhex(script)) is None
    with pytest.raises(InvalidAddress):
        parse_address(chain, address)


@pytest.mark.parametrize("address", INVALID)
def test_invalid_segwit_addresses_are_refused(address: str) -> None:
    for chain in CHAINS:
        with pytest.raises(InvalidAddress):
            parse_address(chain, address)


def test_the_first_addresses_of_bip_84_and_bip_86() -> None:
    key = bytes.fromhex("0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c")
    assert derive_address(MAINNET, key) == "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"
    rows = load("bitcoin/bip86_vectors.json")
    first = [row["value"] for row in rows if row["name"] in {"scriptPubKey", "address"}]
    assert len(first) >= 6
    for script, address in zip(first[::2], first[1::2], strict=True):
        assert address_of(MAINNET, bytes.fromhex(script)) == address
        assert parse_address(MAINNET, address) == address


MNEMONIC = "abandon " * 11 + "about"


@pytest.mark.parametrize(
    ("chain", "path", "address"),
    [
        (MAINNET, "m/44'/0'/0'/0/0", "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA"),
        (TESTNET4, "m/49'/1'/0'/0/0", "2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2"),
        (MAINNET, "m/84'/0'/0'/0/0", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"),
        (MAINNET, "m/84'/0'/0'/0/1", "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"),
        (MAINNET, "m/84'/0'/0'/1/0", "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"),
        (
            MAINNET,
            "m/86'/0'/0'/0/0",
            "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value[0] == "m" else "",
)
def test_the_published_addresses_of_each_standard_path_are_read(
    chain: UtxoChain, path: str, address: str
) -> None:
    """Of BIP-44, 49, 84 and 86, for one mnemonic; the scripts from another implementation's key."""
    network = "testnet" if chain is TESTNET4 else "bitcoin"
    key = HDKey.from_seed(Mnemonic.to_seed(MNEMONIC), network=network).subkey_for_path(path)
    public_key = bytes.fromhex(key.public_hex)
    by_purpose = {
        "44": p2pkh_script(hash_key(public_key)),
        "49": p2sh_script(hash_key(witness_script(0, hash_key(public_key)))),
        "84": witness_script(0, hash_key(public_key)),
    }
    script = by_purpose.get(path[2:4])  # a taproot address holds a tweaked key: BIP-86's are above
    assert script is None or script_of(chain, address) == script
    assert parse_address(chain, address) == address


NETWORKS = [MAINNET, TESTNET4, TESTNET3, SIGNET, REGTEST]
FORMS = {
    "P2PKH": p2pkh_script(b"\5" * 20),
    "P2SH": p2sh_script(b"\5" * 20),
    "P2WPKH": witness_script(0, b"\5" * 20),
    "P2WSH": witness_script(0, b"\5" * 32),
    "P2TR": witness_script(1, b"\5" * 32),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chain", NETWORKS, ids=lambda chain: chain.name)
def test_an_address_is_read_on_the_networks_that_write_it_so_and_on_no_other(
    chain: UtxoChain, form: str
) -> None:
    """The test networks write old addresses alike, and all but regtest write new ones alike."""
    script = FORMS[form]
    address = address_of(chain, script) or ""
    for other in NETWORKS:
        if address == address_of(other, script):
            assert script_of(other, address) == script
        else:
            with pytest.raises(InvalidAddress):
                parse_address(other, address)
    with pytest.raises(InvalidAddress):
        parse_address(LITECOIN, address)
    assert (address == address_of(MAINNET, script)) == (chain is MAINNET)
    assert address != address_of(LITECOIN, script)


@pytest.mark.parametrize("form", ["P2WPKH", "P2WSH", "P2TR"])
def test_upper_case_is_read_mixed_case_and_the_other_checksum_are_not(form: str) -> None:
    address = address_of(MAINNET, FORMS[form]) or ""
    assert parse_address(MAINNET, address.upper()) == address
    with pytest.raises(InvalidAddress, match="case"):
        parse_address(MAINNET, address[:-1] + address[-1].upper() + "Q")
    _, version, program = decode_segwit(address)
    for wrong in (with_checksum(version, program, 1), with_checksum(version, program, 0x2BC830A3)):
        if wrong != address:
            with pytest.raises(InvalidAddress, match="checksum"):
                parse_address(MAINNET, wrong)


def with_checksum(version: int, program: bytes, constant: int) -> str:
    """Write an address with bech32's checksum (1) or bech32m's, whichever belongs to it."""
    bits = "".join(f"{byte:08b}" for byte in program)
    bits += "0" * (-len(bits) % 5)
    values = [version, *(int(bits[at : at + 5], 2) for at in range(0, len(bits), 5))]
    prefix = [3, 3, 0, 2, 3]  # "bc", expanded
    state = 1
    for value in [*prefix, *values, *[0] * 6]:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(
            (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
        ):
            state ^= generator if top >> bit & 1 else 0
    state ^= constant
    values += [state >> 5 * (5 - place) & 31 for place in range(6)]
    return "bc1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[value] for value in values)


def test_the_addresses_of_bip_341() -> None:
    for row in load("bitcoin/bip341_addresses.json"):
        assert address_of(MAINNET, bytes.fromhex(row["scriptPubKey"])) == row["bip350Address"]


@pytest.mark.parametrize(
    ("chain", "name"), [(MAINNET, "bitcoin"), (TESTNET4, "testnet"), (LITECOIN, "litecoin")]
)
def test_random_keys_have_the_addresses_that_another_implementation_gives(
    chain: UtxoChain, name: str
) -> None:
    for _ in range(100):
        key = coincurve.PrivateKey()
        public_key = key.public_key.format()
        other = Key(key.secret.hex(), network=name)
        assert derive_address(chain, public_key) == other.address(encoding="bech32")
        old = address_of(chain, p2pkh_script(hash_key(public_key)))
        assert old == other.address(encoding="base58")
        assert parse_address(chain, f" {old}\n") == old


@pytest.mark.parametrize("chain", [MAINNET, TESTNET4, SIGNET, REGTEST, LITECOIN])
def test_every_kind_of_address_comes_back_from_its_script(chain: UtxoChain) -> None:
    for _ in range(50):
        short, long = secrets.token_bytes(20), secrets.token_bytes(32)
        for script in (
            p2pkh_script(short),
            p2sh_script(short),
            witness_script(0, short),
            witness_script(0, long),
            witness_script(1, long),
        ):
            address = address_of(chain, script)
            assert address is not None
            assert script_of(chain, address) == script
            assert parse_address(chain, address) == address


def test_leading_zeros_are_kept() -> None:
    for zeros in range(21):
        script = p2pkh_script(bytes(zeros) + b"\1" * (20 - zeros))
        address = address_of(MAINNET, script)
        assert address is not None
        assert script_of(MAINNET, address) == script
    assert address_of(MAINNET, p2pkh_script(bytes(20))) == "1111111111111111111114oLvT2"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "base 58"),
        ("bc1", "bech32"),
        ("bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyv", "checksum"),
        ("bc1qCR8te4kr609gcawutmrza0j4xv80jy8z306fyu", "case"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "checksum"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVNI", "base 58"),
        ("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "begins with tb1"),
        ("ltc1qg42tkwuuxefutzxezdkdel39gfstuap288mfea", "begins with ltc1"),
        ("mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r", "version is 111"),
        ("2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", "version is 196"),
        ("D7Y55r6Yoc1G8EECxkQ6SuSjTgGJJ7M6yD", "version is 30"),
        ("KyZpNDKnfs94vbrwhJneDi77V6jF64PWPF8x5cdJb8ifgg2DUc9d", "33 bytes"),
        ("bitcoin:bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", "no address of Bitcoin"),
        ("bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu?amount=1", "no address of Bitcoin"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "no address of Bitcoin"),
        ("bc1pfeessrawgf", "2 bytes"),
        ("1" * 121, "base 58"),
        ("1" * 33, "checksum"),
        ("bc1q" + "q" * 100, "bech32"),
        ("١BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "base 58"),
    ],
)
def test_mistakes_are_told_apart(text: str, hint: str) -> None:
    with pytest.raises(InvalidAddress, match=hint):
        parse_address(MAINNET, text)


def test_one_wrong_character_is_always_found() -> None:
    for right in (
        "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    ):
        for place in range(len(right)):
            for other in "qp2z":
                wrong = right[:place] + other + right[place + 1 :]
                if wrong != right:
                    with pytest.raises(InvalidAddress):
                        parse_address(MAINNET, wrong)


def test_an_old_script_address_of_litecoin_could_be_bitcoins_and_is_refused() -> None:
    script = p2sh_script(b"\1" * 20)
    ours = address_of(LITECOIN, script)
    assert ours is not None
    assert ours.startswith("M")
    with pytest.raises(InvalidAddress, match="version is 5"):
        parse_address(LITECOIN, encode_base58check(b"\5" + b"\1" * 20))


@pytest.mark.parametrize(
    "script",
    [
        "",
        "6a",
        "51",
        "0014" + "11" * 19,
        "0014" + "11" * 21,
        "0020" + "11" * 31,
        "5114" + "11" * 20,
        "5220" + "11" * 32,
        "51024e73",
        "76a914" + "11" * 20 + "88ad",
        "76a915" + "11" * 20 + "88ac",
        "a914" + "11" * 20 + "88",
        "21" + "02" * 33 + "ac",
        "5121" + "02" * 33 + "51ae",
        "76a914" + "11" * 20 + "88ac61",
    ],
)
def test_other_scripts_have_no_address(script: str) -> None:
    for chain in (MAINNET, REGTEST, LITECOIN):
        assert address_of(chain, bytes.fromhex(script)) is None


def test_paths_are_those_of_bip_84() -> None:
    assert adapter().key_path(0, 7) == "m/84'/0'/0'/0/7"
    assert adapter(TESTNET4).key_path(1, 0) == "m/84'/1'/0'/1/0"


def test_there_are_no_tokens() -> None:
    with pytest.raises(InvalidAddress, match="no tokens"):
        adapter().parse_contract("0x1234")


def test_networks_are_named_by_their_first_block() -> None:
    assert find_chain(CHAINS, "bip122:000000000019d6689c085ae165831e93") is MAINNET
    assert len({chain.network for chain in CHAINS}) == len(CHAINS)
    with pytest.raises(ValueError, match="Bitcoin signet"):
        find_chain(CHAINS, "bip122:12a765e31ffd4059bada1e25190f6e98")


HASH_20, HASH_32 = bytes(range(20)), bytes(range(32))


@pytest.mark.parametrize(
    "script",
    [
        p2pkh_script(HASH_20)[:-1],
        p2pkh_script(HASH_20) + b"\x51",
        p2pkh_script(HASH_20)[:-2] + b"\x88\xad",
        p2pkh_script(HASH_20)[:-2] + b"\x51\x88\xac",
        p2sh_script(HASH_20)[:-1],
        p2sh_script(HASH_20) + b"\x51",
        p2sh_script(HASH_20)[:-1] + b"\x88",
        p2sh_script(HASH_20)[:-1] + b"\x51\x87",
        witness_script(0, HASH_20) + b"\x51",
        witness_script(0, HASH_20)[:-1],
        witness_script(0, HASH_32) + b"\x51",
        witness_script(1, HASH_32) + b"\x51",
        witness_script(1, HASH_20),
    ],
    ids=bytes.hex,
)
@pytest.mark.parametrize("others", [0, 300])
def test_a_script_that_is_only_like_one_of_an_address_has_none(script: bytes, others: int) -> None:
    """Money under it would be credited, and nobody could spend it."""
    scripts = {p2pkh_script(hash_key(bytes([n % 256, n // 256]))) for n in range(others)}
    assert address_of(MAINNET, script) is None
    found = addresses_of(MAINNET, {script, *scripts})
    assert found.pop(script) is None
    assert found == {one: address_of(MAINNET, one) for one in scripts}
