"""Keys that could be guessed, and files with secrets in them, are refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from settings.model import Settings

NAMES = ("wallet_enc_key", "webhook_enc_key")
KEY = "hunter2-hunter2-hunter2"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that settings are read from."""
    path = tmp_path / "millrace.toml"
    monkeypatch.setenv("MILLRACE_CONFIG", str(path))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["", "hunter2", "hunter2-hunter2"])
def test_a_key_of_less_than_16_characters_is_refused_and_not_repeated(name: str, key: str) -> None:
    with pytest.raises(ValidationError, match="16 characters") as caught:
        Settings.model_validate({name: key})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_of_16_characters_is_taken(name: str) -> None:
    key = getattr(Settings.model_validate({name: "0123456789abcdef"}), name)

    assert key.get_secret_value() == "0123456789abcdef"


@pytest.mark.parametrize("name", NAMES)
def test_a_key_in_a_file_is_refused_and_the_variable_named(file: Path, name: str) -> None:
    file.write_text(f'{name} = "{KEY}"\n')

    with pytest.raises(SettingsError, match=f"MILLRACE_{name.upper()}") as caught:
        Settings()

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://millrace:{KEY}@db/millrace",
        f"postgresql://millrace:{KEY}@db:5432,other:5432/millrace",
        f"postgresql://db/millrace?user=millrace&password={KEY}",
    ],
)
def test_the_password_of_the_database_in_a_file_is_refused_and_the_variable_named(
    file: Path, url: str
) -> None:
    file.write_text(f'database_url = "{url}"\n')

    with pytest.raises(SettingsError, match="MILLRACE_DATABASE_URL") as caught:
        Settings()

    assert "hunter2" not in str(caught.value)


def test_a_secret_in_a_file_is_refused_even_if_the_environment_has_another(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_WALLET_ENC_KEY", "another-key-another-key")
    file.write_text(f'wallet_enc_key = "{KEY}"\n')

    with pytest.raises(SettingsError):
        Settings()


def test_what_is_no_secret_may_stand_in_a_file(file: Path) -> None:
    url = "postgresql://millrace@db:5432/millrace?sslmode=verify-full"
    file.write_text(f'database_url = "{url}"\ntopic_prefix = "shop."\n')

    settings = Settings()

    assert settings.database_url.get_secret_value() == url
    assert settings.topic_prefix == "shop."


def test_two_networks_of_ton_are_refused_as_their_wallets_sign_for_each_other() -> None:
    networks = [
        {"network": f"ton:{name}", "kind": "ton", "native_asset": "TON", "rpc_urls": ["http://x"]}
        for name in ("mainnet", "testnet")
    ]
    assert len(Settings.model_validate({"networks": networks[:1]}).networks) == 1
    with pytest.raises(ValidationError, match="can be sent on the other"):
        Settings.model_validate({"networks": networks})
