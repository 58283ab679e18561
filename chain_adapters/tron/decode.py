"""From a node's answers to a Block. Pure, and the hot path of reading a chain.

Indexes of transfers: "value" for the TRX that the transaction itself carries, "call:<n>" for TRX
moved by an inner call (n counts the inner calls that can move TRX), "log:<n>" for a TRC-20
Transfer event (n counts the logs of this transaction). None depends on the block that carries the
transaction, nor on which other internal transactions a node is configured to keep.

Not read: TRC-10, votes, stakes and their rewards.
"""

from __future__ import annotations

from binascii import unhexlify
from hashlib import sha256

import msgspec

from chain_adapters.tron import wire
from chain_adapters.tron.address import PREFIX
from chain_adapters.tron.protobuf import encode_header
from chain_adapters.types import Block, NodeUnavailable, Transaction, Transfer

TRANSFER_TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256("Transfer(address,address,uint256)"), TIP-20."""

TRANSFER_CALL = "a9059cbb"
"""How the data of a call of transfer(address,uint256) begins."""

ADDRESS_PADDING = 24 * "0"
"""An indexed address is the 20 bytes behind 0x41, left-padded to 32 bytes (Solidity ABI)."""

SUCCESS = "SUCCESS"

MOVING_NOTES = frozenset(word.encode().hex() for word in ("call", "create", "suicide"))
"""Inner operations whose value leaves the caller. Those that stake, delegate, vote or withdraw
show an amount as well and move nothing to anybody else."""

_SUICIDE = b"suicide".hex()

_ADDRESS_DIGITS = 42

_decode_owner = msgspec.json.Decoder(wire.Owner).decode
_decode_transfer = msgspec.json.Decoder(wire.TransferContract).decode
_decode_call = msgspec.json.Decoder(wire.TriggerSmartContract).decode
_decode_data = msgspec.json.Decoder(wire.CallData).decode
_decode_creation = msgspec.json.Decoder(wire.CreateSmartContract).decode

_Value = tuple[str, str, int]
"""Owner, recipient and sun of what a transaction itself carries."""


def check_header(block_id: str, header: wire.HeaderRaw) -> None:
    """Raise NodeUnavailable unless the id is the height and the hash of this header.

    That proves time and parent: the time decides when a transaction can no longer land.
    """
    raw = encode_header(
        timestamp_ms=header.timestamp,
        transaction_root=unhexlify(header.tx_trie_root),
        parent_id=unhexlify(header.parent_hash),
        height=header.number,
        witness_id=header.witness_id,
        witness=unhexlify(header.witness_address),
        version=header.version,
        state_root=unhexlify(header.account_state_root),
    )
    if block_id != header.number.to_bytes(8).hex() + sha256(raw).hexdigest()[16:]:
        raise NodeUnavailable("the block's id is not the hash of its header")


def normalise_block(block: wire.BlockAnswer, infos: list[wire.Info], clock_ms: int) -> Block:
    """Return the Block, or raise NodeUnavailable if the parts do not belong together.

    The genesis block hands out money and has no transactions that were ever executed.
    """
    if block.block_id is None or block.block_header is None:
        raise NodeUnavailable("the node's answer is no block")
    header = block.block_header.raw_data
    check_header(block.block_id, header)
    transactions = block.transactions if header.number else []
    by_id = {info.id: info for info in infos}
    if len(infos) != len(transactions) or len(by_id) != len(infos):
        raise NodeUnavailable("the block's receipts are not all there")
    return Block(
        height=header.number,
        block_id=block.block_id,
        parent_id=header.parent_hash,
        time=header.timestamp // 1000,
        transactions=tuple(
            normalise_transaction(transaction, info_of(transaction, by_id, header))
            for transaction in transactions
        ),
        clock=clock_ms,
    )


def info_of(
    transaction: wire.Transaction, by_id: dict[str, wire.Info], header: wire.HeaderRaw
) -> wire.Info:
    """Return the receipt of a transaction of this very block.

    Blocks that compete for a height differ in their time, so that the receipts of one are not
    taken for those of the other.
    """
    if sha256(unhexlify(transaction.raw_data_hex)).hexdigest() != transaction.id:
        raise NodeUnavailable("a transaction's id is not the hash of its data")
    info = by_id.get(transaction.id)
    if info is None:
        raise NodeUnavailable("a transaction has no receipt")
    if info.height != header.number or info.block_time_ms != header.timestamp:
        raise NodeUnavailable("a receipt belongs to another block")
    return info


def normalise_transaction(transaction: wire.Transaction, info: wire.Info) -> Transaction:
    """Return one transaction with the transfers that took effect.

    Both the transaction's own result and its receipt must say that it succeeded.
    """
    results = transaction.ret
    succeeded = bool(results) and results[0].contract_ret == SUCCESS and not info.result
    executed = succeeded and info.receipt.result == SUCCESS
    transfers: list[Transfer] = []
    owner, value = read_contract(transaction, info, succeeded=succeeded, executed=executed)
    if value is not None:
        add_value_transfer(value, transfers)
    if executed:
        if info.internal_transactions:
            add_call_transfers(info.internal_transactions, transfers)
        if info.log:
            add_log_transfers(info.log, transfers)
        if not transfers:
            succeeded = not moved_nothing(transaction, info.log)
    return Transaction(transaction.id, owner, succeeded, info.fee, tuple(transfers))


def moved_nothing(transaction: wire.Transaction, logs: list[wire.Log]) -> bool:
    """Whether a transaction called transfer(address,uint256) itself, and no token moved.

    A token logs what it moved (TIP-20). If none logged a Transfer nothing moved, whatever the
    receipt says: some answer false where others revert, and USDT does to what it moved. A Transfer
    in a form that is not read may well be the payment.
    """
    called = any(
        contract.type == "TriggerSmartContract"
        and contract.parameter is not None
        and _decode_data(contract.parameter.value).data.lower().startswith(TRANSFER_CALL)
        for contract in transaction.raw_data.contract
    )
    return called and all(log.topics[:1] != [TRANSFER_TOPIC] for log in logs)


def read_contract(
    transaction: wire.Transaction, info: wire.Info, *, succeeded: bool, executed: bool
) -> tuple[str | None, _Value | None]:
    """Return who pays for a transaction and the TRX that it moved itself, if any.

    Contracts of a type that moves none may hold anything, even nothing that can be read.
    """
    contracts = transaction.raw_data.contract
    if len(contracts) != 1 or contracts[0].parameter is None:
        return None, None
    kind, content = contracts[0].type, contracts[0].parameter.value
    if succeeded and kind == "TransferContract":
        transfer = _decode_transfer(content)
        owner = transfer.owner_address.lower()
        return owner, (owner, transfer.to_address, transfer.amount)
    if executed and kind == "TriggerSmartContract":
        call = _decode_call(content)
        owner = call.owner_address.lower()
        return owner, (owner, call.contract_address, call.call_value)
    if executed and kind == "CreateSmartContract":
        creation = _decode_creation(content)
        owner = creation.owner_address.lower()
        return owner, (owner, info.contract_address, creation.new_contract.call_value)
    return read_owner(content), None


def read_owner(content: msgspec.Raw) -> str | None:
    """Return who pays for a contract of any type, None if it does not say."""
    try:
        return _decode_owner(content).owner_address.lower()
    except (msgspec.MsgspecError, ValueError):
        return None


def add_value_transfer(value: _Value, transfers: list[Transfer]) -> None:
    """Append the transfer of the transaction's own TRX."""
    owner, recipient, amount_minor = value
    if amount_minor > 0 and len(recipient) == _ADDRESS_DIGITS:
        transfers.append(Transfer("value", owner, recipient.lower(), None, amount_minor))


def add_call_transfers(calls: list[wire.InnerCall], transfers: list[Transfer]) -> None:
    """Append the TRX moved by inner calls that were not rejected.

    A contract that destroys itself in its own favour burns what it has.
    """
    moving = (call for call in calls if call.note in MOVING_NOTES)
    for position, call in enumerate(moving):
        amount_minor = sum(value.call_value for value in call.values if not value.token_id)
        sender, address = call.caller_address.lower(), call.to_address.lower()
        if call.rejected or amount_minor <= 0:
            continue
        if len(address) != _ADDRESS_DIGITS or len(sender) != _ADDRESS_DIGITS:
            continue
        if call.note != _SUICIDE or sender != address:
            transfers.append(Transfer(f"call:{position}", sender, address, None, amount_minor))


def add_log_transfers(logs: list[wire.Log], transfers: list[Transfer]) -> None:
    """Append the TRC-20 transfers of one receipt.

    Exactly three topics: TRC-721 emits the same event with the token id as a fourth.
    """
    for position, log in enumerate(logs):
        topics = log.topics
        if len(topics) != 3 or topics[0] != TRANSFER_TOPIC:
            continue
        sender = topics[1].removeprefix(ADDRESS_PADDING)
        recipient = topics[2].removeprefix(ADDRESS_PADDING)
        if (
            len(sender) == len(recipient) == len(log.address) == 40
            and len(log.data) == 64
            and (amount_minor := int.from_bytes(unhexlify(log.data))) > 0
        ):
            transfers.append(
                Transfer(
                    f"log:{position}",
                    PREFIX + sender.lower(),
                    PREFIX + recipient.lower(),
                    PREFIX + log.address.lower(),
                    amount_minor,
                )
            )
