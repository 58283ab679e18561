"""Every client of ours connects to a broker that asks who is there, and tells why if it may not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from agents.runtime.kafka_access import BrokerRefused, client_options, faust_options
from agents.runtime.kafka_log import KafkaLog
from agents.runtime.kafka_survey import Kept, read_bounds, read_cluster_id, survey_broker
from agents.runtime.kafka_topics import create_topics
from agents.runtime.publisher import Publisher
from cli.setup import set_up
from settings.model import Settings
from sql.pool import Pool
from tests.support.secured_kafka import PASSWORD, USER, SecuredKafka

END_S = 60.0
TAKEN = "SELECT count(*) FROM inbox WHERE stage = 'check_withdrawals' AND next_offset = 1"
ASKED = [
    {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "PLAIN"},
    {"kafka_security_protocol": "SASL_PLAINTEXT"},
    {"kafka_security_protocol": "SASL_SSL"},
    {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
    {"kafka_security_protocol": "SSL"},
]
"""SCRAM-SHA-512 where nothing else is said."""


@pytest.fixture(scope="module")
def broker(servers_dir: Path) -> Iterator[SecuredKafka]:
    with SecuredKafka(servers_dir / "kafka-secured") as server:
        yield server


def settings_for(broker: SecuredKafka, **changes: object) -> Settings:
    """Return settings that are right for one of the broker's listeners but for `changes`."""
    protocol = str(changes.get("kafka_security_protocol", "SASL_SSL"))
    right: dict[str, Any] = {
        "kafka_security_protocol": protocol,
        "kafka_bootstrap": f"127.0.0.1:{broker.ports.get(protocol, broker.port)}",
        "topic_partitions": 1,
    }
    if protocol.startswith("SASL"):
        right |= {"kafka_sasl_user": USER, "kafka_sasl_password": SecretStr(PASSWORD)}
    if protocol.endswith("SSL"):
        right["kafka_ca_file"] = str(broker.ca_file)
    return Settings(**right | changes)


@pytest.mark.parametrize("asked", ASKED)
async def test_whatever_the_broker_asks_for_all_clients_connect(
    broker: SecuredKafka, topic_prefix: str, asked: dict[str, str]
) -> None:
    settings = settings_for(broker, topic_prefix=topic_prefix, **asked)
    name = "-".join(asked.values()).lower()
    assert await create_topics(settings, [name]) == [topic_prefix + name]
    publisher = Publisher(settings)
    await publisher.publish([(topic_prefix + name, b"key", b"value")])
    await publisher.stop()
    partition = (topic_prefix + name, 0)
    assert await read_bounds(settings, [partition]) == {partition: Kept(0, 1)}
    (record,) = await KafkaLog(settings).read(partition, 0, 1, 10)
    assert (record.key, record.value) == (b"key", b"value")
    found = await survey_broker(settings)
    assert found.cluster_id == await read_cluster_id(settings)
    assert found.partitions[topic_prefix + name] == 1


@pytest.mark.parametrize("asked", ASKED)
def test_faust_is_told_the_same_as_the_other_clients(
    broker: SecuredKafka, asked: dict[str, str]
) -> None:
    from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

    settings = settings_for(broker, **asked)
    told = credentials_to_aiokafka_auth(faust_options(settings)["broker_credentials"])
    ours = client_options(settings)
    encrypted = told.pop("ssl_context", None) is not None
    assert encrypted == (ours.pop("ssl_context") is not None) == settings.kafka_uses_tls
    del ours["bootstrap_servers"]
    assert told == ours


async def test_a_worker_takes_records_from_a_broker_that_asks_who_is_there(
    broker: SecuredKafka, database_url: str, pool: Pool, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(
        broker,
        database_url=SecretStr(database_url),
        topic_prefix=f"{topic_prefix}worker.",
        wallet_enc_key=SecretStr("a key for this test alone"),
    )
    await set_up(settings, lambda _: None)
    publisher = Publisher(settings)
    await publisher.publish([(f"{settings.topic_prefix}withdrawal-commands", b"k", b"{}")])
    await publisher.stop()
    async with worker(settings, broker, tmp_path) as log, asyncio.timeout(END_S):
        while not await pool.fetchval(TAKEN):
            assert "worker ends itself" not in log.read_text()
            await asyncio.sleep(0.1)
    assert PASSWORD not in log.read_text()


@asynccontextmanager
async def worker(settings: Settings, broker: SecuredKafka, folder: Path) -> AsyncIterator[Path]:
    """Run the role withdrawals; its log is what comes."""
    log = folder / "worker.log"
    given = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "TOPIC_PREFIX": settings.topic_prefix,
        "TOPIC_PARTITIONS": "1",
        "METRICS_PORT": "0",
        "DATA_DIR": str(folder / "data"),
        "KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_CA_FILE": str(broker.ca_file),
        "KAFKA_SASL_USER": USER,
        "KAFKA_SASL_PASSWORD": PASSWORD,
    }
    environ = os.environ | {f"MILLRACE_{name}": value for name, value in given.items()}
    with log.open("wb") as output:
        command = (sys.executable, "-m", "cli", "worker", "--role", "withdrawals")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=environ
        )
        try:
            yield log
        finally:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"kafka_sasl_password": SecretStr("a wrong password")},
            "SCRAM-SHA-512 as millrace was refused",
        ),
        (
            {"kafka_sasl_password": SecretStr("a wrong password"), "kafka_sasl_mechanism": "PLAIN"},
            "PLAIN as millrace was refused",
        ),
        ({"kafka_sasl_user": "mallory"}, "SCRAM-SHA-512 as mallory was refused"),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "SCRAM-SHA-256 as millrace was refused"),
        ({"kafka_ca_file": None}, "certificate is not trusted"),
    ],
)
async def test_who_is_not_let_in_is_told_why_and_no_password_is_repeated(
    broker: SecuredKafka, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any], words: str
) -> None:
    settings = settings_for(broker, **wrong)
    with pytest.raises(BrokerRefused, match=words) as caught:
        await survey_broker(settings)
    told = f"{caught.value} {caught.value!r} {caplog.text}"
    assert "a wrong password" not in told
    assert PASSWORD not in told


@pytest.mark.parametrize("speaks", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT"])
async def test_a_broker_that_speaks_otherwise_is_told_as_such(
    broker: SecuredKafka, speaks: str
) -> None:
    other = {"PLAINTEXT": "SASL_SSL", "SSL": "SASL_PLAINTEXT", "SASL_PLAINTEXT": "SSL"}[speaks]
    address = f"127.0.0.1:{broker.ports[other]}"
    settings = settings_for(broker, kafka_security_protocol=speaks, kafka_bootstrap=address)
    with pytest.raises(BrokerRefused, match=f"may not speak {speaks} there"):
        await read_cluster_id(settings)


async def test_one_broker_of_several_is_enough(broker: SecuredKafka) -> None:
    settings = settings_for(broker)
    several = f"127.0.0.1:1,{settings.kafka_bootstrap}"
    assert await read_cluster_id(settings.model_copy(update={"kafka_bootstrap": several}))


def test_doctor_says_who_was_refused_and_keeps_the_password_to_itself(
    broker: SecuredKafka, tmp_path: Path
) -> None:
    settings, config = settings_for(broker), tmp_path / "millrace.toml"
    config.touch()
    done = subprocess.run(
        [sys.executable, "-m", "cli", "doctor"],
        check=False,
        capture_output=True,
        text=True,
        env={
            "PATH": "/usr/bin:/bin",
            "MILLRACE_CONFIG": str(config),
            "MILLRACE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "MILLRACE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "MILLRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "MILLRACE_KAFKA_CA_FILE": str(broker.ca_file),
            "MILLRACE_KAFKA_SASL_USER": USER,
            "MILLRACE_KAFKA_SASL_PASSWORD": "not-the-password",
        },
    )
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert "SCRAM-SHA-512 as millrace was refused" in said
    assert "not-the-password" not in said


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "MILLRACE_KAFKA_SASL_PASSWORD"),
        ({"kafka_sasl_password": "hunter2"}, "would not be used"),
        ({"kafka_ca_file": "ca.pem"}, "would not be encrypted"),
        ({"kafka_security_protocol": "TLS"}, "SASL_SSL"),
    ],
)
def test_settings_that_would_leave_a_connection_open_are_refused(
    odd: dict[str, str], words: str
) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        Settings.model_validate(odd)
    assert "hunter2" not in str(caught.value)


def test_the_password_of_kafka_in_a_file_is_refused_and_the_variable_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "millrace.toml"
    path.write_text('kafka_sasl_password = "hunter2"\n')
    monkeypatch.setenv("MILLRACE_CONFIG", str(path))
    with pytest.raises(SettingsError, match="MILLRACE_KAFKA_SASL_PASSWORD") as caught:
        Settings()
    assert "hunter2" not in str(caught.value)
