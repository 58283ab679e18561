"""What Millrace needs of a chain: two small interfaces, one to read it and one to pay on it.

An adapter knows one chain's wire format and nothing of Kafka, Postgres or keys. Each method
states what is promised; the contract suite in tests/contract holds every adapter to it, the
simulated chain included.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

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
    Spending,
    Tip,
    Token,
    UnsignedTransaction,
)


class ChainReader(Protocol):
    """Reads blocks, balances and addresses of one network."""

    network: str
    """CAIP-2 id, e.g. "eip155:1"."""
    native_symbol: str
    native_decimals: int

    def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """Yield the tip now, then again after each change of it, by push where the node has it.

        Tips may be skipped, repeated or go back: callers should not assume that heights are
        consecutive. Ends only by error (NodeUnavailable, WrongNetwork); whoever stops listening
        closes it (contextlib.aclosing).
        """
        ...

    async def fetch_block(self, height: int) -> Block | None:
        """Return the block of the best chain at `height`, None if the chain is not that long.

        Complete or not at all: a block whose receipts are missing or do not match its hash
        raises NodeUnavailable. One odd transaction never makes a block unreadable.
        """
        ...

    async def fetch_balances(self, holdings: Sequence[Holding], height: int) -> list[int]:
        """Return what is held in minor units after block `height`, in the order of `holdings`.

        Nodes that keep no old states answer for their latest block instead: callers look again
        before they believe in a difference. Used by reconciliation, not for deposits.
        """
        ...

    async def fetch_token(self, contract: str) -> Token | None:
        """Return what a token tells of itself now, None if there is none at that name.

        Whether its transfers move anything is not looked at. Used by `millrace doctor`.
        """
        ...

    def parse_address(self, text: str) -> str:
        """Return the canonical form of any customary form, or raise InvalidAddress."""
        ...

    def parse_contract(self, text: str) -> str:
        """Return the canonical name of a token (contract, mint, issuer …), or InvalidAddress."""
        ...

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """Read where a payment is to go; raise InvalidAddress or InvalidMemo.

        Forms that hold both, such as Stellar's muxed addresses, are taken apart.
        """
        ...

    async def close(self) -> None:
        """Release connections. The adapter is unusable afterwards."""
        ...


class ChainPayer(Protocol):
    """Turns payments into transactions of one network. It never sees a private key."""

    key_scheme: KeyScheme
    in_flight_max: int | None
    """Payments of one sender that may wait for a block at the same time; None: any number."""
    opt_in_tokens: bool
    """Whether an address can receive a token only after a payment of nothing of it to itself."""

    def key_path(self, branch: int, index: int) -> str:
        """Return the path of a key: branch 0 for deposit addresses, 1 for system wallets."""
        ...

    def derive_address(self, public_key: bytes, key_path: str) -> str:
        """Return the canonical address of a public key (compressed for secp256k1).

        Called for a sender before its first quote: where an address does not tell whose it is
        (TON), the adapter remembers.
        """
        ...

    def make_memo(self, number: int) -> str | None:
        """Return the canonical memo that says this number; None if the chain has no memos."""
        ...

    def show_address(self, address: str) -> str:
        """Return the customary form of a canonical address, as people paste it."""
        ...

    async def quote(self, payment: Payment) -> Quote:
        """Ask the node what the payment costs now; raise PaymentRefused if it cannot succeed."""
        ...

    def build(
        self,
        payment: Payment,
        quote: Quote,
        nonce: int | None,
        *,
        coins: Sequence[Coin] = (),
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """Build the transaction. Pure: same arguments, same bytes.

        `quote` is a fresh one. `coins` are those it may spend, where money is held so; it takes
        what it needs and lists them, raises PaymentRefused("sender_lacks_funds") if they are not
        enough. `replaces` is the latest earlier transaction with this nonce or first coin (it may
        be of another payment): the new one has the same nonce and spends all the same coins, and
        its fee is bid so that nodes take it in the other's place, never below the quote. Without
        nonce and coins, a replacement is just another transaction: the caller sees to it that the
        one before has expired. Raises PaymentRefused("fee_above_cap") if the fee is more than
        the network's `fee_minor_max` allows, ValueError if the arguments do not fit together.
        """
        ...

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """Put the signatures in, in the form of the key scheme. Pure.

        Raises ValueError unless each is the sender's signature over its payload.
        """
        ...

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """Send the bytes. Sending them again is harmless and reports ACCEPTED."""
        ...


@runtime_checkable
class CoinReader(ChainReader, Protocol):
    """What adapters can do besides where money is held as coins."""

    async def fetch_spending(self, transaction_id: str) -> Spending | None:
        """Return what a transaction spends, also one whose block left the best chain.

        None: the node does not know it. NodeUnavailable if the node keeps no index of transactions.
        """
        ...


class ChainAdapter(ChainReader, ChainPayer, Protocol):
    """Both halves, as the registry hands them out."""
