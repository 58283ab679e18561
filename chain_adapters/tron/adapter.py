"""The adapter of TRON and of networks that run java-tron."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from chain_adapters.destination import plain_destination
from chain_adapters.polling import watch_tip
from chain_adapters.rpc import Endpoint, Observer, RpcClient, ignore_call
from chain_adapters.tron import heads, node, pay, sending, tokens
from chain_adapters.tron.address import derive_address, parse_address, show_address
from chain_adapters.tron.prices import PriceList
from chain_adapters.tron.quoting import Moments, Quoter
from chain_adapters.tron.reading import BlockReader
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


def clock_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


class TronAdapter:
    """Reads and pays on one TRON network.

    Read are: TRX carried by transactions, TRX moved by inner calls (where the node keeps them),
    and TRC-20 Transfer events of every contract; which of these are money is for others to say.
    Not read: TRC-10, stakes, votes and rewards. A block's clock is its parent's time in
    milliseconds, by which java-tron judges expirations.
    """

    native_decimals = 6
    key_scheme = KeyScheme.SECP256K1
    in_flight_max: int | None = None
    opt_in_tokens: bool = False

    def __init__(
        self,
        network: str,
        rpc_urls: Sequence[str],
        *,
        native_symbol: str = "TRX",
        headers: Mapping[str, str] | None = None,
        poll_interval_s: float = 3.0,
        silence_s: float = 15.0,
        timeout_s: float = 10.0,
        fee_minor_max: int = 150 * 10**6,
        observe: Observer = ignore_call,
        clock_ms: Callable[[], int] = clock_ms,
        random_below: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        """`network` is "tron:0x<last four bytes of the genesis block's id>", e.g. tron:0x2b6653dc.

        Every endpoint is held to it. `rpc_urls` are what /wallet and /walletsolidity are below.
        """
        namespace, _, reference = network.partition(":")
        if namespace != "tron":
            raise ValueError(f"{network} is no network of TRON's kind")
        self.network = network
        self.native_symbol = native_symbol
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s
        self._fee_minor_max = fee_minor_max
        self._rpc = RpcClient(
            network,
            rpc_urls,
            identify=heads.require_genesis(reference),
            headers=headers,
            timeout_s=timeout_s,
            observe=observe,
        )
        self._reader = BlockReader()
        moments = Moments(clock_ms, random_below)
        self._quoter = Quoter(PriceList(time.monotonic), moments, fee_minor_max)

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader. Polled; safe and finalized are both what TRON calls solidified."""
        return watch_tip(
            self._rpc,
            heads.poll_tip,
            poll_interval_s=self._poll_interval_s,
            silence_s=self._silence_s,
        )

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader. Block and receipts come from one endpoint."""

        async def read(endpoint: Endpoint) -> Block:
            return await self._reader.read_block(endpoint, height)

        return await self._rpc.find(read)

    async def fetch_balances(self, holdings: Sequence[Holding], height: int) -> list[int]:
        """See ChainReader. Of the latest solidified block if `height` is, else of the latest one:
        java-tron keeps no old states."""

        async def read(endpoint: Endpoint) -> list[int]:
            solid = await heads.fetch_solid(endpoint)
            state = node.SOLIDITY if height <= solid.height and solid.served else "wallet"
            found: list[int] = []
            for start in range(0, len(holdings), BALANCES_AT_ONCE):
                chunk = holdings[start : start + BALANCES_AT_ONCE]
                found += await asyncio.gather(*(read_balance(endpoint, h, state) for h in chunk))
            return found

        return await self._rpc.first(read) if holdings else []

    async def fetch_token(self, contract: str) -> Token | None:
        """See ChainReader and tokens.fetch_token."""
        return await self._rpc.find(lambda endpoint: tokens.fetch_token(endpoint, contract))

    def parse_address(self, text: str) -> str:
        """See ChainReader. "T…" with the right checksum, or hex "41…"."""
        return parse_address(text)

    def parse_contract(self, text: str) -> str:
        """See ChainReader. The address of the token's contract."""
        return parse_address(text)

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """See ChainReader. There are no memos."""
        return plain_destination(parse_address(address), memo)

    async def close(self) -> None:
        """See ChainReader."""
        await self._rpc.close()

    def key_path(self, branch: int, index: int) -> str:
        """See ChainPayer. BIP-44, coin type 195 of SLIP-44."""
        return f"m/44'/195'/0'/{branch}/{index}"

    def derive_address(self, public_key: bytes, key_path: str) -> str:  # noqa: ARG002
        """See ChainPayer."""
        return derive_address(public_key)

    def make_memo(self, number: int) -> str | None:  # noqa: ARG002
        """See ChainPayer. There are no memos."""
        return None

    def show_address(self, address: str) -> str:
        """See ChainPayer. Base58check "T…"."""
        return show_address(address)

    async def quote(self, payment: Payment) -> Quote:
        """See ChainPayer and Quoter.quote for the reasons of refusal."""

        async def ask(endpoint: Endpoint) -> Quote:
            return await self._quoter.quote(endpoint, payment)

        return await self._rpc.first(ask)

    def build(
        self,
        payment: Payment,
        quote: Quote,
        nonce: int | None,
        *,
        coins: Sequence[Coin] = (),  # noqa: ARG002 - there are none
        replaces: UnsignedTransaction | None = None,  # noqa: ARG002 - has expired
    ) -> UnsignedTransaction:
        """See ChainPayer and pay.build. A replacement is just another transaction."""
        return pay.build(payment, quote, nonce, fee_minor_cap=self._fee_minor_max)

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """See ChainPayer and pay.assemble."""
        return pay.assemble(unsigned, signatures)

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """See ChainPayer and sending.read_answer for what counts as which outcome."""
        return await sending.broadcast(self._rpc, signed)


async def read_balance(endpoint: Endpoint, holding: Holding, state: str) -> int:
    """Return one balance in minor units of the asset."""
    if holding.contract is not None:
        return await tokens.fetch_balance(endpoint, holding.contract, holding.address, state)
    return (await node.fetch_account(endpoint, holding.address, state)).balance
