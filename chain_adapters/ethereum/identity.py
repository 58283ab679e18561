"""Which network an endpoint serves, by its chain id (EIP-695)."""

from __future__ import annotations

from chain_adapters.ethereum import wire
from chain_adapters.rpc import Endpoint, Identify, Request, result_of
from chain_adapters.types import WrongNetwork


def require_chain(chain_id: int) -> Identify:
    """Return the check that an endpoint serves this chain."""

    async def identify(endpoint: Endpoint) -> None:
        (reply,) = await endpoint.call([Request("eth_chainId")])
        refuse_other_chain(wire.decode_text(result_of(reply)), chain_id, endpoint.host)

    return identify


def refuse_other_chain(answer: str, chain_id: int, host: str) -> None:
    """Raise WrongNetwork unless `answer`, in hex, is `chain_id`."""
    found = int(answer, 16)
    if found != chain_id:
        raise WrongNetwork(f"{host} serves chain {found}, not {chain_id}")
