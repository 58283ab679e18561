"""A block of Bitcoin at its peak: 6,400 transactions of two coins and two outputs in 600 s.

As JSON at verbosity 3, with previous outputs, scripts and witnesses as Bitcoin Core writes them.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from bitcoinlib.transactions import Transaction

from benchmarks.chains.peer import Peer
from chain_adapters.bitcoin.chains import MAINNET
from chain_adapters.types import Block
from chain_adapters.utxo.address import address_of, p2pkh_script, p2sh_script, witness_script
from chain_adapters.utxo.decode import normalise_block
from chain_adapters.utxo.plain import merkle_root, plain_block
from chain_adapters.utxo.wire import decode_block

SECONDS_OF_CHAIN = 600.0
TRANSACTIONS = 6_400
PEER_TRANSACTIONS = 200
"""bitcoinlib is slow, and its rate is taken as well from fewer."""


def digest(*parts: object) -> bytes:
    """Return 32 bytes that look random and are the same each time."""
    return sha256(repr(parts).encode()).digest()


def make_script(*parts: object) -> bytes:
    """Return a script; half are P2WPKH, a quarter P2TR, the rest older."""
    content = digest(*parts)
    kind = content[0] % 8
    if kind < 4:
        return witness_script(0, content[:20])
    if kind < 6:
        return witness_script(1, content)
    return (p2pkh_script if kind == 6 else p2sh_script)(content[:20])


def told(script: bytes) -> dict[str, Any]:
    """Return a script as the node tells it."""
    address = address_of(MAINNET, script)
    descriptor = f"addr({address})#00000000"
    return {
        "asm": script.hex(),
        "desc": descriptor,
        "hex": script.hex(),
        "address": address,
        "type": "witness_v0_keyhash",
    }


def make_input(*parts: object) -> dict[str, Any]:
    """Return an input with its witness and what it spends."""
    prevout = {
        "generated": False,
        "height": 800_000,
        "value": 1.5,
        "scriptPubKey": told(make_script(*parts[:-1])),
    }
    return {
        "txid": digest(*parts, "spent").hex(),
        "vout": 1,
        "scriptSig": {"asm": "", "hex": ""},
        "txinwitness": [digest(*parts).hex() * 2 + "00" * 8, digest(*parts).hex() + "02"],
        "prevout": prevout,
        "sequence": 4294967293,
    }


def make_raw(number: int) -> bytes:
    """Return the same transaction as the network exchanges it (BIP-144)."""
    spent = [digest(number, n, "spent") + b"\1\0\0\0\0\xfd\xff\xff\xff" for n in range(2)]
    scripts = (make_script(number, "paid"), make_script(number))
    outputs = [
        (12_345_678 + n * 10**8).to_bytes(8, "little") + bytes((len(script),)) + script
        for n, script in enumerate(scripts)
    ]
    half = b"\2\x20\1" + digest(number)[1:]
    signature, key = b"\x47\x30\x44" + half + half + b"\1", b"\x21\2" + digest(number, "key")
    witnesses = (b"\2" + signature + key) * 2
    body = b"\2" + b"".join(spent) + b"\2" + b"".join(outputs)
    return b"\2\0\0\0\0\1" + body + witnesses + bytes(4)


def make_transaction(number: int) -> dict[str, Any]:
    """Return a transaction that pays one address, and its sender what is left."""
    scripts = (make_script(number, "paid"), make_script(number))
    id_ = digest(number, "id").hex()
    outputs = [
        {"value": 0.12345678 + n, "n": n, "scriptPubKey": told(script)}
        for n, script in enumerate(scripts)
    ]
    inputs = [make_input(number, n) for n in range(2)] if number else [{"coinbase": "00"}]
    return {
        "txid": id_,
        "hash": id_,
        "version": 2,
        "size": 372,
        "vsize": 209,
        "weight": 834,
        "locktime": 0,
        "vin": inputs,
        "vout": outputs,
        "fee": 0.00001,
        "hex": make_raw(number).hex(),
    }


def peak_block() -> list[bytes]:
    """Return the result of getblock."""
    transactions = [make_transaction(number) for number in range(TRANSACTIONS)]
    block = {
        "hash": "0" * 20 + digest("hash").hex()[20:],
        "confirmations": 1,
        "height": 900_000,
        "merkleroot": merkle_root([transaction["txid"] for transaction in transactions]),
        "time": 1_790_000_000,
        "previousblockhash": "0" * 20 + digest("parent").hex()[20:],
        "tx": transactions,
    }
    return [json.dumps(block, separators=(",", ":")).encode()]


def decode(answers: list[bytes]) -> Block:
    """Return the block, as the adapter reads it."""
    return normalise_block(MAINNET, plain_block(decode_block(answers[0])))


def peer(_: list[bytes]) -> Peer:
    """Return bitcoinlib, which reads some of the transactions from their bytes."""
    sample = [make_raw(number) for number in range(1, 1 + PEER_TRANSACTIONS)]

    def read() -> None:
        for raw in sample:
            for output in Transaction.parse(raw, network="bitcoin").outputs:
                assert output.address

    return Peer("bitcoinlib", read, PEER_TRANSACTIONS / TRANSACTIONS)
