"""Choosing coins, building and signing. Pure: nothing here asks a node.

A payment is output 0; what is left goes back to the sender in output 1, or to the fee if it would
be dust.
"""

from __future__ import annotations

from collections.abc import Sequence

import coincurve
import msgspec

from chain_adapters.types import (
    Coin,
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)
from chain_adapters.utxo.address import hash_key, is_witness, key_hash_of, script_of
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.plain import Output
from chain_adapters.utxo.transaction import (
    Draft,
    encode_signature,
    encode_signed,
    signing_hashes,
    virtual_size,
)

VIRTUAL_SIZE_MAX = 100_000
"""Nodes pass no larger transactions on (Bitcoin Core, MAX_STANDARD_TX_WEIGHT)."""
AMOUNT_MINOR_MAX = 2**63 - 1
"""Amounts are signed 64-bit numbers."""
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""secp256k1's order halved: nodes pass no signature with a larger s on (BIP-146)."""

_SPENDING = 148
_SPENDING_WITNESS = 67
"""What spending an output is reckoned to take, in virtual bytes (GetDustThreshold)."""


class Bid(msgspec.Struct, frozen=True):
    """Fee rates in minor units per 1,000 virtual bytes: what is bid, and a replacement's step."""

    rate: int
    step: int


def fee_at(rate: int, size: int) -> int:
    """Return the fee of so many virtual bytes, rounded up."""
    return -(-rate * size // 1000)


def dust_below(chain: UtxoChain, script: bytes) -> int:
    """Return the least amount of an output with this script that nodes pass on."""
    spending = _SPENDING_WITNESS if is_witness(script) else _SPENDING
    return max(chain.dust_minor, chain.dust_rate * (9 + len(script) + spending) // 1000)


def build(
    chain: UtxoChain,
    payment: Payment,
    quote: Quote,
    coins: Sequence[Coin],
    replaces: UnsignedTransaction | None,
    *,
    fee_minor_cap: int,
) -> UnsignedTransaction:
    """Build the transaction. See ChainPayer.build.

    Refused: below_dust, sender_lacks_funds, too_many_coins (more than fit into one transaction),
    fee_above_cap.
    """
    require_payable(chain, payment)
    bid = msgspec.json.decode(quote.parameters, type=Bid)
    previous = None if replaces is None else previous_draft(payment, replaces)
    draft = choose(plan_of(chain, payment, bid, previous), coins)
    if draft.fee_minor > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap", f"the fee would be {draft.fee_minor}, over {fee_minor_cap}"
        )
    return UnsignedTransaction(
        payment=payment,
        nonce=None,
        fee_minor_max=draft.fee_minor,
        signing_payloads=signing_hashes(draft),
        body=msgspec.json.encode(draft),
        coins=tuple(coin.id for coin in draft.coins),
    )


def require_payable(chain: UtxoChain, payment: Payment) -> None:
    """Refuse what no node would pass on; ValueError for what is no payment of this chain."""
    if payment.contract is not None or payment.memo is not None:
        raise ValueError(f"{chain.name} has neither tokens nor memos")
    script = script_of(chain, payment.recipient)
    if payment.amount_minor > AMOUNT_MINOR_MAX:
        raise PaymentRefused("amount_too_large", "the amount does not fit into 63 bits")
    dust_minor = dust_below(chain, script)
    if payment.amount_minor < dust_minor:
        raise PaymentRefused("below_dust", f"nodes pass on no output below {dust_minor}")


def previous_draft(payment: Payment, replaces: UnsignedTransaction) -> Draft:
    """Return what is to be replaced. ValueError if it is another sender's."""
    if replaces.payment.sender != payment.sender:
        raise ValueError("a replacement has the sender of what it replaces")
    return msgspec.json.decode(replaces.body, type=Draft)


class Plan(msgspec.Struct, frozen=True):
    """A payment in scripts, and by which rules its coins are chosen."""

    script: bytes
    paid: Output
    bid: Bid
    dust_minor: int
    previous: Draft | None

    def fee_needed(self, coins: int, *, change: bool) -> int:
        """Return the fee of a transaction of this form. PaymentRefused if it is too large.

        A replacement pays the rate that is bid, and never less than the one before it at its rate
        or in all, and a step for its whole size besides (BIP-125, rules 3 and 4; Bitcoin Core
        also asks for a higher rate).
        """
        outputs = (self.paid.script, self.script) if change else (self.paid.script,)
        size = virtual_size(self.script, coins, outputs)
        if size > VIRTUAL_SIZE_MAX:
            raise PaymentRefused("too_many_coins", f"{coins} coins do not fit into a transaction")
        fee_minor = fee_at(self.bid.rate, size)
        if self.previous is None:
            return fee_minor
        scripts = tuple(output.script for output in self.previous.outputs)
        size_before = virtual_size(self.script, len(self.previous.coins), scripts)
        before_minor = self.previous.fee_minor
        before_minor = max(before_minor, -(-before_minor * size // size_before))
        return max(fee_minor, before_minor + fee_at(self.bid.step, size))

    def missing(self, coins: Sequence[Coin], more: int = 0) -> int:
        """Return what `more` further coins must hold at least; 0 or less: they are enough."""
        needed = self.paid.amount_minor + self.fee_needed(len(coins) + more, change=False)
        return needed - sum(coin.amount_minor for coin in coins)

    def settle(self, coins: Sequence[Coin]) -> Draft:
        """Return the draft that spends just these coins, which are enough."""
        left = sum(coin.amount_minor for coin in coins) - self.paid.amount_minor
        change = left - self.fee_needed(len(coins), change=True)
        back = () if change < self.dust_minor else (Output(self.script, change),)
        return Draft(self.script, tuple(coins), (self.paid, *back))


def plan_of(chain: UtxoChain, payment: Payment, bid: Bid, previous: Draft | None) -> Plan:
    """Return the payment in scripts. ValueError if the sender's coins cannot be spent."""
    script = script_of(chain, payment.sender)
    if key_hash_of(script) is None:
        raise ValueError("only coins at P2WPKH and P2PKH addresses can be spent")
    paid = Output(script_of(chain, payment.recipient), payment.amount_minor)
    return Plan(script, paid, bid, max(1, dust_below(chain, script)), previous)


def choose(plan: Plan, coins: Sequence[Coin]) -> Draft:
    """Return a draft that spends as few coins as needed, the same for the same arguments.

    A replacement spends the coins of the one before in their order, and others if it must.
    Otherwise the smallest coin that is enough is spent by itself, so that large ones stay whole;
    if none is, the largest come first. Coins that cost more than they hold are left alone.
    """
    taken = list(plan.previous.coins) if plan.previous else []
    if taken and plan.missing(taken) <= 0:
        return plan.settle(taken)
    useful = useful_coins(plan, coins, {coin.id for coin in taken})
    missing = plan.missing(taken, 1)
    enough = [coin for coin in useful if coin.amount_minor >= missing]
    if enough:
        return plan.settle([*taken, enough[-1]])
    for coin in useful:
        taken.append(coin)
        if plan.missing(taken) <= 0:
            return plan.settle(taken)
    raise PaymentRefused("sender_lacks_funds", "the coins are not enough for amount and fee")


def useful_coins(plan: Plan, coins: Sequence[Coin], known: set[str]) -> list[Coin]:
    """Return the coins beside those known that hold more than they cost, the largest first."""
    per_coin = virtual_size(plan.script, 2, ()) - virtual_size(plan.script, 1, ())
    cost_minor = fee_at(plan.bid.rate, per_coin)
    spare = {coin.id: coin for coin in coins if coin.id not in known}.values()
    useful = (coin for coin in spare if coin.amount_minor > cost_minor)
    return sorted(useful, key=lambda coin: (-coin.amount_minor, coin.id))


def assemble(
    chain: UtxoChain, unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]
) -> SignedTransaction:
    """Put the signatures in. ValueError unless each is the sender's over its coin."""
    draft = msgspec.json.decode(unsigned.body, type=Draft)
    if draft.script != script_of(chain, unsigned.payment.sender):
        raise ValueError("the coins are not the sender's")
    payloads = signing_hashes(draft)
    if len(signatures) != len(payloads):
        raise ValueError(f"{len(signatures)} signatures for {len(payloads)} coins")
    key_hash = key_hash_of(draft.script)
    proofs = []
    for signature, payload in zip(signatures, payloads, strict=True):
        key = recover_key(signature, payload)
        if hash_key(key) != key_hash:
            raise ValueError("a signature is not the sender's")
        proofs.append((encode_signature(signature), key))
    return SignedTransaction(*encode_signed(draft, proofs))


def recover_key(signature: bytes, payload: bytes) -> bytes:
    """Return the compressed key that made a signature r‖s‖v. ValueError if it is no valid one."""
    if len(signature) != 65 or signature[64] > 3:
        raise ValueError("a signature is 65 bytes, the last one 0 to 3")
    if int.from_bytes(signature[32:64]) > HALF_ORDER:
        raise ValueError("the signature is not in low-s form")
    try:
        return coincurve.PublicKey.from_signature_and_message(
            signature, payload, hasher=None
        ).format()
    except Exception:  # coincurve raises a bare Exception where no key can be recovered
        raise ValueError("the signature does not recover to a key") from None
