"""From configuration to an adapter: the one place that knows which kinds of chain there are."""

from __future__ import annotations

from chain_adapters.adapter import ChainAdapter
from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.rpc import Observer, ignore_call
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


_OPENERS = {"ethereum": _open_ethereum}
