"""What the contract of a token tells of itself (EIP-20)."""

from __future__ import annotations

from chain_adapters.abi import read_token
from chain_adapters.ethereum import wire
from chain_adapters.ethereum.quoting import is_reverted
from chain_adapters.rpc import Absent, Endpoint, Reply, Request, result_of
from chain_adapters.types import Token

DECIMALS = "0x313ce567"
"""First four bytes of keccak256("decimals()")."""
SYMBOL = "0x95d89b41"
"""First four bytes of keccak256("symbol()")."""


async def fetch_token(endpoint: Endpoint, contract: str) -> Token:
    """Return what a contract tells of itself as a token; Absent if there is no contract."""
    code, decimals, symbol = await endpoint.call(
        [
            Request("eth_getCode", (contract, "latest")),
            *(
                Request("eth_call", ({"to": contract, "data": data}, "latest"))
                for data in (DECIMALS, SYMBOL)
            ),
        ]
    )
    if wire.decode_text(result_of(code)) == "0x":
        raise Absent("there is no contract at the token's address")
    return read_token(_answer_of(decimals), _answer_of(symbol))


def _answer_of(reply: Reply) -> bytes:
    """Return what a call answered: nothing, if the contract has no such function."""
    if is_reverted(reply):
        return b""
    return bytes.fromhex(wire.decode_text(result_of(reply)).removeprefix("0x"))
