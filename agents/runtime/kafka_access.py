"""How every client of ours connects to Kafka: one place for addresses, TLS and SASL."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import faust
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.helpers import create_ssl_context

from settings.model import Settings

ATTEMPT_TIMEOUT_MS = 10_000
ISOLATION = "read_committed"
"""Of all who read records: what a producer's transaction wrote is read once that is committed."""


class BrokerRefused(KafkaConnectionError):  # type: ignore[misc]
    """No broker lets us in; the message says why, and never a password."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Return what aiokafka's producers, consumers and admin clients are all opened with.

    OSError if the file with the certificates cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": tls_context(settings),
    }
    if settings.kafka_uses_sasl:
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_user,
            "sasl_plain_password": _password(settings),
        }
    return options


def faust_options(settings: Settings) -> dict[str, Any]:
    """Return the same for a Faust app."""
    context = tls_context(settings)
    credentials: Any = None if context is None else faust.SSLCredentials(context)
    if settings.kafka_uses_sasl:
        credentials = faust.SASLCredentials(
            username=settings.kafka_sasl_user,
            password=_password(settings),
            ssl_context=context,
            mechanism=settings.kafka_sasl_mechanism,
        )
    return {"broker": f"kafka://{settings.kafka_bootstrap}", "broker_credentials": credentials}


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return how brokers' certificates are checked; None if the connection is not encrypted."""
    if not settings.kafka_uses_tls:
        return None
    context: ssl.SSLContext = create_ssl_context(cafile=settings.kafka_ca_file)
    return context


@asynccontextmanager
async def open_admin(
    settings: Settings, timeout_ms: int = ATTEMPT_TIMEOUT_MS
) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open a client that makes and describes topics; `timeout_ms` is for each answer.

    Raises BrokerRefused, KafkaError, OSError.
    """
    await require_access(settings)
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=timeout_ms)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def require_access(settings: Settings) -> None:
    """Raise BrokerRefused, saying what each broker said, unless one of them lets us in.

    aiokafka itself says only that it could not connect.
    """
    options = client_options(settings)
    words: list[str] = []
    for server in options.pop("bootstrap_servers").split(","):
        try:
            await _try(server, options)
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            words.append(f"{server}: {_describe(settings, error)}")
        else:
            return
    raise BrokerRefused("; ".join(words))


async def has_access(settings: Settings) -> bool:
    """Whether a broker lets us in."""
    try:
        await require_access(settings)
    except (BrokerRefused, OSError):
        return False
    return True


async def _try(server: str, options: dict[str, Any]) -> None:
    host, _, port = server.strip().rpartition(":")
    if not port.isdecimal():
        raise ValueError("it must be host:port")
    connection = await create_conn(
        host.strip("[]"), int(port), request_timeout_ms=ATTEMPT_TIMEOUT_MS, **options
    )
    connection.close()


def _describe(settings: Settings, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, KafkaConnectionError | ConnectionResetError | ssl.SSLError):
        return (
            "the connection was cut at the beginning: the broker may not speak"
            f" {settings.kafka_security_protocol} there"
        )
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = str(error) or type(error).__name__
    if settings.kafka_uses_sasl and isinstance(error, KafkaError):
        return f"{settings.kafka_sasl_mechanism} as {settings.kafka_sasl_user} was refused: {said}"
    return said


def _password(settings: Settings) -> str:
    password = settings.kafka_sasl_password
    return "" if password is None else password.get_secret_value()
