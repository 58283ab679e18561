"""The simulated TRON's blocks and pool: what is in them, how they are made and taken back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import coincurve

from devstack.chains.tron_protobuf import (
    Malformed,
    Signed,
    address_of,
    read_transaction,
    recover_signer,
    sign_contract,
    write_message,
)
from devstack.chains.tron_state import PARAMETERS, Invalid, State, execute, word

BLOCK_MS = 3_000
SOLID_DEPTH = 18
"""19 of 27 witnesses have built on a block that is so far below the head."""
EXPIRATION_MS_MAX = 86_400_000
REFERENCES = 65_536
BANK_KEY = coincurve.PrivateKey(sha256(b"the bank of the simulated TRON").digest())
BANK = address_of(BANK_KEY.public_key)
TRC10 = b"1000001".hex()
_WITNESS = "41" + sha256(b"witness").hexdigest()[:40]


def block_id_of(header: dict[str, Any]) -> str:
    """Return a block's id: its height and the end of its header's hash."""
    raw = write_message(
        [
            (1, header.get("timestamp", 0)),
            (2, bytes.fromhex(header["txTrieRoot"])),
            (3, bytes.fromhex(header["parentHash"])),
            (7, header.get("number", 0)),
            (9, bytes.fromhex(header["witness_address"])),
            (10, header["version"]),
        ]
    )
    return f"{header.get('number', 0):016x}" + sha256(raw).hexdigest()[16:]


def merkle_root(wholes: list[bytes]) -> str:
    """Return the root over the transactions; an odd one is carried up."""
    level = [sha256(whole).digest() for whole in wholes] or [bytes(32)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [sha256(p[0] + p[1]).digest() if len(p) == 2 else p[0] for p in pairs]
    return level[0].hex()


def make_block(
    number: int, parent_id: str, time_ms: int, root: str, witness: str
) -> dict[str, Any]:
    """Return a block without transactions as java-tron shows it: what is 0 is left out."""
    header: dict[str, Any] = {
        "txTrieRoot": root,
        "parentHash": parent_id,
        "witness_address": witness,
        "version": 36,
    }
    header |= {k: v for k, v in (("number", number), ("timestamp", time_ms)) if v}
    return {"blockID": block_id_of(header), "block_header": {"raw_data": header}}


GENESIS = make_block(0, word("0"), 1_529_891_469_000, word("0"), _WITNESS)
NETWORK = f"tron:0x{GENESIS['blockID'][-8:]}"


class Refused(Exception):
    """What the chain's driver asked for is against the chain's rules."""


class Chain:
    """The whole chain in memory. With a journal, it is there again after a restart."""

    def __init__(self, journal: Path | None = None, solid_depth: int = SOLID_DEPTH) -> None:
        self.solid_depth = solid_depth
        self.blocks: list[dict[str, Any]] = [GENESIS]
        self.infos: list[list[dict[str, Any]]] = [[]]
        self.pool: dict[str, Signed] = {}
        self.places: dict[str, int] = {}
        self.state = State()
        self.faults: Counter[str] = Counter()
        self._forks = 0
        self._sent = 0
        self.state.activate(BANK)
        self._journal = None
        if journal is not None:
            if journal.exists():
                self._replay(journal)
            self._journal = journal.open("a", buffering=1)

    @property
    def height(self) -> int:
        """Height of the head."""
        return len(self.blocks) - 1

    @property
    def solid_height(self) -> int:
        """Height of the latest solidified block."""
        return max(0, self.height - self.solid_depth)

    @property
    def head_ms(self) -> int:
        """Time of the head."""
        return self.time_ms(self.height)

    def time_ms(self, height: int) -> int:
        """Time of a block."""
        return int(self.blocks[height]["block_header"]["raw_data"].get("timestamp", 0))

    def mine(self, now_ms: int) -> None:
        """Make one block of all that waits and is valid still."""
        self._note("mine", now_ms)
        time_ms = max(now_ms, self.head_ms + BLOCK_MS)
        self.state.begin()
        taken: list[tuple[Signed, dict[str, Any]]] = []
        for signed in self.pool.values():
            info = self._try(signed, time_ms)
            if info is not None:
                taken.append((signed, info))
        self.pool.clear()
        self._append(time_ms, taken)

    def _try(self, signed: Signed, time_ms: int) -> dict[str, Any] | None:
        self.state.begin()
        try:
            self._check_references(signed)
            info = execute(self.state, signed, time_ms)
        except Invalid:
            self.state.take_back()
            return None
        self.state.keep()
        return info

    def _append(self, time_ms: int, taken: list[tuple[Signed, dict[str, Any]]]) -> None:
        number = len(self.blocks)
        root = merkle_root([signed.whole for signed, _ in taken])
        witness = _WITNESS[:-4] + f"{self._forks % 65_536:04x}"
        block = make_block(number, self.blocks[-1]["blockID"], time_ms, root, witness)
        if taken:
            block["transactions"] = [
                {"ret": [{"contractRet": result_of(info)}], **signed.as_json()}
                for signed, info in taken
            ]
        self.blocks.append(block)
        self.infos.append(
            [{**info, "blockNumber": number, "blockTimeStamp": time_ms} for _, info in taken]
        )
        self.places.update((signed.id, number) for signed, _ in taken)

    def reorganise(self, depth: int) -> None:
        """Replace the last blocks by as many without transactions. Refused below a solid one."""
        if not 0 < depth <= self.height - self.solid_height:
            raise Refused(f"blocks up to {self.solid_height} are solidified")
        self._note("reorganise", depth)
        for _ in range(depth):
            self.state.take_back()
            self.blocks.pop()
            for info in self.infos.pop():
                del self.places[info["id"]]
        self.pool.clear()
        self._forks += 1
        for _ in range(depth):
            self.state.begin()
            self._append(self.head_ms + BLOCK_MS, [])

    def send(self, whole: bytes) -> str:
        """Take a transaction into the pool; return its id. Raises Invalid with java-tron's code."""
        try:
            signed = read_transaction(whole)
        except (Malformed, UnicodeDecodeError) as error:
            raise Invalid("OTHER_ERROR", f"other error : {error}") from None
        if recover_signer(signed) != signed.owner:
            raise Invalid("SIGERROR", "Validate signature error: not the owner's")
        self._check_references(signed)
        if signed.id in self.pool or signed.id in self.places:
            raise Invalid("DUP_TRANSACTION_ERROR", "Dup transaction.")
        self.state.begin()
        try:
            execute(self.state, signed, self.head_ms)
        finally:
            self.state.take_back()
        self.pool[signed.id] = signed
        self._note("send", whole.hex())
        return signed.id

    def _check_references(self, signed: Signed) -> None:
        """TaPoS and expiration, as java-tron checks them against the head."""
        low = int.from_bytes(signed.ref_block_bytes)
        number = self.height - (self.height - low) % REFERENCES
        if (
            number < 0
            or bytes.fromhex(self.blocks[number]["blockID"])[8:16] != signed.ref_block_hash
        ):
            raise Invalid("TAPOS_ERROR", "Tapos check error.")
        if not self.head_ms < signed.expiration_ms <= self.head_ms + EXPIRATION_MS_MAX:
            raise Invalid("TRANSACTION_EXPIRATION_ERROR", "Transaction expired")

    def put(self, value: object, *key: str) -> None:
        """Change the state out of nothing, beside all blocks."""
        self.state.put(value, *key)
        self._note("put", value, *key)

    def activate_contract(self, address: str, code: str) -> None:
        """Let there be a contract at an address."""
        self.put("Contract", "account", address)
        self.put(code, "code", address)

    def pay_from_bank(self, kind: str, content: dict[str, int | str], fee_limit: int = 0) -> str:
        """Sign a transaction with the bank's key and take it into the pool; return its id."""
        needed = int(content.get("amount", 0)) + int(content.get("call_value", 0)) + 10**10
        self.put(max(self.state.amount("trx", BANK), 0) + needed, "trx", BANK)
        self._sent += 1
        whole = sign_contract(
            kind,
            {"owner_address": BANK, **content},
            BANK_KEY,
            ref_block_id=self.blocks[self.solid_height]["blockID"],
            expiration_ms=self.head_ms + EXPIRATION_MS_MAX,
            timestamp_ms=self.head_ms + self._sent,
            fee_limit=fee_limit,
        )
        return self.send(whole)

    def call_from_bank(self, contract: str, data: str, call_value: int = 0) -> str:
        """Let the bank call a contract; return the transaction's id."""
        content: dict[str, int | str] = {"contract_address": contract, "data": data}
        if call_value:
            content["call_value"] = call_value
        return self.pay_from_bank("TriggerSmartContract", content, PARAMETERS["getMaxFeeLimit"])

    def _note(self, what: str, *arguments: object) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps([what, *arguments]) + "\n")

    def _replay(self, journal: Path) -> None:
        """Do again what was done, up to a line that a kill cut off."""
        deeds: dict[str, Callable[..., object]] = {
            "mine": self.mine,
            "reorganise": self.reorganise,
            "put": self.put,
            "send": self._send_again,
        }
        whole = journal.read_text()
        complete = whole[: whole.rfind("\n") + 1]
        for line in complete.splitlines():
            what, *arguments = json.loads(line)
            deeds[what](*arguments)
        self._sent = len(complete)
        journal.write_text(complete)

    def _send_again(self, whole: str) -> None:
        self.send(bytes.fromhex(whole))


def result_of(info: dict[str, Any]) -> str:
    """Return the contractRet that goes with an info."""
    return str(info["receipt"].get("result", "SUCCESS"))
