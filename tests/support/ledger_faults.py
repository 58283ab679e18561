"""Entries that can never be posted, by what is wrong with them."""

from __future__ import annotations

from ledger.chart import Kind
from ledger.entries import AccountRef, Entry, Line
from tests.support.ledger import user

TENANT = "acme"
HOT = AccountRef(TENANT, "", "ETH", "hot_wallet")


def broken(**changes: object) -> Entry:
    """Return a sound entry with these fields changed."""
    line = Line(user(TENANT, "alice", "available"), user(TENANT, "alice", "locked"), 1)
    fields: dict[str, object] = {
        "tenant": TENANT,
        "kind": Kind.BID_LOCK,
        "idempotency_key": "k",
        "lines": (line,),
        "reference_type": "t",
        "reference_id": "r",
    }
    return Entry(**{**fields, **changes})  # type: ignore[arg-type]


AVAILABLE, LOCKED = user(TENANT, "alice", "available"), user(TENANT, "alice", "locked")
RECEIVABLE = user(TENANT, "alice", "receivable")

INVALID = {
    "no_lines": broken(lines=()),
    "too_many_lines": broken(lines=(Line(AVAILABLE, LOCKED, 1),) * 1001),
    "no_key": broken(idempotency_key=""),
    "a_key_with_a_line_break": broken(idempotency_key="a\nb"),
    "a_key_with_nul": broken(idempotency_key="a\0b"),
    "an_endless_key": broken(idempotency_key="k" * 201),
    "a_reference_with_a_tab": broken(reference_id="a\tb"),
    "metadata_with_nul": broken(metadata={"a": "\0"}),
    "metadata_that_is_no_json": broken(metadata={"a": object()}),
    "metadata_with_half_a_character": broken(metadata={"a": "\ud800"}),
    "zero": broken(lines=(Line(AVAILABLE, LOCKED, 0),)),
    "a_negative_amount": broken(lines=(Line(AVAILABLE, LOCKED, -1),)),
    "an_amount_of_79_digits": broken(lines=(Line(AVAILABLE, LOCKED, 10**78),)),
    "one_account_twice": broken(lines=(Line(AVAILABLE, AVAILABLE, 1),)),
    "two_assets": broken(lines=(Line(AVAILABLE, user(TENANT, "alice", "locked", "USDT"), 1),)),
    "two_tenants": broken(lines=(Line(AVAILABLE, user("other", "alice", "locked"), 1),)),
    "another_tenant": broken(tenant="other"),
    "an_unknown_bucket": broken(lines=(Line(AVAILABLE, user(TENANT, "alice", "x"), 1),)),
    "a_users_bucket_of_the_tenant": broken(lines=(Line(AVAILABLE, user(TENANT, "", "locked"), 1),)),
    "a_tenants_bucket_of_a_user": broken(
        lines=(Line(AVAILABLE, user(TENANT, "alice", "capital"), 1),)
    ),
    "an_owner_with_nul": broken(lines=(Line(AVAILABLE, user(TENANT, "a\0", "locked"), 1),)),
    "an_endless_owner": broken(lines=(Line(AVAILABLE, user(TENANT, "a" * 129, "locked"), 1),)),
    "overflow_and_debt": broken(
        lines=(Line(AVAILABLE, LOCKED, 1, overflow=RECEIVABLE, repays=RECEIVABLE),)
    ),
    "an_overflow_into_money": broken(
        lines=(Line(AVAILABLE, HOT, 1, overflow=user(TENANT, "alice", "pending")),)
    ),
    "an_overflow_of_an_asset": broken(lines=(Line(HOT, AVAILABLE, 1, overflow=RECEIVABLE),)),
    "an_overflow_of_another_asset": broken(
        lines=(Line(AVAILABLE, HOT, 1, overflow=user(TENANT, "alice", "receivable", "USDT")),)
    ),
    "a_debt_that_is_one_of_the_two": broken(
        lines=(Line(RECEIVABLE, LOCKED, 9, repays=RECEIVABLE),)
    ),
}
