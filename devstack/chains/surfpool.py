"""Surfpool as a development node: Solana's own virtual machine and JSON-RPC, by other authors.

Not part of the usual tests: its program (devstack/surfpool, in Rust) takes minutes to build, see
`make surfpool`. This module starts the program and stands in front of it. It passes calls on, makes
slots for `dev_mine`, answers getGenesisHash (Surfpool's is another at each start), and mends
headers: Surfpool 1.2.0 gives a block that has transactions as the parent of itself, with hash and
height of another, against what the blocks beside it say.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from devstack.chains.solana import SolanaNode
from devstack.chains.solana_ledger import BANK, GENESIS_HASH

FINAL_AFTER_SLOTS = 31
"""A slot is final when so many came after it."""
FIRST_SLOT = 31
HASH_DIGITS = 27


class SurfpoolNode(SolanaNode):
    """The program behind its gateway; it keeps nothing when it stops."""

    name = "surfpool"

    def __init__(self, data_dir: Path, program: Path) -> None:
        """Prepare to run a built program."""
        super().__init__(data_dir)
        self._program = program

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "devstack.chains.surfpool", "--port", str(self.port)]
        return [*command, "--program", str(self._program)]


class Gateway:
    """Answers calls by a running program's answers."""

    def __init__(self, url: str, slots: asyncio.StreamWriter, http: aiohttp.ClientSession) -> None:
        self._url, self._slots, self._http = url, slots, http

    async def post(self, request: web.Request) -> web.Response:
        """Answer one call; batches are refused, as the program does."""
        call = await request.json()
        reply = await self._answer(call["method"], call.get("params") or [])
        return web.json_response(reply | {"id": call["id"]})

    async def _answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method == "dev_mine":
            await self.mine(*params)
            return {"jsonrpc": "2.0", "result": None}
        if method == "getGenesisHash":
            return {"jsonrpc": "2.0", "result": GENESIS_HASH}
        reply = await self._ask(method, params)
        if method == "getBlock" and reply.get("result"):
            reply["result"] |= header_of(params[0])
        return reply

    async def _ask(self, method: str, params: list[Any]) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._http.post(self._url, json=call) as response:
            reply: dict[str, Any] = await response.json()
            return reply

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks, and as many more as make the first one final, which takes what waits."""
        slots = blocks + FINAL_AFTER_SLOTS
        target = await self._slot() + slots
        self._slots.write(f"{slots}\n".encode())
        while await self._slot() < target:  # noqa: ASYNC110 - another process makes them
            await asyncio.sleep(0.005)

    async def _slot(self) -> int:
        return int((await self._ask("getSlot", [{"commitment": "processed"}]))["result"])


def header_of(slot: int) -> dict[str, Any]:
    """Return the header of a slot's block as Surfpool writes it where there are no transactions.

    Heights are those of getBlockHeight and lastValidBlockHeight, which the blocks do not have.
    """
    return {
        "parentSlot": slot - 1,
        "previousBlockhash": hash_of(slot - 1),
        "blockhash": hash_of(slot),
        "blockHeight": slot - FIRST_SLOT + 1,
    }


def hash_of(slot: int) -> str:
    """Return a slot's blockhash: its number in hexadecimal digits, with x for 0."""
    return "SURFNETxSAFEHASH" + f"{slot:x}".replace("0", "x").rjust(HASH_DIGITS, "x")


async def serve(program: Path, port: int) -> None:
    """Run the program and its gateway until this process is ended."""
    process = await asyncio.create_subprocess_exec(
        program, str(BANK.pubkey()), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as http:
        gateway = Gateway(url, process.stdin, http)
        await gateway.mine(FIRST_SLOT)  # before, the newest final block is one that there is not
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/", gateway.post)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await process.wait()


def main() -> None:
    """Serve until a signal ends the process; the program ends with it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--program", type=Path, required=True)
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.program, chosen.port))


if __name__ == "__main__":
    main()
