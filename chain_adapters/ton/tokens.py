"""The allow-listed jettons: what is known of them, and whose a jetton wallet is.

A message that jettons arrived proves nothing: anyone can send one. What counts is that it was
handled by the very contract that the master gives to the owner. That is worked out offline for
masters whose wallets have a usual layout; for others the master is asked once per owner.

What an endpoint told is good for GOOD_S, and for blocks and payments of that endpoint alone: an
issuer may give wallets other code, and no wrong answer may last as long as the process lives.
"""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable, Iterable, Sequence

import structlog
from pytoniq_core import Cell

from chain_adapters.rpc import UNUSABLE, Endpoint
from chain_adapters.ton.asking import (
    OK,
    address_argument,
    read_bag,
    read_owner,
    run_method,
)
from chain_adapters.ton.cells import read_cells
from chain_adapters.ton.constants import (
    JETTON_INTERNAL_TRANSFER,
    JETTON_NOTIFICATION,
    opcode_text,
)
from chain_adapters.ton.decode import Held, code_hash, opcode_of, took_effect
from chain_adapters.ton.jettons import Master, make_master, owner_in_state
from chain_adapters.ton.wire import StackItem, Transaction
from chain_adapters.types import NodeUnavailable

_log = structlog.get_logger()

PROBES = ("0:" + 64 * "1", "0:" + 63 * "0" + "7")
"""Any owners: a layout that gives the right wallet for them gives it for all."""
GOOD_S = 300.0
"""Asked so seldom, masters cost nothing. So long jettons in wallets of new code may not be seen."""
_KNOWN_MAX = 200_000
_INTERNAL_TRANSFER = opcode_text(JETTON_INTERNAL_TRANSFER)
_NOTIFICATION = opcode_text(JETTON_NOTIFICATION)


class _Known:
    """What one endpoint told lately: masters, whose wallets are, and wallets by their owner."""

    def __init__(self, good_until: float) -> None:
        self.good_until = good_until
        self.masters: dict[str, Master] = {}
        self.held: dict[str, Held | None] = {}
        self.asked: dict[tuple[str, str], str] = {}


class Tokens:
    """Knows the masters by what they told lately, and the wallets seen lately."""

    def __init__(
        self, contracts: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`contracts` are canonical addresses of masters. They are asked at first use."""
        self._contracts = tuple(dict.fromkeys(contracts))
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self._last: dict[tuple[int, str], Master] = {}
        """What each endpoint last said of each master."""

    def _known_by(self, endpoint: Endpoint) -> _Known:
        known = self._known.get(endpoint.index)
        if known is None or self._clock() >= known.good_until:
            known = self._known[endpoint.index] = _Known(self._clock() + GOOD_S)
        return known

    async def master(self, endpoint: Endpoint, contract: str) -> Master:
        """Return what is known of a master, asking it at first use.

        NodeUnavailable if there is no jetton master at the address: a block read without knowing
        would lack what arrived.
        """
        masters = self._known_by(endpoint).masters
        if contract not in masters:
            masters[contract] = await self._learn(endpoint, contract)
        return masters[contract]

    async def _learn(self, endpoint: Endpoint, contract: str) -> Master:
        """Ask a master. One that was there and does not answer any more has changed nothing."""
        key = (endpoint.index, contract)
        try:
            master = await learn(endpoint, contract)
        except UNUSABLE:
            if key not in self._last:
                raise
            return self._last[key]
        said = {last.code_hash for (_, name), last in self._last.items() if name == contract}
        if said - {master.code_hash}:
            _log.warning("a jetton's wallets have other code than before", contract=contract)
        self._last[key] = master
        return master

    async def wallet_of(self, endpoint: Endpoint, contract: str, owner: str) -> str:
        """Return the jetton wallet that a master gives to an owner."""
        master = await self.master(endpoint, contract)
        if master.layout is not None:
            return master.wallet_address(owner)
        asked, key = self._known_by(endpoint).asked, (contract, owner)
        if key not in asked:
            asked[key] = await ask_wallet(endpoint, contract, owner)
            trim(asked)
        return asked[key]

    async def held_by(
        self, endpoint: Endpoint, transactions: Iterable[Transaction]
    ) -> dict[str, Held]:
        """Return whose are the jetton wallets among the accounts that got an internal transfer."""
        masters = [await self.master(endpoint, contract) for contract in self._contracts]
        held = self._known_by(endpoint).held
        found: dict[str, Held] = {}
        for transaction in transactions:
            message = transaction.in_msg
            if message is None or opcode_of(message) != _INTERNAL_TRANSFER:
                continue
            candidates = candidates_of(transaction, masters)
            if not (candidates and took_effect(transaction)):
                continue  # what failed may carry anything, and says nothing of the account
            wallet = transaction.account.lower()
            if wallet not in held:
                held[wallet] = await self._judge(endpoint, wallet, transaction, candidates)
                trim(held)
            if (holder := held[wallet]) is not None:
                found[wallet] = holder
        return found

    async def _judge(
        self, endpoint: Endpoint, wallet: str, transaction: Transaction, masters: list[Master]
    ) -> Held | None:
        owner = guess_owner(transaction)
        if owner is None:
            return await self._ask_owner(endpoint, wallet)
        for master in masters:
            if await self.wallet_of(endpoint, master.address, owner) == wallet:
                return Held(owner, master.address)
        return None

    async def _ask_owner(self, endpoint: Endpoint, wallet: str) -> Held | None:
        """Ask a contract whose it says it is, and its master whether that is so."""
        answer = await run_method(endpoint, wallet, "get_wallet_data")
        if answer.exit_code not in OK or len(answer.stack) < 3:
            return None
        try:
            owner, contract = read_owner(answer.stack[1]), read_owner(answer.stack[2])
        except ValueError:
            return None
        if contract not in self._contracts:
            return None
        genuine = await self.wallet_of(endpoint, contract, owner) == wallet
        return Held(owner, contract) if genuine else None


def candidates_of(transaction: Transaction, masters: list[Master]) -> list[Master]:
    """Return the masters whose wallet the account may be, by its code."""
    code = code_hash(transaction)
    if code is None:
        return masters
    digest = binascii.a2b_base64(code)
    return [master for master in masters if master.code_hash == digest]


def trim(known: dict[str, Held | None] | dict[tuple[str, str], str]) -> None:
    """Forget the oldest of what is only a memory."""
    if len(known) > _KNOWN_MAX:
        del known[next(iter(known))]  # type: ignore[arg-type]


def guess_owner(transaction: Transaction) -> str | None:
    """Return who a jetton wallet says owns it: whom it notified, or what it was deployed with.

    A guess that its master then confirms or not; a genuine wallet never guesses wrong.
    """
    for message in transaction.out_msgs:
        if message.opcode == _NOTIFICATION and message.destination:
            return message.destination.lower()
    came = transaction.in_msg
    if came is None or came.init_state is None or came.init_state.body is None:
        return None
    try:
        return owner_in_state(read_cells(came.init_state.body))
    except ValueError:
        return None


async def learn(endpoint: Endpoint, contract: str) -> Master:
    """Ask a master for its wallets' code and find their layout."""
    stack = await ask_master(endpoint, contract)
    if stack is None:
        raise NodeUnavailable(f"there is no jetton master at {contract}")
    code = read_cell(read_bag(stack[4]))
    known = {owner: await ask_wallet(endpoint, contract, owner) for owner in PROBES}
    master = make_master(contract, code, known)
    if master.layout is None:
        _log.warning("wallets of a jetton have an unusual layout: asked for", contract=contract)
    return master


async def ask_master(endpoint: Endpoint, contract: str) -> list[StackItem] | None:
    """Ask for get_jetton_data (TEP-74): supply, mintable, admin, content, the wallets' code.

    None if there is no jetton master.
    """
    answer = await run_method(endpoint, contract, "get_jetton_data")
    return answer.stack if answer.exit_code in OK and len(answer.stack) >= 5 else None


def read_cell(bag: str) -> Cell:
    """Return a cell in base64. NodeUnavailable if it is no bag of cells."""
    try:
        return Cell.one_from_boc(bag)
    except Exception:  # whatever the library makes of odd bytes
        raise NodeUnavailable("a get-method did not answer with a cell") from None


async def ask_wallet(endpoint: Endpoint, contract: str, owner: str) -> str:
    """Ask a master for the owner's wallet (get_wallet_address, TEP-74)."""
    arguments = [address_argument(owner)]
    answer = await run_method(endpoint, contract, "get_wallet_address", arguments)
    if answer.exit_code not in OK or not answer.stack:
        raise NodeUnavailable(f"the jetton master {contract} names no wallets")
    return read_owner(answer.stack[0])
