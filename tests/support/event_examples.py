"""One example of every event type. docs/webhooks.md shows exactly these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from topics.events import EVENT_TYPES, EVENTS, Event, make_event_id

OCCURRED_AT = datetime(2026, 3, 14, 15, 9, 26, 535000, tzinfo=UTC)
TRANSACTION = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"
BLOCK = "0xb495a1d7e6663152ae92708da4843337b958146015a2802f4193a410044698c9"

NETWORK = {"network": "eip155:1"}
WITHDRAWAL: dict[str, Any] = {
    "withdrawal_id": 901,
    "idempotency_key": "payout-2026-0042",
    "owner": "user-17",
    **NETWORK,
    "asset": "ETH",
    "amount_minor": "250000000000000000",
    "fee_minor": "1000000000000000",
    "address": "0x52908400098527886e0f7030069857d2e4169ee7",
    "memo": None,
}
DEPOSIT: dict[str, Any] = {
    "deposit_id": 4711,
    "owner": "user-17",
    **NETWORK,
    "asset": "ETH",
    "amount_minor": "1500000000000000000",
    "address": "0x8617e340b3d01fa5f11f306f4090fd50e238070d",
    "sender": "0xde709f2102306220921060314715629080e2fb77",
    "contract": None,
    "memo": None,
    "transaction_id": TRANSACTION,
    "transfer_index": "value",
    "height": 21000000,
    "block_id": BLOCK,
    "revision": 0,
    "confirmations": 1,
    "confirmations_required": 12,
}
POOLED = DEPOSIT | {
    "network": "stellar:pubnet",
    "asset": "XLM",
    "amount_minor": "250000000",
    "address": "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7",
    "sender": "GB6NVEN5HSUBKMYCE5ZOWSK5K23TBWRUQLZY3KNMXUZ3AQ2ESC4MY4AQ",
    "transaction_id": TRANSACTION.removeprefix("0x"),
    "transfer_index": "op:0",
    "height": 58000000,
    "block_id": BLOCK.removeprefix("0x"),
    "confirmations_required": 1,
}
SENT = WITHDRAWAL | {"transaction_id": TRANSACTION, "nonce": 42}
ACCOUNT = {"owner": "user-17", "asset": "ETH"}

EXAMPLES: dict[str, dict[str, Any]] = {
    "deposit.detected": DEPOSIT,
    "deposit.confirmed": DEPOSIT | {"confirmations": 12},
    "deposit.unassigned": POOLED | {"owner": "", "memo": "text:order 12", "confirmations": 1},
    "deposit.assigned": POOLED
    | {"memo": "text:order 12", "confirmations": 40, "assigned_by": "carol"},
    "deposit.orphaned": DEPOSIT | {"confirmations": 0},
    "deposit.reversed": DEPOSIT | {"confirmations": 0, "account_frozen": False},
    "deposit.ignored": DEPOSIT | {"amount_minor": "1", "reason": "below_minimum"},
    "withdrawal.requested": WITHDRAWAL,
    "withdrawal.rejected": {
        "withdrawal_id": 902,
        "idempotency_key": "payout-2026-0043",
        "owner": "user-17",
        **NETWORK,
        "asset": "ETH",
        "amount_minor": "-5",
        "address": "0x52908400098527886e0f7030069857d2e4169ee7",
        "reason": "amount_not_positive",
        "detail": "",
    },
    "withdrawal.awaiting_approval": WITHDRAWAL | {"reason": "amount"},
    "withdrawal.approved": WITHDRAWAL | {"approved_by": "limits"},
    "withdrawal.signed": SENT,
    "withdrawal.broadcast": SENT,
    "withdrawal.replaced": SENT | {"replaced_transaction_id": "0x" + BLOCK[:1:-1]},
    "withdrawal.confirmed": WITHDRAWAL
    | {
        "transaction_id": TRANSACTION,
        "height": 21000010,
        "block_id": BLOCK,
        "confirmations": 12,
        "network_fee_minor": "441000000000000",
        "network_fee_asset": "ETH",
    },
    "withdrawal.failed": WITHDRAWAL
    | {
        "transaction_id": TRANSACTION,
        "reason": "failed_on_chain",
        "detail": "The network took the transaction's fee and undid the rest.",
    },
    "withdrawal.reversed": WITHDRAWAL | {"transaction_id": TRANSACTION, "account_frozen": False},
    "account.frozen": ACCOUNT
    | {
        "reason": "reorganised_credit",
        "detail": "1300000000000000000 minor units of a reversed deposit were spent",
        "decided_by": None,
    },
    "account.unfrozen": ACCOUNT
    | {"reason": "operator", "detail": "settled by hand", "decided_by": "carol"},
    "hot_wallet.low": NETWORK
    | {
        "asset": "ETH",
        "address": "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "balance_minor": "90000000000000000",
        "threshold_minor": "1000000000000000000",
    },
    "network.halted": NETWORK
    | {
        "height": 21000000,
        "reason": "reorganisation_too_deep",
        "detail": "the chain forked more than 64 blocks below our tip",
    },
    "network.resumed": NETWORK | {"height": 21000000},
    "reconciliation.difference": NETWORK
    | {
        "scope": "chain",
        "asset": "ETH",
        "account": "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "expected_minor": "100000000000000000",
        "actual_minor": "90000000000000000",
        "difference_minor": "-10000000000000000",
    },
    "webhook.disabled": {
        "endpoint_id": "ep_0123456789abcdef01234567",
        "url": "https://example.com/webhooks",
        "reason": "failing",
        "failing_since": "2026-03-09T15:09:26.535Z",
    },
    "webhook.test": {
        "endpoint_id": "ep_0123456789abcdef01234567",
        "message": "This is a test.",
    },
}


def example(name: str) -> Event:
    """Return the example of a type, read as strictly as any event is."""
    envelope = {
        "type": name,
        "id": make_event_id(OCCURRED_AT, name),
        "tenant": "acme",
        "occurred_at": OCCURRED_AT,
        "data": EXAMPLES[name],
    }
    return read_event(msgspec.json.encode(envelope))


def read_event(body: bytes) -> Event:
    """Read an event as the pipeline does, out of a record; raises topics.topic.Undecodable."""
    (event,) = EVENTS.decode(b'{"events":[' + body + b"]}").events
    return event


def catalogue() -> str:
    """Return the part of docs/webhooks.md that lists every type with its example."""
    return "\n".join(_section(name) for name in EVENT_TYPES)


def _section(name: str) -> str:
    text = msgspec.json.format(msgspec.json.encode(example(name)), indent=2).decode()
    return f"### {name}\n\n{EVENT_TYPES[name].__doc__}\n\n```json\n{text}\n```\n"
