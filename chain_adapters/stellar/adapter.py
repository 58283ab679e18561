"""The adapter of Stellar's networks, over Horizon's REST interface."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial

from chain_adapters.polling import watch_tip
from chain_adapters.rpc import Endpoint, Observer, RpcClient, ignore_call
from chain_adapters.stellar import assets, heads, pay, quoting, sending
from chain_adapters.stellar.address import (
    derive_address,
    parse_address,
    parse_contract,
    refuse_nobody,
    split_muxed,
)
from chain_adapters.stellar.balances import read_balances
from chain_adapters.stellar.memo import number_memo, parse_memo
from chain_adapters.stellar.network import DECIMALS, PASSPHRASES, require_network
from chain_adapters.stellar.reading import read_ledger
from chain_adapters.types import (
    Block,
    Broadcast,
    Coin,
    Destination,
    Holding,
    InvalidMemo,
    KeyScheme,
    Payment,
    Quote,
    SignedTransaction,
    Tip,
    Token,
    UnsignedTransaction,
)

SYSTEM_WALLETS_FROM = 2**30
"""SEP-5 has one counter: deposit addresses have its lower half, system wallets its upper one."""


class StellarAdapter:
    """Reads and pays on one Stellar network.

    A block is a ledger, and a closed ledger is final. See `decode` for what is read as a transfer
    and `pay` for what is sent. A payment of 0 of an asset to oneself makes the trustline without
    which an address cannot receive that asset.
    """

    native_decimals = DECIMALS
    key_scheme = KeyScheme.ED25519
    in_flight_max: int | None = 1
    """Core keeps one transaction of an account waiting, not more (protocol 20)."""
    opt_in_tokens: bool = True
    """An issued asset needs a trustline."""

    def __init__(
        self,
        network: str,
        rpc_urls: Sequence[str],
        *,
        native_symbol: str = "XLM",
        headers: Mapping[str, str] | None = None,
        poll_interval_s: float = 1.0,
        silence_s: float = 15.0,
        timeout_s: float = 10.0,
        fee_minor_max: int = 10**7,
        observe: Observer = ignore_call,
    ) -> None:
        """`network` is one of PASSPHRASES; every endpoint, a Horizon server, is held to it.

        `silence_s` is how long the tip may stand still before other endpoints are tried.
        """
        if network not in PASSPHRASES:
            raise ValueError(f"{network} is no network of Stellar: {', '.join(PASSPHRASES)} are")
        self.network = network
        self.native_symbol = native_symbol
        self._passphrase = PASSPHRASES[network]
        self._fee_minor_max = fee_minor_max
        self._poll_interval_s = poll_interval_s
        self._silence_s = silence_s
        self._rpc = RpcClient(
            network,
            rpc_urls,
            identify=partial(require_network, passphrase=self._passphrase),
            headers=headers,
            timeout_s=timeout_s,
            observe=observe,
        )

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader. Polled."""
        return watch_tip(
            self._rpc,
            heads.poll_tip,
            poll_interval_s=self._poll_interval_s,
            silence_s=self._silence_s,
        )

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader and reading. All parts come from one endpoint. Ledgers start at 1."""
        if height < 1:
            return None

        async def read(endpoint: Endpoint) -> Block:
            return await read_ledger(endpoint, height)

        return await self._rpc.find(read)

    async def fetch_balances(
        self,
        holdings: Sequence[Holding],
        height: int,  # noqa: ARG002 - Horizon keeps no old states
    ) -> list[int]:
        """See ChainReader. As of the server's latest ledger."""

        async def read(endpoint: Endpoint) -> list[int]:
            return await read_balances(endpoint, holdings)

        return await self._rpc.first(read) if holdings else []

    async def fetch_token(self, contract: str) -> Token | None:
        """See ChainReader and assets.fetch_token."""
        return await self._rpc.find(lambda endpoint: assets.fetch_token(endpoint, contract))

    def parse_address(self, text: str) -> str:
        """See ChainReader. Accounts (G…) only; muxed ones go through `parse_destination`."""
        return parse_address(text)

    def show_address(self, address: str) -> str:
        """See ChainPayer. The canonical form is the customary one."""
        return address

    def parse_contract(self, text: str) -> str:
        """See ChainReader. CODE:ISSUER."""
        return parse_contract(text)

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """See ChainReader. A muxed address is its account and an id as memo (SEP-23)."""
        account, number = split_muxed(address)
        given = None if memo is None else parse_memo(memo)
        if number is None:
            return Destination(account, given)
        if given not in {None, number_memo(number)}:
            raise InvalidMemo("a muxed address (M…) has its own memo: leave the other one out")
        return Destination(refuse_nobody(account), number_memo(number))

    def key_path(self, branch: int, index: int) -> str:
        """See ChainPayer. SEP-5."""
        if branch not in {0, 1} or not 0 <= index < SYSTEM_WALLETS_FROM:
            raise ValueError("a branch has 2^30 keys")
        return f"m/44'/148'/{index + branch * SYSTEM_WALLETS_FROM}'"

    def derive_address(self, public_key: bytes, key_path: str) -> str:  # noqa: ARG002
        """See ChainPayer. `public_key` has 32 bytes."""
        return derive_address(public_key)

    def make_memo(self, number: int) -> str | None:
        """See ChainPayer. A memo of type id."""
        return number_memo(number)

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
        coins: Sequence[Coin] = (),
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """See ChainPayer and pay.build."""
        return pay.build(
            payment,
            quote,
            nonce,
            tuple(coins),
            replaces,
            passphrase=self._passphrase,
            fee_minor_cap=self._fee_minor_max,
        )

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """See ChainPayer and pay.assemble."""
        return pay.assemble(unsigned, signatures, passphrase=self._passphrase)

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """See ChainPayer and sending for what counts as which outcome."""
        return await sending.broadcast(self._rpc, signed)

    async def close(self) -> None:
        """See ChainReader."""
        await self._rpc.close()
