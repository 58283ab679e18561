"""A server that looks like Horizon: a test double for a node that cannot be had.

Collections, records, cursors and problems have Horizon's JSON shapes; signed envelopes are taken
apart, verified and applied by `stellar_chain`. What is below /dev drives it. It cannot show what
real consensus, the real order book, contracts or fees of full ledgers do.
Run as `python -m devstack.chains.stellar_node --port … --data-dir …`.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from devstack.chains.stellar_chain import BANK, Chain, TryLater
from devstack.chains.stellar_envelopes import (
    PASSPHRASE,
    Invalid,
    account_record,
    parse,
    show_result,
)
from devstack.chains.stellar_operations import Fields
from devstack.chains.stellar_state import BASE_FEE, State

LIMIT_DEFAULT = 10
LIMIT_MAX = 200
PAYMENTS = frozenset(
    {
        "create_account",
        "payment",
        "path_payment_strict_receive",
        "path_payment_strict_send",
        "account_merge",
    }
)
PERCENTILES = ("max", "min", "mode", *(f"p{p}" for p in (*range(10, 100, 10), 95, 99)))


class Problem(Exception):
    """An answer that is an error (RFC 7807)."""

    def __init__(self, status: int, name: str, **extras: object) -> None:
        super().__init__(name)
        self.status = status
        self.body = {
            "type": f"https://stellar.org/horizon-errors/{name}",
            "title": name.replace("_", " ").title(),
            "status": status,
            "extras": extras,
        }


class Node:
    """Answers requests about one chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.faults: dict[str, int] = {}
        """How many more times each fault happens."""
        self.seen: list[str] = []
        """Paths asked for, as a test may want to count them."""
        self._frozen: tuple[int, State] | None = None

    @property
    def height(self) -> int:
        """The latest ledger that is shown: an old one while ingestion stands still."""
        return self.chain.height if self._frozen is None else self._frozen[0]

    @property
    def state(self) -> State:
        """The state that is shown."""
        return self.chain.state if self._frozen is None else self._frozen[1]

    def freeze(self, frozen: bool) -> None:
        """Let ingestion stand still, or catch up."""
        self._frozen = (self.chain.height, copy.deepcopy(self.chain.state)) if frozen else None

    def misbehaves(self, fault: str) -> bool:
        """Use up one time of a fault that was ordered."""
        left = self.faults.get(fault, 0)
        self.faults[fault] = max(0, left - 1)
        return left > 0

    def find_transaction(self, name: str) -> Fields:
        """Return a transaction by its hash or that of the one inside it."""
        ledger, position = self.chain.places.get(name.lower(), (0, 0))
        if not 0 < ledger <= self.height:
            raise Problem(404, "not_found")
        return self.chain.transactions[ledger][position]

    def find_ledger(self, text: str) -> int:
        """Return a ledger's number that is shown."""
        number = int(text) if text.isdecimal() else 0
        if not 0 < number <= self.height:
            raise Problem(404, "not_found")
        return number

    def of_ledger(self, number: int, kind: str, failed: bool) -> Sequence[Fields]:
        """Return a collection of one ledger."""
        if kind == "transactions":
            made = self.chain.transactions[number]
            return [record for record in made if failed or record["successful"]]
        if kind == "payments":
            return [o for o in self.chain.operations[number] if o["type"] in PAYMENTS]
        return {"operations": self.chain.operations, "effects": self.chain.effects}[kind][number]

    def of_transaction(self, transaction: Fields, kind: str) -> Sequence[Fields]:
        """Return operations or effects of one transaction."""
        place = int(transaction["paging_token"])
        found = self.of_ledger(transaction["ledger"], kind, failed=True)
        return [r for r in found if int(r["id"].partition("-")[0]) & ~0xFFF == place]

    def root(self) -> Fields:
        """Return the server's account of itself."""
        return {
            "horizon_version": "2.32.0-simulated",
            "core_version": "stellar-core 22.0.0-simulated",
            "ingest_latest_ledger": self.height,
            "history_latest_ledger": self.height,
            "history_elder_ledger": 1,
            "core_latest_ledger": self.chain.height,
            "network_passphrase": PASSPHRASE,
            "current_protocol_version": 22,
        }

    def fee_stats(self) -> Fields:
        """Return the fees of ledgers that are never full."""
        charged = dict.fromkeys(PERCENTILES, str(BASE_FEE))
        return {
            "last_ledger": str(self.height),
            "last_ledger_base_fee": str(BASE_FEE),
            "ledger_capacity_usage": "0.01",
            "fee_charged": charged,
            "max_fee": charged,
        }

    def submit(self, raw: str, *, waits: bool) -> tuple[int, Fields]:
        """Take an envelope; return status and answer of either endpoint.

        The one that waits for a ledger does not wait here: it times out at once.
        """
        lost = self.misbehaves("timeout")
        try:
            found, known = self.chain.submit(raw)
        except ValueError:
            raise Problem(400, "transaction_malformed", envelope_xdr=raw) from None
        except TryLater as later:
            return 503, {"tx_status": "TRY_AGAIN_LATER", "hash": str(later)}
        except Invalid as invalid:
            return self._refuse(raw, invalid.code, waits=waits)
        if lost or waits:
            raise Problem(504, "timeout")
        status = "DUPLICATE" if known else "PENDING"
        return (409 if known else 201), {"tx_status": status, "hash": found}

    def _refuse(self, raw: str, code: str, *, waits: bool) -> tuple[int, Fields]:
        result = show_result(code)
        if not waits:
            found = parse(raw).hash
            return 400, {"tx_status": "ERROR", "error_result_xdr": result, "hash": found}
        name = "tx_no_source_account" if code == "txNO_ACCOUNT" else f"tx_{code[2:].lower()}"
        codes = {"transaction": name}
        raise Problem(400, "transaction_failed", result_codes=codes, result_xdr=result)


def page_of(request: web.Request, records: Sequence[Fields]) -> Fields:
    """Return the page of a collection that was asked for, with its links."""
    order = request.query.get("order", "asc")
    limit = min(LIMIT_MAX, int(request.query.get("limit", LIMIT_DEFAULT)))
    cursor = request.query.get("cursor", "")
    found = sorted(records, key=token_key, reverse=order == "desc")
    if cursor:
        after = key_of(cursor)
        found = [r for r in found if (token_key(r) > after) is (order == "asc")]
        found = [r for r in found if token_key(r) != after]
    found = found[:limit]
    base = str(request.url.with_query(None))
    last = found[-1]["paging_token"] if found else cursor
    first = found[0]["paging_token"] if found else cursor
    return {
        "_links": {
            "self": {"href": str(request.url)},
            "next": {"href": f"{base}?cursor={last}&limit={limit}&order={order}"},
            "prev": {"href": f"{base}?cursor={first}&limit={limit}&order=desc"},
        },
        "_embedded": {"records": found},
    }


def key_of(token: str) -> tuple[int, ...]:
    """Return what paging tokens are ordered by."""
    return tuple(int(part) for part in token.split("-"))


def token_key(record: Fields) -> tuple[int, ...]:
    """Return what a record is ordered by."""
    return key_of(record["paging_token"])


class Server:
    """The HTTP side of a node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def application(self, block_time_s: float) -> web.Application:
        """Return the application; it closes a ledger every `block_time_s` if that is not 0."""
        made = web.Application(middlewares=[self._answer])
        made.router.add_get("/", self._root)
        made.router.add_get("/fee_stats", self._fee_stats)
        made.router.add_get("/accounts/{address}", self._account)
        made.router.add_get("/assets", self._assets)
        made.router.add_get("/ledgers", self._ledgers)
        made.router.add_get("/ledgers/{number}", self._ledger)
        made.router.add_get("/ledgers/{number}/{kind}", self._of_ledger)
        made.router.add_get("/transactions/{hash}", self._transaction)
        made.router.add_get("/transactions/{hash}/{kind}", self._of_transaction)
        made.router.add_post("/transactions", self._submit)
        made.router.add_post("/transactions_async", self._submit_async)
        made.router.add_post("/dev/{deed}", self._drive)
        if block_time_s:
            made.cleanup_ctx.append(lambda _: self._close_for_ever(block_time_s))
        return made

    async def _close_for_ever(self, block_time_s: float) -> Any:  # noqa: ANN401
        async def close() -> None:
            while True:
                await asyncio.sleep(block_time_s)
                self.node.chain.close(int(time.time()))

        closing = asyncio.create_task(close())
        yield
        closing.cancel()

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        node = self.node
        if not request.path.startswith("/dev/"):
            node.seen.append(request.path)
            if node.misbehaves("rate_limit"):
                return web.json_response({"status": 429}, status=429)
        try:
            answer: web.StreamResponse = await handler(request)
        except Problem as problem:
            return web.json_response(problem.body, status=problem.status)
        return answer

    async def _root(self, _: web.Request) -> web.Response:
        return web.json_response(self.node.root())

    async def _fee_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.node.fee_stats())

    async def _account(self, request: web.Request) -> web.Response:
        record = account_record(request.match_info["address"], self.node.state)
        if record is None:
            raise Problem(404, "not_found")
        return web.json_response(record)

    async def _assets(self, request: web.Request) -> web.Response:
        code, issuer = request.query["asset_code"], request.query["asset_issuer"]
        holders = [a for a in self.node.state.accounts.values() if f"{code}:{issuer}" in a.lines]
        token = f"{code}_{issuer}_credit_alphanum{4 if len(code) <= 4 else 12}"
        record = {"asset_code": code, "asset_issuer": issuer, "paging_token": token}
        return web.json_response({"_embedded": {"records": [record] if holders else []}})

    async def _ledgers(self, request: web.Request) -> web.Response:
        return web.json_response(page_of(request, self.node.chain.ledgers[: self.node.height]))

    async def _ledger(self, request: web.Request) -> web.Response:
        number = self.node.find_ledger(request.match_info["number"])
        return web.json_response(self.node.chain.ledgers[number - 1])

    async def _of_ledger(self, request: web.Request) -> web.Response:
        number = self.node.find_ledger(request.match_info["number"])
        failed = request.query.get("include_failed") == "true"
        return self._page(request, self.node.of_ledger(number, request.match_info["kind"], failed))

    def _page(self, request: web.Request, records: Sequence[Fields]) -> web.Response:
        page = page_of(request, records)
        if self.node.misbehaves("cut"):
            del page["_embedded"]["records"][-1:]
        return web.json_response(page)

    async def _transaction(self, request: web.Request) -> web.Response:
        return web.json_response(self.node.find_transaction(request.match_info["hash"]))

    async def _of_transaction(self, request: web.Request) -> web.Response:
        transaction = self.node.find_transaction(request.match_info["hash"])
        kind = request.match_info["kind"]
        return self._page(request, self.node.of_transaction(transaction, kind))

    async def _submit(self, request: web.Request) -> web.Response:
        sent = await read_form(request)
        status, body = self.node.submit(sent, waits=True)
        return web.json_response(body, status=status)

    async def _submit_async(self, request: web.Request) -> web.Response:
        if self.node.misbehaves("no_async"):
            raise Problem(404, "not_found")
        status, body = self.node.submit(await read_form(request), waits=False)
        return web.json_response(body, status=status)

    async def _drive(self, request: web.Request) -> web.Response:
        body, node = await request.json(), self.node
        deed = request.match_info["deed"]
        if deed == "close":
            for _ in range(body["count"]):
                now = int(time.time())
                node.chain.close(max(now, node.chain.closed_at + body.get("later_s", 0)))
        elif deed == "fault":
            node.faults[body["fault"]] = body["times"]
        elif deed == "freeze":
            node.freeze(body["frozen"])
        elif deed == "rate":
            node.chain.set_rate(body["source"], body["asset"], body["given"], body["taken"])
        elif deed == "seen":
            seen, node.seen = node.seen, []
            return web.json_response(seen)
        bank = node.chain.next_sequence(BANK.public_key)
        return web.json_response({"height": node.chain.height, "bank_sequence": bank})


async def read_form(request: web.Request) -> str:
    """Return the envelope of a web form; Horizon takes no other content."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported_media_type")
    form = await request.post()
    return str(form.get("tx", ""))


def main() -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--block-time-s", type=float, default=0.0)
    chosen = parser.parse_args()
    node = Node(Chain(chosen.data_dir / "journal.jsonl"))
    application = Server(node).application(chosen.block_time_s)
    web.run_app(application, host="127.0.0.1", port=chosen.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
