"""Every event type is documented, and the documentation is true."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from notifications.signing import make_secret
from tests.support.event_examples import EXAMPLES, catalogue, example, read_event
from topics.events import (
    EVENT_TYPES,
    EVENTS,
    Event,
    EventBatch,
    encode_event,
    event_type,
    make_event_id,
)
from topics.topic import Undecodable

DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.md"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_document_shows_every_type_with_its_example() -> None:
    assert set(EXAMPLES) == set(EVENT_TYPES)
    assert DOCUMENT.read_text().endswith("## Events\n\n" + catalogue())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_event_survives_the_way_through_json(name: str) -> None:
    event = example(name)
    assert read_event(encode_event(event)) == event
    assert event_type(event) == name
    assert EVENTS.decode(EVENTS.encode(EventBatch([event]))).events == [event]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_json_schema_accepts_every_example(name: str) -> None:
    schema = msgspec.json.schema(Event)
    jsonschema.validate(json.loads(encode_event(example(name))), schema)


def test_a_float_an_unknown_field_or_a_local_time_is_no_event() -> None:
    good = encode_event(example("hot_wallet.low")).decode()
    for bad in (
        good.replace('"90000000000000000"', "0.09"),
        good.replace('"90000000000000000"', '"0.09"'),
        good.replace('"data":{', '"data":{"extra":1,'),
        good.replace("hot_wallet.low", "hot_wallet.high"),
        good.replace('Z"', '"'),
        good[:-1],
    ):
        assert bad != good
        with pytest.raises(Undecodable):
            read_event(bad.encode())


def test_an_event_id_is_the_same_for_the_same_thing_and_sorts_by_time() -> None:
    one = make_event_id(NOW, "deposit.confirmed", "eip155:1", "0xabc", "value", 0)
    assert one == make_event_id(NOW, "deposit.confirmed", "eip155:1", "0xabc", "value", 0)
    assert one != make_event_id(NOW, "deposit.detected", "eip155:1", "0xabc", "value", 0)
    assert one < make_event_id(NOW + timedelta(milliseconds=1), "anything")


def test_an_event_id_is_a_ulid_whose_random_part_is_a_hash_of_the_key() -> None:
    moment = NOW.replace(microsecond=123_456)
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    moment_ms = int(moment.timestamp() * 1000)
    time = "".join(digits[moment_ms // 32**place % 32] for place in range(9, -1, -1))
    key_hash = hashlib.sha256(b"a\x1f7\x1f0").digest()
    ulid = time + "".join(digits[byte % 32] for byte in key_hash[:16])
    assert make_event_id(moment, "a", 7, 0) == "evt_" + ulid


def test_the_documented_receiver_accepts_ours_and_refuses_others() -> None:
    (source,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    names: dict[str, object] = {}
    exec(source, names)
    receive = names["receive"]
    assert callable(receive)
    secret, now = make_secret(), datetime.now(UTC)
    body = encode_event(example("webhook.test"))
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", now, body.decode()),
    }
    assert receive(secret, headers, body)["type"] == "webhook.test"
    with pytest.raises(WebhookVerificationError):
        receive(make_secret(), headers, body)
