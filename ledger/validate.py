"""Tells which entries can never be posted.

In two parts, because the first must be known before the accounts are locked, and the second can be
looked at while the server is busy.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ledger.chart import BALANCE_MINOR_LIMIT, BUCKETS
from ledger.entries import AccountRef, Entry

KEY_CHARACTERS_MAX = 200
OWNER_CHARACTERS_MAX = 128
LINES_MAX = 1000


def problem_of(entry: Entry) -> str:
    """Return why the entry can never be posted, "" if nothing is wrong with it."""
    return problem_of_accounts(entry) or problem_of_content(entry)


def problem_of_accounts(entry: Entry) -> str:
    """Return why the entry's accounts are not worth a look, "" if they are."""
    if not 0 < len(entry.lines) <= LINES_MAX:
        return f"an entry has 1 to {LINES_MAX} lines"
    for line in entry.lines:
        if problem := _problem_of_line(
            entry.tenant, line.debit, line.credit, line.overflow, line.repays
        ):
            return problem
    return ""


def problem_of_content(entry: Entry) -> str:
    """Return what else is wrong with the entry, "" if nothing is."""
    if not is_key(entry.idempotency_key):
        return f"the idempotency key is not 1 to {KEY_CHARACTERS_MAX} printable characters"
    if not (is_reference(entry.reference_type) and is_reference(entry.reference_id)):
        return f"the reference is not up to {KEY_CHARACTERS_MAX} printable characters"
    if entry.metadata is not None and encode_metadata(entry) is None:
        return "the metadata cannot be stored as JSON"
    for line in entry.lines:
        if not 0 < line.amount_minor < BALANCE_MINOR_LIMIT:
            return "an amount is not between 1 and 10^78 - 1"
    return ""


@lru_cache(maxsize=50_000)  # the same accounts come again and again
def _problem_of_line(
    tenant: str,
    debit: AccountRef,
    credit: AccountRef,
    overflow: AccountRef | None,
    repays: AccountRef | None,
) -> str:
    if not (debit.tenant == credit.tenant == tenant and debit.asset == credit.asset):
        return "a line mixes tenants or assets"
    if problem := _problem_of_account(debit) or _problem_of_account(credit):
        return problem
    if debit.bucket == credit.bucket and debit.owner == credit.owner:
        return "a line debits and credits the same account"
    if overflow is not None or repays is not None:
        return _problem_of_detour(debit, credit, overflow, repays)
    return ""


def _problem_of_detour(  # noqa: PLR0911 - one return a rule
    debit: AccountRef,
    credit: AccountRef,
    overflow: AccountRef | None,
    repays: AccountRef | None,
) -> str:
    detour = overflow or repays
    if detour is None or (overflow is not None and repays is not None):
        return "a line has both an overflow and a debt to repay"
    if detour in (debit, credit):
        return "an overflow or debt is one of the line's own accounts"
    if detour.tenant != debit.tenant or detour.asset != debit.asset:
        return "a line mixes tenants or assets"
    if problem := _problem_of_account(detour):
        return problem
    if not BUCKETS[detour.bucket].is_debt:
        return "an overflow or debt is not what a user owes"
    if overflow is not None and BUCKETS[debit.bucket].debit_normal:
        return "an overflow stands in for an account of assets or expenses"
    return ""


def _problem_of_account(ref: AccountRef) -> str:
    bucket = BUCKETS.get(ref.bucket)
    if bucket is None:
        return "unknown bucket"
    owner = ref.owner
    if bucket.of_user != (owner != ""):
        return f"bucket {ref.bucket} does not fit the owner"
    if len(owner) > OWNER_CHARACTERS_MAX:
        return f"the owner has more than {OWNER_CHARACTERS_MAX} characters"
    if not (is_storable(owner) and is_storable(ref.tenant) and is_storable(ref.asset)):
        return "an account has characters that cannot be stored"
    return ""


def is_key(text: str) -> bool:
    """Whether a text can be an idempotency key."""
    return 0 < len(text) <= KEY_CHARACTERS_MAX and text.isprintable()


def is_reference(text: str) -> bool:
    """Whether a text can be a reference's type or id."""
    return len(text) <= KEY_CHARACTERS_MAX and text.isprintable()


def is_storable(text: str) -> bool:
    """Whether Postgres can hold the text: no NUL, no half of a surrogate pair."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def encode_metadata(entry: Entry) -> str | None:
    """Return the metadata as JSON text; None if there is none or it cannot be stored as jsonb."""
    if entry.metadata is None:
        return None
    try:
        text = msgspec.json.encode(entry.metadata).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return None if "\\u0000" in text else text
