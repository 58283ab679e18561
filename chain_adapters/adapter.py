"""What Millrace needs of a chain: two small interfaces, one to read it and one to pay on it.

An adapter knows one chain's wire format and nothing of Kafka, Postgres or keys. Each method
states what is promised; the contract suite in tests/contract holds every adapter to it, the
simulated chain included.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

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

    async def fetch_balance(self, address: str, contract: str | None, height: int) -> int:
        """Return the balance in minor units after block `height`. Used by reconciliation only."""
        ...

    def parse_address(self, text: str) -> str:
        """Return the canonical form of any customary form, or raise InvalidAddress."""
        ...

    async def close(self) -> None:
        """Release connections. The adapter is unusable afterwards."""
        ...


class ChainPayer(Protocol):
    """Turns payments into transactions of one network. It never sees a private key."""

    curve: Curve
    key_path_pattern: str
    """BIP-32 path with {branch} (0 deposit, 1 system wallets) and {index}."""

    def derive_address(self, public_key: bytes) -> str:
        """Return the canonical address of a public key (compressed for secp256k1)."""
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
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """Build the transaction. Pure: same arguments, same bytes.

        `quote` is a fresh one. `replaces` is the latest earlier transaction with this nonce (it
        may be of another payment): the fee is bid so that nodes take the new one in its place,
        and never below the quote. Raises PaymentRefused("fee_above_cap") if that is more than
        the network's `fee_minor_max` allows, ValueError if the arguments do not fit together.
        """
        ...

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """Put the signatures in (65 bytes r‖s‖v, v 0 or 1, for secp256k1, 64 for ed25519). Pure.

        Raises ValueError unless each is the sender's signature over its payload.
        """
        ...

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """Send the bytes. Sending them again is harmless and reports ACCEPTED."""
        ...


class ChainAdapter(ChainReader, ChainPayer, Protocol):
    """Both halves, as the registry hands them out."""
