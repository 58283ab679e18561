"""The parts of toncenter's answers (API version 3) that are read, as typed records of raw JSON.

Field names and forms: the OpenAPI description of toncenter and its recorded answers
(tests/vectors/ton). Addresses are raw with upper-case digits, hashes base64, amounts decimal
strings. Everything not named here is skipped without being decoded. What differs between
versions of the indexer is optional; `Phase.type` and `skip_reason` are its older names.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Text = Annotated[str, msgspec.Meta(max_length=128)]
Amount = Annotated[str, msgspec.Meta(max_length=40, pattern="^[0-9]+$")]
Nanotons = Annotated[int, msgspec.Meta(ge=0)]
"""Native money, told in digits as texts. Read as numbers, as a pattern takes long for so many."""
Hash = Annotated[str, msgspec.Meta(min_length=44, max_length=44)]


class Content(msgspec.Struct, gc=False):
    """A message's body: a bag of cells in base64."""

    body: str | None = None


class Message(msgspec.Struct, gc=False):
    """One message into or out of a transaction; without source it came from outside."""

    hash: Hash
    source: Text | None = None
    destination: Text | None = None
    value: Nanotons | None = None
    fwd_fee: Nanotons | None = None
    ihr_fee: Nanotons | None = None
    bounce: bool | None = None
    bounced: bool | None = None
    opcode: Text | None = None
    message_content: Content | None = None
    init_state: Content | None = None
    hash_norm: Hash | None = None


class ComputePhase(msgspec.Struct, gc=False):
    """Whether the contract ran, and with success."""

    skipped: bool | None = None
    type: str | None = None
    success: bool | None = None
    reason: str | None = None
    skip_reason: str | None = None


class ActionPhase(msgspec.Struct, gc=False):
    """What became of the messages that the contract wanted to send."""

    success: bool | None = None
    skipped_actions: int = 0


class BouncePhase(msgspec.Struct, gc=False):
    """What became of money that the account did not take: "ok" sent back, "nofunds" too little."""

    type: Text | None = None


class Description(msgspec.Struct, gc=False):
    """The phases of a transaction (TL-B TransactionDescr). `type` "ord" is an ordinary one."""

    type: Text
    aborted: bool
    compute_ph: ComputePhase | None = None
    action: ActionPhase | None = None
    bounce: BouncePhase | None = None


class State(msgspec.Struct, gc=False):
    """An account's balance and contract before or after a transaction.

    Between two transactions of one block the index keeps neither.
    """

    balance: Nanotons | None = None
    code_hash: Text | None = None


class BlockRef(msgspec.Struct, frozen=True):
    """A block's place."""

    workchain: int
    shard: Text
    seqno: int


class Transaction(msgspec.Struct, gc=False):
    """One transaction of one account."""

    account: Text
    hash: Hash
    lt: Annotated[int, msgspec.Meta(ge=0)]
    mc_block_seqno: int
    total_fees: Nanotons
    description: Description
    block_ref: BlockRef
    out_msgs: list[Message]
    in_msg: Message | None = None
    trace_id: Hash | None = None
    account_state_before: State | None = None
    account_state_after: State | None = None
    orig_status: Text | None = None
    emulated: bool = False


class Transactions(msgspec.Struct, gc=False):
    """Answer of transactionsByMasterchainBlock, transactions and transactionsByMessage."""

    transactions: list[Transaction]


class BlockHeader(msgspec.Struct):
    """One block of the masterchain or of a shard."""

    workchain: int
    shard: Text
    seqno: int
    root_hash: Hash
    global_id: int
    gen_utime: Amount
    tx_count: int
    prev_blocks: list[BlockRef] = []

    @property
    def ref(self) -> BlockRef:
        """Its place."""
        return BlockRef(self.workchain, self.shard, self.seqno)


class Blocks(msgspec.Struct):
    """Answer of blocks, masterchainBlockShards and masterchainBlockShardState."""

    blocks: list[BlockHeader]


class MasterchainInfo(msgspec.Struct):
    """Answer of masterchainInfo: the newest masterchain block of the index."""

    last: BlockHeader


class AccountState(msgspec.Struct):
    """One element of accountStates."""

    address: Text
    balance: Amount | None = None
    status: Text = "nonexist"


class AccountStates(msgspec.Struct):
    """Answer of accountStates."""

    accounts: list[AccountState]


class JettonWallet(msgspec.Struct):
    """One element of jetton/wallets."""

    owner: Text
    jetton: Text
    balance: Amount


class JettonWallets(msgspec.Struct):
    """Answer of jetton/wallets."""

    jetton_wallets: list[JettonWallet]


class WalletState(msgspec.Struct):
    """One element of walletStates: what the index knows of a wallet contract."""

    address: Text
    seqno: int | None = None


class WalletStates(msgspec.Struct):
    """Answer of walletStates."""

    wallets: list[WalletState]


class StackItem(msgspec.Struct):
    """One result of a get-method: a number in hex, or a bag of cells in base64."""

    type: Text
    value: object = None


class MethodResult(msgspec.Struct):
    """Answer of runGetMethod. An exit code other than 0 and 1 means that it failed."""

    exit_code: int
    stack: list[StackItem] = []


class Fees(msgspec.Struct):
    """Fees of one transaction, in nanotons."""

    in_fwd_fee: int
    storage_fee: int
    gas_fee: int
    fwd_fee: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_fwd_fee + self.storage_fee + self.gas_fee + self.fwd_fee


class FeeEstimate(msgspec.Struct):
    """Answer of estimateFee."""

    source_fees: Fees


class SentMessage(msgspec.Struct):
    """Answer of message."""

    message_hash: str | None = None


class Refusal(msgspec.Struct):
    """What comes with a status that is not 200."""

    error: str = ""


decode_transactions = msgspec.json.Decoder(Transactions, strict=False).decode
"""The hot path of reading. Not strict, so that numbers in texts are read as numbers."""
