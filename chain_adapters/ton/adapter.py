"""The adapter of TON's networks, over the HTTP interface of toncenter (version 3)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from chain_adapters.polling import watch_tip
from chain_adapters.rpc import Endpoint, Observer, RpcClient, ignore_call
from chain_adapters.ton import balances, content, heads, pay, quoting, sending
from chain_adapters.ton.address import parse_address, show_address
from chain_adapters.ton.constants import GLOBAL_IDS, TEST_NETWORKS
from chain_adapters.ton.keys import Owners
from chain_adapters.ton.memo import parse_memo
from chain_adapters.ton.reading import BlockReader
from chain_adapters.ton.tokens import Tokens
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
    Tip,
    Token,
    UnsignedTransaction,
)


class TonAdapter:
    """Reads and pays on one network of TON.

    A block is a masterchain block with all shard blocks that it committed. Read are native money
    and the allow-listed jettons (see `decode`); not read are NFTs and extra currencies. Paid is
    from wallets v4R2 (see `pay`). Before the first payment of a wallet that is not deployed,
    `derive_address` must have been called for it in this process: its address does not tell its
    key.
    """

    native_decimals = 9
    key_scheme = KeyScheme.TON
    in_flight_max: int | None = 1
    opt_in_tokens: bool = False
    """A wallet accepts its next sequence number only."""

    def __init__(
        self,
        network: str,
        rpc_urls: Sequence[str],
        *,
        native_symbol: str = "TON",
        contracts: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        poll_interval_s: float = 1.0,
        silence_s: float = 30.0,
        timeout_s: float = 10.0,
        fee_minor_max: int = 500_000_000,
        observe: Observer = ignore_call,
    ) -> None:
        """`network` is one of GLOBAL_IDS; every endpoint ("…/api/v3") is held to it.

        `contracts` are the masters of the jettons that are read, in any form of address.
        `silence_s` is how long the tip may stand still before other endpoints are tried.
        """
        if network not in GLOBAL_IDS:
            raise ValueError(f"{network} is no network of TON: {', '.join(GLOBAL_IDS)} are")
        self.network = network
        self.native_symbol = native_symbol
        self._test = network in TEST_NETWORKS
        self._fee_minor_max = fee_minor_max
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s
        self._owners = Owners()
        self._tokens = Tokens([self.parse_contract(contract) for contract in contracts])
        self._reader = BlockReader(self._tokens)
        self._rpc = RpcClient(
            network,
            rpc_urls,
            identify=self._identify,
            headers=headers,
            timeout_s=timeout_s,
            observe=observe,
        )

    async def _identify(self, endpoint: Endpoint) -> None:
        await heads.require_network(endpoint, GLOBAL_IDS[self.network])

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader. Polled; all of it is final."""
        return watch_tip(
            self._rpc,
            heads.poll_tip,
            poll_interval_s=self._poll_interval_s,
            silence_s=self._silence_s,
        )

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader. All parts come from one endpoint."""

        async def read(endpoint: Endpoint) -> Block:
            return await self._reader.read_block(endpoint, height)

        return await self._rpc.find(read)

    async def fetch_balances(
        self,
        holdings: Sequence[Holding],
        height: int,  # noqa: ARG002 - only the latest state is kept
    ) -> list[int]:
        """See ChainReader. Always of the latest state."""

        async def read(endpoint: Endpoint) -> list[int]:
            return await balances.fetch_balances(endpoint, holdings)

        return await self._rpc.first(read)

    async def fetch_token(self, contract: str) -> Token | None:
        """See ChainReader and content.fetch_token."""
        return await self._rpc.find(lambda endpoint: content.fetch_token(endpoint, contract))

    def parse_address(self, text: str) -> str:
        """See ChainReader and the function parse_address."""
        return parse_address(text, test_network=self._test)

    def parse_contract(self, text: str) -> str:
        """See ChainReader. A jetton is named by its master's address."""
        contract = self.parse_address(text)
        if not contract.startswith("0:"):
            raise InvalidAddress("a jetton's master is an account of the basechain")
        return contract

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """See ChainReader. A memo is a text comment."""
        return Destination(self.parse_address(address), None if memo is None else parse_memo(memo))

    def make_memo(self, number: int) -> str | None:
        """See ChainPayer."""
        return f"text:{number}"

    def show_address(self, address: str) -> str:
        """See ChainPayer. UQ…, or 0Q… on test networks: good before a wallet is deployed, too."""
        return show_address(address, test_network=self._test)

    def key_path(self, branch: int, index: int) -> str:
        """See ChainPayer. The wallets of one key are numbered."""
        return f"m/{branch}'/{index}'"

    def derive_address(self, public_key: bytes, key_path: str) -> str:
        """See ChainPayer. The address is remembered, see keys.Owners."""
        return self._owners.derive(public_key, key_path)

    async def quote(self, payment: Payment) -> Quote:
        """See ChainPayer and quoting.quote for the reasons of refusal."""

        async def ask(endpoint: Endpoint) -> Quote:
            return await quoting.quote(
                endpoint, payment, self._owners, self._tokens, self._fee_minor_max
            )

        return await self._rpc.first(ask)

    def build(
        self,
        payment: Payment,
        quote: Quote,
        nonce: int | None,
        *,
        coins: Sequence[Coin] = (),  # noqa: ARG002 - there are none on this chain
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """See ChainPayer and pay.build."""
        return pay.build(payment, quote, nonce, replaces, fee_minor_cap=self._fee_minor_max)

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """See ChainPayer and pay.assemble."""
        return pay.assemble(unsigned, signatures)

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """See ChainPayer and sending.explain for what counts as which outcome."""
        return await sending.broadcast(self._rpc, signed)

    async def close(self) -> None:
        """See ChainReader."""
        await self._rpc.close()
