"""The AsyncAPI 3 description of the topics, made from their record types.

`python -m topics.asyncapi` writes docs/asyncapi.json; a test keeps the two the same.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from topics.blocks import BLOCKS, BlockAdded, BlockRemoved
from topics.catalogue import ALL_TOPICS
from topics.deposits import DEPOSITS, BlockMatched
from topics.events import EVENTS, EventBatch
from topics.ledger import LEDGER, LedgerRecord
from topics.topic import Topic
from topics.withdrawals import (
    WITHDRAWAL_COMMANDS,
    WITHDRAWALS_APPROVED,
    WITHDRAWALS_SIGNED,
    WithdrawalCommand,
    WithdrawalsApproved,
    WithdrawalsSigned,
)

FILE = Path(__file__).parent.parent / "docs" / "asyncapi.json"
REFERENCE = "#/components/schemas/{name}"
COMMANDS = WITHDRAWAL_COMMANDS.name
"""Millrace receives on this topic what producers order; on the others it sends."""
RECORDS: dict[str, tuple[type[Any], ...]] = {
    BLOCKS.name: (BlockAdded, BlockRemoved),
    DEPOSITS.name: (BlockMatched,),
    LEDGER.name: (LedgerRecord,),
    EVENTS.name: (EventBatch,),
    COMMANDS: (WithdrawalCommand,),
    WITHDRAWALS_APPROVED.name: (WithdrawalsApproved,),
    WITHDRAWALS_SIGNED.name: (WithdrawalsSigned,),
}
"""What each topic carries."""


def describe_topics() -> dict[str, Any]:
    """Return the whole AsyncAPI document."""
    structs = [r for records in RECORDS.values() for r in records if r is not WithdrawalCommand]
    _, schemas = msgspec.json.schema_components(structs, ref_template=REFERENCE)
    for schema in schemas.values():
        if "description" in schema:  # a docstring, which Python dedents from 3.13 on only
            schema["description"] = inspect.cleandoc(schema["description"])
    command = WithdrawalCommand.model_json_schema()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Millrace topics",
            "version": "0.1.0",
            "description": "Names carry the configured prefix, `millrace.` unless changed. Records"
            " are JSON. Delivery is at least once, in order for each key.",
            "license": {"name": "GPL-3.0-or-later"},
        },
        "channels": {topic.name: _channel(topic, RECORDS[topic.name]) for topic in ALL_TOPICS},
        "operations": {topic.name: _operation(topic.name) for topic in ALL_TOPICS},
        "components": {"schemas": {**schemas, "WithdrawalCommand": command}},
    }


def _operation(name: str) -> dict[str, Any]:
    action = "receive" if name == COMMANDS else "send"
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}}


def _channel(topic: Topic[Any], records: tuple[type[Any], ...]) -> dict[str, Any]:
    return {
        "address": f"{{prefix}}{topic.name}",
        "parameters": {"prefix": {"default": "millrace."}},
        "messages": {
            record.__name__: {
                "summary": (record.__doc__ or "").splitlines()[0],
                "contentType": "application/json",
                "payload": {"$ref": REFERENCE.format(name=record.__name__)},
                "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}}},
            }
            for record in records
        },
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(describe_topics(), indent=2) + "\n")
