"""A real Ethereum development node."""

from __future__ import annotations

import json
import platform
import shutil
import signal
import urllib.request
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from chain_adapters.http import HttpClient
from chain_adapters.rpc import show_host
from devstack.chains.chain import DevNode
from devstack.chains.ethereum import EthereumChain
from devstack.paths import node_modules_dir
from devstack.process import ServerError
from settings.url import check_url

ASK_CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

BANK_COINS = 10**12
"""Each account's ether at the beginning."""

STATES_KEPT = 128
"""Blocks whose balances can be asked for, as many as a full node keeps. By itself anvil keeps
thousands and writes all of them to its file: a gigabyte after some 4,000 blocks.
"""


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


class Anvil(DevNode):
    """One node with ten funded accounts of the well-known test mnemonic.

    Its chain is written to the data folder every half minute, whole each time, and at the end, also
    when its owner is killed. A `kill` of the node itself may lose the last blocks, which looks like
    a reorganisation; without `keep_state` the chain is in memory only.
    """

    name = "anvil"
    kind = "ethereum"
    asset = "ETH"
    token_decimals = 18
    reorganises = True
    stop_signal = signal.SIGINT
    orphan_signal = signal.SIGINT
    attempts = 3

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        block_time_s: int | None = None,
        chain_id: int = 31337,
        keep_state: bool = True,
        slots_in_an_epoch: int = 1,
    ) -> None:
        """Prepare a node that mines each transaction at once, or a block every `block_time_s`.

        `safe` is `slots_in_an_epoch` blocks behind the tip, and `finalized` twice that.
        """
        super().__init__(data_dir, port=port, block_time_s=block_time_s)
        self.chain_id = chain_id
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

    def network_config(self) -> dict[str, Any]:
        """Return the network's entry in the settings."""
        return dev_network(self.chain_id, self.rpc_url, self.push_url)

    def open_chain(self) -> AbstractAsyncContextManager[EthereumChain]:
        """Return a client of this node."""
        return EthereumChain(self.rpc_url)

    @classmethod
    def attach(
        cls,
        rpc_url: str,
        data_dir: Path,  # noqa: ARG003 - all is told by the node itself, which may be anywhere
    ) -> AbstractAsyncContextManager[EthereumChain]:
        """Return a client of a node."""
        return EthereumChain(rpc_url)

    def _prepare(self) -> None:
        anvil_path()

    def _command(self) -> list[str]:
        command = [str(anvil_path()), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--chain-id", str(self.chain_id), "--silent", "--balance", str(BANK_COINS)]
        command += ["--slots-in-an-epoch", str(self._slots_in_an_epoch)]
        command += ["--prune-history", str(STATES_KEPT)]
        if self.block_time_s:
            command += ["--block-time", str(self.block_time_s), "--mixed-mining"]
        if self._keep_state:
            command += ["--state", str(self.data_dir / "state.json"), "--state-interval", "30"]
            command += ["--preserve-historical-states"]
        return command

    def _answers(self) -> bool:
        try:
            return fetch_chain_id(self.rpc_url) == self.chain_id
        except (OSError, ValueError):
            return False


def dev_network(chain_id: int, rpc_url: str, push_url: str | None) -> dict[str, Any]:
    """Return the settings of a development chain: few confirmations, quick answers."""
    return {
        "network": f"eip155:{chain_id}",
        "kind": "ethereum",
        "rpc_urls": [rpc_url],
        "push_url": push_url,
        "native_asset": "ETH",
        "confirmations": 3,
        "start_height": 0,
        "poll_interval_s": 0.2,
    }


def fetch_chain_id(rpc_url: str, timeout_s: float = 5.0) -> int:
    """Ask a node of ours for its chain id. OSError if it does not answer."""
    request = urllib.request.Request(  # noqa: S310 - we made the URL
        rpc_url, data=ASK_CHAIN_ID, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
        return read_chain_id(response.read())


async def ask_chain_id(rpc_url: str, timeout_s: float = 5.0) -> int:
    """Ask somebody else's node for its chain id; its URL may hold a user and a password, or a key.

    ServerError, with nothing of them, if there is no answer.
    """
    client = HttpClient({}, timeout_s, requests_max=1, response_bytes_max=10_000)
    try:
        host = show_host(check_url(rpc_url))
        raw, fault = await client.exchange(rpc_url, ASK_CHAIN_ID)
        if fault is None:
            return read_chain_id(raw)
    except ValueError as error:
        message = f"MILLRACE_RPC_URL: {error}"
        raise ServerError(message) from None
    finally:
        await client.close()
    message = f"MILLRACE_RPC_URL: {host}: {fault}"
    raise ServerError(message)


def read_chain_id(answer: bytes) -> int:
    """Return the chain id of a node's answer. ValueError if there is none in it."""
    try:
        return int(json.loads(answer)["result"], 16)
    except (ValueError, TypeError, LookupError):
        raise ValueError("the node does not tell its chain id") from None
