"""Numbers and texts that no chain has: an endpoint that tells one is broken or lies.

What is read goes on into records and tables that hold 63 bits for heights, 78 digits for amounts
and no characters that cannot be shown. Found here, a lie costs one endpoint its turn; found there,
it would stop whoever reads the chain.
"""

from __future__ import annotations

from collections.abc import Iterable

from chain_adapters.types import Block, NodeUnavailable, Quote, Tip, Token

COUNT_LIMIT = 2**62
"""Of heights, clocks and sequence numbers: room is left in 63 bits to add to them."""
TIME_LIMIT = 253_402_300_800
"""Unix seconds of the year 10,000."""
MINOR_LIMIT = 10**78
"""The first amount with more digits than 2^256."""
DECIMALS_LIMIT = 256
"""Of tokens: decimals are told in a byte (EIP-20, spl-token)."""
SYMBOL_CHARACTERS_MAX = 32


def check_answer(answer: object) -> None:
    """Raise NodeUnavailable if a Block, Tip, Quote, Token or list of balances has what none can."""
    if isinstance(answer, Block):
        check_block(answer)
    elif isinstance(answer, Tip):
        _require_below(COUNT_LIMIT, answer.height, answer.safe_height, answer.finalized_height)
        _require_shown((answer.block_id,))
    elif isinstance(answer, Quote):
        _require_below(COUNT_LIMIT, answer.next_nonce)
        held = (answer.held_minor, answer.held_native_minor)
        _require_below(MINOR_LIMIT, answer.fee_minor_max, *held)
    elif isinstance(answer, Token):
        _require_below(DECIMALS_LIMIT, answer.decimals)
        _require_shown((answer.symbol or "",))
    elif isinstance(answer, list):
        _require_below(MINOR_LIMIT, *(number for number in answer if isinstance(number, int)))


def check_block(block: Block) -> None:
    """Raise NodeUnavailable if a block holds what none can. A fee may be negative (TON)."""
    _require_below(COUNT_LIMIT, block.height, block.clock)
    _require_below(TIME_LIMIT, block.time)
    transactions = block.transactions
    transfers = [transfer for one in transactions for transfer in one.transfers]
    _require_below(MINOR_LIMIT, *{abs(one.fee_minor or 0) for one in transactions})
    _require_below(MINOR_LIMIT, *{transfer.amount_minor for transfer in transfers})
    _require_shown({block.block_id, block.parent_id})
    _require_shown([one.id for one in transactions])
    _require_shown({one.payer or "" for one in transactions})
    _require_shown({transfer.address for transfer in transfers})
    _require_shown({transfer.sender or "" for transfer in transfers})


def read_symbol(raw: bytes) -> str | None:
    """Return what a token calls itself; None if that is nothing, no text, long or cannot be shown.

    It is the chain's own, and no lie of the endpoint, whatever it is.
    """
    try:
        text = raw.rstrip(b"\0").decode().strip()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and 0 < len(text) <= SYMBOL_CHARACTERS_MAX else None


def _require_below(limit: int, *numbers: int | None) -> None:
    known = [number for number in numbers if number is not None]
    if known and not (min(known) >= 0 and max(known) < limit):
        raise NodeUnavailable("the node tells a number that no chain has")


def _require_shown(texts: Iterable[str]) -> None:
    if not "".join(texts).isprintable():
        raise NodeUnavailable("the node tells an id or address that no chain has")
