"""A real Ethereum development node."""

from __future__ import annotations

import json
import platform
import shutil
import signal
import urllib.request
from pathlib import Path

from devstack.paths import node_modules_dir
from devstack.process import Server, ServerError

MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def anvil_path() -> Path:
    """Return the node's binary: npm's for this platform, else the one on PATH, else ServerError."""
    machine = MACHINES.get(platform.machine().lower(), "unknown")
    package = f"anvil-{platform.system().lower()}-{machine}"
    bundled = node_modules_dir() / "@foundry-rs" / package / "bin" / "anvil"
    if bundled.exists():
        return bundled
    if on_path := shutil.which("anvil"):
        return Path(on_path)
    message = f"no anvil in {bundled.parent}: run make install, or put one on PATH"
    raise ServerError(message)


class Anvil(Server):
    """One node with ten funded accounts of the well-known test mnemonic.

    Its chain is in memory; with `keep_state` it is written to the data folder every second and at
    the end, so that a `kill` may lose the last blocks, which looks like a reorganisation.
    """

    name = "anvil"
    stop_signal = signal.SIGINT
    attempts = 3

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        chain_id: int = 31337,
        block_time_s: int | None = None,
        keep_state: bool = False,
        slots_in_an_epoch: int = 1,
    ) -> None:
        """Prepare a node that mines each transaction at once, or a block every `block_time_s`.

        `safe` is `slots_in_an_epoch` blocks behind the tip, and `finalized` twice that.
        """
        super().__init__(data_dir, port=port)
        self.chain_id = chain_id
        self._block_time_s = block_time_s
        self._keep_state = keep_state
        self._slots_in_an_epoch = slots_in_an_epoch

    @property
    def rpc_url(self) -> str:
        """JSON-RPC over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def push_url(self) -> str:
        """JSON-RPC over WebSocket."""
        return f"ws://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        anvil_path()

    def _command(self) -> list[str]:
        command = [str(anvil_path()), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--chain-id", str(self.chain_id), "--silent"]
        command += ["--slots-in-an-epoch", str(self._slots_in_an_epoch)]
        if self._block_time_s:
            command += ["--block-time", str(self._block_time_s), "--mixed-mining"]
        if self._keep_state:
            command += ["--state", str(self.data_dir / "state.json"), "--state-interval", "1"]
            command += ["--preserve-historical-states"]
        return command

    def _answers(self) -> bool:
        try:
            return fetch_chain_id(self.rpc_url) == self.chain_id
        except OSError:
            return False


def fetch_chain_id(rpc_url: str, timeout_s: float = 5.0) -> int:
    """Ask a node for its chain id. OSError if it does not answer."""
    request = urllib.request.Request(  # noqa: S310 - the scheme is the operator's
        rpc_url,
        data=b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}',
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
        answer: dict[str, str] = json.load(response)
    return int(answer["result"], 16)
