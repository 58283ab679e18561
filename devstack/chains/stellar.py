"""The simulated Stellar as a server, and how to drive it."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

from stellar_sdk import (
    Asset,
    ChangeTrust,
    CreateAccount,
    HashMemo,
    IdMemo,
    Keypair,
    MuxedAccount,
    NoneMemo,
    Payment,
    ReturnHashMemo,
    TextMemo,
    Transaction,
    TransactionEnvelope,
)
from stellar_sdk.memo import Memo
from stellar_sdk.operation import Operation

from devstack.chains.chain import DevNode, NodeError
from devstack.chains.http import HttpChain
from devstack.chains.stellar_chain import BANK, NETWORK
from devstack.chains.stellar_envelopes import PASSPHRASE
from devstack.chains.stellar_operations import show_amount
from devstack.chains.stellar_state import BASE_FEE, BASE_RESERVE

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT_MINOR = 2 * BASE_RESERVE
"""The least that an account can be made with."""
RECIPIENT_MINOR = 10 * ACCOUNT_MINOR
OPERATIONS_MAX = 100
"""In one transaction."""


def read_memo(text: str | None) -> Memo:
    """Return the memo that "id:1", "text:a", "hash:<hex>" or "return:<hex>" stands for."""
    kind, _, value = (text or "").partition(":")
    match kind:
        case "":
            return NoneMemo()
        case "id":
            return IdMemo(int(value))
        case "text":
            return TextMemo(value)
        case "hash":
            return HashMemo(value)
        case "return":
            return ReturnHashMemo(value)
    raise NodeError(f"no memo: {text}")


def read_asset(contract: str | None) -> Asset:
    """Return the asset that CODE:ISSUER names."""
    return Asset.native() if contract is None else Asset(*contract.split(":"))


def decimal_of(amount_minor: int) -> Decimal:
    """Return stroops as the library takes them."""
    return Decimal(show_amount(amount_minor))


class StellarChain(HttpChain):
    """A client of the simulated node. The bank is the network's first account, and issues tokens.

    Muxed recipients (M…) are paid as such.
    """

    def __init__(self, rpc_url: str) -> None:
        super().__init__(rpc_url)
        self._sequences = asyncio.Lock()
        self._made: set[str] = set()

    async def check(self) -> None:
        """See HttpChain."""
        await self.height()

    async def drive(self, deed: str, **body: object) -> Any:  # noqa: ANN401 - any JSON
        """Tell the node to do something, or raise NodeError."""
        async with self._http.post(f"{self._url}/dev/{deed}", json=body) as answer:
            if answer.status != 200:
                raise NodeError(f"{deed}: HTTP status {answer.status}")
            return await answer.json()

    async def ask(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Return one of Horizon's answers, None if it has nothing there."""
        async with self._http.get(f"{self._url}/{path}") as answer:
            if answer.status == 404:
                return None
            return await answer.json()

    async def submit(self, raw: str) -> str:
        """Send an envelope in base64; return its hash, or raise NodeError."""
        target, form = f"{self._url}/transactions_async", {"tx": raw}
        async with self._http.post(target, data=form) as answer:
            reply = await answer.json()
            if answer.status not in {201, 409}:
                raise NodeError(f"HTTP status {answer.status}: {reply}")
        return str(reply["hash"])

    async def act(
        self,
        key: Keypair,
        operations: Sequence[Operation],
        memo: str | None = None,
        *,
        others: Sequence[Keypair] = (),
    ) -> str:
        """Send a transaction of operations, signed by its source and by others."""
        async with self._sequences:  # two at once would take the same sequence number
            sequence = await self._next_sequence(key.public_key)
            transaction = Transaction(
                key.public_key,
                sequence,
                BASE_FEE * len(operations),
                operations,
                read_memo(memo),
            )
            envelope = TransactionEnvelope(transaction, PASSPHRASE)
            for signer in (key, *others):
                envelope.sign(signer)
            return await self.submit(envelope.to_xdr())

    async def _next_sequence(self, address: str) -> int:
        if address == BANK.public_key:
            return int((await self.drive("status"))["bank_sequence"])
        account = await self.ask(f"accounts/{address}")
        if account is None:
            raise NodeError("there is no such account")
        return int(account["sequence"]) + 1

    async def pay(self, address: str, amount_minor: int, memo: str | None = None) -> str:
        """Send XLM, as the starting balance of an account that is not there yet.

        Less than that needs gets 1 XLM beside it.
        """
        return await self.act(BANK, await self._pay_operations(address, amount_minor), memo)

    async def pay_many(self, payments: Sequence[tuple[str, int]]) -> list[str]:
        """Send XLM to accounts that exist, in as few transactions as possible; return their ids."""
        operations = [Payment(a, Asset.native(), decimal_of(m)) for a, m in payments]
        starts = range(0, len(operations), OPERATIONS_MAX)
        return [await self.act(BANK, operations[s : s + OPERATIONS_MAX]) for s in starts]

    async def _pay_operations(self, address: str, amount_minor: int) -> list[Operation]:
        account = MuxedAccount.from_account(address).account_id
        payment = Payment(address, Asset.native(), decimal_of(amount_minor))
        if account in self._made or await self.ask(f"accounts/{account}") is not None:
            return [payment]
        self._made.add(account)
        if amount_minor >= ACCOUNT_MINOR:
            return [CreateAccount(account, decimal_of(amount_minor))]
        return [CreateAccount(account, decimal_of(ACCOUNT_MINOR)), payment]

    async def issue_token(self, symbol: str) -> str:
        """Name an asset of the bank's, and make a stranger who accepts it: else there is none."""
        contract = f"{symbol}:{BANK.public_key}"
        await self.new_account(contract)
        return contract

    async def pay_token(
        self, contract: str, address: str, amount_minor: int, memo: str | None = None
    ) -> str:
        """Send an asset of the bank's. NodeError if the address has no trustline for it."""
        account = MuxedAccount.from_account(address).account_id
        found = await self.ask(f"accounts/{account}")
        lines = [] if found is None else found["balances"]
        if contract not in {f"{one.get('asset_code')}:{one.get('asset_issuer')}" for one in lines}:
            raise NodeError(f"{account} has no trustline for {contract}: it could not receive it")
        payment = Payment(address, read_asset(contract), decimal_of(amount_minor))
        return await self.act(BANK, [payment], memo)

    async def new_recipient(self, contract: str | None = None) -> str:
        """Make a stranger's account, with a trustline for the asset."""
        return (await self.new_account(contract)).public_key

    async def new_account(
        self, contract: str | None = None, amount_minor: int = RECIPIENT_MINOR
    ) -> Keypair:
        """Make an account, with a trustline for the asset; return its key."""
        key = Keypair.random()
        operations: list[Operation] = [CreateAccount(key.public_key, decimal_of(amount_minor))]
        if contract is not None:
            operations.append(ChangeTrust(read_asset(contract), source=key.public_key))
        others = [] if contract is None else [key]
        await self.act(BANK, operations, others=others)
        await self.mine()
        return key

    async def mine(self, blocks: int = 1, *, later_s: int = 0) -> None:
        """Close ledgers now, and each at least `later_s` seconds after the one before."""
        await self.drive("close", count=blocks, later_s=later_s)

    async def reorganise(self, depth: int) -> None:  # noqa: ARG002
        """Raise NodeError: a closed ledger is final."""
        raise NodeError("Stellar has no reorganisations")

    async def height(self) -> int:
        """Return the sequence of the latest ledger, shown or not."""
        return int((await self.drive("status"))["height"])

    async def freeze(self, frozen: bool) -> None:
        """Let Horizon stand still while core goes on, or catch up."""
        await self.drive("freeze", frozen=frozen)

    async def misbehave(self, fault: str, times: int = 1) -> None:
        """Order faults: "timeout" (taken, 504), "cut" (a page's last record missing),
        "no_async" (an old Horizon), "rate_limit" (429).
        """
        await self.drive("fault", fault=fault, times=times)

    async def set_rate(self, source: str, asset: str, given: int, taken: int) -> None:
        """Let path payments give so many units of an asset for so many of another."""
        await self.drive("rate", source=source, asset=asset, given=given, taken=taken)


class StellarNode(DevNode):
    """The simulated node in a process of its own; its ledgers are there again after a kill."""

    name = "stellar"
    kind = "stellar"
    asset = "XLM"
    token_decimals = 7
    has_memos = True
    account_minor = ACCOUNT_MINOR
    network = NETWORK

    @property
    def rpc_url(self) -> str:
        """Horizon's root."""
        return f"http://127.0.0.1:{self.port}"

    def network_config(self) -> dict[str, Any]:
        """Return the network's entry in the settings. A closed ledger is final."""
        return {
            "network": self.network,
            "kind": self.kind,
            "rpc_urls": [self.rpc_url],
            "native_asset": self.asset,
            "finality": "finalized",
            "confirmations": 1,
            "start_height": 1,
            "poll_interval_s": 0.2,
            "fee_minor_max": 10**7,
        }

    def open_chain(self) -> AbstractAsyncContextManager[StellarChain]:
        """Return a client of this node."""
        return StellarChain(self.rpc_url)

    def _prepare(self) -> None:
        """The data folder is all it needs."""

    def _directory(self) -> Path:
        return ROOT

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "devstack.chains.stellar_node", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir)]
        return [*command, "--block-time-s", str(self.block_time_s or 0)]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.rpc_url}/", timeout=5) as response:  # noqa: S310
                return bool(json.load(response)["network_passphrase"] == PASSPHRASE)
        except OSError:
            return False
