"""From a node's answers to a Block. Pure, and the hot path of reading a chain.

Indexes of transfers: "value" for the ether that the transaction itself carries, "call:<n>" for
ether moved by an inner call (n counts the call tree depth first, the root being 0), "log:<n>" for
an ERC-20 Transfer event (n counts the logs of this transaction's receipt). None depends on the
block that carries the transaction.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterable
from itertools import repeat

from chain_adapters.ethereum.wire import (
    WireBlock,
    WireFrame,
    WireLog,
    WireReceipt,
    WireTrace,
    WireTransaction,
)
from chain_adapters.rpc import Fault
from chain_adapters.types import Block, NodeUnavailable, Transaction, Transfer

TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256("Transfer(address,address,uint256)"), EIP-20."""

TRANSFER_CALL = b'"0xa9059cbb'
"""How the data of a call of transfer(address,uint256) begins in JSON."""

ADDRESS_PADDING = "0x000000000000000000000000"
"""An indexed address is left-padded to 32 bytes (Solidity ABI)."""

ETHER_LOGGER = "0xfffffffffffffffffffffffffffffffffffffffe"
"""Who logs each movement of ether as if it were a token's, where the chain does so (EIP-7708)."""

EMPTY_ROOTS = frozenset(
    {
        None,
        "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        "0x" + 64 * "0",
    }
)
"""What nodes tell for the root of no transactions: of an empty trie (Yellow Paper, 4.4.3); some
second-layer networks keep no such root."""

EMPTY_BLOOM = "0x" + 512 * "0"
"""The filter over the logs of a receipt without any (Yellow Paper, 4.4.1)."""

_int_from_bytes = int.from_bytes

_INDEXES_MADE = 1024
_LOG_INDEXES = tuple(f"log:{position}" for position in range(_INDEXES_MADE))
"""The indexes of the logs of all but huge receipts, made beforehand."""

MOVING_FRAMES = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
"""Frames whose value leaves the caller. DELEGATECALL shows its parent's value and CALLCODE pays
itself; both move nothing."""

BORROWING_FRAMES = frozenset({"DELEGATECALL", "CALLCODE"})
"""Frames that run another contract's code in the caller's name."""


def normalise_block(
    block: WireBlock, receipts: list[WireReceipt], traces: list[WireTrace] | None
) -> Block:
    """Return the Block, or raise NodeUnavailable if the parts do not belong together.

    `traces` None means that inner calls are not known: no "call:<n>" transfers then.
    """
    check_receipts(block, receipts)
    roots: Iterable[WireFrame | None] = repeat(None)
    if traces is not None:
        check_traces(block.transactions, receipts, traces)
        roots = [trace.result for trace in traces]
    return Block(
        height=int(block.number, 16),
        block_id=block.hash,
        parent_id=block.parent_hash,
        time=int(block.timestamp, 16),
        transactions=tuple(normalise_transactions(block.transactions, receipts, roots)),
    )


def check_receipts(block: WireBlock, receipts: list[WireReceipt]) -> None:
    """Raise NodeUnavailable if these are not the block's receipts, all, in order, with all logs."""
    if len(receipts) != len(block.transactions):
        raise NodeUnavailable("the block's receipts are not all there")
    if not block.transactions and block.transactions_root not in EMPTY_ROOTS:
        raise NodeUnavailable("the node leaves out the block's transactions")
    block_hash = block.hash
    logs_before = 0
    last_logs: list[WireLog] = []
    for transaction, receipt in zip(block.transactions, receipts, strict=True):
        if receipt.block_hash != block_hash or receipt.transaction_hash != transaction.hash:
            raise NodeUnavailable("a receipt belongs to another block or transaction")
        logs = receipt.logs
        if logs:
            if logs[0].log_index != hex(logs_before):
                check_numbering(logs, logs_before)
            logs_before += len(logs)
            last_logs = logs
        elif receipt.logs_bloom != EMPTY_BLOOM and (receipt.logs_bloom or "").strip("0x"):
            raise NodeUnavailable("the node leaves out the logs of a receipt")
    if last_logs:
        check_numbering(last_logs, logs_before - len(last_logs))


def normalise_transactions(
    transactions: list[WireTransaction],
    receipts: list[WireReceipt],
    roots: Iterable[WireFrame | None],
) -> list[Transaction]:
    """Return the transactions with the transfers that took effect.

    `fee_minor` is what the sender paid for gas and blobs, in wei (EIP-1559, EIP-4844). Fees that
    second-layer networks take for the first layer are not part of it.

    Ether goes to the new contract if the transaction makes one. All in one loop, but for the logs:
    calling functions for each transaction's fee, state, ether and logs took time that counts.
    """
    normalised = []
    last_price, price_minor = "", 0
    logged = log_transfers(receipts)
    for transaction, receipt, root, transfers in zip(
        transactions, receipts, roots, logged, strict=False
    ):
        payer = transaction.sender.lower()
        succeeded = True
        if receipt.status != "0x1":
            succeeded = receipt.status != "0x0" and succeeded_early(receipt, root)
        if succeeded:
            if root is not None and root.calls:
                transfers[:0] = call_transfers(root)
            if transaction.value != "0x0":
                address = transaction.to or receipt.contract_address
                if address is None:
                    raise NodeUnavailable("a transaction has neither recipient nor new contract")
                amount_minor = int(transaction.value, 16)
                if amount_minor > 0:
                    value = Transfer("value", payer, address.lower(), None, amount_minor)
                    transfers.insert(0, value)
            if not transfers:
                succeeded = not moved_nothing(transaction, receipt.logs)
        else:
            transfers.clear()
        price = receipt.effective_gas_price or transaction.gas_price
        if price is None:
            raise NodeUnavailable("a receipt has no gas price")
        if price != last_price:  # often the same: blocks are ordered by price
            last_price, price_minor = price, int(price, 16)
        fee_minor = int(receipt.gas_used, 16) * price_minor
        if receipt.blob_gas_used is not None:
            fee_minor += blob_fee_minor(receipt)
        normalised.append(
            Transaction(transaction.hash, payer, succeeded, fee_minor, tuple(transfers))
        )
    return normalised


def moved_nothing(transaction: WireTransaction, logs: list[WireLog]) -> bool:
    """Whether a transaction called transfer(address,uint256) itself, and no token moved.

    A token logs what it moved (EIP-20). If none logged a Transfer nothing moved, whatever the
    status: some answer false where others revert. A Transfer in a form that is not read, as early
    tokens have it (nothing indexed, or the amount too), may well be the payment.
    """
    called = bytes(transaction.input).startswith(TRANSFER_CALL)
    return called and all(log.topics.event != TRANSFER_TOPIC for log in logs)


def succeeded_early(receipt: WireReceipt, root: WireFrame | None) -> bool:
    """Whether a transaction without status succeeded.

    Receipts before Byzantium (block 4,370,000) carry a state root in place of the status
    (EIP-658): only a trace tells then, and without one the transaction counts as successful.
    """
    if receipt.status is not None or receipt.root is None or len(receipt.root) != 66:
        raise NodeUnavailable("a receipt has no readable status")
    return root is None or root.error is None


def blob_fee_minor(receipt: WireReceipt) -> int:
    """Return what the sender paid for blobs, in wei (EIP-4844)."""
    if receipt.blob_gas_used is None or receipt.blob_gas_price is None:
        return 0
    return int(receipt.blob_gas_used, 16) * int(receipt.blob_gas_price, 16)


def log_transfers(receipts: list[WireReceipt]) -> list[list[Transfer]]:
    """Return the ERC-20 transfers that each receipt's logs tell of.

    Exactly three topics: ERC-721 emits the same event with the token id as a fourth. Topics are
    lower case (bytes32 of execution-apis) and compared as they are; an address need not be.
    Ether's own logs tell what the transaction and its calls tell already.
    """
    found = []
    written = contract = ""
    for receipt in receipts:
        transfers: list[Transfer] = []
        found.append(transfers)
        position = -1
        for log in receipt.logs:
            position += 1
            topics = log.topics
            if topics.event != TRANSFER_TOPIC or topics.fourth is not None:
                continue
            sender = "0x" + topics.sender.removeprefix(ADDRESS_PADDING)
            recipient = "0x" + topics.recipient.removeprefix(ADDRESS_PADDING)
            word = log.data.removeprefix("0x")
            if len(sender) != 42 or len(recipient) != 42 or len(word) != 64:
                continue
            amount_minor = _int_from_bytes(unhexlify(word))
            if log.address != written:  # often the same as in the log before
                written = log.address
                contract = written.lower()
            if amount_minor and contract != ETHER_LOGGER:
                index = _LOG_INDEXES[position] if position < _INDEXES_MADE else f"log:{position}"
                transfers.append(Transfer(index, sender, recipient, contract, amount_minor))
    return found


def check_numbering(logs: list[WireLog], logs_before: int) -> None:
    """Raise NodeUnavailable if a log was left out, as the ones behind it would change identity.

    Nodes number the logs of a block through, so that a gap shows at the next receipt's first log
    or at the block's last one; those that start anew in each transaction are borne with.
    """
    first = int(logs[0].log_index, 16)
    if first not in {0, logs_before} or int(logs[-1].log_index, 16) - first != len(logs) - 1:
        raise NodeUnavailable("a log is missing from a receipt")


def check_traces(
    transactions: list[WireTransaction], receipts: list[WireReceipt], traces: list[WireTrace]
) -> None:
    """Raise NodeUnavailable if the traces are not those of these transactions.

    One that says failed of what succeeded was made on another state than the chain's, as some
    versions of nodes do: nobody knows what the inner calls did.
    """
    if len(traces) != len(transactions):
        raise NodeUnavailable("the block's traces are not all there")
    for transaction, receipt, trace in zip(transactions, receipts, traces, strict=True):
        if trace.error or trace.result is None:
            why = trace.error.message if isinstance(trace.error, Fault) else trace.error
            words = (why or "no answer")[:200]
            raise NodeUnavailable(f"the node did not trace {transaction.hash}: {words}")
        if trace.tx_hash is not None and trace.tx_hash != transaction.hash:
            raise NodeUnavailable("a trace belongs to another transaction")
        if trace.result.sender.lower() != transaction.sender.lower():
            raise NodeUnavailable("a trace has another sender than its transaction")
        if trace.result.error is not None and receipt.status == "0x1":
            raise NodeUnavailable("a trace says that a transaction failed which succeeded")


def call_transfers(root: WireFrame) -> list[Transfer]:
    """Return the ether moved by the inner calls of one transaction that were not reverted.

    A failed frame takes everything below it along. Iterative, as calls nest up to 1024 deep.
    """
    transfers: list[Transfer] = []
    position = 0
    stack = [(root, root, root.error is not None)]
    while stack:
        frame, caller, reverted = stack.pop()
        if position and not reverted and frame.type in MOVING_FRAMES:
            add_call_transfer(frame, caller, position, transfers)
        position += 1
        if frame.calls:
            stack += [
                (inner, frame, reverted or inner.error is not None) for inner in frame.calls[::-1]
            ]
    return transfers


def add_call_transfer(
    frame: WireFrame, caller: WireFrame, position: int, transfers: list[Transfer]
) -> None:
    """Append what one successful frame moved.

    A contract that destroys itself in its own favour moves nothing (EIP-6780; before it, the
    ether was burned). Which contract that is the frame around tells: nodes built on revm name
    another one as sender then, or leave everything out.
    """
    amount_minor = int(frame.value or "0x0", 16)
    if amount_minor <= 0 or frame.to is None:
        return
    sender, address = frame.sender.lower(), frame.to.lower()
    if frame.type == "SELFDESTRUCT":
        acting = caller.sender if caller.type in BORROWING_FRAMES else caller.to
        sender = (acting or sender).lower()
        if sender == address:
            return
    transfers.append(Transfer(f"call:{position}", sender, address, None, amount_minor))
