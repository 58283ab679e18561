"""Books to post to, events to post, and a model that knows what must come out."""

from __future__ import annotations

import itertools
import secrets
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from hypothesis import strategies as st

import sql.ledger as tables
from ledger import rules
from ledger.chart import BUCKETS, REORGANISED_CREDIT
from ledger.entries import AccountRef, Entry, Line, Outcome, PostResult
from ledger.memory import MemoryLedger
from ledger.post import post
from sql.pool import Connection, Pool

ASSETS = ("ETH", "USDT")
OWNERS = ("alice", "bob")

_serial = itertools.count()


class Books(Protocol):
    """What the database and the in-memory twin have in common."""

    async def post(self, entries: Sequence[Entry]) -> list[PostResult]:
        """Post a batch in one transaction."""
        ...

    async def balance(self, ref: AccountRef) -> int:
        """Return a balance in its normal side."""
        ...

    async def frozen(self, ref: AccountRef) -> str | None:
        """Return why an account is frozen."""
        ...


class DatabaseBooks:
    """The ledger in Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def post(self, entries: Sequence[Entry]) -> list[PostResult]:
        async with self._pool.acquire() as conn, conn.transaction():
            return await post(conn, entries)

    async def balance(self, ref: AccountRef) -> int:
        async with self._pool.acquire() as conn:
            return await tables.fetch_account_balance(
                conn, ref.tenant, ref.owner, asset=ref.asset, bucket=ref.bucket
            )

    async def frozen(self, ref: AccountRef) -> str | None:
        async with self._pool.acquire() as conn:
            reason: str | None = await conn.fetchval(
                "SELECT frozen_reason FROM accounts "
                "WHERE (tenant, owner, asset, bucket) = ($1, $2, $3, $4)",
                ref.tenant,
                ref.owner,
                ref.asset,
                ref.bucket,
            )
            return reason


class MemoryBooks:
    """The in-memory twin."""

    def __init__(self, tenant: str) -> None:
        self._ledger = MemoryLedger([tenant], ASSETS)

    async def post(self, entries: Sequence[Entry]) -> list[PostResult]:
        return await self._ledger.post(entries)

    async def balance(self, ref: AccountRef) -> int:
        return self._ledger.balance_minor(ref)

    async def frozen(self, ref: AccountRef) -> str | None:
        return self._ledger.frozen_reason(ref)


async def open_tenant(conn: Connection) -> str:
    """Make a tenant nobody has used, and the assets."""
    tenant = f"t{next(_serial)}-{secrets.token_hex(4)}"
    await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", tenant)
    await conn.execute(
        "INSERT INTO networks (network, kind, native_asset, confirmations) "
        "VALUES ('eip155:31337', 'ethereum', 'ETH', 1) ON CONFLICT DO NOTHING"
    )
    await conn.execute(
        "INSERT INTO assets (asset, network, contract, decimals) VALUES "
        "('ETH', 'eip155:31337', NULL, 18), ('USDT', 'eip155:31337', '0xdac1', 6) "
        "ON CONFLICT DO NOTHING"
    )
    return tenant


def all_refs(tenant: str) -> list[AccountRef]:
    """Return every account the events below can touch."""
    return [
        AccountRef(tenant, owner, asset, bucket)
        for bucket, meaning in BUCKETS.items()
        for owner in (OWNERS if meaning.of_user else ("",))
        for asset in ASSETS
    ]


def user(tenant: str, owner: str, bucket: str, asset: str = "ETH") -> AccountRef:
    """Name an account of a user."""
    return AccountRef(tenant, owner, asset, bucket)


def deposit(tenant: str, owner: str, amount_minor: int, number: int, revision: int = 0) -> Entry:
    """Credit ETH to a user."""
    return rules.deposit_credited(
        tenant, owner, "ETH", amount_minor, deposit_id=number, revision=revision
    )


def reversal(tenant: str, owner: str, amount_minor: int, number: int, revision: int = 0) -> Entry:
    """Take such a credit back."""
    return rules.deposit_reversed(
        tenant, owner, "ETH", amount_minor, deposit_id=number, revision=revision
    )


_amounts = st.one_of(st.integers(1, 60), st.sampled_from([10**18, 10**77, 9 * 10**77]))


@st.composite
def entries(draw: st.DrawFn, tenant: str = "tenant") -> Entry:
    """Draw one event; few numbers, so that keys repeat with the same and with other content."""
    owner, asset = draw(st.sampled_from(OWNERS)), draw(st.sampled_from(ASSETS))
    amount_minor, number = draw(_amounts), draw(st.integers(0, 5))
    revision, fee_minor = draw(st.integers(0, 1)), draw(st.integers(0, 3))
    mined = {"deposit_id": number, "revision": revision}
    order = {"fee_minor": fee_minor, "withdrawal_id": number}
    final = {**order, "revision": revision}
    settled = rules.withdrawal_settled(
        tenant, owner, asset, amount_minor, **final, native_asset="ETH", gas_minor=fee_minor
    )
    failed = rules.withdrawal_failed_on_chain(
        tenant, owner, asset, amount_minor, **final, native_asset="ETH", gas_minor=fee_minor
    )
    return draw(
        st.sampled_from(
            [
                rules.deposit_credited(tenant, owner, asset, amount_minor, **mined),
                rules.deposit_credited(tenant, owner, asset, amount_minor, **mined),
                rules.deposit_reversed(tenant, owner, asset, amount_minor, **mined),
                rules.wallet_funded(tenant, asset, "hot_wallet", amount_minor, **mined),
                rules.wallet_funding_reversed(tenant, asset, "hot_wallet", amount_minor, **mined),
                rules.withdrawal_held(tenant, owner, asset, amount_minor, **order),
                rules.withdrawal_released(tenant, owner, asset, amount_minor, **order),
                settled,
                failed,
                rules.withdrawal_unsettled(settled),
                rules.withdrawal_unsettled(failed),
                rules.hold(
                    tenant, owner, asset, amount_minor, reason="BID_LOCK", hold_id=str(number)
                ),
                rules.unhold(
                    tenant, owner, asset, amount_minor, reason="BID_LOCK", hold_id=str(number)
                ),
            ]
        )
    )


class Model:
    """A ledger told as plainly as possible: one signed number an account, one entry at a time."""

    def __init__(self) -> None:
        self.net: dict[AccountRef, int] = defaultdict(int)  # debits - credits
        self.frozen: set[AccountRef] = set()
        self.posted: dict[str, Entry] = {}

    def balance(self, ref: AccountRef) -> int:
        sign = 1 if BUCKETS[ref.bucket].kind in ("asset", "expense") else -1
        return sign * self.net[ref]

    def post(self, entry: Entry) -> tuple[Outcome, int, set[AccountRef]]:
        """Return the outcome, what was missing, and who is frozen no more."""
        earlier = self.posted.get(entry.idempotency_key)
        if earlier is not None:
            same = (earlier.kind, earlier.lines) == (entry.kind, entry.lines)
            return (Outcome.DUPLICATE if same else Outcome.CONFLICT), 0, set()
        before = dict(self.net), set(self.frozen)
        missing = 0
        for line in entry.lines:
            if entry.enforce_frozen and line.debit in self.frozen:
                return self._refuse(before, Outcome.FROZEN)
            missing += self._move(line)
            if any(
                self.balance(ref) < 0 and not BUCKETS[ref.bucket].may_be_negative
                for ref in list(self.net)
            ):
                return self._refuse(before, Outcome.INSUFFICIENT_FUNDS)
            if any(abs(value) >= 10**78 for value in self.net.values()):
                return self._refuse(before, Outcome.INVALID)
        self.posted[entry.idempotency_key] = entry
        return Outcome.POSTED, missing, before[1] - self.frozen

    def _refuse(
        self, before: tuple[dict[AccountRef, int], set[AccountRef]], outcome: Outcome
    ) -> tuple[Outcome, int, set[AccountRef]]:
        self.net, self.frozen = defaultdict(int, before[0]), before[1]
        return outcome, 0, set()

    def _move(self, line: Line) -> int:
        debit, credit, amount = line.debit, line.credit, line.amount_minor
        missing = 0
        if line.overflow is not None and amount > self.balance(debit):
            missing = amount - self.balance(debit)
            self.net[line.overflow] += missing
            self.net[credit] -= missing
            self.frozen.add(debit)
        elif line.repays is not None and credit in self.frozen:
            repaid = min(amount, self.balance(line.repays))
            self.net[debit] += repaid
            self.net[line.repays] -= repaid
            amount -= repaid
            if not self.net[line.repays]:
                self.frozen.discard(credit)
        self.net[debit] += amount - missing
        self.net[credit] -= amount - missing
        return missing


async def differences(books: Books, model: Model, tenant: str) -> list[str]:
    """Return what the books say otherwise than the model."""
    found = []
    for ref in all_refs(tenant):
        if await books.balance(ref) != model.balance(ref):
            found.append(f"{ref}: {await books.balance(ref)} for {model.balance(ref)}")
        reason = REORGANISED_CREDIT if ref in model.frozen else None
        if await books.frozen(ref) != reason:
            found.append(f"{ref}: frozen for {await books.frozen(ref)}, not {reason}")
    return found
