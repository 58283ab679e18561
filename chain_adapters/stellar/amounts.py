"""Amounts, assets and numbers in Horizon's spelling and in ours."""

from __future__ import annotations

from chain_adapters.stellar.network import DECIMALS
from chain_adapters.types import NodeUnavailable

_UNIT: int = 10**DECIMALS
_CREDIT_TYPES = frozenset({"credit_alphanum4", "credit_alphanum12"})


def to_minor(text: str) -> int:
    """Return stroops. NodeUnavailable if it is not a plain decimal with up to seven places."""
    whole, point, fraction = text.partition(".")
    if not (whole.isdecimal() and text.isascii()) or len(fraction) > DECIMALS:
        raise NodeUnavailable("an amount is not a decimal number")
    if point and not fraction.isdecimal():
        raise NodeUnavailable("an amount is not a decimal number")
    return int(whole) * _UNIT + int(fraction.ljust(DECIMALS, "0"))


def from_minor(amount_minor: int) -> str:
    """Return stroops as a decimal with seven places."""
    return f"{amount_minor // _UNIT}.{amount_minor % _UNIT:07d}"


def to_number(value: int | str) -> int:
    """Return a number of the wire, which is never negative."""
    if isinstance(value, int):
        number = value
    elif value.isascii() and value.isdecimal():
        number = int(value)
    else:
        raise NodeUnavailable("a number has other characters than digits")
    if not 0 <= number < 2**64:
        raise NodeUnavailable("a number does not fit into 64 bits")
    return number


def contract_of(kind: str | None, code: str | None, issuer: str | None) -> str | None:
    """Return "CODE:ISSUER", None for the native asset.

    NodeUnavailable for anything else: a missing field must never make lumens of an asset.
    """
    if kind == "native" and code is None and issuer is None:
        return None
    if kind in _CREDIT_TYPES and code and issuer and len(code) <= 12 and len(issuer) == 56:
        return f"{code}:{issuer}"
    raise NodeUnavailable("an asset is not told by type, code and issuer")


def is_issuer(address: str, contract: str | None) -> bool:
    """Whether an asset is the address's own: it makes what it pays, and destroys what it gets."""
    return contract is not None and contract.endswith(":" + address)
