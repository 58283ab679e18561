"""From configuration to an adapter: the one place that knows which kinds of chain there are.

What only one kind needs is imported when that kind is opened: a worker that is started again should
not first load what reads the chains that are not configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from chain_adapters.adapter import ChainAdapter
from chain_adapters.bitcoin.chains import CHAINS as BITCOIN
from chain_adapters.dogecoin.chains import CHAINS as DOGECOIN
from chain_adapters.litecoin.chains import CHAINS as LITECOIN
from chain_adapters.rpc import Observer, ignore_call
from chain_adapters.utxo.chain import UtxoChain
from settings.expand import expand
from settings.model import Network
from settings.url import check_url

if TYPE_CHECKING:
    from chain_adapters.simulated import SimulatedChain


def open_adapter(
    network: Network, contracts: Sequence[str] = (), observe: Observer = ignore_call
) -> ChainAdapter:
    """Return the adapter of a configured network. Nothing is connected before its first use.

    `contracts` are the tokens that are credited there, as configured.
    """
    return _OPENERS[network.kind](resolve(network), contracts, observe)


def resolve(network: Network) -> Network:
    """Put environment variables into addresses and headers.

    ValueError for one that is not set, and for an address that cannot be read.
    """
    urls = tuple(check_url(expand(url)) for url in network.rpc_urls)
    headers = {name: expand(value) for name, value in network.rpc_headers.items()}
    push_url = None if network.push_url is None else check_url(expand(network.push_url))
    return network.model_copy(
        update={"rpc_urls": urls, "rpc_headers": headers, "push_url": push_url}
    )


class _Common(TypedDict):
    """What every adapter that asks nodes over HTTP is opened with."""

    native_symbol: str
    headers: Mapping[str, str]
    poll_interval_s: float
    fee_minor_max: int
    observe: Observer


def _common(network: Network, observe: Observer) -> _Common:
    return _Common(
        native_symbol=network.native_asset,
        headers=network.rpc_headers,
        poll_interval_s=network.poll_interval_s,
        fee_minor_max=network.fee_minor_max,
        observe=observe,
    )


def _open_ethereum(network: Network, _: Sequence[str], observe: Observer) -> ChainAdapter:
    from chain_adapters.ethereum.adapter import EthereumAdapter

    common = _common(network, observe)
    return EthereumAdapter(
        network.network,
        network.rpc_urls,
        push_url=network.push_url,
        traces=network.traces,
        **common,
    )


def _open_simulated(network: Network, _: Sequence[str], __: Observer) -> ChainAdapter:
    from chain_adapters.simulated import SimulatedAdapter, SimulatedChain

    chain = _SIMULATED.setdefault(network.network, SimulatedChain(network.network))
    return SimulatedAdapter(chain, fee_minor_max=network.fee_minor_max)


def _open_solana(network: Network, _: Sequence[str], observe: Observer) -> ChainAdapter:
    from chain_adapters.solana.adapter import SolanaAdapter

    common = _common(network, observe)
    return SolanaAdapter(network.network, network.rpc_urls, push_url=network.push_url, **common)


def _open_stellar(network: Network, _: Sequence[str], observe: Observer) -> ChainAdapter:
    from chain_adapters.stellar.adapter import StellarAdapter

    return StellarAdapter(network.network, network.rpc_urls, **_common(network, observe))


def _open_ton(network: Network, contracts: Sequence[str], observe: Observer) -> ChainAdapter:
    from chain_adapters.ton.adapter import TonAdapter

    common = _common(network, observe)
    return TonAdapter(network.network, network.rpc_urls, contracts=contracts, **common)


def _open_tron(network: Network, _: Sequence[str], observe: Observer) -> ChainAdapter:
    from chain_adapters.tron.adapter import TronAdapter

    return TronAdapter(network.network, network.rpc_urls, **_common(network, observe))


def _open_utxo(chains: Sequence[UtxoChain]) -> _Opener:
    def open_one(network: Network, _: Sequence[str], observe: Observer) -> ChainAdapter:
        from chain_adapters.utxo.adapter import UtxoAdapter

        return UtxoAdapter(
            chains,
            network.network,
            network.rpc_urls,
            push_url=network.push_url,
            **_common(network, observe),
        )

    return open_one


_SIMULATED: dict[str, SimulatedChain] = {}
"""Simulated chains live as long as the process; all adapters of one network see the same."""

_Opener = Callable[[Network, Sequence[str], Observer], ChainAdapter]
"""Given the settings, the contracts of the tokens that are allowed, and who counts the calls."""

_OPENERS: dict[str, _Opener] = {
    "bitcoin": _open_utxo(BITCOIN),
    "dogecoin": _open_utxo(DOGECOIN),
    "ethereum": _open_ethereum,
    "litecoin": _open_utxo(LITECOIN),
    "simulated": _open_simulated,
    "solana": _open_solana,
    "stellar": _open_stellar,
    "ton": _open_ton,
    "tron": _open_tron,
}
