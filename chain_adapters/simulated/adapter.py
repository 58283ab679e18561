"""One node's view of the simulated chain."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from enum import StrEnum

import msgspec

from chain_adapters.ethereum.address import derive_address, parse_address, show_address
from chain_adapters.ethereum.pay import recover_address
from chain_adapters.simulated.chain import (
    FEE_MINOR,
    Order,
    Pooled,
    SimulatedChain,
    hash_text,
    native_cost_minor,
)
from chain_adapters.types import (
    Block,
    Broadcast,
    BroadcastOutcome,
    Coin,
    Destination,
    Holding,
    KeyScheme,
    NodeUnavailable,
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    Tip,
    Token,
    UnsignedTransaction,
)


class Mischief(StrEnum):
    """What a simulated node can do wrong, once each time it is ordered."""

    UNAVAILABLE = "unavailable"
    """The call fails and nothing is done."""
    ANSWER_LOST = "answer_lost"
    """A broadcast is done, but its answer never arrives."""
    HEIGHT_BACK = "height_back"
    """The tip is shown one block lower, a block as not there."""
    WRONG_PARENT = "wrong_parent"
    """A block is returned with a parent that does not exist."""


class SimulatedAdapter:
    """One node's view of a simulated chain, honest until told otherwise."""

    native_symbol = "SIM"
    native_decimals = 18
    key_scheme = KeyScheme.SECP256K1
    in_flight_max: int | None = None
    opt_in_tokens: bool = False

    def __init__(self, chain: SimulatedChain, *, fee_minor_max: int = 10**18) -> None:
        self.chain = chain
        self.network = chain.network
        self.mischief: deque[Mischief] = deque()
        """What goes wrong with the next calls to the node, one each, in order."""
        self.delay_s = 0.0
        """Every call to the node takes so long."""
        self._fee_minor_max = fee_minor_max
        self._salts = iter(range(secrets.randbits(48), 2**52))

    def order_mischief(self, kinds: Iterable[Mischief]) -> None:
        """Let the next calls go wrong in these ways."""
        self.mischief.extend(kinds)

    async def _suffer(self) -> Mischief | None:
        """Wait as ordered and take the next mischief; raise if it is that nothing answers."""
        await asyncio.sleep(self.delay_s)
        kind = self.mischief.popleft() if self.mischief else None
        if kind is Mischief.UNAVAILABLE:
            raise NodeUnavailable("simulated failure")
        return kind

    async def watch_tip(self) -> AsyncGenerator[Tip, None]:
        """See ChainReader."""
        changed = asyncio.Event()
        self.chain.listeners.add(changed)
        try:
            while True:
                changed.clear()
                kind = await self._suffer()
                tip = self.chain.tip
                if kind is Mischief.HEIGHT_BACK and tip.height:
                    below = self.chain.blocks[-2]
                    tip = msgspec.structs.replace(tip, height=below.height, block_id=below.block_id)
                    changed.set()
                yield tip
                await changed.wait()
        finally:
            self.chain.listeners.discard(changed)

    async def fetch_block(self, height: int) -> Block | None:
        """See ChainReader; with Mischief.WRONG_PARENT it breaks that promise."""
        kind = await self._suffer()
        if kind is Mischief.HEIGHT_BACK or not 0 <= height < len(self.chain.blocks):
            return None
        block = self.chain.blocks[height]
        if kind is Mischief.WRONG_PARENT:
            return msgspec.structs.replace(block, parent_id=hash_text("elsewhere"))
        return block

    async def fetch_balances(self, holdings: Sequence[Holding], height: int) -> list[int]:
        """See ChainReader."""
        await self._suffer()
        if not 0 <= height < len(self.chain.blocks):
            raise NodeUnavailable(f"no block {height}")
        state = self.chain.state_at(height)
        return [state.balance(holding.address, holding.contract) for holding in holdings]

    async def fetch_token(self, contract: str) -> Token | None:
        """See ChainReader."""
        await self._suffer()
        return self.chain.tokens.get(contract)

    def parse_address(self, text: str) -> str:
        """See ChainReader; as on Ethereum."""
        return parse_address(text)

    def show_address(self, address: str) -> str:
        """See ChainPayer; as on Ethereum."""
        return show_address(address)

    def parse_contract(self, text: str) -> str:
        """See ChainReader; as on Ethereum."""
        return parse_address(text)

    def parse_destination(self, address: str, memo: str | None) -> Destination:
        """See ChainReader. A memo is any text."""
        return Destination(parse_address(address), memo)

    def key_path(self, branch: int, index: int) -> str:
        """See ChainPayer; as on Ethereum."""
        return f"m/44'/60'/0'/{branch}/{index}"

    def derive_address(self, public_key: bytes, key_path: str) -> str:  # noqa: ARG002
        """See ChainPayer; as on Ethereum."""
        return derive_address(public_key)

    def make_memo(self, number: int) -> str | None:
        """See ChainPayer: the number itself."""
        return str(number)

    async def quote(self, payment: Payment) -> Quote:
        """See ChainPayer; the reasons are Ethereum's."""
        await self._suffer()
        state = self.chain.state_at(-1)
        if self._fee_minor_max < FEE_MINOR:
            raise PaymentRefused("fee_above_cap", f"the fee would be {FEE_MINOR}")
        if payment.recipient in self.chain.reverting:
            native = payment.contract is None
            raise PaymentRefused(
                "recipient_reverts" if native else "token_transfer_reverts", "it would not succeed"
            )
        held = state.balance(payment.sender, payment.contract)
        held_native = state.balance(payment.sender, None)
        cost_minor = native_cost_minor(Order(payment, 0, FEE_MINOR))
        if held < payment.amount_minor or held_native < cost_minor:
            raise PaymentRefused("sender_lacks_funds", "the sender holds less")
        nonces = (state.nonce(payment.sender), 0) if self.chain.has_nonces else (None, None)
        return Quote(FEE_MINOR, nonces[0], self._parameters(), held, held_native, nonces[1])

    def _parameters(self) -> bytes:
        chain = self.chain
        until = None if chain.lifetime is None else chain.tip.height + chain.lifetime
        return msgspec.json.encode((until, 0 if chain.has_nonces else next(self._salts)))

    def build(
        self,
        payment: Payment,
        quote: Quote,
        nonce: int | None,
        *,
        coins: Sequence[Coin] = (),  # noqa: ARG002
        replaces: UnsignedTransaction | None = None,
    ) -> UnsignedTransaction:
        """See ChainPayer."""
        if (nonce is None) == self.chain.has_nonces:
            raise ValueError("a simulated transaction needs a nonce where its chain has them")
        fee_minor = quote.fee_minor_max
        until, salt = msgspec.json.decode(
            quote.parameters or b"[null,0]", type=tuple[int | None, int]
        )
        if replaces is not None and nonce is not None:
            if (replaces.nonce, replaces.payment.sender) != (nonce, payment.sender):
                raise ValueError("a replacement has the sender and nonce of what it replaces")
            fee_minor = max(fee_minor, -(-replaces.fee_minor_max * 9 // 8))
        if fee_minor > self._fee_minor_max:
            raise PaymentRefused("fee_above_cap", f"the fee would be {fee_minor}")
        body = msgspec.json.encode(Order(payment, nonce, fee_minor, until, salt))
        payload = hashlib.sha256(body).digest()
        return UnsignedTransaction(payment, nonce, fee_minor, (payload,), body, valid_until=until)

    def assemble(
        self, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
    ) -> SignedTransaction:
        """See ChainPayer. The bytes are the signature followed by the order."""
        if len(signatures) != 1:
            raise ValueError("a simulated transaction has one signature")
        payload = hashlib.sha256(unsigned.body).digest()
        if recover_address(signatures[0], payload) != unsigned.payment.sender:
            raise ValueError("the signature is not the sender's")
        raw = signatures[0] + unsigned.body
        return SignedTransaction("0x" + hashlib.sha256(raw).hexdigest(), raw)

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """See ChainPayer. Bytes that are no transaction are refused."""
        kind = await self._suffer()
        try:
            order = msgspec.json.decode(signed.raw[65:], type=Order)
            signer = recover_address(signed.raw[:65], hashlib.sha256(signed.raw[65:]).digest())
        except ValueError:
            return Broadcast(BroadcastOutcome.REFUSED, "not a transaction")
        if signer != order.payment.sender:
            return Broadcast(BroadcastOutcome.REFUSED, "invalid signature")
        answer = self.chain.submit(Pooled(signed.transaction_id, order))
        if kind is Mischief.ANSWER_LOST:
            raise NodeUnavailable("simulated loss of the answer")
        return answer

    async def close(self) -> None:
        """See ChainReader. Nothing to release."""
