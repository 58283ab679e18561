"""What a topic is: a name, how its records are keyed, and how they become bytes and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import msgspec

RecordT = TypeVar("RecordT")
EmittedT = TypeVar("EmittedT")

TENANT_PATTERN: Final = "[a-z0-9][a-z0-9_-]{0,62}"
"""What a tenant's name is from end to end, as the table tenants has it."""

_encoder = msgspec.json.Encoder()


class Undecodable(ValueError):
    """The bytes are no record of the topic; the message names the field and what was expected."""


@dataclass(frozen=True)
class Topic(Generic[RecordT]):
    """One topic family. Its Kafka name is the configured prefix and `name`.

    Records of one key are delivered in order, at least once.
    """

    name: str
    key: str
    """What the key of a record is, for the documentation."""
    decode: Callable[[bytes], RecordT]
    """Raises Undecodable."""
    from_outside: bool = False
    """Others than we write it: what is unreadable there is no fault of ours."""

    def encode(self, record: RecordT) -> bytes:
        """Return the JSON of a record."""
        return _encoder.encode(record)


class Emitter(Protocol):
    """A transaction whose records are published if it commits."""

    def emit(self, topic: Topic[EmittedT], key: str, record: EmittedT) -> None:
        """Publish `record` when, and only if, the transaction commits."""
        ...


def json_decoder(record_type: type[RecordT]) -> Callable[[bytes], RecordT]:
    """Return a strict decoder of msgspec structs, or of a union of tagged ones."""
    decoder = msgspec.json.Decoder(record_type)

    def decode(value: bytes) -> RecordT:
        try:
            return decoder.decode(value)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise Undecodable(str(error)) from error

    return decode
