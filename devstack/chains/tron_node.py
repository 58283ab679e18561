"""A server that looks like java-tron's HTTP API: a test double for a node that cannot be had.

Blocks, transactions, receipts and errors have java-tron's JSON shapes; signed transactions are
taken apart, verified and applied by the rules of tron_state.py. What is below /dev drives it.
Run as `python -m devstack.chains.tron_node --port … --data-dir …`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import web

from devstack.chains.tron_chain import BANK, SOLID_DEPTH, TRC10, Chain, Refused
from devstack.chains.tron_state import (
    DECIMALS_OF,
    PARAMETERS,
    SYMBOL_OF,
    TRANSFER,
    Invalid,
    left_over,
    run_contract,
    word,
)

Body = dict[str, Any]
Answer = dict[str, Any] | list[Any]
TOKEN_SUPPLY = 10**30
SELECTORS = {
    "transfer(address,uint256)": TRANSFER,
    "balanceOf(address)": "70a08231",
    "decimals()": DECIMALS_OF,
    "symbol()": SYMBOL_OF,
}


class Node:
    """Answers requests about one chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.wallet: dict[str, Callable[[Body], Answer]] = {
            "getnowblock": lambda _: self.chain.blocks[-1],
            "getblock": lambda body: self._get_block(body, self.chain.height),
            "getblockbynum": self._get_block_by_num,
            "gettransactioninfobyblocknum": self._get_infos,
            "gettransactioninfobyid": self._get_info,
            "getaccount": self._get_account,
            "getaccountresource": self._get_resources,
            "getchainparameters": get_parameters,
            "getnodeinfo": self._get_node_info,
            "triggerconstantcontract": self._call_constant,
            "broadcasthex": self._broadcast,
        }
        self.solidity: dict[str, Callable[[Body], Answer]] = {
            "getnowblock": lambda _: self.chain.blocks[self.chain.solid_height],
            "getblock": lambda body: self._get_block(body, self.chain.solid_height),
        }
        self.dev: dict[str, Callable[[Body], Answer]] = {
            "mine": self._mine,
            "reorganise": self._reorganise,
            "pay": self._pay,
            "pay_token": self._pay_token,
            "pay_inner": self._pay_inner,
            "pay_trc10": self._pay_trc10,
            "issue_token": self._issue_token,
            "put": self._put,
            "fault": self._fault,
        }

    def _get_block(self, body: Body, latest: int) -> Answer:
        asked = str(body.get("id_or_num", ""))
        height = int(asked) if asked else latest
        if not 0 <= height <= latest:
            return {}
        block = self.chain.blocks[height]
        if body.get("detail"):
            return block
        return {name: value for name, value in block.items() if name != "transactions"}

    def _get_block_by_num(self, body: Body) -> Answer:
        height = int(body.get("num", 0))
        return self.chain.blocks[height] if 0 <= height <= self.chain.height else {}

    def _get_infos(self, body: Body) -> Answer:
        height = int(body.get("num", 0))
        if self._misbehaves("infos"):
            return self.chain.infos[height][1:]
        return self.chain.infos[height] if 0 <= height <= self.chain.height else []

    def _get_info(self, body: Body) -> Answer:
        height = self.chain.places.get(str(body.get("value")))
        if height is None:
            return {}
        return next(i for i in self.chain.infos[height] if i["id"] == body["value"])

    def _get_account(self, body: Body) -> Answer:
        address, state = str(body["address"]), self.chain.state
        kind = state.get("account", address)
        if kind is None:
            return {}
        account: Body = {"address": address}
        if balance := state.amount("trx", address):
            account["balance"] = balance
        if staked := state.amount("staked", address):
            account["frozenV2"] = [{}, {"type": "ENERGY", "amount": staked}, {"type": "TRON_POWER"}]
        return account | ({"type": kind} if kind != "Normal" else {})

    def _get_resources(self, body: Body) -> Answer:
        address, chain = str(body["address"]), self.chain
        if chain.state.get("account", address) is None:
            return {}
        found: dict[str, int] = {}
        limits = (
            ("net", "freeNet", PARAMETERS["getFreeNetLimit"]),
            ("energy", "Energy", chain.state.amount("energy_limit", address)),
        )
        for kind, name, limit in limits:
            left = left_over(chain.state, kind, address, limit, chain.head_ms)
            found |= {f"{name}Used": limit - left, f"{name}Limit": limit}
        return {name: value for name, value in found.items() if value}

    def _get_node_info(self, _: Body) -> Answer:
        height = self.chain.solid_height
        solid = self.chain.blocks[height]["blockID"]
        head = self.chain.blocks[-1]["blockID"]
        return {
            "block": f"Num:{self.chain.height},ID:{head}",
            "solidityBlock": f"Num:{height},ID:{solid}",
        }

    def _call_constant(self, body: Body) -> Answer:
        owner, contract = str(body["owner_address"]), str(body["contract_address"])
        state = self.chain.state
        if state.get("account", contract) != "Contract":
            message = b"Smart contract is not exist.".hex()
            return {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": message}}
        data = SELECTORS.get(str(body["function_selector"]), "00000000") + str(body["parameter"])
        run = run_contract(state, owner, contract, data, int(body.get("call_value", 0)))
        answer: Body = {
            "result": {"result": True},
            "energy_used": run.energy,
            "constant_result": [run.result],
            "transaction": {"ret": [{"ret": "FAILED"} if run.revert else {}]},
        }
        if run.revert:
            answer["result"]["message"] = run.revert.encode().hex()
        if run.penalty:
            answer["energy_penalty"] = run.penalty
        return answer | ({"logs": run.logs} if run.logs else {})

    def _broadcast(self, body: Body) -> Answer:
        whole = bytes.fromhex(str(body["transaction"]))
        if self._misbehaves("busy"):
            return {"result": False, "code": "SERVER_BUSY", "message": "Server busy."}
        try:
            id_ = self.chain.send(whole)
        except Invalid as refusal:
            return {"result": False, "code": refusal.code, "message": str(refusal)}
        if self._misbehaves("silent"):
            raise web.HTTPGatewayTimeout
        return {"result": True, "code": "SUCCESS", "message": "", "txid": id_}

    def _misbehaves(self, fault: str) -> bool:
        if self.chain.faults[fault] <= 0:
            return False
        self.chain.faults[fault] -= 1
        return True

    def _mine(self, body: Body) -> Answer:
        for _ in range(int(body.get("blocks", 1))):
            self.chain.mine(now_ms())
        return {"height": self.chain.height}

    def _reorganise(self, body: Body) -> Answer:
        self.chain.reorganise(int(body["depth"]))
        return {"height": self.chain.height}

    def _pay(self, body: Body) -> Answer:
        content = {"to_address": body["address"], "amount": int(body["amount"])}
        return {"id": self.chain.pay_from_bank("TransferContract", content)}

    def _pay_token(self, body: Body) -> Answer:
        data = TRANSFER + word(str(body["address"])[2:]) + word(f"{int(body['amount']):x}")
        return {"id": self.chain.call_from_bank(str(body["contract"]), data)}

    def _pay_inner(self, body: Body) -> Answer:
        """Pay TRX through a contract; one that fails if asked."""
        contract = make_address("pass on, failing" if body.get("failing") else "pass on")
        self.chain.activate_contract(contract, "pass_on")
        self.chain.put(bool(body.get("failing")), "paused", contract)
        data = word(str(body["address"])[2:])
        return {"id": self.chain.call_from_bank(contract, data, int(body["amount"]))}

    def _pay_trc10(self, body: Body) -> Answer:
        amount = int(body["amount"])
        self.chain.put(amount + self.chain.state.amount("trc10", TRC10, BANK), "trc10", TRC10, BANK)
        content = {"asset_name": TRC10, "to_address": body["address"], "amount": amount}
        return {"id": self.chain.pay_from_bank("TransferAssetContract", content)}

    def _issue_token(self, body: Body) -> Answer:
        contract = make_address(f"token {body['symbol']} at {self.chain.height}")
        self.chain.activate_contract(contract, "token")
        self.chain.put(TOKEN_SUPPLY, "token", contract, BANK)
        self.chain.put(str(body["symbol"]), "symbol", contract)
        return {"contract": contract}

    def _put(self, body: Body) -> Answer:
        self.chain.put(body["value"], *body["key"])
        return {}

    def _fault(self, body: Body) -> Answer:
        self.chain.faults[str(body["fault"])] = int(body["times"])
        return {}


def now_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


def make_address(seed: str) -> str:
    """Return an address that nobody has the key of."""
    return "41" + sha256(seed.encode()).hexdigest()[:40]


def get_parameters(_: Body) -> Answer:
    """Return what witnesses voted for."""
    return {"chainParameter": [{"key": key, "value": value} for key, value in PARAMETERS.items()]}


def make_app(node: Node, *, solidity: bool = True) -> web.Application:
    """Return the server. Without `solidity` it is the port of java-tron that has only /wallet."""
    app = web.Application()
    app.router.add_post("/wallet/{method}", _handler(node.wallet))
    if solidity:
        app.router.add_post("/walletsolidity/{method}", _handler(node.wallet | node.solidity))
    app.router.add_post("/dev/{method}", _handler(node.dev))
    return app


def _handler(
    methods: dict[str, Callable[[Body], Answer]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        method = methods.get(request.match_info["method"])
        if method is None:
            raise web.HTTPNotFound
        try:
            body = json.loads(await request.read() or b"{}")
            return web.json_response(method(body))
        except (Refused, Invalid, KeyError, ValueError, TypeError) as error:
            return web.json_response({"Error": f"{type(error).__name__} : {error}"})

    return handle


async def serve(port: int, chain: Chain, block_time_s: float | None, *, solidity: bool) -> None:
    """Serve until cancelled."""
    runner = web.AppRunner(make_app(Node(chain), solidity=solidity), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        while True:
            await asyncio.sleep(block_time_s or 3600)
            if block_time_s:
                chain.mine(now_ms())
    finally:
        await runner.cleanup()


def main() -> None:
    """Run the node."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--block-time-s", type=float)
    parser.add_argument("--solid-depth", type=int, default=SOLID_DEPTH)
    parser.add_argument("--without-solidity", action="store_true")
    options = parser.parse_args()
    chain = Chain(options.data_dir / "journal.jsonl", options.solid_depth)
    solidity = not options.without_solidity
    asyncio.run(serve(options.port, chain, options.block_time_s, solidity=solidity))


if __name__ == "__main__":
    main()
