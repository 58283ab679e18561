"""The adapter of Solana: SOL, and the tokens of the two token programs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from chain_adapters.destination import plain_destination
from chain_adapters.rpc import Endpoint, Observer, RpcClient, ignore_call
from chain_adapters.solana import pay, quoting, reading, sending
from chain_adapters.solana.address import derive_address, parse_address
from chain_adapters.solana.asking import ask_all
from chain_adapters.solana.heads import TipWatcher
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

BALANCES_AT_ONCE = 10
"""Balances asked for at the same time: gateways limit how many calls they take in a second."""

BRANCH_SIZE = 2**30
"""Paths have one number for both branches: system wallets are in the upper half."""


class SolanaAdapter:
    """Reads and pays on one Solana network, at commitment "finalized".

    The height of a block is its slot, and slots without a block are empty blocks. Read are
    lamports and tokens of every mint that come to an address; which of these are money is for
    others to say. Not read: votes, staking rewards, confidential balances of Token-2022.
    """

    native_decimals = 9
    key_scheme = KeyScheme.ED25519
    in_flight_max: int | None = None
    opt_in_tokens: bool = False

    def __init__(
        self,
        network: str,
        rpc_urls: Sequence[str],
        *,
        native_symbol: str = "SOL",
        push_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        poll_interval_s: float = 0.4,
        silence_s: float = 15.0,
        timeout_s: float = 10.0,
        fee_minor_max: int = 10**7,
        observe: Observer = ignore_call,
    ) -> None:
        """`network` is "solana:" and 32 characters of the genesis hash, checked at every endpoint.

        `push_url` is a WebSocket. `silence_s` is how long the tip may stand still before all
        endpoints are asked for theirs.
        """
        namespace, _, reference = network.partition(":")
        if namespace != "solana" or not 1 <= len(reference) <= 32:
            raise ValueError(f"{network} is no network of Solana's kind")
        self.network = network
        self.native_symbol = native_symbol
        self._fee_minor_max = fee_minor_max
        self._rpc = RpcClient(
            network,
            rpc_urls,
            identify=reading.require_genesis(reference),
            headers=headers,
            timeout_s=timeout_s,
            observe=observe,
        )
        self._push_url = push_url
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader. Polled, and at once when the WebSocket tells of a new root."""
        return TipWatcher(
            self._rpc,
            self._push_url,
            poll_interval_s=self._poll_interval_s,
            silence_s=self._silence_s,
        ).watch()

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader and reading.prove_skipped. `height` is a slot."""

        async def read(endpoint: Endpoint) -> Block:
            return await reading.read_block(endpoint, height)

        return await self._rpc.find(read)

    async def fetch_balances(self, holdings: Sequence[Holding], height: int) -> list[int]:  # noqa: ARG002
        """See ChainReader. Nodes keep no older states: this is the newest finalized one."""
        requests = [quoting.balance_request(holding) for holding in holdings]

        async def read(endpoint: Endpoint) -> list[int]:
            replies = [
                reply
                for start in range(0, len(requests), BALANCES_AT_ONCE)
                for reply in await ask_all(endpoint, requests[start : start + BALANCES_AT_ONCE])
            ]
            return [quoting.balance_of(h, r) for h, r in zip(holdings, replies, strict=True)]

        return await self._rpc.first(read)

    async def fetch_token(self, contract: str) -> Token | None:
        """See ChainReader. A mint has decimals and no name."""
        return await self._rpc.find(lambda endpoint: quoting.fetch_token(endpoint, contract))

    def parse_address(self, text: str) -> str:
        """See ChainReader and address.parse_address."""
        return parse_address(text)

    def parse_contract(self, text: str) -> str:
        """See ChainReader. A token is named by its mint."""
        return parse_address(text)

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """See ChainReader. There are no memos: the memo program is not supported."""
        return plain_destination(self.parse_address(address), memo)

    def show_address(self, address: str) -> str:
        """See ChainPayer. The canonical form is the customary one."""
        return address

    def key_path(self, branch: int, index: int) -> str:
        """See ChainPayer. The path of Solana's wallets, all steps hardened (SLIP-10)."""
        if branch not in {0, 1} or not 0 <= index < BRANCH_SIZE:
            raise ValueError("a branch has 2^30 keys")
        return f"m/44'/501'/{index + branch * BRANCH_SIZE}'/0'"

    def derive_address(self, public_key: bytes, key_path: str) -> str:  # noqa: ARG002
        """See ChainPayer."""
        return derive_address(public_key)

    def make_memo(self, number: int) -> str | None:  # noqa: ARG002
        """See ChainPayer."""
        return None

    async def quote(self, payment: Payment) -> Quote:
        """See ChainPayer and quoting.quote for the reasons of refusal. One quote, one payment."""

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
        return pay.build(payment, quote, nonce, replaces, fee_minor_cap=self._fee_minor_max)

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
