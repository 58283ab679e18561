"""docs/asyncapi.json describes the topics as they are."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from chain_adapters.types import Block, Transaction, Transfer
from topics.asyncapi import FILE, describe_topics
from topics.blocks import BLOCKS, block_added
from topics.catalogue import ALL_TOPICS
from topics.withdrawals import WITHDRAWAL_COMMANDS


def validator(document: dict[str, Any], record: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{record}", "components": document["components"]}
    )


def test_the_committed_document_is_the_one_the_record_types_give() -> None:
    assert json.loads(FILE.read_text()) == describe_topics(), "run python -m topics.asyncapi"


def test_every_topic_is_described() -> None:
    document = describe_topics()
    assert set(document["channels"]) == {topic.name for topic in ALL_TOPICS}
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            name = message["payload"]["$ref"].rsplit("/", 1)[1]
            Draft202012Validator.check_schema(document["components"]["schemas"][name])


def test_a_published_block_fits_its_schema() -> None:
    transfer = Transfer("value", "0xa", "0xb", None, 2**200)
    block = Block(7, "0x7", "0x6", 1, (Transaction("0xt", "0xa", True, 3, (transfer,)),))
    [record] = block_added("eip155:1", block)
    payload = json.loads(BLOCKS.encode(record))
    validator(describe_topics(), "BlockAdded").validate(payload)
    assert payload["transactions"][0][4][0][4] == str(2**200), "amounts are strings"


def test_every_item_of_an_array_has_the_name_of_its_field() -> None:
    schemas = describe_topics()["components"]["schemas"]
    arrays = [schema for schema in schemas.values() if "prefixItems" in schema]
    assert all("title" in item for schema in arrays for item in schema["prefixItems"])
    titles = [item["title"] for item in schemas["NetworkCostOrphaned"]["prefixItems"]]
    assert titles[:3] == ["fact", "cost_id", "revision"]
    assert titles[-1] == "block_id"


@pytest.mark.parametrize(
    ("field", "value"), [("amount_minor", 5), ("amount_minor", "1.5"), ("tenant", "Not A Slug")]
)
def test_a_bad_command_does_not_fit_its_schema(field: str, value: object) -> None:
    command = {
        "type": "withdrawal.request",
        "tenant": "acme",
        "id": "order-1",
        "owner": "alice",
        "asset": "ETH",
        "amount_minor": "5",
        "address": "0x00000000000000000000000000000000000000d0",
    }
    schema = validator(describe_topics(), "WithdrawalCommand")
    assert not list(schema.iter_errors(command))
    assert list(schema.iter_errors(command | {field: value}))
    assert WITHDRAWAL_COMMANDS.decode(msgspec.json.encode(command))
