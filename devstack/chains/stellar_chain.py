"""A simulated Stellar: envelopes are verified and queued, and applied when a ledger closes.

Part of a test double, see `stellar_node`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from stellar_sdk import Keypair, MuxedAccount

from devstack.chains.stellar_envelopes import (
    PASSPHRASE,
    Invalid,
    Sent,
    check_bounds,
    is_signed,
    parse,
    show_time,
    transaction_record,
)
from devstack.chains.stellar_operations import (
    Applied,
    Fields,
    Where,
    apply_operation,
    party,
    show_amount,
)
from devstack.chains.stellar_state import BASE_FEE, BASE_RESERVE, OperationFailed, State

NETWORK = "stellar:standalone"
BANK = Keypair.from_raw_ed25519_seed(sha256(PASSPHRASE.encode()).digest())
"""Every Stellar network begins with one account that has all lumens, of this key."""
TOTAL_COINS = 10**18


class TryLater(Exception):
    """Core has a transaction of this account in its queue already (protocol 20)."""


class Chain:
    """Ledgers, what is queued for the next one, and a journal from which it can start anew."""

    def __init__(self, journal: Path) -> None:
        self.state = State()
        self.ledgers: list[Fields] = []
        self.transactions: dict[int, list[Fields]] = {}
        self.operations: dict[int, list[Fields]] = {}
        self.effects: dict[int, list[Fields]] = {}
        self.places: dict[str, tuple[int, int]] = {}
        """By hash, outer or inner: ledger and position in it."""
        self.queue: dict[str, Sent] = {}
        self._queued: dict[str, int] = {}
        self._journal = journal
        self.state.create(BANK.public_key, TOTAL_COINS, 0)
        self.state.checkpoint()
        self._append(1_700_000_000, [])
        self._replay()

    @property
    def height(self) -> int:
        """The latest ledger's sequence."""
        return len(self.ledgers)

    @property
    def closed_at(self) -> int:
        """The latest ledger's close time, in Unix seconds."""
        return self._closed_at

    def _replay(self) -> None:
        if not self._journal.exists():
            return
        for line in self._journal.read_text().splitlines():
            entry = json.loads(line)
            if "rate" in entry:
                self._set_rate(*entry["rate"])
            else:
                self._append(entry["closed_at"], [parse(raw) for raw in entry["sent"]])

    def _write(self, entry: Fields) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps(entry) + "\n")

    def set_rate(self, source: str, asset: str, given: int, taken: int) -> None:
        """Let path payments give so many units of an asset for so many of another."""
        self._write({"rate": [source, asset, given, taken]})
        self._set_rate(source, asset, given, taken)

    def _set_rate(self, source: str, asset: str, given: int, taken: int) -> None:
        self.state.rates[source, asset] = (given, taken)

    def next_sequence(self, address: str) -> int:
        """Return the sequence number that an account's next transaction must have."""
        account = self.state.find(address)
        used = 0 if account is None else account.sequence
        return used + self._queued.get(address, 0) + 1

    def submit(self, raw: str) -> tuple[str, bool]:
        """Queue an envelope; return its hash and whether it waits already.

        ValueError if it is none, Invalid or TryLater if core would not take it.
        """
        sent = parse(raw)
        if sent.hash in self.queue:
            return sent.hash, True
        waiting = self._queued.get(sent.source, 0)
        if waiting and sent.source != BANK.public_key:
            raise TryLater(sent.hash)
        self._check(sent, self.closed_at, waiting)
        self.queue[sent.hash] = sent
        self._queued[sent.source] = waiting + 1
        return sent.hash, False

    def _check(self, sent: Sent, at: int, waiting: int = 0) -> None:
        """Raise Invalid unless a ledger closed at this time can have the transaction.

        In core's order (TransactionFrame): time, sequence, fee, signatures, balance.
        """
        transaction = sent.inner.transaction
        source, payer = self.state.find(sent.source), self.state.find(sent.fee_account)
        if not transaction.operations:
            raise Invalid("txMISSING_OPERATION")
        check_bounds(sent.inner, at)
        if sent.bid < BASE_FEE * sent.fee_units:
            raise Invalid("txINSUFFICIENT_FEE")
        if source is None or payer is None:
            raise Invalid("txNO_ACCOUNT")
        if transaction.sequence != source.sequence + waiting + 1:
            raise Invalid("txBAD_SEQ")
        self._check_signatures(sent)
        if payer.available < sent.bid * (waiting + 1):
            raise Invalid("txINSUFFICIENT_BALANCE")

    def _check_signatures(self, sent: Sent) -> None:
        sources = {o.source.account_id for o in sent.inner.transaction.operations if o.source}
        if not is_signed(sent.inner, sources | {sent.source}):
            raise Invalid("txBAD_AUTH")
        if sent.outer is not sent.inner and not is_signed(sent.outer, {sent.fee_account}):
            raise Invalid("txBAD_AUTH")

    def close(self, at: int) -> None:
        """Close a ledger with what is queued and valid still; the rest is dropped."""
        closed_at = max(at, self.closed_at + 1)
        taken = list(self._take(closed_at))
        self.queue.clear()
        self._queued.clear()
        self._write({"closed_at": closed_at, "sent": [sent.raw for sent in taken]})
        self._append(closed_at, taken)

    def _take(self, closed_at: int) -> Iterator[Sent]:
        """Yield what is valid, counting what each account has in this ledger."""
        before: dict[str, int] = {}
        for sent in self.queue.values():
            waiting = before.get(sent.source, 0)
            try:
                self._check(sent, closed_at, waiting)
            except Invalid:
                continue
            before[sent.source] = waiting + 1
            yield sent

    def _append(self, closed_at: int, taken: list[Sent]) -> None:
        """Apply transactions and append the ledger they make: fees first, as core does."""
        number, self._closed_at = self.height + 1, closed_at
        self.transactions[number], self.operations[number], self.effects[number] = [], [], []
        for sent in taken:
            self.state.change(sent.fee_account).balance -= BASE_FEE * sent.fee_units
        self.state.checkpoint()
        for position, sent in enumerate(taken, 1):
            self._apply(sent, number, position)
        previous = self.ledgers[-1]["hash"] if self.ledgers else "0" * 64
        self.ledgers.append(self._ledger_record(number, previous, closed_at))

    def _apply(self, sent: Sent, number: int, position: int) -> None:
        """Use up the sequence number, then apply all operations or none."""
        self.state.change(sent.source).sequence = sent.inner.transaction.sequence
        self.state.checkpoint()
        place = (number << 32) | (position << 12)
        applied: list[Applied] = []
        try:
            for offset, operation in enumerate(sent.inner.transaction.operations):
                source = operation.source or sent.inner.transaction.source
                where = Where(self.state, source, number, f"{place + offset + 1}")
                applied.append(apply_operation(operation, where))
        except OperationFailed as failure:
            self.state.roll_back()
            self._record(sent, number, place, [], failure.code)
        else:
            self.state.checkpoint()
            self._record(sent, number, place, applied, None)

    def _record(
        self, sent: Sent, number: int, place: int, applied: list[Applied], failure: str | None
    ) -> None:
        """Append Horizon's records of one transaction."""
        record = transaction_record(sent, number, place, self.closed_at, failure is None)
        self.transactions[number].append(record)
        found = (number, len(self.transactions[number]) - 1)
        self.places |= {sent.hash: found, sent.inner.hash_hex(): found}
        for offset, one in enumerate(applied):
            operation = sent.inner.transaction.operations[offset]
            source = operation.source or sent.inner.transaction.source
            self._record_operation(one, source, place + offset + 1, record)

    def _record_operation(
        self, one: Applied, source: MuxedAccount, place: int, transaction: Fields
    ) -> None:
        number = transaction["ledger"]
        self.operations[number].append(
            {
                "id": str(place),
                "paging_token": str(place),
                "transaction_successful": True,
                **party("source_account", source),
                "type": one.kind,
                "type_i": one.number,
                "created_at": transaction["created_at"],
                "transaction_hash": transaction["hash"],
                **one.fields,
            }
        )
        for order, effect in enumerate(one.effects, 1):
            own = {"id": f"{place:019d}-{order:010d}", "paging_token": f"{place}-{order}"}
            told = {**own, **effect, "created_at": transaction["created_at"]}
            self.effects[number].append(told)

    def _ledger_record(self, number: int, previous: str, closed_at: int) -> Fields:
        """Return Horizon's record of the ledger that is being closed."""
        made = self.transactions[number]
        succeeded = [record for record in made if record["successful"]]
        hashes = "".join(record["hash"] for record in made)
        digest = sha256(f"{previous} {number} {closed_at} {hashes}".encode()).hexdigest()
        return {
            "id": digest,
            "paging_token": str(number << 32),
            "hash": digest,
            "prev_hash": previous,
            "sequence": number,
            "successful_transaction_count": len(succeeded),
            "failed_transaction_count": len(made) - len(succeeded),
            "operation_count": sum(record["operation_count"] for record in succeeded),
            "tx_set_operation_count": sum(record["operation_count"] for record in made),
            "closed_at": show_time(closed_at),
            "total_coins": show_amount(TOTAL_COINS),
            "fee_pool": show_amount(0),
            "base_fee_in_stroops": BASE_FEE,
            "base_reserve_in_stroops": BASE_RESERVE,
            "max_tx_set_size": 1000,
            "protocol_version": 22,
        }
