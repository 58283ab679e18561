"""A Solana development node, an emulator around the real virtual machine, and what drives it.

The node is ours (`solana_node`): real programs, rent and fees, and no network, consensus or
reorganisation. It skips slots.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import urllib.request
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountParams,
    TransferParams,
    create_account,
    transfer,
)
from solders.transaction import Transaction
from spl.token.constants import MINT_LEN, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    freeze_account,
    get_associated_token_address,
    initialize_mint2,
    initialize_transfer_fee_config,
    mint_to,
    transfer_checked,
)
from spl.token.models import (
    FreezeAccountParams,
    InitializeMint2Params,
    InitializeTransferFeeConfigParams,
    MintToParams,
    TransferCheckedParams,
)

from devstack.chains.chain import DevNode, NodeError
from devstack.chains.http import JsonRpcChain
from devstack.chains.solana_ledger import BANK, GENESIS_HASH

TOKEN_DECIMALS = 6
SUPPLY_MINOR = 10**18
RENT_EXEMPT_MINOR = 890_880
"""What an account without data must hold."""
FEE_MINT_LEN = 278
"""Size of a Token-2022 mint with a transfer fee: 165, a byte for its kind, and 112 of extension."""
SKIP_EVERY = 5
"""Before every fifth block the node skips a slot, as leaders do that are away."""


Extend = Callable[[Pubkey], list[Instruction]]
"""Returns the instructions that give a new mint its extensions."""


class SolanaNode(DevNode):
    """The emulator in a process of its own; it keeps its chain in a journal."""

    name = "solana"
    kind = "solana"
    asset = "SOL"
    token_decimals = TOKEN_DECIMALS
    account_minor = RENT_EXEMPT_MINOR

    @property
    def rpc_url(self) -> str:
        """JSON-RPC over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def push_url(self) -> str:
        """JSON-RPC over WebSocket."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def network(self) -> str:
        """CAIP-2 id."""
        return f"solana:{GENESIS_HASH[:32]}"

    def network_config(self) -> dict[str, Any]:
        """Return the network's entry in the settings."""
        return {
            "network": self.network,
            "kind": self.kind,
            "rpc_urls": [self.rpc_url],
            "push_url": self.push_url,
            "native_asset": self.asset,
            "start_height": 0,
            "poll_interval_s": 0.2,
        }

    def open_chain(self) -> AbstractAsyncContextManager[SolanaChain]:
        """Return a client of this node."""
        return SolanaChain(self.rpc_url)

    def _prepare(self) -> None:
        """The data folder is all it needs."""

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "devstack.chains.solana_node", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir), "--skip-every", str(SKIP_EVERY)]
        return [*command, "--block-time-s", str(self.block_time_s or 0)]

    def _directory(self) -> Path:
        return Path(__file__).parent.parent.parent

    def _answers(self) -> bool:
        body = b'{"jsonrpc":"2.0","id":1,"method":"getGenesisHash"}'
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.rpc_url, data=body, headers={"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5.0) as response:  # noqa: S310
                return bool(json.load(response)["result"] == GENESIS_HASH)
        except OSError:
            return False


class SolanaChain(JsonRpcChain):
    """A client that pays from the development bank, which also issues and freezes tokens."""

    def __init__(self, rpc_url: str) -> None:
        super().__init__(rpc_url)
        self._programs: dict[str, Pubkey] = {}

    async def check(self) -> None:
        """NodeError unless the node is on the development chain."""
        if await self.call("getGenesisHash") != GENESIS_HASH:
            raise NodeError("it is no development node")

    async def pay(self, address: str, amount_minor: int, memo: str | None = None) -> str:
        """Send lamports; a new account is first given what it must hold, in a payment of its own.

        NodeError with a memo: there are none.
        """
        if memo is not None:
            raise NodeError("there are no memos")
        rent_minor = await self.call("getMinimumBalanceForRentExemption", 0)
        if amount_minor < rent_minor and not await self.balance(address):
            await self._transfer(address, rent_minor)
        return await self._transfer(address, amount_minor)

    async def _transfer(self, address: str, amount_minor: int) -> str:
        recipient = Pubkey.from_string(address)
        params = TransferParams(
            from_pubkey=BANK.pubkey(), to_pubkey=recipient, lamports=amount_minor
        )
        return await self.send([transfer(params)])

    async def pay_token(
        self, contract: str, address: str, amount_minor: int, memo: str | None = None
    ) -> str:
        """Send a token, making the owner's associated account if it is missing."""
        if memo is not None:
            raise NodeError("there are no memos")
        mint, owner = Pubkey.from_string(contract), Pubkey.from_string(address)
        program = await self._program_of(contract)
        source = get_associated_token_address(BANK.pubkey(), mint, program)
        target = get_associated_token_address(owner, mint, program)
        params = TransferCheckedParams(
            program_id=program,
            source=source,
            mint=mint,
            dest=target,
            owner=BANK.pubkey(),
            amount=amount_minor,
            decimals=TOKEN_DECIMALS,
        )
        made = create_idempotent_associated_token_account(BANK.pubkey(), owner, mint, program)
        return await self.send([made, transfer_checked(params)])

    async def issue_token(self, symbol: str) -> str:  # noqa: ARG002 - mints have no names
        """Make an SPL token of which the bank holds all and may freeze accounts."""
        return await self._issue(TOKEN_PROGRAM_ID, MINT_LEN, lambda _: [])

    async def issue_fee_token(self, fee_basis_points: int) -> str:
        """Make a token of Token-2022 whose transfers keep back a fee."""

        def charge(mint: Pubkey) -> list[Instruction]:
            params = InitializeTransferFeeConfigParams(
                program_id=TOKEN_2022_PROGRAM_ID,
                mint=mint,
                transfer_fee_config_authority=BANK.pubkey(),
                withdraw_withheld_authority=BANK.pubkey(),
                transfer_fee_basis_points=fee_basis_points,
                maximum_fee=SUPPLY_MINOR,
            )
            return [initialize_transfer_fee_config(params)]

        return await self._issue(TOKEN_2022_PROGRAM_ID, FEE_MINT_LEN, charge)

    async def issue_raw_token(self, size: int, extensions: dict[int, bytes]) -> str:
        """Make a token of Token-2022 by the data of its extension instructions, by first byte."""

        def extend(mint: Pubkey) -> list[Instruction]:
            keys = [AccountMeta(mint, is_signer=False, is_writable=True)]
            return [
                Instruction(TOKEN_2022_PROGRAM_ID, bytes([kind]) + data, keys)
                for kind, data in extensions.items()
            ]

        return await self._issue(TOKEN_2022_PROGRAM_ID, size, extend)

    async def freeze(self, contract: str, owner: str) -> str:
        """Freeze the owner's associated account of a token of the bank's."""
        mint, program = Pubkey.from_string(contract), await self._program_of(contract)
        account = get_associated_token_address(Pubkey.from_string(owner), mint, program)
        params = FreezeAccountParams(
            program_id=program, account=account, mint=mint, authority=BANK.pubkey()
        )
        return await self.send([freeze_account(params)])

    async def new_recipient(self, contract: str | None = None) -> str:  # noqa: ARG002 - any asset
        """Return the address of a key that is thrown away: any can be paid."""
        return str(Keypair().pubkey())

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks at once."""
        await self.call("dev_mine", blocks)

    async def skip(self, slots: int = 1) -> None:
        """Let slots pass without blocks."""
        await self.call("dev_skip", slots)

    async def reorganise(self, depth: int) -> None:
        """Raise NodeError: finalized blocks stay."""
        raise NodeError(f"finalized blocks are never replaced, and so not the last {depth}")

    async def height(self) -> int:
        """Return the slot of the newest block."""
        return int(await self.call("getSlot"))

    async def balance(self, address: str) -> int:
        """Return lamports at the tip."""
        return int((await self.call("getBalance", address))["value"])

    async def send(self, instructions: list[Instruction], *signers: Keypair) -> str:
        """Sign instructions as the bank, and as others, and send them; return the signature.

        An unused account is named so that equal payments are different transactions.
        """
        latest = (await self.call("getLatestBlockhash"))["value"]["blockhash"]
        blockhash = Hash.from_string(latest)
        unused = AccountMeta(
            Pubkey.from_bytes(secrets.token_bytes(32)), is_signer=False, is_writable=False
        )
        last = instructions[-1]
        marked = Instruction(last.program_id, bytes(last.data), [*last.accounts, unused])
        message = Message.new_with_blockhash([*instructions[:-1], marked], BANK.pubkey(), blockhash)
        raw = bytes(Transaction([BANK, *signers], message, blockhash))
        options = {"encoding": "base64", "skipPreflight": True}
        return str(await self.call("sendTransaction", base64.b64encode(raw).decode(), options))

    async def _issue(self, program: Pubkey, size: int, extend: Extend) -> str:
        mint, bank = Keypair(), BANK.pubkey()
        contract = str(mint.pubkey())
        rent_minor = await self.call("getMinimumBalanceForRentExemption", size)
        made = CreateAccountParams(
            from_pubkey=bank,
            to_pubkey=mint.pubkey(),
            lamports=rent_minor,
            space=size,
            owner=program,
        )
        named = InitializeMint2Params(
            decimals=TOKEN_DECIMALS,
            program_id=program,
            mint=mint.pubkey(),
            mint_authority=bank,
            freeze_authority=bank,
        )
        account = get_associated_token_address(bank, mint.pubkey(), program)
        supplied = MintToParams(
            program_id=program,
            mint=mint.pubkey(),
            dest=account,
            mint_authority=bank,
            amount=SUPPLY_MINOR,
        )
        id_ = await self.send(
            [
                create_account(made),
                *extend(mint.pubkey()),
                initialize_mint2(named),
                create_idempotent_associated_token_account(bank, bank, mint.pubkey(), program),
                mint_to(supplied),
            ],
            mint,
        )
        await self.mine()
        (status,) = (await self.call("getSignatureStatuses", [id_]))["value"]
        if status is None or status["err"] is not None:
            raise NodeError(f"the token was not made: {status}")
        self._programs[contract] = program
        return contract

    async def _program_of(self, contract: str) -> Pubkey:
        if contract not in self._programs:
            account = (await self.call("getAccountInfo", contract, {"encoding": "base64"}))["value"]
            if account is None:
                raise NodeError(f"there is no token {contract}")
            self._programs[contract] = Pubkey.from_string(account["owner"])
        return self._programs[contract]
