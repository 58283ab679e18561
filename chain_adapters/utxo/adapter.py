"""The adapter of Bitcoin and of the chains made from it, by the RPC of their Core nodes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from chain_adapters.destination import plain_destination
from chain_adapters.rpc import Endpoint, Observer, RpcClient, ignore_call
from chain_adapters.types import (
    Block,
    Broadcast,
    Coin,
    Destination,
    Holding,
    InvalidAddress,
    KeyScheme,
    Payment,
    Quote,
    SignedTransaction,
    Spending,
    Tip,
    Token,
    UnsignedTransaction,
)
from chain_adapters.utxo import pay, quoting, reading, sending, spending
from chain_adapters.utxo.address import derive_address, parse_address
from chain_adapters.utxo.chain import UtxoChain, find_chain
from chain_adapters.utxo.tip import TipWatcher

SCAN_TIMEOUT_S = 600.0
"""Scanning all unspent outputs of a large chain takes minutes."""
REQUESTS_MAX = 4
"""At a time, of one process. Core works at four (-rpcthreads) and lets sixteen more wait
(-rpcworkqueue); beyond that it refuses whoever asks: "Work queue depth exceeded".
"""


class UtxoAdapter:
    """Reads and pays on one network. Addresses are canonical in their customary form.

    Read are all outputs that have an address. Senders are known where a transaction spends from
    one address only and the node tells what is spent.
    """

    native_decimals = 8
    key_scheme = KeyScheme.SECP256K1
    in_flight_max: int | None = None
    opt_in_tokens: bool = False

    def __init__(
        self,
        chains: Sequence[UtxoChain],
        network: str,
        rpc_urls: Sequence[str],
        *,
        native_symbol: str,
        push_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        poll_interval_s: float = 1.0,
        silence_s: float = 30.0,
        timeout_s: float = 30.0,
        fee_minor_max: int | None = None,
        observe: Observer = ignore_call,
    ) -> None:
        """`network` is that of one of `chains`; every endpoint is held to it.

        `push_url` is what the node's -zmqpubhashblock says. URLs may hold user and password.
        """
        self.chain = find_chain(chains, network)
        self.network = network
        self.native_symbol = native_symbol
        cap = self.chain.fee_minor_cap
        self._fee_minor_cap = cap if fee_minor_max is None else min(cap, fee_minor_max)
        self._bidder = quoting.FeeBidder(self.chain)
        self._push_url = push_url
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s

        def client(answer_s: float) -> RpcClient:
            identify = reading.require_genesis(self.chain)
            return RpcClient(
                network,
                rpc_urls,
                identify=identify,
                headers=headers,
                timeout_s=answer_s,
                requests_max=REQUESTS_MAX,
                observe=observe,
            )

        self._rpc = client(timeout_s)
        self._scans = client(SCAN_TIMEOUT_S)

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader. Announced over ZeroMQ while that works, polled otherwise."""
        return TipWatcher(
            self._rpc,
            self._push_url,
            poll_interval_s=self._poll_interval_s,
            silence_s=self._silence_s,
        ).watch()

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader."""

        async def read(endpoint: Endpoint) -> Block:
            return await reading.read_block(endpoint, self.chain, height)

        return await self._rpc.find(read)

    async def fetch_balances(self, holdings: Sequence[Holding], height: int) -> list[int]:  # noqa: ARG002
        """See ChainReader. Always of the node's latest block: it keeps no older states."""
        if any(holding.contract is not None for holding in holdings):
            raise ValueError(f"{self.chain.name} has no tokens")
        if not holdings:
            return []
        addresses = [holding.address for holding in holdings]

        async def read(endpoint: Endpoint) -> list[int]:
            return await reading.read_balances(endpoint, self.chain, addresses)

        return await self._scans.first(read)

    async def fetch_token(self, contract: str) -> Token | None:  # noqa: ARG002
        """See ChainReader. There are no tokens."""
        return None

    def parse_address(self, text: str) -> str:
        """See ChainReader."""
        return parse_address(self.chain, text)

    def parse_contract(self, text: str) -> str:  # noqa: ARG002
        """See ChainReader. There are no tokens."""
        raise InvalidAddress(f"{self.chain.name} has no tokens")

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """See ChainReader. There are no memos."""
        return plain_destination(self.parse_address(address), memo)

    def key_path(self, branch: int, index: int) -> str:
        """See ChainPayer. BIP-84, or BIP-44 where there is no segregated witness."""
        purpose = 44 if self.chain.bech32_prefix is None else 84
        return f"m/{purpose}'/{self.chain.coin_type}'/0'/{branch}/{index}"

    def derive_address(self, public_key: bytes, key_path: str) -> str:  # noqa: ARG002
        """See ChainPayer. P2WPKH, or P2PKH where there is no segregated witness."""
        return derive_address(self.chain, public_key)

    def make_memo(self, number: int) -> str | None:  # noqa: ARG002
        """See ChainPayer. There are no memos."""
        return None

    def show_address(self, address: str) -> str:
        """See ChainPayer. The canonical form is the customary one."""
        return address

    async def quote(self, payment: Payment) -> Quote:
        """See ChainPayer and quoting.quote. The fee is that of a payment of three coins."""

        async def ask(endpoint: Endpoint) -> Quote:
            return await quoting.quote(
                endpoint, self.chain, payment, self._bidder, self._fee_minor_cap
            )

        return await self._rpc.first(ask)

    def build(
        self,
        payment: Payment,
        quote: Quote,
        nonce: int | None,
        *,
        coins: Sequence[Coin] = (),
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """See ChainPayer and pay.build. There are no nonces."""
        if nonce is not None:
            raise ValueError(f"{self.chain.name} has no nonces")
        return pay.build(
            self.chain, payment, quote, coins, replaces, fee_minor_cap=self._fee_minor_cap
        )

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """See ChainPayer and pay.assemble."""
        return pay.assemble(self.chain, unsigned, signatures)

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """See ChainPayer and sending.find_out for what counts as which outcome."""

        async def send(endpoint: Endpoint) -> Broadcast:
            return await sending.broadcast(endpoint, signed)

        return await self._rpc.first(send)

    async def fetch_spending(self, transaction_id: str) -> Spending | None:
        """See CoinReader."""

        async def ask(endpoint: Endpoint) -> Spending | None:
            return await spending.fetch_spending(endpoint, self.chain, transaction_id)

        return await self._rpc.first(ask)

    async def close(self) -> None:
        """See ChainReader."""
        await self._rpc.close()
        await self._scans.close()
