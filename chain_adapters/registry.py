"""From configuration to an adapter: the one place that knows which kinds of chain there are."""

from __future__ import annotations

from collections.abc import Callable

from chain_adapters.adapter import ChainAdapter
from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.rpc import Observer, ignore_call
from chain_adapters.simulated import SimulatedAdapter, SimulatedChain
from settings.model import Network


def open_adapter(network: Network, observe: Observer = ignore_call) -> ChainAdapter:
    """Return the adapter of a configured network. Nothing is connected before its first use."""
    return _OPENERS[network.kind](network, observe)


def _open_ethereum(network: Network, observe: Observer) -> ChainAdapter:
    return EthereumAdapter(
        network.network,
        network.rpc_urls,
        native_symbol=network.native_asset,
        websocket_url=network.websocket_url,
        traces=network.traces,
        poll_interval_s=network.poll_interval_s,
        fee_minor_max=network.fee_minor_max,
        observe=observe,
    )


def _open_simulated(network: Network, observe: Observer) -> ChainAdapter:  # noqa: ARG001
    chain = _SIMULATED.setdefault(network.network, SimulatedChain(network.network))
    return SimulatedAdapter(chain, fee_minor_max=network.fee_minor_max)


_SIMULATED: dict[str, SimulatedChain] = {}
"""Simulated chains live as long as the process; all adapters of one network see the same."""

_OPENERS: dict[str, Callable[[Network, Observer], ChainAdapter]] = {
    "ethereum": _open_ethereum,
    "simulated": _open_simulated,
}
