"""A block of Dogecoin at its peak: a megabyte, some 4,000 transactions, in 60 s.

As bytes in hex, which is how nodes 1.14 give whole blocks. What they spend is not in them: with an
index of transactions the adapter asks for it besides, which is not part of this.
"""

from __future__ import annotations

from binascii import unhexlify

from bitcoinlib.transactions import Transaction

from benchmarks.chains.bitcoin import digest
from benchmarks.chains.peer import Peer
from chain_adapters.dogecoin.chains import MAINNET
from chain_adapters.types import Block
from chain_adapters.utxo.address import p2pkh_script
from chain_adapters.utxo.base58 import hash_twice
from chain_adapters.utxo.decode import normalise_block
from chain_adapters.utxo.plain import merkle_root
from chain_adapters.utxo.raw import read_block

SECONDS_OF_CHAIN = 60.0
TRANSACTIONS = 4_400
"""226 bytes each: one coin, a payment and what is left."""
PEER_TRANSACTIONS = 200
"""bitcoinlib is slow, and its rate is taken as well from fewer."""


def make_transaction(number: int) -> bytes:
    """Return a transaction with one coin and two outputs; the first is the block's coinbase."""
    spent = digest(number, "spent") + b"\1\0\0\0" if number else bytes(32) + b"\xff" * 4
    proof = b"\x48" + digest(number) * 2 + b"\0" * 8 + b"\x21\x02" + digest(number, "key")
    outputs = b"".join(
        (10**8 + number).to_bytes(8, "little") + b"\x19" + p2pkh_script(digest(number, n)[:20])
        for n in range(2)
    )
    head = b"\1\0\0\0\1" + spent + bytes((len(proof),)) + proof + b"\xff" * 4
    return head + b"\2" + outputs + bytes(4)


def peak_block() -> list[bytes]:
    """Return the result of getblock, without its quotes."""
    transactions = [make_transaction(number) for number in range(TRANSACTIONS)]
    ids = [hash_twice(transaction)[::-1].hex() for transaction in transactions]
    header = b"\4\0\x62\0" + digest("parent") + bytes.fromhex(merkle_root(ids))[::-1]
    header += (1_790_000_000).to_bytes(4, "little") + bytes(8)
    count = b"\xfd" + TRANSACTIONS.to_bytes(2, "little")
    return [(header + count + b"".join(transactions)).hex().encode()]


def decode(answers: list[bytes]) -> Block:
    """Return the block, as the adapter reads it."""
    content = unhexlify(answers[0].decode())
    block_id = hash_twice(content[:80])[::-1].hex()
    return normalise_block(MAINNET, read_block(content, block_id, 5_000_000, merge_mined=True))


def peer(_: list[bytes]) -> Peer:
    """Return bitcoinlib, which reads some of the transactions."""
    sample = [make_transaction(number) for number in range(1, 1 + PEER_TRANSACTIONS)]

    def read() -> None:
        for raw in sample:
            for output in Transaction.parse(raw, network="dogecoin").outputs:
                assert output.address

    return Peer("bitcoinlib", read, PEER_TRANSACTIONS / TRANSACTIONS)
