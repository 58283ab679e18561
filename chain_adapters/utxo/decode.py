"""From a plain block to a Block. Pure, and the hot path of reading a chain.

The index of a transfer is "out:<n>", its output's number. Outputs without an address or without
money are nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chain_adapters.types import Block, NodeUnavailable, Transaction, Transfer
from chain_adapters.utxo.address import addresses_of
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.plain import CoinId, Output, PlainBlock, PlainTransaction

_HELD_HEAD = bytes.fromhex("5820")
_INDEXES = tuple(f"out:{position}" for position in range(256))


def normalise_block(chain: UtxoChain, block: PlainBlock) -> Block:
    """Return the block in the words of all chains."""
    return Block(
        height=block.height,
        block_id=block.block_id,
        parent_id=block.parent_id,
        time=block.time,
        transactions=normalise_transactions(chain, block.transactions),
    )


def normalise_transactions(
    chain: UtxoChain, transactions: Sequence[PlainTransaction]
) -> tuple[Transaction, ...]:
    """Return transactions of a block, every one of which took effect."""
    addresses = addresses_of(chain, scripts_of(transactions))
    return tuple([_normalise(chain, t, addresses) for t in transactions])


def scripts_of(transactions: Sequence[PlainTransaction]) -> set[bytes]:
    """Return the scripts whose addresses are told."""
    scripts = {output.script for t in transactions for output in t.outputs if output is not None}
    scripts.update([t.spent[0].script for t in transactions if t.spent])
    return scripts


def _normalise(
    chain: UtxoChain, transaction: PlainTransaction, addresses: Mapping[bytes, str | None]
) -> Transaction:
    sender, fee_minor = None, transaction.fee_minor
    if transaction.spent:
        sender = sender_of(transaction.spent, addresses)
        fee_minor = fee_of(transaction.spent, transaction.outputs)
    depth_min = 1 if transaction.spends else chain.maturity
    if chain.pegout_maturity and leaves_extension(transaction):
        depth_min = chain.pegout_maturity
    indexes = indexes_of(transaction.outputs)
    transfers = []
    for position, output in enumerate(transaction.outputs):
        if output is None or output.amount_minor == 0:
            continue
        address = addresses[output.script]
        if address is not None:
            transfers.append(
                Transfer(
                    indexes[position], sender, address, None, output.amount_minor, None, depth_min
                )
            )
    return Transaction(transaction.id, sender, True, fee_minor, tuple(transfers))


def leaves_extension(transaction: PlainTransaction) -> bool:
    """Whether a transaction pays what left Litecoin's extension block (its HogEx, LIP-3).

    Its first output is what the extension block holds, at a witness program of version 8.
    """
    first = transaction.outputs[0] if transaction.outputs else None
    return first is not None and len(first.script) == 34 and first.script.startswith(_HELD_HEAD)


def indexes_of(outputs: Sequence[object]) -> Sequence[str]:
    """Return the transfers' indexes, or more; made beforehand for all but huge transactions."""
    if len(outputs) <= len(_INDEXES):
        return _INDEXES
    return [f"out:{position}" for position in range(len(outputs))]


def sender_of(spent: Sequence[Output], addresses: Mapping[bytes, str | None]) -> str | None:
    """Return the only address whose money is spent, None if there are several or it has none."""
    if any(output.script != spent[0].script for output in spent):
        return None
    return addresses[spent[0].script]


def fee_of(spent: Sequence[Output], outputs: Sequence[Output | None]) -> int:
    """Return what is spent beyond the outputs.

    NodeUnavailable if that is less than nothing: no block has it (Bitcoin Core, CheckTxInputs), and
    amounts told in JSON are not proven by ids.
    """
    received = sum(output.amount_minor for output in outputs if output is not None)
    fee_minor = sum(output.amount_minor for output in spent) - received
    if fee_minor < 0:
        raise NodeUnavailable("a transaction pays more than it spends")
    return fee_minor


def lacking(block: PlainBlock) -> list[str]:
    """Return the ids of earlier transactions whose outputs are spent and not told."""
    own = {transaction.id for transaction in block.transactions}
    ids = dict.fromkeys(
        id_
        for transaction in block.transactions
        if transaction.spent is None
        for id_, _ in transaction.spends
    )
    return [id_ for id_ in ids if id_ and id_ not in own]


def fill_spent(block: PlainBlock, earlier: Mapping[str, PlainTransaction]) -> None:
    """Let each transaction know what it spends, from `earlier` ones and those of the block."""
    known = {**earlier, **{transaction.id: transaction for transaction in block.transactions}}
    for transaction in block.transactions:
        if transaction.spent is None:
            found = [find_output(known, coin) for coin in transaction.spends]
            if None not in found:
                transaction.spent = [output for output in found if output is not None]


def find_output(known: Mapping[str, PlainTransaction], coin: CoinId) -> Output | None:
    """Return the output, None if it is not known."""
    transaction = known.get(coin[0])
    if transaction is None or coin[1] >= len(transaction.outputs):
        return None
    return transaction.outputs[coin[1]]
