"""Addresses of TON: canonical is raw in lower case ("0:…"), customary is the friendly form.

Forms: raw "workchain:64 hex digits", and the user-friendly one of TEP-2: 36 bytes in base64 or
base64url — a tag, the workchain, the account's hash, a checksum.
"""

from __future__ import annotations

import base64
import binascii
import re

from chain_adapters.types import InvalidAddress

_RAW = re.compile(r"(-1|0):([0-9a-fA-F]{64})", re.ASCII)
_FRIENDLY = re.compile(r"[-_+/A-Za-z0-9]{48}", re.ASCII)

BOUNCEABLE = 0x11
NON_BOUNCEABLE = 0x51
TEST_ONLY = 0x80
"""Tags of TEP-2; the last is added to one of the others."""


def parse_address(text: str, *, test_network: bool = False) -> str:
    """Return the canonical form of any form, or raise InvalidAddress saying what was expected.

    Forms marked as test-only (kQ…, 0Q…) are refused on a network that is none. Unmarked ones are
    good everywhere, as raw ones are. The account of zeros is refused: nobody has it.
    """
    address = text.strip()
    if _RAW.fullmatch(address):
        return _refuse_zeros(address.lower())
    if not _FRIENDLY.fullmatch(address):
        raise InvalidAddress("expected 48 characters (UQ… or EQ…), or 0: and 64 hexadecimal digits")
    return _refuse_zeros(_parse_friendly(address, test_network=test_network))


def _parse_friendly(address: str, *, test_network: bool) -> str:
    data = base64.urlsafe_b64decode(address.replace("+", "-").replace("/", "_"))
    if binascii.crc_hqx(data[:34], 0) != int.from_bytes(data[34:]):
        raise InvalidAddress("the checksum does not match: a character is wrong")
    tag, workchain = data[0], int.from_bytes(data[1:2], signed=True)
    if tag & ~TEST_ONLY not in {BOUNCEABLE, NON_BOUNCEABLE} or workchain not in {-1, 0}:
        raise InvalidAddress("no account of the basechain or the masterchain")
    if tag & TEST_ONLY and not test_network:
        raise InvalidAddress("this address is marked as one of a test network")
    return f"{workchain}:{data[2:34].hex()}"


def _refuse_zeros(address: str) -> str:
    if address.endswith(64 * "0"):
        raise InvalidAddress("the account of zeros belongs to nobody: money sent there is lost")
    return address


def show_address(address: str, *, test_network: bool = False, bounceable: bool = False) -> str:
    """Return the friendly form, by default the one that is safe before the wallet is deployed."""
    workchain, _, account = address.partition(":")
    tag = (BOUNCEABLE if bounceable else NON_BOUNCEABLE) | (TEST_ONLY if test_network else 0)
    data = bytes([tag]) + int(workchain).to_bytes(1, signed=True) + bytes.fromhex(account)
    return base64.urlsafe_b64encode(data + binascii.crc_hqx(data, 0).to_bytes(2)).decode()
