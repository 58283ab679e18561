"""Secrets of endpoints and the signature of a webhook, by Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Protocol

import structlog
from standardwebhooks import Webhook

log = structlog.get_logger()

SECRET_BYTES = 32
"""Within the 24 to 64 bytes that the specification asks for."""


class SecretBox(Protocol):
    """Keeps secrets unreadable at rest; custody supplies one that encrypts with AES-GCM."""

    def encrypt(self, secret: bytes, purpose: str, /) -> bytes:
        """Return `secret` encrypted and bound to `purpose`."""
        ...

    def decrypt(self, sealed: bytes, purpose: str, /) -> bytes:
        """Undo `encrypt`; raises if the key, the bytes or the purpose are not the same."""
        ...


class SecretUnreadable(Exception):
    """An endpoint's secret cannot be decrypted with the key at hand."""


def make_secret() -> str:
    """Return a new random secret in the form that tenants get: whsec_ and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def seal_secret(box: SecretBox, endpoint_id: str, secret: str) -> bytes:
    """Encrypt an endpoint's secret; it opens for this endpoint alone."""
    return box.encrypt(secret.encode(), _purpose(endpoint_id))


def open_secret(box: SecretBox, endpoint_id: str, sealed: bytes) -> str:
    """Decrypt an endpoint's secret. Raises SecretUnreadable."""
    try:
        return box.decrypt(sealed, _purpose(endpoint_id)).decode()
    except Exception as error:  # whatever the box raises; its text is not for the log
        raise SecretUnreadable("the secret of the endpoint cannot be read") from error


def _purpose(endpoint_id: str) -> str:
    return f"webhook-secret:{endpoint_id}"


class Signer:
    """Signs webhooks. Opened secrets stay in memory, as many as there is use for."""

    def __init__(self, box: SecretBox, secrets_max: int = 4096) -> None:
        self._box = box
        self._webhook = lru_cache(secrets_max)(self._open)

    def sign(
        self,
        endpoint_id: str,
        sealed: Sequence[bytes],
        event_id: str,
        moment: datetime,
        payload: bytes,
    ) -> dict[str, str]:
        """Return the headers of one webhook, with a signature by each secret.

        `moment` is when it is sent, in UTC; receivers refuse it five minutes later.
        """
        text = payload.decode()
        signatures = (
            self._webhook(endpoint_id, secret).sign(event_id, moment, text) for secret in sealed
        )
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _open(self, endpoint_id: str, sealed: bytes) -> Webhook:
        try:
            return Webhook(open_secret(self._box, endpoint_id, sealed))
        except SecretUnreadable:
            log.error("webhook_secret_unreadable", endpoint_id=endpoint_id)
            raise
