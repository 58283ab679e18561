"""What can be configured, with defaults and units.

Values come from `millrace.toml` (its path in MILLRACE_CONFIG) and from environment variables
named MILLRACE_<FIELD>, which win. Secrets come from the environment only.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from settings.toml_file import TomlFile
from settings.url import check_bootstrap, check_database_url

MinorUnits = Annotated[int, Field(ge=0, lt=10**78)]
KEY_CHARACTERS_MIN = 16


def _long_enough(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < KEY_CHARACTERS_MIN:
        raise ValueError(
            f"a key needs at least {KEY_CHARACTERS_MIN} characters, and they should be random"
        )
    return key


def _database(url: SecretStr) -> SecretStr:
    check_database_url(url.get_secret_value())
    return url


EncryptionKey = Annotated[SecretStr, AfterValidator(_long_enough)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
Brokers = Annotated[str, AfterValidator(check_bootstrap)]


Kind = Literal[
    "bitcoin",
    "dogecoin",
    "ethereum",
    "litecoin",
    "simulated",
    "solana",
    "stellar",
    "ton",
    "tron",
]
"""The chains there are adapters for."""


CHAIN_DEFAULTS: dict[str, dict[str, Any]] = {
    "bitcoin": {"confirmations": 3, "fee_minor_max": 10**6, "poll_interval_s": 5.0}
    | {"replace_after_s": 1800.0, "rebroadcast_after_s": 300.0, "reorg_depth_max": 100},
    "dogecoin": {"confirmations": 6, "fee_minor_max": 50 * 10**8, "poll_interval_s": 5.0}
    | {"replace_after_s": 900.0, "rebroadcast_after_s": 120.0, "reorg_depth_max": 240},
    "litecoin": {"confirmations": 6, "fee_minor_max": 10**7, "poll_interval_s": 5.0}
    | {"replace_after_s": 900.0, "rebroadcast_after_s": 120.0, "reorg_depth_max": 100},
    "solana": {"confirmations": 1, "finality": "finalized", "fee_minor_max": 10**7}
    | {"poll_interval_s": 0.4, "rebroadcast_after_s": 5.0},
    "stellar": {"confirmations": 1, "fee_minor_max": 10**6, "replace_after_s": 30.0}
    | {"rebroadcast_after_s": 10.0},
    "ton": {"confirmations": 20, "fee_minor_max": 5 * 10**8, "replace_after_s": 60.0}
    | {"rebroadcast_after_s": 10.0},
    "tron": {"confirmations": 19, "finality": "finalized", "fee_minor_max": 150 * 10**6}
    | {"poll_interval_s": 3.0, "rebroadcast_after_s": 15.0},
}
"""What differs from the defaults of Network, chain by chain; docs/chains tells why."""

WITHOUT_FINALITY = ("bitcoin", "dogecoin", "litecoin")
"""Chains that say of no block that it is final."""


class StrictModel(BaseModel):
    """A section of the configuration: unknown names are errors."""

    # Addresses of nodes may hold keys, and headers do.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Network(StrictModel):
    """One chain to follow."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:  # noqa: ANN401 - whatever was configured
        if not isinstance(given, dict):
            return given
        return CHAIN_DEFAULTS.get(str(given.get("kind")), {}) | given

    network: str = Field(pattern=r"^[a-z0-9-]{3,8}:[-_a-zA-Z0-9]{1,32}$")
    """CAIP-2 id, e.g. "eip155:1"; checked against what the node says of itself."""
    kind: Kind
    rpc_urls: tuple[str, ...] = Field(min_length=1)
    """HTTP endpoints in order of preference. ${NAME} stands for an environment variable."""
    rpc_headers: dict[str, str] = {}
    """Sent with every request, e.g. {"X-API-Key" = "${TONCENTER_KEY}"}."""
    push_url: str | None = None
    """Pushes new heads (a WebSocket, ZMQ for Bitcoin); without it the tip is polled."""
    native_asset: str
    confirmations: int = Field(ge=1, default=12)
    finality: Literal["depth", "safe", "finalized"] = "depth"
    reorg_depth_max: int = Field(ge=1, default=64)
    """A deeper reorganisation halts the network until an operator resumes it."""
    keep_blocks: int = Field(ge=1000, default=100_000)
    """Blocks remembered below the highest that has been searched for deposits and payments."""
    start_height: int | None = Field(ge=0, default=None)
    """First block to read on a new database; None starts at the tip. No meaning after that."""
    poll_interval_s: float = Field(gt=0, allow_inf_nan=False, default=1.0)
    traces: Literal["auto", "always", "never"] = "auto"
    """Whether transfers made inside contracts are read from traces."""
    replace_after_s: float = Field(gt=0, allow_inf_nan=False, default=180.0)
    """A withdrawal not mined for so long is replaced with a higher fee."""
    rebroadcast_after_s: float = Field(gt=0, allow_inf_nan=False, default=30.0)
    fee_minor_max: MinorUnits = 10**17
    """No transaction may bid more than this for its fee, in the native asset."""

    @model_validator(mode="after")
    def _remembers_enough(self) -> Self:
        if self.keep_blocks <= self.reorg_depth_max:
            raise ValueError(
                "keep_blocks must be above reorg_depth_max: of a reorganisation, the blocks that it"
                " removes must be remembered, and one below them"
            )
        return self

    @model_validator(mode="after")
    def _chain_tells_finality(self) -> Self:
        if self.finality != "depth" and self.kind in WITHOUT_FINALITY:
            raise ValueError(
                f"finality must be depth: {self.kind} calls no block {self.finality},"
                " so nothing would ever be confirmed"
            )
        return self


class AmountConfirmations(StrictModel):
    """From this amount on, this many confirmations."""

    from_minor: MinorUnits
    confirmations: int = Field(ge=1)


class Asset(StrictModel):
    """One asset that is credited and paid out."""

    asset: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    network: str
    contract: str | None = None
    decimals: int = Field(ge=0, le=36)
    deposit_minor_min: MinorUnits = 0
    confirmations_by_amount: tuple[AmountConfirmations, ...] = ()
    withdrawal_minor_min: Annotated[int, Field(ge=1, lt=10**78)] = 1
    withdrawal_minor_max: MinorUnits | None = None
    withdrawal_minor_max_day: MinorUnits | None = None
    withdrawal_count_max_hour: int | None = Field(ge=0, default=None)
    withdrawal_approval_minor: MinorUnits | None = None
    withdrawal_fee_minor: MinorUnits = 0


class Settings(BaseSettings):
    """Everything a process of Millrace needs to know before it starts."""

    model_config = SettingsConfigDict(
        env_prefix="MILLRACE_",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    database_url: DatabaseUrl = SecretStr("postgresql://millrace@127.0.0.1:5432/millrace")
    database_pool_size: int = Field(ge=3, default=4)
    """Connections of one process. With fewer than three the role notify would wait for itself."""
    kafka_bootstrap: Brokers = "127.0.0.1:9092"
    """Host and port of one broker or several, with commas between them."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """In Kafka's words. SASL_PLAINTEXT sends what PLAIN has to say in the clear."""
    kafka_ca_file: str | None = None
    """Certificates, in PEM form, that brokers' own are checked by; None: the system's."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_user: str | None = None
    kafka_sasl_password: SecretStr | None = None
    topic_prefix: str = Field(pattern=r"^[A-Za-z0-9._-]{0,200}$", default="millrace.")
    """Of letters, digits, points, dashes and underscores: Kafka takes no others."""
    topic_partitions: int = Field(ge=1, default=8)
    topic_replication: int = Field(ge=1, default=1)
    wallet_enc_key: EncryptionKey | None = None
    """Unlocks the master secret; given to the signer and to `millrace init` alone."""
    webhook_enc_key: EncryptionKey | None = None
    """Unlocks the secrets of webhook endpoints; given to notify and to `millrace webhook` alone."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(ge=0, le=65535, default=9464)
    data_dir: str = ".millrace"
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    stage_batch_max: int = Field(ge=1, default=200)
    stage_stall_s: float = Field(gt=0, allow_inf_nan=False, default=60.0)
    """A worker that has lag and makes no progress for so long ends itself."""
    lease_s: float = Field(gt=0, allow_inf_nan=False, default=5.0)
    dead_letter_max_minute: int = Field(ge=1, default=100)
    """More dead letters in a minute than this stop the worker: the fault is ours, not theirs."""
    address_pool_min: int = Field(ge=1, default=200)
    reconcile_every_s: float = Field(gt=0, allow_inf_nan=False, default=300.0)
    webhook_timeout_s: float = Field(gt=0, allow_inf_nan=False, default=20.0)
    webhook_allow_private: bool = False
    """Lets webhooks go to loopback and private addresses. For development stacks only."""
    networks: tuple[Network, ...] = ()
    assets: tuple[Asset, ...] = ()

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        if self.wallet_enc_key is not None and self.wallet_enc_key == self.webhook_enc_key:
            raise ValueError(
                "webhook_enc_key must differ from wallet_enc_key: notify, which talks to the"
                " outside, could open the master secret"
            )
        return self

    @model_validator(mode="after")
    def _each_is_once(self) -> Self:
        contracts = [f"{a.network} {a.contract or 'native'}" for a in self.assets]
        for what, names in (
            ("network", [network.network for network in self.networks]),
            ("asset", [asset.asset for asset in self.assets]),
            ("contract", contracts),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} {', '.join(twice)} is configured twice")
        return self

    @model_validator(mode="after")
    def _ton_is_one(self) -> Self:
        if sum(network.kind == "ton" for network in self.networks) > 1:
            raise ValueError(
                "there are two networks of TON: their wallets have the same key and numbers, and"
                " what is signed for one can be sent on the other. Give each its own installation,"
                " with words of its own"
            )
        return self

    @model_validator(mode="after")
    def _kafka_fits(self) -> Self:
        if self.kafka_uses_sasl and not (self.kafka_sasl_user and self.kafka_sasl_password):
            raise ValueError("SASL needs kafka_sasl_user, and MILLRACE_KAFKA_SASL_PASSWORD")
        if self.kafka_sasl_password is not None and not self.kafka_uses_sasl:
            raise ValueError(
                "there is a password for Kafka, and kafka_security_protocol names no SASL:"
                " it would not be used"
            )
        if self.kafka_ca_file is not None and not self.kafka_uses_tls:
            raise ValueError(
                "there is a kafka_ca_file, and kafka_security_protocol names no SSL:"
                " the connection would not be encrypted"
            )
        return self

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether we say to brokers who we are."""
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def kafka_uses_tls(self) -> bool:
        """Whether connections to brokers are encrypted."""
        return self.kafka_security_protocol.endswith("SSL")

    def network(self, network: str) -> Network:
        """Return the configuration of one network, KeyError if there is none."""
        for candidate in self.networks:
            if candidate.network == network:
                return candidate
        raise KeyError(network)

    def contracts(self, network: str) -> tuple[str, ...]:
        """Return the tokens that are credited on a network, as configured."""
        return tuple(
            asset.contract
            for asset in self.assets
            if asset.network == network and asset.contract is not None
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        file = os.environ.get("MILLRACE_CONFIG", "millrace.toml")
        return (
            init_settings,
            env_settings,
            TomlFile(settings_cls, toml_file=file),
        )


@cache
def load_settings() -> Settings:
    """Read the configuration once per process."""
    return Settings()
