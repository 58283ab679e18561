"""What a transaction spends: of the node's word only its block is taken, the rest is proven."""

from __future__ import annotations

from chain_adapters.rpc import Endpoint, Request, result_of
from chain_adapters.types import NodeUnavailable, Spending
from chain_adapters.utxo import raw, wire
from chain_adapters.utxo.address import address_of
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.plain import Output
from chain_adapters.utxo.sending import NOT_FOUND, find_place


async def fetch_spending(
    endpoint: Endpoint, chain: UtxoChain, transaction_id: str
) -> Spending | None:
    """Return what one endpoint knows of a transaction. See CoinReader.

    An index of transactions keeps those of blocks that left the best chain.
    """
    content, place = await endpoint.call(
        [Request("getrawtransaction", (transaction_id, verbose)) for verbose in (0, 1)]
    )
    found = find_place(place)
    if content.error is not None and content.error.code == NOT_FOUND:
        return None
    read = read_spending(chain, bytes.fromhex(wire.decode_text(result_of(content))))
    if read.transaction_id != transaction_id:
        raise NodeUnavailable("the node answered with another transaction")
    return Spending(
        read.transaction_id,
        read.raw,
        read.coins,
        read.outputs,
        None if found is None else found.blockhash,
    )


def read_spending(chain: UtxoChain, content: bytes) -> Spending:
    """Return what the bytes of a transaction say. NodeUnavailable if they are not just that."""
    try:
        transaction, end = raw.read_transaction(content, 0)
    except IndexError:
        raise NodeUnavailable("a transaction's bytes end too early") from None
    if end != len(content):
        raise NodeUnavailable("a transaction's bytes do not end with it")
    return Spending(
        transaction.id,
        content,
        tuple(f"{id_}:{number}" for id_, number in transaction.spends),
        tuple(_paid(chain, output) for output in transaction.outputs if output is not None),
    )


def _paid(chain: UtxoChain, output: Output) -> tuple[str | None, int]:
    return address_of(chain, output.script), output.amount_minor
