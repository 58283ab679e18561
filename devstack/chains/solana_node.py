"""A Solana development node: the methods and error codes of a real one's JSON-RPC over a Ledger.

Run as `python -m devstack.chains.solana_node --port … --data-dir …`. Every block is final at
once, so that all commitments are the same. What was sent and mined is in a journal in the data
folder and is executed again at the next start. Methods that begin with `dev_` are ours: dev_mine,
dev_skip, dev_lose. A WebSocket at the same port pushes roots (rootSubscribe).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from solders.account import Account
from solders.message import Message, MessageV0, MessageV1, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from devstack.chains.solana_ledger import BLOCKHASHES_AGE_MAX, GENESIS_HASH, Ledger
from devstack.chains.solana_shapes import show_accounts

SIGNATURE_FEE = 5000
COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
_SET_UNIT_LIMIT, _SET_UNIT_PRICE = 2, 3


class Refusal(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error: dict[str, object] = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


class Node:
    """Answers calls, and writes down what changes the chain."""

    def __init__(self, ledger: Ledger, journal: Path) -> None:
        self.ledger = ledger
        self.news = asyncio.Condition()
        self._methods: dict[str, Callable[..., Any]] = {
            name: getattr(self, name) for name in METHODS
        }
        if journal.exists():
            self._replay(journal)
        self._journal = journal.open("a")

    def call(self, method: str, params: list[Any]) -> object:
        """Answer one call. Refusal is the node's error object."""
        if method not in self._methods:
            raise Refusal(-32601, "Method not found")
        try:
            return self._methods[method](*params)
        except (TypeError, ValueError, KeyError, binascii.Error) as fault:
            raise Refusal(-32602, f"Invalid params: {fault}") from None

    def _replay(self, journal: Path) -> None:
        for line in journal.read_text().splitlines():
            event = json.loads(line)
            match event:
                case {"sent": content}:
                    transaction = VersionedTransaction.from_bytes(base64.b64decode(content))
                    self.ledger.pool[str(transaction.signatures[0])] = transaction
                case {"mined": now}:
                    self.ledger.mine(now)
                case {"skipped": _}:
                    self.ledger.skip()

    def _note(self, **event: object) -> None:
        self._journal.write(json.dumps(event) + "\n")
        self._journal.flush()

    def dev_mine(self, blocks: int = 1) -> int:  # noqa: D102 - see the module
        for _ in range(blocks):
            self.ledger.mine()
            self._note(mined=self.ledger.last_time)
        return self.ledger.parent_slot

    def dev_skip(self, slots: int = 1) -> int:  # noqa: D102
        for _ in range(slots):
            self.ledger.skip()
            self._note(skipped=1)
        return self.ledger.slot

    def dev_lose(self, slot: int) -> None:  # noqa: D102
        self.ledger.lost.add(slot)

    def getGenesisHash(self) -> str:  # noqa: D102, N802
        return GENESIS_HASH

    def getSlot(self, _: object = None) -> int:  # noqa: D102, N802
        return self.ledger.parent_slot

    def getBlockHeight(self, _: object = None) -> int:  # noqa: D102, N802
        return self.ledger.height

    def getBlock(self, slot: int, options: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: D102, N802
        if slot > self.ledger.parent_slot:
            raise Refusal(-32004, f"Block not available for slot {slot}")
        record = self.ledger.blocks.get(slot)
        if record is None or slot in self.ledger.lost:
            raise Refusal(
                -32007,
                f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot",
            )
        match (options or {}).get("transactionDetails", "full"):
            case "full":
                return {**record.header, "transactions": record.transactions}
            case "accounts":
                return {**record.header, "transactions": [*map(show_accounts, record.transactions)]}
            case "none":
                return record.header
            case other:
                raise Refusal(-32602, f"Invalid params: unknown variant `{other}`")

    def getBlocks(self, first: int, last: int | None = None, _: object = None) -> list[int]:  # noqa: D102, N802
        end = self.ledger.parent_slot if not isinstance(last, int) else last
        return [slot for slot in self._slots() if first <= slot <= end]

    def getBlocksWithLimit(self, first: int, limit: int, _: object = None) -> list[int]:  # noqa: D102, N802
        return [slot for slot in self._slots() if slot >= first][:limit]

    def getLatestBlockhash(self, _: object = None) -> dict[str, Any]:  # noqa: D102, N802
        return self._in_context(
            {
                "blockhash": self.ledger.blockhash,
                "lastValidBlockHeight": self.ledger.height + BLOCKHASHES_AGE_MAX,
            }
        )

    def getBalance(self, address: str, _: object = None) -> dict[str, Any]:  # noqa: D102, N802
        return self._in_context(self.ledger.svm.get_balance(Pubkey.from_string(address)) or 0)

    def getAccountInfo(self, address: str, _: object = None) -> dict[str, Any]:  # noqa: D102, N802
        return self._in_context(self._account(address))

    def getMultipleAccounts(self, addresses: list[str], _: object = None) -> dict[str, Any]:  # noqa: D102, N802
        return self._in_context([self._account(address) for address in addresses])

    def getTokenAccountsByOwner(  # noqa: D102, N802
        self, owner: str, which: dict[str, str], _: object = None
    ) -> dict[str, Any]:
        mint = bytes(Pubkey.from_string(which["mint"])) + bytes(Pubkey.from_string(owner))
        held = [
            {"pubkey": str(key), "account": show_account(account)}
            for program in (TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID)
            for key, account in self.ledger.svm.get_program_accounts(program)
            if account.data[:64] == mint
        ]
        return self._in_context(held)

    def getMinimumBalanceForRentExemption(self, size: int, _: object = None) -> int:  # noqa: D102, N802
        return self.ledger.svm.minimum_balance_for_rent_exemption(size)

    def getRecentPrioritizationFees(self, _: object = None) -> list[dict[str, int]]:  # noqa: D102, N802
        return [{"slot": slot, "prioritizationFee": 0} for slot in self._slots()[-150:]]

    def getFeeForMessage(self, content: str, _: object = None) -> dict[str, Any]:  # noqa: D102, N802
        message = from_bytes_versioned(base64.b64decode(content))
        known = str(message.recent_blockhash) in self.ledger.heights
        return self._in_context(fee_of(message) if known else None)

    def simulateTransaction(self, content: str, _: object = None) -> dict[str, Any]:  # noqa: D102, N802
        return self._in_context(self._try(read_transaction(content)))

    def sendTransaction(self, content: str, options: dict[str, Any] | None = None) -> str:  # noqa: D102, N802
        transaction = read_transaction(content)
        signature = str(transaction.signatures[0])
        if not all(transaction.verify_with_results()):
            raise Refusal(-32003, "Transaction signature verification failure")
        if not (options or {}).get("skipPreflight"):
            self._preflight(transaction)
        if signature not in self.ledger.statuses and signature not in self.ledger.pool:
            self.ledger.pool[signature] = transaction
            self._note(sent=base64.b64encode(bytes(transaction)).decode())
        return signature

    def getSignatureStatuses(  # noqa: D102, N802
        self, signatures: list[str], options: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        whole = bool((options or {}).get("searchTransactionHistory"))
        return self._in_context([self._status(signature, whole) for signature in signatures])

    def _slots(self) -> list[int]:
        return [slot for slot in self.ledger.blocks if slot not in self.ledger.lost]

    def _in_context(self, value: object) -> dict[str, Any]:
        context = {"apiVersion": "3.0.0", "slot": self.ledger.parent_slot}
        return {"context": context, "value": value}

    def _account(self, address: str) -> dict[str, Any] | None:
        account = self.ledger.svm.get_account(Pubkey.from_string(address))
        return None if account is None or account.lamports == 0 else show_account(account)

    def _status(self, signature: str, whole: bool) -> dict[str, Any] | None:
        status = self.ledger.statuses.get(signature)
        if status is None or not (whole or self.ledger.is_recent(status["slot"])):
            return None
        return {"confirmations": None, "confirmationStatus": "finalized", **status}

    def _try(self, transaction: VersionedTransaction) -> dict[str, Any]:
        result = self.ledger.simulate(transaction)
        meta = result.meta()
        failed = isinstance(result, FailedTransactionMetadata)
        return {
            "err": json.loads(result.to_json())["err"] if failed else None,
            "logs": meta.logs(),
            "accounts": None,
            "unitsConsumed": meta.compute_units_consumed(),
            "returnData": None,
        }

    def _preflight(self, transaction: VersionedTransaction) -> None:
        error: object = None
        outcome: dict[str, Any] = {"logs": [], "accounts": None, "unitsConsumed": 0}
        if not self.ledger.may_carry(transaction, self.ledger.height + 1):
            error = "BlockhashNotFound"  # a node forgets what it executed with the blockhash
        elif str(transaction.signatures[0]) in self.ledger.statuses:
            error = "AlreadyProcessed"
        else:
            outcome = self._try(transaction)
            error = outcome["err"]
        if error is not None:
            message = f"Transaction simulation failed: {json.dumps(error)}"
            raise Refusal(-32002, message, outcome | {"err": error})


METHODS = [name for name in vars(Node) if name.startswith(("get", "send", "simulate", "dev_"))]


def read_transaction(content: str) -> VersionedTransaction:
    """Decode the base64 of a signed transaction of any version. ValueError if it is none."""
    return VersionedTransaction.from_bytes(base64.b64decode(content, validate=True))


def show_account(account: Account) -> dict[str, Any]:
    """Return an account with encoding base64."""
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": [base64.b64encode(account.data).decode(), "base64"],
        "executable": account.executable,
        "rentEpoch": 18446744073709551615,
        "space": len(account.data),
    }


def fee_of(message: Message | MessageV0 | MessageV1) -> int:
    """Return what a message costs: a fee for each signature, and the price of its compute units."""
    limit, price = 200_000 * len(message.instructions), 0
    for instruction in message.instructions:
        if message.account_keys[instruction.program_id_index] == COMPUTE_BUDGET:
            kind, value = instruction.data[0], int.from_bytes(instruction.data[1:], "little")
            limit = value if kind == _SET_UNIT_LIMIT else limit
            price = value if kind == _SET_UNIT_PRICE else price
    return SIGNATURE_FEE * message.header.num_required_signatures - (-limit * price // 1_000_000)


def answer(node: Node, call: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Answer one JSON-RPC request."""
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": call.get("id")}
    try:
        return reply | {"result": node.call(call["method"], call.get("params") or [])}
    except Refusal as refusal:
        return reply | {"error": refusal.error}


def open_application(node: Node, block_time_s: float) -> web.Application:
    """Return the HTTP application; it mines by itself every `block_time_s` if that is not 0."""

    async def tell() -> None:
        async with node.news:
            node.news.notify_all()

    async def post(request: web.Request) -> web.Response:
        calls = await request.json()
        before = node.ledger.parent_slot
        replies: object
        if isinstance(calls, list):
            replies = [answer(node, call) for call in calls]
        else:
            replies = answer(node, calls)
        if node.ledger.parent_slot != before:
            await tell()
        return web.json_response(replies)

    async def push(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        message = await socket.receive()
        if message.type is WSMsgType.TEXT:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "result": 0})
            while not socket.closed:
                async with node.news:
                    await node.news.wait()
                await socket.send_json(
                    {
                        "jsonrpc": "2.0",
                        "method": "rootNotification",
                        "params": {"result": node.ledger.parent_slot, "subscription": 0},
                    }
                )
        return socket

    async def mine(_: web.Application) -> None:
        if block_time_s:
            mining.append(asyncio.create_task(mine_for_ever()))

    async def mine_for_ever() -> None:
        while True:
            await asyncio.sleep(block_time_s)
            node.dev_mine()
            await tell()

    mining: list[asyncio.Task[None]] = []
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_post("/", post)
    application.router.add_get("/", push)
    application.on_startup.append(mine)
    return application


def main() -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--block-time-s", type=float, default=0.0)
    parser.add_argument("--skip-every", type=int, default=0)
    chosen = parser.parse_args()
    ledger = Ledger(skip_every=chosen.skip_every)
    node = Node(ledger, chosen.data_dir / "journal.jsonl")
    application = open_application(node, chosen.block_time_s)
    web.run_app(
        application,
        host="127.0.0.1",
        port=chosen.port,
        print=None,
        access_log=None,
        shutdown_timeout=0.5,
    )


if __name__ == "__main__":
    main()
