"""The AsyncAPI 3 description of the topics, made from their record types.

`python -m topics.asyncapi` writes docs/asyncapi.json; a test keeps the two the same.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, get_args

import msgspec

from topics.blocks import BLOCKS, BlockAdded, BlockRemoved, TransactionRecord, TransferRecord
from topics.catalogue import ALL_TOPICS
from topics.deposits import DEPOSITS, BlockMatched
from topics.events import EVENTS, EventBatch
from topics.ledger import LEDGER, LedgerFact, LedgerRecord
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
ARRAYS: tuple[type[Any], ...] = (TransactionRecord, TransferRecord, *get_args(LedgerFact))
"""What travels as an array of values without names."""


def describe_topics() -> dict[str, Any]:
    """Return the whole AsyncAPI document."""
    structs = [r for records in RECORDS.values() for r in records if r is not WithdrawalCommand]
    references, schemas = msgspec.json.schema_components(
        [*ARRAYS, *structs], ref_template=REFERENCE
    )
    for array, reference in zip(ARRAYS, references, strict=False):
        _name_items(array, schemas[reference["$ref"].rpartition("/")[2]])
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
            " are JSON. Delivery is at least once. Records of one key come in order as long as"
            " nothing fails; do not lean on it.",
            "license": {"name": "GPL-3.0-or-later"},
        },
        "channels": {topic.name: _channel(topic, RECORDS[topic.name]) for topic in ALL_TOPICS},
        "operations": {topic.name: _operation(topic.name) for topic in ALL_TOPICS},
        "components": {"schemas": {**schemas, "WithdrawalCommand": command}},
    }


def _name_items(array: type[Any], schema: dict[str, Any]) -> None:
    """Give each item of an array the name of its field as a title, behind that of the tag."""
    tag_field = array.__struct_config__.tag_field
    names = ([tag_field] if tag_field else []) + list(array.__struct_encode_fields__)
    for name, item in zip(names, schema["prefixItems"], strict=True):
        item["title"] = name


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
