"""A block of Solana at its peak: 1,600 transactions in a slot of 0.4 s.

1,000 are votes; the others are recorded transactions of the main network again and again, each
time with other owners and signatures: swaps through several pools (two in ten fail), payments of
tokens and of SOL, and spam that pays many accounts a little. It is told as the adapter asks for
it, by accounts and balances: 4 MB of JSON. With instructions and logs it would be more than 6 MB.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from solders.keypair import Keypair
from solders.rpc.responses import GetBlockResp

from benchmarks.chains.peer import Peer
from chain_adapters.solana.decode import normalise_block
from chain_adapters.solana.programs import VOTE_PROGRAM
from chain_adapters.solana.reading import decode_answer
from chain_adapters.types import Block, NodeUnavailable
from devstack.chains.solana_shapes import encode_base58, show_accounts
from tests.support.solana_vectors import encode_answer, load_transactions, wrap

SECONDS_OF_CHAIN = 0.4
VOTES, OTHERS = 1000, 600
RECORDED = (
    "failed_swap",
    "swap_trump_to_jup",
    "swap_sol_to_usdc",
    "swap_sol_to_obric",
    "swap_sol_to_usdc",
    "send_usdc_transfer",
    "failed_swap",
    "send_spl_token_and_create_token_account",
    "native_sol_transfer",
    "spam",
)

Json = dict[str, Any]


def make_address(seed: str) -> str:
    """Return the address of a name."""
    return str(Keypair.from_seed(hashlib.sha256(seed.encode()).digest()).pubkey())


def make_signature(seed: str) -> str:
    """Return a text that looks like a signature."""
    return str(encode_base58(hashlib.sha512(seed.encode()).digest()))


def repeat(recorded: Json, number: int) -> Json:
    """Return a recorded transaction as if others had made it."""
    payer = recorded["transaction"]["message"]["accountKeys"][0]
    owners = {balance["owner"] for balance in recorded["meta"]["postTokenBalances"]}
    text = json.dumps({name: recorded[name] for name in ("transaction", "meta", "version")})
    for address in sorted({payer, *owners}):
        text = text.replace(address, make_address(f"{address} {number}"))
    made: Json = json.loads(text)
    made["transaction"]["signatures"][0] = make_signature(f"{number}")
    return made


def make_vote(number: int) -> Json:
    """Return a vote as blocks show it in full: two accounts, one instruction of some 150 bytes."""
    voter, account = make_address(f"voter {number}"), make_address(f"vote {number}")
    said = b"".join(hashlib.sha256(f"{number} {part}".encode()).digest() for part in range(5))
    lines = [f"Program {VOTE_PROGRAM} invoke [1]", f"Program {VOTE_PROGRAM} success"]
    return {
        "transaction": {
            "signatures": [make_signature(f"vote {number}")],
            "message": {
                "header": {
                    "numRequiredSignatures": 1,
                    "numReadonlySignedAccounts": 0,
                    "numReadonlyUnsignedAccounts": 1,
                },
                "accountKeys": [voter, account, VOTE_PROGRAM],
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


def peak_block() -> list[bytes]:
    """Return the answer to getBlock, votes and others mixed as leaders mix them."""
    recorded = [load_transactions(f"gettransaction_{name}")[0] for name in RECORDED]
    others = [repeat(recorded[number % len(recorded)], number) for number in range(OTHERS)]
    votes = map(make_vote, range(VOTES))
    transactions: list[Json] = []
    for number, other in enumerate(others):
        transactions += [next(votes) for _ in range(2 if number % 3 else 1)]
        transactions.append(other)
    return [encode_answer(wrap([*map(show_accounts, transactions)]))]


def decode(answers: list[bytes]) -> Block:
    """Return the block, as the adapter reads it."""
    block = decode_answer(answers[0], 1)
    if block is None:
        raise NodeUnavailable("there is no block")
    odd: list[str] = []
    return normalise_block(block.parent_slot + 1, block, odd.append)


def peer(answers: list[bytes]) -> Peer:
    """Return solders, which reads the whole answer and normalises nothing."""
    text = answers[0].decode()
    return Peer("solders, the answer alone", lambda: GetBlockResp.from_json(text))
