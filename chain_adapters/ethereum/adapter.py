"""The adapter of Ethereum and of chains that speak its JSON-RPC (EIP-1474, execution-apis)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import structlog

from chain_adapters.ethereum import pay, quoting, sending
from chain_adapters.ethereum.address import derive_address, parse_address, show_address
from chain_adapters.ethereum.heads import TipWatcher
from chain_adapters.ethereum.reading import BlockReader, Traces, TracesMissing
from chain_adapters.rpc import Absent, Endpoint, Observer, Request, RpcClient, ignore_call
from chain_adapters.types import (
    Block,
    Broadcast,
    Curve,
    Payment,
    Quote,
    SignedTransaction,
    Tip,
    UnsignedTransaction,
)

_log = structlog.get_logger()


class EthereumAdapter:
    """Reads and pays on one Ethereum network.

    Read are: ether carried by transactions, ether moved by inner calls (where blocks can be
    traced), and ERC-20 Transfer events of every contract; which of these are money is for others
    to say. Not read: validator withdrawals and block rewards.
    """

    native_decimals = 18
    curve = Curve.SECP256K1
    key_path_pattern = "m/44'/60'/0'/{branch}/{index}"

    def __init__(
        self,
        network: str,
        rpc_urls: Sequence[str],
        *,
        native_symbol: str = "ETH",
        websocket_url: str | None = None,
        traces: Traces = "auto",
        poll_interval_s: float = 1.0,
        silence_s: float = 15.0,
        timeout_s: float = 10.0,
        fee_minor_max: int = 10**18,
        observe: Observer = ignore_call,
    ) -> None:
        """`network` is "eip155:<chain id>"; every endpoint is held to it.

        `silence_s` is how long a WebSocket may push nothing, or the polled tip may stand still,
        before other ways are tried.
        """
        namespace, _, reference = network.partition(":")
        if namespace != "eip155":
            raise ValueError(f"{network} is no network of Ethereum's kind")
        self.network = network
        self.native_symbol = native_symbol
        self._chain_id = int(reference)
        self._fee_minor_max = fee_minor_max
        self._rpc = RpcClient(
            network, rpc_urls, chain_id=self._chain_id, timeout_s=timeout_s, observe=observe
        )
        self._reader = BlockReader(traces)
        self._websocket_url = websocket_url
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader. Pushed while the WebSocket works, polled otherwise."""
        return TipWatcher(
            self._rpc,
            self._websocket_url,
            poll_interval_s=self._poll_interval_s,
            silence_s=self._silence_s,
        ).watch()

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader. Block, receipts and traces come from one endpoint."""

        async def read(endpoint: Endpoint) -> Block:
            return await self._reader.read_block(endpoint, height)

        try:
            return await self._rpc.first(read)
        except Absent:
            return None
        except TracesMissing:
            if not self._reader.give_up_traces():
                raise
        _log.warning("transfers made inside contracts are not read", network=self.network)
        return await self.fetch_block(height)

    async def fetch_balance(self, address: str, contract: str | None, height: int) -> int:
        """See ChainReader. Needs a node that still has the state of `height`."""
        request = (
            Request("eth_getBalance", (address, hex(height)))
            if contract is None
            else quoting.balance_call(address, contract, hex(height))
        )

        async def read(endpoint: Endpoint) -> int:
            (reply,) = await endpoint.call([request])
            return quoting.balance_of(reply)

        return await self._rpc.first(read)

    def parse_address(self, text: str) -> str:
        """See ChainReader. Mixed case must carry the right EIP-55 checksum."""
        return parse_address(text)

    def show_address(self, address: str) -> str:
        """See ChainPayer. EIP-55."""
        return show_address(address)

    def derive_address(self, public_key: bytes) -> str:
        """See ChainPayer."""
        return derive_address(public_key)

    async def quote(self, payment: Payment) -> Quote:
        """See ChainPayer and quoting.quote for the reasons of refusal."""

        async def ask(endpoint: Endpoint) -> Quote:
            return await quoting.quote(endpoint, payment, self._fee_minor_max)

        return await self._rpc.first(ask)

    def build(
        self,
        payment: Payment,
        quote: Quote,
        nonce: int | None,
        *,
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """See ChainPayer and pay.build."""
        return pay.build(
            payment,
            quote,
            nonce,
            replaces,
            chain_id=self._chain_id,
            fee_minor_cap=self._fee_minor_max,
        )

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """See ChainPayer and pay.assemble."""
        return pay.assemble(unsigned, signatures)

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """See ChainPayer and sending.classify for what counts as which outcome."""
        return await sending.broadcast(self._rpc, signed)

    async def close(self) -> None:
        """See ChainReader."""
        await self._rpc.close()
