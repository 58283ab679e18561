"""Addresses and the output scripts that they stand for.

The canonical form is the customary one: base 58 for P2PKH and P2SH, bech32 for P2WPKH and P2WSH
(BIP-84, BIP-141), bech32m for P2TR (BIP-350, BIP-86). All other scripts have no address: bare keys
(P2PK), bare multisig, data, witness versions that nobody can spend yet. Addresses are read from
scripts, never from what a node calls the address.
"""

from __future__ import annotations

from collections.abc import Set
from hashlib import new, sha256

from chain_adapters.types import InvalidAddress
from chain_adapters.utxo.base58 import decode_base58check, encode_base58check, encode_many
from chain_adapters.utxo.bech32 import decode_segwit, encode_segwit
from chain_adapters.utxo.chain import UtxoChain

_P2PKH_HEAD, _P2PKH_TAIL = bytes.fromhex("76a914"), bytes.fromhex("88ac")
_P2SH_HEAD, _P2SH_TAIL = bytes.fromhex("a914"), bytes.fromhex("87")
_P2WPKH_HEAD = bytes.fromhex("0014")
_P2WSH_HEAD = bytes.fromhex("0020")
_P2TR_HEAD = bytes.fromhex("5120")
_PROGRAM_LENGTHS = {0: (20, 32), 1: (32,)}
"""Witness programs that someone can spend (BIP-141, BIP-341)."""


def hash_key(public_key: bytes) -> bytes:
    """Return RIPEMD-160 of SHA-256, which stands for a key or a script."""
    return new("ripemd160", sha256(public_key).digest()).digest()


def p2pkh_script(key_hash: bytes) -> bytes:
    """Return the script that asks for a key by its hash."""
    return _P2PKH_HEAD + key_hash + _P2PKH_TAIL


def p2sh_script(script_hash: bytes) -> bytes:
    """Return the script that asks for a script by its hash (BIP-16)."""
    return _P2SH_HEAD + script_hash + _P2SH_TAIL


def witness_script(version: int, program: bytes) -> bytes:
    """Return the script of a witness program (BIP-141)."""
    return bytes((version + 0x50 if version else 0, len(program))) + program


def key_hash_of(script: bytes) -> bytes | None:
    """Return the key hash that a P2PKH or P2WPKH script asks for, None for others."""
    if is_p2wpkh(script):
        return script[2:]
    if is_p2pkh(script):
        return script[3:23]
    return None


def is_p2wpkh(script: bytes) -> bool:
    """Whether it pays to a key by a witness."""
    return len(script) == 22 and script.startswith(_P2WPKH_HEAD)


def is_p2pkh(script: bytes) -> bool:
    """Whether it pays to a key in the old way."""
    return len(script) == 25 and script.startswith(_P2PKH_HEAD) and script.endswith(_P2PKH_TAIL)


def is_witness(script: bytes) -> bool:
    """Whether it is a witness program of any version (BIP-141)."""
    return (
        4 <= len(script) <= 42
        and (script[0] == 0 or 0x51 <= script[0] <= 0x60)
        and script[1] == len(script) - 2
    )


def address_of(chain: UtxoChain, script: bytes) -> str | None:
    """Return the address of an output script, None if it has none."""
    payload = _base58_payload(chain, script)
    return _segwit_address(chain, script) if payload is None else encode_base58check(payload)


def addresses_of(chain: UtxoChain, scripts: Set[bytes]) -> dict[bytes, str | None]:
    """Return the address of each script, None for those that have none. Hot."""
    found: dict[bytes, str | None] = {}
    p2pkh, p2sh = [], []
    for script in scripts:
        if script[23:] == _P2PKH_TAIL and script[:3] == _P2PKH_HEAD:
            p2pkh.append(script)
        elif script[22:] == _P2SH_TAIL and script[:2] == _P2SH_HEAD:
            p2sh.append(script)
        else:
            found[script] = _segwit_address(chain, script)
    addresses = encode_many(chain.p2pkh_version, [script[3:23] for script in p2pkh])
    found.update(zip(p2pkh, addresses, strict=True))
    addresses = encode_many(chain.p2sh_version, [script[2:22] for script in p2sh])
    found.update(zip(p2sh, addresses, strict=True))
    return found


def _base58_payload(chain: UtxoChain, script: bytes) -> bytes | None:
    """Return version and hash of a P2PKH or P2SH script, None for others."""
    length = len(script)
    if length == 25 and script.startswith(_P2PKH_HEAD) and script.endswith(_P2PKH_TAIL):
        return chain.p2pkh_version.to_bytes() + script[3:23]
    if length == 23 and script.startswith(_P2SH_HEAD) and script.endswith(_P2SH_TAIL):
        return chain.p2sh_version.to_bytes() + script[2:22]
    return None


def _segwit_address(chain: UtxoChain, script: bytes) -> str | None:
    """Return the address of a witness program that someone can spend, None for other scripts."""
    length, prefix = len(script), chain.bech32_prefix
    if length == 22 and prefix and script.startswith(_P2WPKH_HEAD):
        return encode_segwit(prefix, 0, script[2:])
    if length == 34 and prefix and script.startswith((_P2WSH_HEAD, _P2TR_HEAD)):
        return encode_segwit(prefix, 1 if script[0] else 0, script[2:])
    return None


def script_of(chain: UtxoChain, text: str) -> bytes:
    """Return the output script of an address in any customary form. Raises InvalidAddress."""
    text = text.strip()
    try:
        if looks_like_bech32(chain, text):
            return _segwit_script(chain, text)
        return _base58_script(chain, text)
    except ValueError as error:
        raise InvalidAddress(f"this is no address of {chain.name}: {error}") from None


def looks_like_bech32(chain: UtxoChain, text: str) -> bool:
    """Whether a text can only be meant as bech32: base 58 has no 0 and no such prefix."""
    prefix = text.lower().rpartition("1")[0]
    return prefix == chain.bech32_prefix or prefix in _KNOWN_PREFIXES or "0" in text


_KNOWN_PREFIXES = frozenset({"bc", "tb", "bcrt", "ltc", "tltc", "rltc", "doge", "tdge"})


def _segwit_script(chain: UtxoChain, text: str) -> bytes:
    if chain.bech32_prefix is None:
        raise ValueError("there are no bech32 addresses")
    prefix, version, program = decode_segwit(text)
    if prefix != chain.bech32_prefix:
        raise ValueError(f"it begins with {prefix}1, not {chain.bech32_prefix}1")
    if version not in _PROGRAM_LENGTHS:
        raise ValueError(f"nobody can spend from witness version {version} yet")
    if len(program) not in _PROGRAM_LENGTHS[version]:
        raise ValueError(f"its program has {len(program)} bytes")
    return witness_script(version, program)


def _base58_script(chain: UtxoChain, text: str) -> bytes:
    payload = decode_base58check(text)
    version, body = payload[0], payload[1:]
    if len(body) != 20:
        raise ValueError(f"it holds {len(body)} bytes, not 20")
    if version == chain.p2pkh_version:
        return p2pkh_script(body)
    if version == chain.p2sh_version:
        return p2sh_script(body)
    raise ValueError(f"its version is {version}, that of another network")


def parse_address(chain: UtxoChain, text: str) -> str:
    """Return the canonical form of an address. Raises InvalidAddress."""
    address = address_of(chain, script_of(chain, text))
    if address is None:
        raise AssertionError
    return address


def derive_address(chain: UtxoChain, public_key: bytes) -> str:
    """Return the receiving address of a compressed key: P2WPKH, or P2PKH without witnesses."""
    key_hash = hash_key(public_key)
    if chain.bech32_prefix is not None:
        return encode_segwit(chain.bech32_prefix, 0, key_hash)
    return encode_base58check(bytes((chain.p2pkh_version,)) + key_hash)
