"""Asking one endpoint of java-tron's HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from chain_adapters.rpc import Absent, Endpoint, MethodMissing
from chain_adapters.tron import wire
from chain_adapters.types import NodeUnavailable

_A = TypeVar("_A", bound=wire.Answer)

SOLIDITY = "walletsolidity"
"""The state of the latest solidified block. java-tron serves it on a port of its own."""


def _decoder(kind: type[_A]) -> Callable[[bytes], _A]:
    return msgspec.json.Decoder(kind).decode


decode_head = _decoder(wire.HeadAnswer)
decode_block = _decoder(wire.BlockAnswer)
decode_account = _decoder(wire.AccountAnswer)
decode_resources = _decoder(wire.ResourceAnswer)
decode_parameters = _decoder(wire.ParametersAnswer)
decode_constant = _decoder(wire.ConstantAnswer)
decode_broadcast = _decoder(wire.BroadcastAnswer)
decode_node_info = _decoder(wire.NodeInfoAnswer)
decode_place = _decoder(wire.PlaceAnswer)
decode_infos = msgspec.json.Decoder(list[wire.Info]).decode


async def post(endpoint: Endpoint, path: str, body: dict[str, object]) -> bytes:
    """Return the raw answer. MethodMissing if the endpoint does not serve `path`."""
    status, raw = await endpoint.ask(path, path, body=body)
    if status in {404, 405}:
        raise MethodMissing(f"{path}: HTTP status {status}")
    if status != 200:
        raise NodeUnavailable(f"{path}: HTTP status {status}")
    return raw


def read(raw: bytes, decode: Callable[[bytes], _A]) -> _A:
    """Decode an answer. Raises Absent for {} and NodeUnavailable for the node's own error."""
    if raw.strip() == b"{}":
        raise Absent("the node does not have it")
    answer = decode(raw)
    if answer.error is not None:
        raise NodeUnavailable(answer.error.strip()[:200])
    return answer


async def ask(endpoint: Endpoint, path: str, decode: Callable[[bytes], _A], **body: object) -> _A:
    """Post and decode. Raises what `post` and `read` raise."""
    return read(await post(endpoint, path, body), decode)


async def fetch_account(
    endpoint: Endpoint, address: str, state: str = "wallet"
) -> wire.AccountAnswer:
    """Return an account; one without address if it was never activated."""
    try:
        account = await ask(endpoint, f"{state}/getaccount", decode_account, address=address)
    except Absent:
        return wire.AccountAnswer()
    if account.address is None:
        raise NodeUnavailable("the node's answer is no account")
    return account


async def fetch_resources(endpoint: Endpoint, address: str) -> wire.ResourceAnswer:
    """Return an account's bandwidth and energy; nothing of either if it was never activated."""
    try:
        return await ask(endpoint, "wallet/getaccountresource", decode_resources, address=address)
    except Absent:
        return wire.ResourceAnswer()


async def call_constant(
    endpoint: Endpoint,
    owner: str,
    contract: str,
    function: str,
    words: bytes,
    *,
    state: str = "wallet",
) -> wire.ConstantAnswer:
    """Run a contract's function on the node without a transaction."""
    return await ask(
        endpoint,
        f"{state}/triggerconstantcontract",
        decode_constant,
        owner_address=owner,
        contract_address=contract,
        function_selector=function,
        parameter=words.hex(),
    )


def read_message(text: str) -> str:
    """Return a message of the node, which is hex in some answers and plain in others."""
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        return text
