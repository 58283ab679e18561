"""Recorded and crafted transactions of TON, in toncenter's shape."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytoniq_core import Address, Cell, begin_cell

from chain_adapters.ton import wallet, wire
from chain_adapters.ton.decode import NOTHING, Facts, normalise_block
from chain_adapters.types import Block, Transaction

FOLDER = Path(__file__).parents[1] / "vectors" / "ton"
RECORDED = sorted(path.stem for path in FOLDER.glob("toncenter_v3_*.json"))

OWNER, SENDER, JETTON_WALLET, MASTER, STRANGER = (f"0:{digit * 64}" for digit in "12345")
INTERNAL, NOTIFICATION = 0x178D4519, 0x7362D09C
HASH = base64.b64encode(bytes(32)).decode()
ROOT_HASH = base64.b64encode(b"\1" * 32).decode()


def load_json(name: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads((FOLDER / f"{name}.json").read_text())


def load_transactions(name: str) -> list[dict[str, Any]]:
    """Return the transactions of a recorded answer, of traces too."""
    answer = load_json(name)
    if "traces" in answer:
        return list(answer["traces"][0]["transactions"].values())
    found: list[dict[str, Any]] = answer["transactions"]
    return found


def encode(transactions: list[dict[str, Any]]) -> bytes:
    return json.dumps({"transactions": transactions, "address_book": {}}).encode()


def header() -> wire.BlockHeader:
    return wire.BlockHeader(-1, "8000000000000000", 7, ROOT_HASH, -239, "1700000000", 0)


def read_raw(raw: bytes, facts: Facts = NOTHING) -> Block:
    """Read one page of a block as the adapter does."""
    return normalise_block(header(), "", wire.decode_transactions(raw).transactions, facts)


def read_block(transactions: list[dict[str, Any]], facts: Facts = NOTHING) -> Block:
    return read_raw(encode(transactions), facts)


def read(transaction: dict[str, Any], facts: Facts = NOTHING) -> Transaction:
    (found,) = read_block([transaction], facts).transactions
    return found


def boc(cell: Cell) -> str:
    return base64.b64encode(cell.to_boc()).decode()


def body(*parts: tuple[int, int], address: str | None = None) -> Cell:
    """Return a cell of numbers (value, bits), and perhaps an address behind them."""
    builder = begin_cell()
    for value, bits in parts:
        builder = builder.store_uint(value, bits)
    if address is not None:
        builder = builder.store_address(Address(address))
    return builder.end_cell()


def comment(text: str) -> Cell:
    return wallet.comment_cell(text)


def raw_comment(data: bytes) -> Cell:
    return begin_cell().store_uint(0, 32).store_bytes(data).end_cell()


def internal_transfer(
    amount_minor: int = 300, payload: Cell | None = None, *, in_ref: bool = True
) -> Cell:
    """The body with which jettons arrive at a jetton wallet (TEP-74)."""
    builder = (
        begin_cell()
        .store_uint(INTERNAL, 32)
        .store_uint(0, 64)
        .store_coins(amount_minor)
        .store_address(Address(SENDER))
        .store_address(Address(SENDER))
        .store_coins(1)
    )
    if payload is None:
        return builder.store_bit(0).end_cell()
    if in_ref:
        return builder.store_bit(1).store_ref(payload).end_cell()
    return builder.store_bit(0).store_cell(payload).end_cell()


def notification() -> Cell:
    return begin_cell().store_uint(NOTIFICATION, 32).store_uint(0, 64).store_coins(300).end_cell()


def content(cell: Cell | None) -> dict[str, Any] | None:
    return None if cell is None else {"hash": HASH, "body": boc(cell), "decoded": None}


def message(cell: Cell | None = None, **changes: object) -> dict[str, Any]:
    """An internal message of 7 TON from SENDER to OWNER; its operation code is the body's."""
    opcode = None
    if cell is not None and len(cell.bits) >= 32:
        opcode = f"0x{cell.begin_parse().load_uint(32):08x}"
    return {
        "hash": HASH,
        "source": SENDER.upper(),
        "destination": OWNER.upper(),
        "value": "7000000000",
        "fwd_fee": "266669",
        "ihr_fee": "0",
        "bounce": False,
        "bounced": False,
        "opcode": opcode,
        "message_content": content(cell),
        "init_state": None,
        **changes,
    }


SUCCESS: dict[str, Any] = {
    "type": "ord",
    "aborted": False,
    "compute_ph": {"skipped": False, "success": True, "exit_code": 0},
    "action": {"success": True, "skipped_actions": 0, "msgs_created": 0},
}
UNDEPLOYED: dict[str, Any] = {
    "type": "ord",
    "aborted": True,
    "compute_ph": {"skipped": True, "reason": "no_state"},
}


def phases(usual: Mapping[str, Any] = SUCCESS, **changes: object) -> dict[str, Any]:
    return {**usual, **changes}


def transaction(
    came: dict[str, Any] | None,
    description: Mapping[str, Any] = SUCCESS,
    out: list[dict[str, Any]] | None = None,
    **changes: object,
) -> dict[str, Any]:
    """A transaction of OWNER's account that cost 40,000 nanotons."""
    return {
        "account": OWNER.upper(),
        "hash": HASH,
        "lt": "5000000",
        "now": 1700000000,
        "mc_block_seqno": 7,
        "trace_id": ROOT_HASH,
        "total_fees": "40000",
        "description": dict(description),
        "block_ref": {"workchain": 0, "shard": "8000000000000000", "seqno": 3},
        "in_msg": came,
        "out_msgs": out or [],
        "account_state_before": {"code_hash": None},
        "account_state_after": {"code_hash": None},
        "emulated": False,
        **changes,
    }


def jettons(cell: Cell, description: dict[str, Any] | None = None) -> dict[str, Any]:
    """A transaction of the jetton wallet that holds OWNER's."""
    came = message(cell, destination=JETTON_WALLET.upper(), value="0", source=STRANGER.upper())
    return transaction(came, description or phases(), account=JETTON_WALLET.upper())


def bounce(cell: Cell, **changes: object) -> dict[str, Any]:
    """A message that came back from STRANGER."""
    usual = {"bounced": True, "source": STRANGER.upper(), "value": "8990000000"}
    return message(cell, **{**usual, **changes})
