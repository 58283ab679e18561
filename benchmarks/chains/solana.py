"""A block of Solana at its peak: 1,600 transactions in a slot of 0.4 s.

1,000 are votes; of the rest four in five move a token, one in five SOL, one in fifty fails. All but
the votes were run on the real virtual machine, with logs as a node tells them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountParams,
    TransferParams,
    create_account,
    transfer,
)
from solders.transaction import Transaction, VersionedTransaction
from spl.token.constants import MINT_LEN, TOKEN_PROGRAM_ID
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    get_associated_token_address,
    initialize_mint2,
    mint_to,
    transfer_checked,
)
from spl.token.models import InitializeMint2Params, MintToParams, TransferCheckedParams

from chain_adapters.solana.decode import normalise_block
from chain_adapters.solana.programs import VOTE_PROGRAM
from chain_adapters.solana.reading import decode_answer
from chain_adapters.types import Block, NodeUnavailable
from devstack.chains.solana_ledger import BANK, Ledger
from devstack.chains.solana_shapes import encode_base58

SECONDS_OF_CHAIN = 0.4
VOTES, PAYMENTS = 1000, 600
DECIMALS = 6
TIME = 1_790_000_000


def make_key(seed: str) -> Keypair:
    """Return the key of a name."""
    return Keypair.from_seed(hashlib.sha256(seed.encode()).digest())


class Load:
    """A ledger with a token, to which payments of the bank are added."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.mint = make_key("mint")
        self.source = get_associated_token_address(BANK.pubkey(), self.mint.pubkey())
        self._issue()

    def add(self, instructions: list[Any], *signers: Keypair) -> None:
        """Put a transaction of the bank into the pool."""
        blockhash = Hash.from_string(self.ledger.blockhash)
        message = Message.new_with_blockhash(instructions, BANK.pubkey(), blockhash)
        raw = bytes(Transaction([BANK, *signers], message, blockhash))
        signed = VersionedTransaction.from_bytes(raw)
        self.ledger.pool[str(signed.signatures[0])] = signed

    def _issue(self) -> None:
        bank, mint = BANK.pubkey(), self.mint.pubkey()
        rent = self.ledger.svm.minimum_balance_for_rent_exemption(MINT_LEN)
        made = CreateAccountParams(
            from_pubkey=bank,
            to_pubkey=mint,
            lamports=rent,
            space=MINT_LEN,
            owner=TOKEN_PROGRAM_ID,
        )
        named = InitializeMint2Params(
            decimals=DECIMALS, program_id=TOKEN_PROGRAM_ID, mint=mint, mint_authority=bank
        )
        supplied = MintToParams(
            program_id=TOKEN_PROGRAM_ID,
            mint=mint,
            dest=self.source,
            mint_authority=bank,
            amount=10**15,
        )
        self.add(
            [
                create_account(made),
                initialize_mint2(named),
                create_idempotent_associated_token_account(bank, bank, mint),
                mint_to(supplied),
            ],
            self.mint,
        )
        self.ledger.mine(TIME)

    def pay(self, recipient: Pubkey, amount: int) -> None:
        """Add a payment of SOL."""
        params = TransferParams(from_pubkey=BANK.pubkey(), to_pubkey=recipient, lamports=amount)
        self.add([transfer(params)])

    def pay_token(self, recipient: Pubkey, amount: int) -> None:
        """Add a payment of the token, whose account is made if it is missing."""
        mint = self.mint.pubkey()
        params = TransferCheckedParams(
            program_id=TOKEN_PROGRAM_ID,
            source=self.source,
            mint=mint,
            dest=get_associated_token_address(recipient, mint),
            owner=BANK.pubkey(),
            amount=amount,
            decimals=DECIMALS,
        )
        made = create_idempotent_associated_token_account(BANK.pubkey(), recipient, mint)
        self.add([made, transfer_checked(params)])


def make_vote(number: int) -> dict[str, Any]:
    """Return a vote as blocks show it: two accounts, one instruction of some 150 bytes."""
    voter, account = make_key(f"voter {number}").pubkey(), make_key(f"vote {number}").pubkey()
    said = b"".join(hashlib.sha256(f"{number} {part}".encode()).digest() for part in range(5))
    signed = hashlib.sha512(f"{number}".encode()).digest()
    lines = [f"Program {VOTE_PROGRAM} invoke [1]", f"Program {VOTE_PROGRAM} success"]
    return {
        "transaction": {
            "signatures": [encode_base58(signed)],
            "message": {
                "header": {
                    "numRequiredSignatures": 1,
                    "numReadonlySignedAccounts": 0,
                    "numReadonlyUnsignedAccounts": 1,
                },
                "accountKeys": [str(voter), str(account), VOTE_PROGRAM],
                "recentBlockhash": encode_base58(said[:32]),
                "instructions": [
                    {
                        "programIdIndex": 2,
                        "accounts": [1, 0],
                        "data": encode_base58(said[:148]),
                        "stackHeight": 1,
                    }
                ],
            },
        },
        "meta": {
            "err": None,
            "status": {"Ok": None},
            "fee": 5000,
            "preBalances": [10**9 + number, 27_074_400, 1],
            "postBalances": [10**9 + number - 5000, 27_074_400, 1],
            "innerInstructions": [],
            "logMessages": lines,
            "preTokenBalances": [],
            "postTokenBalances": [],
            "rewards": None,
            "loadedAddresses": {"writable": [], "readonly": []},
            "computeUnitsConsumed": 2100,
        },
        "version": "legacy",
    }


def peak_block() -> bytes:
    """Return the answer to getBlock."""
    load = Load()
    for number in range(PAYMENTS):
        recipient = make_key(f"recipient {number}").pubkey()
        if number % 50 == 7:
            load.pay_token(recipient, 10**18)  # more than there is
        elif number % 5:
            load.pay_token(recipient, 10**6 + number)
        else:
            load.pay(recipient, 10**7 + number)
    load.ledger.mine(TIME + 1)
    record = load.ledger.blocks[load.ledger.slot]
    transactions: list[Any] = [*record.transactions, *(make_vote(n) for n in range(VOTES))]
    result = record.header | {"transactions": transactions}
    return msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": 1})


def decode(raw: bytes) -> Block:
    """Return the block, as the adapter reads it."""
    block = decode_answer(raw, 1)
    if block is None:
        raise NodeUnavailable("there is no block")
    odd: list[str] = []
    return normalise_block(block.parent_slot + 1, block, odd.append)
