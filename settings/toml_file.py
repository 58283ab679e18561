"""millrace.toml as a source of settings: everything may stand in it except secrets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic_settings import SettingsError, TomlConfigSettingsSource

KEYS = ("wallet_enc_key", "webhook_enc_key", "kafka_sasl_password")


class TomlFile(TomlConfigSettingsSource):
    """Refuses a file with a secret in it: files are copied, shared, and kept under version control.

    Raises SettingsError, which names the environment variable and not the secret.
    """

    def __call__(self) -> dict[str, Any]:
        """Return what stands in the file."""
        values = super().__call__()
        for name in KEYS:
            if name in values:
                raise _refused(name)
        if _has_password(values.get("database_url")):
            raise _refused("database_url", " with a password")
        return values


def _has_password(url: object) -> bool:
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.password is not None or "password=" in parts.query


def _refused(name: str, what: str = "") -> SettingsError:
    return SettingsError(
        f"{name}{what} does not belong into a file: give it in the environment variable"
        f" MILLRACE_{name.upper()}"
    )
