"""Wallet contract v4R2: its address, its messages, and the ids of external messages. Pure.

Source: ton-blockchain/wallet-contract (v4R2), TL-B block.tlb (messages, state), TEP-467.
"""

from __future__ import annotations

import base64

from pytoniq_core import Address, Cell, begin_cell

from chain_adapters.ton.constants import BRANCH_STEP, COMMENT, SEND_MODE, WALLET_ID
from chain_adapters.ton.hashing import hash_cell

_CODE_BOC = (
    "te6ccgECFAEAAtQAART/APSkE/S88sgLAQIBIAIPAgFIAwYC5tAB0NMDIXGwkl8E4CLXScEgkl8E4ALTHyGCEHBsdWe9"
    "IoIQZHN0cr2wkl8F4AP6QDAg+kQByMoHy//J0O1E0IEBQNch9AQwXIEBCPQKb6Exs5JfB+AF0z/IJYIQcGx1Z7qSODDj"
    "DQOCEGRzdHK6kl8G4w0EBQB4AfoA9AQw+CdvIjBQCqEhvvLgUIIQcGx1Z4MesXCAGFAEywUmzxZY+gIZ9ADLaRfLH1Jg"
    "yz8gyYBA+wAGAIpQBIEBCPRZMO1E0IEBQNcgyAHPFvQAye1UAXKwjiOCEGRzdHKDHrFwgBhQBcsFUAPPFiP6AhPLassf"
    "yz/JgED7AJJfA+ICASAHDgIBIAgNAgFYCQoAPbKd+1E0IEBQNch9AQwAsjKB8v/ydABgQEI9ApvoTGACASALDAAZrc52"
    "omhAIGuQ64X/wAAZrx32omhAEGuQ64WPwAARuMl+1E0NcLH4AFm9JCtvaiaECAoGuQ+gIYRw1AgIR6STfSmRDOaQPp/5"
    "g3gSgBt4EBSJhxWfMYQE+PKDCNcYINMf0x/THwL4I7vyZO1E0NMf0x/T//QE0VFDuvKhUVG68qIF+QFUEGT5EPKj+AAk"
    "pMjLH1JAyx9SMMv/UhD0AMntVPgPAdMHIcAAn2xRkyDXSpbTB9QC+wDoMOAhwAHjACHAAuMAAcADkTDjDQOkyMsfEssf"
    "y/8QERITAG7SB/oA1NQi+QAFyMoHFcv/ydB3dIAYyMsFywIizxZQBfoCFMtrEszMyXP7AMhAFIEBCPRR8qcCAHCBAQjX"
    "GPoA0z/IVCBHgQEI9FHyp4IQbm90ZXB0gBjIywXLAlAGzxZQBPoCFMtqEssfyz/Jc/sAAgBsgQEI1xj6ANM/MFIkgQEI"
    "9Fnyp4IQZHN0cnB0gBjIywXLAlAFzxZQA/oCE8tqyx8Syz/Jc/sAAAr0AMntVA=="
)
"""The contract's published code; its hash is WALLET_CODE_HASH."""

CODE = Cell.one_from_boc(base64.b64decode(_CODE_BOC))
_CODE_REF = (CODE.get_depth(), CODE.hash)
_DATA_BITS = 32 + 32 + 256 + 1
"""Of `initial_data`."""
COMMENT_CELL_BYTES = 127
"""What fits into a cell: 1023 bits."""


def wallet_id(branch: int, index: int) -> int:
    """Return the number that tells the wallets of one key apart. ValueError if out of range."""
    if not (branch in {0, 1} and 0 <= index < BRANCH_STEP):
        raise ValueError("branch is 0 or 1, index below 2^30")
    return WALLET_ID + branch * BRANCH_STEP + index


def initial_data(public_key: bytes, number: int) -> Cell:
    """Return a wallet's storage before its first payment: seqno, wallet id, key, no plugins."""
    return (
        begin_cell()
        .store_uint(0, 32)
        .store_uint(number, 32)
        .store_bytes(public_key)
        .store_bit(0)
        .end_cell()
    )


def state_init(code: Cell, data: Cell) -> Cell:
    """Return what a contract begins with: code and data, nothing else (StateInit)."""
    return begin_cell().store_uint(0b00110, 5).store_ref(code).store_ref(data).end_cell()


def wallet_address(public_key: bytes, number: int) -> str:
    """Return a wallet's canonical address, as of `state_init` with `initial_data`.

    ValueError if the key is not 32 bytes.
    """
    if len(public_key) != 32:
        raise ValueError("a public key has 32 bytes")
    data = hash_cell(number << 257 | int.from_bytes(public_key) << 1, _DATA_BITS)
    return "0:" + hash_cell(0b00110, 5, (_CODE_REF, (0, data))).hex()


def comment_cell(text: str) -> Cell:
    """Return a text comment as a message's body: cells of 127 bytes in a chain ("snake")."""
    data = COMMENT.to_bytes(4) + text.encode()
    chunks = [data[i : i + COMMENT_CELL_BYTES] for i in range(0, len(data), COMMENT_CELL_BYTES)]
    cell: Cell | None = None
    for chunk in reversed(chunks):
        builder = begin_cell().store_bytes(chunk)
        cell = (builder if cell is None else builder.store_ref(cell)).end_cell()
    assert cell is not None
    return cell


def internal_message(recipient: str, amount_minor: int, body: Cell | None, *, bounce: bool) -> Cell:
    """Return a message for the wallet to send; the wallet's contract fills in what is missing."""
    builder = (
        begin_cell()
        .store_uint(0b010000 | (0b001000 if bounce else 0), 6)
        .store_address(Address(recipient))
        .store_coins(amount_minor)
        .store_uint(0, 1 + 4 + 4 + 64 + 32)  # no other currencies, fees and times are filled in
        .store_bit(0)  # no state
    )
    if body is None:
        return builder.store_bit(0).end_cell()
    return builder.store_bit(1).store_ref(body).end_cell()


def order(number: int, valid_until: int, seqno: int, message: Cell, signature: bytes = b"") -> Cell:
    """Return an order to send one message (op 0): the body of an external message.

    Without the signature it is what the owner signs the hash of.
    """
    return (
        begin_cell()
        .store_bytes(signature)
        .store_uint(number, 32)
        .store_uint(valid_until, 32)
        .store_uint(seqno, 32)
        .store_uint(0, 8)
        .store_uint(SEND_MODE, 8)
        .store_ref(message)
        .end_cell()
    )


def external_message(address: str, body: Cell, init: Cell | None) -> Cell:
    """Return a message from outside the chain; `init` deploys the wallet on the way."""
    builder = begin_cell().store_uint(0b1000, 4).store_address(Address(address)).store_coins(0)
    builder = builder.store_bit(0) if init is None else builder.store_uint(0b11, 2).store_ref(init)
    return builder.store_bit(1).store_ref(body).end_cell()


def normalised_id(address: str, body: Cell) -> str:
    """Return the id of an external message, however it is encoded (TEP-467). Lower-case hex."""
    return str(external_message(address, body, None).hash.hex())
