"""The simulated TRON as a server, and how to drive it."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.error
import urllib.request
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from devstack.chains.chain import DevNode, NodeError
from devstack.chains.http import HttpChain
from devstack.chains.tron_chain import NETWORK, SOLID_DEPTH
from devstack.chains.tron_state import DECIMALS

ROOT = Path(__file__).resolve().parents[2]


class TronChain(HttpChain):
    """A client of the simulated node. Addresses are canonical, that is hex "41…"."""

    async def check(self) -> None:
        """NodeError unless it is the simulated node, which alone can be driven."""
        await self.height()
        await self._drive("fault", fault="none", times=0)

    async def call(self, path: str, **body: object) -> Any:  # noqa: ANN401 - any JSON
        """Return the answer of one request, or raise NodeError."""
        async with self._http.post(f"{self._url}/{path}", json=body) as answer:
            if answer.status != 200:
                raise NodeError(f"{path}: HTTP status {answer.status}")
            reply = await answer.json()
        if isinstance(reply, dict) and "Error" in reply:
            raise NodeError(f"{path}: {reply['Error']}")
        return reply

    async def _drive(self, deed: str, **body: object) -> Any:  # noqa: ANN401
        return await self.call(f"dev/{deed}", **body)

    async def pay(
        self,
        address: str,
        amount_minor: int,
        memo: str | None = None,  # noqa: ARG002 - there are no memos
    ) -> str:
        """Send TRX from the bank; return the transaction's id."""
        return str((await self._drive("pay", address=address, amount=amount_minor))["id"])

    async def pay_token(
        self,
        contract: str,
        address: str,
        amount_minor: int,
        memo: str | None = None,  # noqa: ARG002 - there are no memos
    ) -> str:
        """Send a TRC-20 token from the bank; return the transaction's id."""
        body = {"contract": contract, "address": address, "amount": str(amount_minor)}
        return str((await self._drive("pay_token", **body))["id"])

    async def pay_inner(self, address: str, amount_minor: int, *, failing: bool = False) -> str:
        """Send TRX from the bank through a contract; return the transaction's id."""
        body = {"address": address, "amount": amount_minor, "failing": failing}
        return str((await self._drive("pay_inner", **body))["id"])

    async def pay_trc10(self, address: str, amount_minor: int) -> str:
        """Send a TRC-10 token from the bank; return the transaction's id."""
        return str((await self._drive("pay_trc10", address=address, amount=amount_minor))["id"])

    async def new_recipient(self, contract: str | None = None) -> str:  # noqa: ARG002 - any asset
        """Return an address that nobody has the key of: any can be paid."""
        return "41" + secrets.token_hex(20)

    async def issue_token(self, symbol: str) -> str:
        """Make a TRC-20 token, all of it the bank's; return its contract."""
        return str((await self._drive("issue_token", symbol=symbol))["contract"])

    async def set_token(
        self, contract: str, *, paused: bool = False, penalty: int = 0, frozen: str | None = None
    ) -> None:
        """Let a token refuse everything, cost more (in ten-thousandths), or refuse one sender."""
        await self._drive("put", value=paused, key=["paused", contract])
        await self._drive("put", value=penalty, key=["penalty", contract])
        if frozen is not None:
            await self._drive("put", value=True, key=["frozen", contract, frozen])

    async def stake_energy(self, address: str, energy: int, staked_minor: int = 0) -> None:
        """Give an address energy for each day, for so much of its TRX."""
        account = await self.call("wallet/getaccount", address=address)
        await self._drive(
            "put", value=account.get("balance", 0) - staked_minor, key=["trx", address]
        )
        await self._drive("put", value=staked_minor, key=["staked", address])
        await self._drive("put", value=energy, key=["energy_limit", address])

    async def misbehave(self, fault: str, times: int = 1) -> None:
        """Let the next answers be wrong: "infos" (one missing), "busy", "silent" (taken, 504)."""
        await self._drive("fault", fault=fault, times=times)

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks at once."""
        await self._drive("mine", blocks=blocks)

    async def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks; NodeError if one of them is solidified."""
        await self._drive("reorganise", depth=depth)

    async def height(self) -> int:
        """Return the height of the head."""
        head = await self.call("wallet/getblock", detail=False)
        return int(head["block_header"]["raw_data"].get("number", 0))


class TronNode(DevNode):
    """The simulated node in a process of its own; its chain is there again after a kill."""

    name = "tron"
    kind = "tron"
    asset = "TRX"
    token_decimals = DECIMALS
    reorganises = True
    network = NETWORK

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        block_time_s: int | None = None,
        solid_depth: int = SOLID_DEPTH,
        solidity: bool = True,
    ) -> None:
        """Prepare a node; without `solidity` it serves /wallet alone, as java-tron's port 8090."""
        super().__init__(data_dir, port=port, block_time_s=block_time_s)
        self._solid_depth = solid_depth
        self._solidity = solidity

    @property
    def rpc_url(self) -> str:
        """What /wallet and /walletsolidity are below."""
        return f"http://127.0.0.1:{self.port}"

    def network_config(self) -> dict[str, Any]:
        """Return the network's entry in the settings.

        A live network is followed to "finalized"; here three blocks are enough, so that a
        demonstration need not wait for nineteen, and a reorganisation can be shown.
        """
        return {
            "network": self.network,
            "kind": self.kind,
            "rpc_urls": [self.rpc_url],
            "native_asset": self.asset,
            "finality": "depth",
            "confirmations": 3,
            "start_height": 0,
            "poll_interval_s": 0.2,
        }

    def open_chain(self) -> AbstractAsyncContextManager[TronChain]:
        """Return a client of this node."""
        return TronChain(self.rpc_url)

    def _prepare(self) -> None:
        return

    def _directory(self) -> Path:
        return ROOT

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "devstack.chains.tron_node"]
        command += ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        command += ["--solid-depth", str(self._solid_depth)]
        if self.block_time_s:
            command += ["--block-time-s", str(self.block_time_s)]
        return command if self._solidity else [*command, "--without-solidity"]

    def _answers(self) -> bool:
        request = urllib.request.Request(  # noqa: S310 - our own loopback
            f"{self.rpc_url}/wallet/getblock", data=b'{"id_or_num":"0"}'
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
                genesis = json.load(response)
        except (OSError, urllib.error.URLError, ValueError):
            return False
        return f"tron:0x{genesis.get('blockID', '')[-8:]}" == self.network
