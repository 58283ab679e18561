"""The adapter of Ethereum and of chains that speak its JSON-RPC (EIP-1474, execution-apis)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

import structlog

from chain_adapters.destination import plain_destination
from chain_adapters.ethereum import pay, quoting, sending, tokens
from chain_adapters.ethereum.address import derive_address, parse_address, show_address
from chain_adapters.ethereum.heads import TipWatcher
from chain_adapters.ethereum.identity import require_chain
from chain_adapters.ethereum.reading import BlockReader, Traces, TracesMissing
from chain_adapters.rpc import Endpoint, Observer, RpcClient, ignore_call
from chain_adapters.types import (
    Block,
    Broadcast,
    Coin,
    Destination,
    Holding,
    KeyScheme,
    Payment,
    Quote,
    SignedTransaction,
    Tip,
    Token,
    UnsignedTransaction,
)

_log = structlog.get_logger()

BALANCES_A_POST = 50
"""Balances asked for in one batch: gateways limit how many calls they take at once."""


class EthereumAdapter:
    """Reads and pays on one Ethereum network.

    Read are: ether carried by transactions, ether moved by inner calls (where blocks can be
    traced), and ERC-20 Transfer events of every contract; which of these are money is for others
    to say. Not read: validator withdrawals and block rewards.
    """

    native_decimals = 18
    key_scheme = KeyScheme.SECP256K1
    in_flight_max: int | None = None
    opt_in_tokens: bool = False

    def __init__(
        self,
        network: str,
        rpc_urls: Sequence[str],
        *,
        native_symbol: str = "ETH",
        push_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        traces: Traces = "auto",
        poll_interval_s: float = 1.0,
        silence_s: float = 15.0,
        timeout_s: float = 10.0,
        fee_minor_max: int = 10**18,
        observe: Observer = ignore_call,
    ) -> None:
        """`network` is "eip155:<chain id>"; every endpoint is held to it. A WebSocket pushes.

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
            network,
            rpc_urls,
            identify=require_chain(self._chain_id),
            headers=headers,
            timeout_s=timeout_s,
            observe=observe,
        )
        self._reader = BlockReader(traces)
        self._push_url = push_url
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader. Pushed while the WebSocket works, polled otherwise."""
        return TipWatcher(
            self._rpc,
            self._push_url,
            chain_id=self._chain_id,
            poll_interval_s=self._poll_interval_s,
            silence_s=self._silence_s,
        ).watch()

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader. Block, receipts and traces come from one endpoint."""

        async def read(endpoint: Endpoint) -> Block:
            return await self._reader.read_block(endpoint, height)

        try:
            return await self._rpc.find(read)
        except TracesMissing:
            if not self._reader.give_up_traces():
                raise
        _log.warning("transfers made inside contracts are not read", network=self.network)
        return await self.fetch_block(height)

    async def fetch_balances(self, holdings: Sequence[Holding], height: int) -> list[int]:
        """See ChainReader. Needs a node that still has the state of `height`."""
        requests = [quoting.balance_request(holding, hex(height)) for holding in holdings]

        async def read(endpoint: Endpoint) -> list[int]:
            replies = [
                reply
                for start in range(0, len(requests), BALANCES_A_POST)
                for reply in await endpoint.call(requests[start : start + BALANCES_A_POST])
            ]
            return [quoting.balance_of(reply) for reply in replies]

        return await self._rpc.first(read) if requests else []

    async def fetch_token(self, contract: str) -> Token | None:
        """See ChainReader and tokens.fetch_token."""
        return await self._rpc.find(lambda endpoint: tokens.fetch_token(endpoint, contract))

    def parse_address(self, text: str) -> str:
        """See ChainReader. Mixed case must carry the right EIP-55 checksum."""
        return parse_address(text)

    def show_address(self, address: str) -> str:
        """See ChainPayer. EIP-55."""
        return show_address(address)

    def parse_contract(self, text: str) -> str:
        """See ChainReader. The address of the token's contract."""
        return parse_address(text)

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """See ChainReader. There are no memos."""
        return plain_destination(parse_address(address), memo)

    def key_path(self, branch: int, index: int) -> str:
        """See ChainPayer. BIP-44."""
        return f"m/44'/60'/0'/{branch}/{index}"

    def derive_address(self, public_key: bytes, key_path: str) -> str:  # noqa: ARG002
        """See ChainPayer."""
        return derive_address(public_key)

    def make_memo(self, number: int) -> str | None:  # noqa: ARG002
        """See ChainPayer. There are no memos."""
        return None

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
        coins: Sequence[Coin] = (),  # noqa: ARG002
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
