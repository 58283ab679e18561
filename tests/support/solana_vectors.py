"""Recorded and crafted blocks of Solana, in the form in which a node would answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from chain_adapters.solana.decode import normalise_block
from chain_adapters.solana.programs import TOKEN_PROGRAM
from chain_adapters.solana.reading import decode_answer
from chain_adapters.types import Block, NodeUnavailable, Transaction
from devstack.chains.solana_shapes import show_accounts, show_key

FOLDER = Path(__file__).parents[1] / "vectors" / "solana"
SLOT, PARENT_SLOT = 300_000_000, 299_999_999
BLOCKHASH, PARENT_HASH = "B" * 43, "C" * 43


def key(seed: str) -> str:
    """Return a well-formed address that names itself."""
    return seed.ljust(43, "1")[:43]


PAYER, SENDER, OURS, OTHER = key("Payer"), key("Sender"), key("Urs"), key("Ander")
MINT, OTHER_MINT = key("Mint"), key("Mint2")
PROGRAM = key("Program")


def load(name: str) -> Any:  # noqa: ANN401 - any JSON
    """Return a recorded answer."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def load_transactions(name: str) -> list[dict[str, Any]]:
    """Return the transactions of a recorded block, or the recorded transaction, in full."""
    answer = load(name)
    found: list[dict[str, Any]] = answer.get("transactions", [answer])
    return found


def load_accounts(name: str) -> list[dict[str, Any]]:
    """Return recorded transactions as details "accounts" have them: see show_accounts."""
    return [show_accounts(whole) for whole in load_transactions(name)]


def load_block(name: str) -> dict[str, Any]:
    """Return a recorded block as details "accounts" have it."""
    return {**load(name), "transactions": load_accounts(name)}


def wrap(transactions: list[Any], **changes: object) -> dict[str, Any]:
    """Return a block with these transactions."""
    header = {
        "blockHeight": 280_000_000,
        "blockTime": 1_790_000_000,
        "blockhash": BLOCKHASH,
        "parentSlot": PARENT_SLOT,
        "previousBlockhash": PARENT_HASH,
    }
    return {**header, "transactions": transactions, **changes}


def encode_answer(block: object) -> bytes:
    """Return the answer to getBlock as it comes over the wire."""
    return msgspec.json.encode({"jsonrpc": "2.0", "result": block, "id": 1})


def read_raw(raw: bytes, slot: int = SLOT, odd: list[str] | None = None) -> Block:
    """Read an answer as the adapter does; what is left out is added to `odd`."""
    block = decode_answer(raw, 1)
    if block is None:
        raise NodeUnavailable("there is no block")
    return normalise_block(slot, block, (odd if odd is not None else []).append)


def read_block(block: object, slot: int = SLOT, odd: list[str] | None = None) -> Block:
    """Read a block as the adapter does."""
    return read_raw(encode_answer(block), slot, odd)


def read_one(transaction: dict[str, Any]) -> Transaction:
    """Read a block of one transaction."""
    [found] = read_block(wrap([transaction])).transactions
    return found


def holding(
    position: int,
    amount: int | str,
    owner: str | None = OURS,
    mint: str = MINT,
    program: str | None = TOKEN_PROGRAM,
) -> dict[str, Any]:
    """One entry of preTokenBalances or postTokenBalances."""
    shown = {"amount": str(amount), "decimals": 6, "uiAmount": None, "uiAmountString": "0"}
    named = {"owner": owner, "programId": program}
    present = {name: value for name, value in named.items() if value is not None}
    return {"accountIndex": position, "mint": mint, "uiTokenAmount": shown, **present}


def craft(
    *changes: tuple[str, int, int],
    before: list[dict[str, Any]] | None = None,
    after: list[dict[str, Any]] | None = None,
    fee: int = 5000,
    programs: tuple[str, ...] = (PROGRAM,),
    loaded: tuple[tuple[str, int, int], ...] = (),
    **meta: object,
) -> dict[str, Any]:
    """Return a transaction: accounts with lamports before and after, the payer first. `loaded` are
    accounts out of lookup tables.
    """
    named = [*changes, *((program, 1, 1) for program in programs)]
    keys = [show_key(key, "transaction") for key, _, _ in named]
    return {
        "version": 0 if loaded else "legacy",
        "transaction": {
            "signatures": ["5" * 88],
            "accountKeys": [*keys, *(show_key(key, "lookupTable") for key, _, _ in loaded)],
        },
        "meta": {
            "err": None,
            "fee": fee,
            "preBalances": [old for _, old, _ in (*named, *loaded)],
            "postBalances": [new for _, _, new in (*named, *loaded)],
            "preTokenBalances": before or [],
            "postTokenBalances": after or [],
            **meta,
        },
    }
