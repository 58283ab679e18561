"""The parts of java-tron's HTTP answers that are read, as typed records of raw JSON.

Field names and forms: java-tron's servlets below /wallet and /walletsolidity, asked without
"visible", so that addresses and texts are hex. Fields at their default are left out of answers,
and what does not exist is answered by {}. An error is {"Error": "…"} with status 200.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
"""32 bytes in hex without 0x."""
Address = Annotated[str, msgspec.Meta(min_length=42, max_length=42)]
"""21 bytes in hex, the first 0x41. No transaction that succeeded has others where TRX goes."""
Minor = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""TRX in sun; java-tron keeps int64."""


class Answer(msgspec.Struct):
    """Any answer that is an object."""

    error: str | None = msgspec.field(default=None, name="Error")


class HeaderRaw(msgspec.Struct, rename="camel"):
    """BlockHeader.raw: all of it, since the block's id is its hash."""

    number: int = 0
    timestamp: int = 0
    tx_trie_root: str = ""
    parent_hash: str = ""
    version: int = 0
    account_state_root: str = ""
    witness_id: int = msgspec.field(default=0, name="witness_id")
    witness_address: str = msgspec.field(default="", name="witness_address")


class Header(msgspec.Struct):
    """The header beside its witness's signature."""

    raw_data: HeaderRaw


class HeadAnswer(Answer):
    """Answer of getblock without detail, and what is read of a whole block for its header."""

    block_id: Hash | None = msgspec.field(default=None, name="blockID")
    block_header: Header | None = None


class Parameter(msgspec.Struct, gc=False):
    """A contract's content, which depends on its type."""

    value: msgspec.Raw = msgspec.Raw(b"{}")


class Contract(msgspec.Struct, gc=False):
    """What a transaction asks for."""

    type: str = ""
    parameter: Parameter | None = None


class RawData(msgspec.Struct, gc=False):
    """Transaction.raw. Its other fields matter to nodes only."""

    contract: list[Contract] = []


class Ret(msgspec.Struct, gc=False, rename="camel"):
    """What became of a transaction's contract."""

    contract_ret: str = ""


class Transaction(msgspec.Struct, gc=False):
    """One transaction of a block."""

    raw_data_hex: str
    raw_data: RawData
    id: Hash = msgspec.field(name="txID")
    ret: list[Ret] = []


class BlockAnswer(HeadAnswer):
    """Answer of getblockbynum."""

    transactions: list[Transaction] = []


class Owner(msgspec.Struct):
    """What contracts of nearly every type have."""

    owner_address: str


class TransferContract(msgspec.Struct):
    """Content of a plain transfer of TRX."""

    owner_address: Address
    to_address: Address
    amount: Minor


class TriggerSmartContract(msgspec.Struct):
    """Content of a call."""

    owner_address: Address
    contract_address: Address
    call_value: Minor = 0


class CallData(msgspec.Struct):
    """Of a call: which function, and its arguments, in hex."""

    data: str = ""


class NewContract(msgspec.Struct):
    """Of a creation: the TRX that the new contract is given."""

    call_value: Minor = 0


class CreateSmartContract(msgspec.Struct):
    """Content of a contract's creation."""

    owner_address: Address
    new_contract: NewContract


class Log(msgspec.Struct, gc=False):
    """One event of a contract. The address is 20 bytes, without 41."""

    address: str
    topics: list[str] = []
    data: str = ""


class CallValue(msgspec.Struct, gc=False, rename="camel"):
    """What an inner call carries: sun, or TRC-10 if it has a token id."""

    call_value: Minor = 0
    token_id: str = ""


class InnerCall(msgspec.Struct, gc=False):
    """One internal transaction. `note` is the operation's name in hex."""

    caller_address: str
    to_address: str = msgspec.field(default="", name="transferTo_address")
    values: list[CallValue] = msgspec.field(default_factory=list, name="callValueInfo")
    note: str = ""
    rejected: bool = False


class Receipt(msgspec.Struct, gc=False):
    """What ran and what was used. No result where no contract ran."""

    result: str = ""


class Info(msgspec.Struct, gc=False):
    """One element of gettransactioninfobyblocknum."""

    id: Hash
    height: int = msgspec.field(name="blockNumber")
    block_time_ms: int = msgspec.field(name="blockTimeStamp")
    fee: Minor = 0
    result: str = ""
    receipt: Receipt = msgspec.field(default_factory=Receipt)
    contract_address: str = ""
    log: list[Log] = []
    internal_transactions: list[InnerCall] = []


class AccountAnswer(Answer):
    """Answer of getaccount; {} if the account was never activated."""

    address: str | None = None
    balance: Minor = 0
    type: str = ""


class ResourceAnswer(Answer):
    """Answer of getaccountresource: bandwidth in bytes ("Net") and energy, used and at most."""

    free_net_limit: int = msgspec.field(default=0, name="freeNetLimit")
    free_net_used: int = msgspec.field(default=0, name="freeNetUsed")
    net_limit: int = msgspec.field(default=0, name="NetLimit")
    net_used: int = msgspec.field(default=0, name="NetUsed")
    energy_limit: int = msgspec.field(default=0, name="EnergyLimit")
    energy_used: int = msgspec.field(default=0, name="EnergyUsed")


class ChainParameter(msgspec.Struct):
    """One number that witnesses voted for; left out if it is 0."""

    key: str
    value: int = 0


class ParametersAnswer(Answer):
    """Answer of getchainparameters."""

    parameters: list[ChainParameter] = msgspec.field(default_factory=list, name="chainParameter")


class CallResult(msgspec.Struct):
    """Whether a constant call could be run. The message is text in hex."""

    result: bool = False
    code: str = ""
    message: str = ""


class ConstantAnswer(Answer):
    """Answer of triggerconstantcontract. A revert has a message although `result` is true."""

    result: CallResult | None = None
    constant_result: list[str] = []
    energy_used: int = 0
    energy_penalty: int = 0
    logs: list[Log] = []


class BroadcastAnswer(Answer):
    """Answer of broadcasthex."""

    result: bool = False
    code: str = ""
    message: str = ""
    id: str = msgspec.field(default="", name="txid")


class NodeInfoAnswer(Answer):
    """Of getnodeinfo: "Num:<height>,ID:<id>" of the latest solidified block."""

    solidity_block: str = msgspec.field(default="", name="solidityBlock")


class PlaceAnswer(Answer):
    """What is read of gettransactioninfobyid: {} if no block has it."""

    id: str | None = None
