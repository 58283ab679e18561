"""Who owns what on the simulated TRON, and what executing a transaction does to it.

A simple and explicit model of java-tron's rules: free bandwidth that comes back over a day,
energy from stake or burned TRX, the price of new accounts, and two contracts written in Python
instead of bytecode: a TRC-20 token and one that passes TRX on. It is no virtual machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from devstack.chains.tron_protobuf import Signed

PARAMETERS = {
    "getCreateAccountFee": 100_000,
    "getTransactionFee": 1_000,
    "getCreateNewAccountFeeInSystemContract": 1_000_000,
    "getEnergyFee": 100,
    "getMaxFeeLimit": 15_000_000_000,
    "getFreeNetLimit": 600,
    "getForbidTransferToContract": 1,
    "getMemoFee": 1_000_000,
    "getAllowDynamicEnergy": 1,
}
"""What witnesses voted for, near mainnet's numbers of 2026, in sun and bytes."""

RESULT_BYTES = 64
DAY_MS = 86_400_000
HOLDER_ENERGY = 14_650
"""A transfer of USDT to somebody who has some, without penalty; measured on mainnet."""
FRESH_HOLDER_ENERGY = 29_650
PASS_ON_ENERGY = 20_000
REVERT_ENERGY = 3_000
TRANSFER_TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TRANSFER, BALANCE_OF = "a9059cbb", "70a08231"
DECIMALS_OF, SYMBOL_OF = "313ce567", "95d89b41"
DECIMALS = 6

Key = tuple[str, ...]


class Invalid(Exception):
    """A transaction that no block can carry; `code` is java-tron's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class State:
    """Values by key, with layers that can be taken back: one a block, one a transaction."""

    def __init__(self) -> None:
        self._values: dict[Key, Any] = {}
        self._layers: list[dict[Key, Any]] = []

    def get(self, *key: str) -> Any:  # noqa: ANN401 - None, a number or a pair
        """Return a value, None if it was never set."""
        return self._values.get(key)

    def amount(self, *key: str) -> int:
        """Return a number, 0 if it was never set."""
        return self._values.get(key) or 0

    def set(self, value: object, *key: str) -> None:
        """Set a value."""
        if self._layers:
            self._layers[-1].setdefault(key, self._values.get(key))
        self._values[key] = value

    def put(self, value: object, *key: str) -> None:
        """Set a value beside all layers: taking back the last ones does not take it back."""
        self._values[key] = value

    def add(self, change: int, *key: str) -> None:
        """Change a number."""
        self.set(self.amount(*key) + change, *key)

    def begin(self) -> None:
        """Open a layer."""
        self._layers.append({})

    def keep(self) -> None:
        """Make the last layer part of the one below."""
        last = self._layers.pop()
        for key, old in last.items():
            self._layers[-1].setdefault(key, old)

    def take_back(self) -> None:
        """Undo the last layer."""
        self._values.update(self._layers.pop())

    def activate(self, address: str) -> None:
        """Make an account."""
        if self.get("account", address) is None:
            self.set("Normal", "account", address)


@dataclass
class Run:
    """What a call would do: energy, and either a revert or changes and logs."""

    energy: int
    penalty: int = 0
    result: str = ""
    revert: str = ""
    logs: list[dict[str, object]] = field(default_factory=list)
    inner: list[dict[str, object]] = field(default_factory=list)
    moves: list[tuple[int, Key]] = field(default_factory=list)
    activates: str = ""


def word(text: str) -> str:
    """Return hex, left-padded to 32 bytes."""
    return text.rjust(64, "0")


def show_text(text: str) -> str:
    """Return a text as contracts answer with it: where it begins, its length, and itself."""
    content = text.encode().hex()
    padded = content.ljust(-(-len(content) // 64) * 64, "0")
    return word("20") + word(f"{len(content) // 2:x}") + padded


def revert(reason: str) -> Run:
    """Return a call that reverts with Error(string)."""
    result = "08c379a0" + show_text(reason)
    return Run(REVERT_ENERGY, result=result, revert="REVERT opcode executed")


def run_contract(state: State, owner: str, contract: str, data: str, value: int) -> Run:
    """Run a contract's function; nothing is changed yet."""
    kind = state.get("code", contract)
    if kind == "pass_on":
        return _pass_on(owner, contract, data, value, failing=bool(state.get("paused", contract)))
    if value:
        return revert("not payable")
    if data.startswith(BALANCE_OF):
        holder = "41" + data[8 + 24 : 8 + 64]
        return Run(1_000, result=word(f"{state.amount('token', contract, holder):x}"))
    symbol = state.get("symbol", contract) or ""
    told = {DECIMALS_OF: word(f"{DECIMALS:x}"), SYMBOL_OF: show_text(symbol)}
    if data in told:
        return Run(1_000, result=told[data])
    if data.startswith(TRANSFER) and len(data) == 136:
        return _transfer(state, owner, contract, "41" + data[32:72], int(data[72:], 16))
    return revert("unknown function")


def _transfer(state: State, owner: str, contract: str, recipient: str, amount: int) -> Run:
    if state.get("paused", contract) or state.get("frozen", contract, owner):
        return revert("frozen")
    if state.amount("token", contract, owner) < amount:
        return revert("balance too low")
    holds = state.amount("token", contract, recipient) > 0
    base = HOLDER_ENERGY if holds else FRESH_HOLDER_ENERGY
    penalty = base * state.amount("penalty", contract) // 10_000
    log: dict[str, object] = {
        "address": contract[2:],
        "topics": [TRANSFER_TOPIC, word(owner[2:]), word(recipient[2:])],
        "data": word(f"{amount:x}"),
    }
    moves: list[tuple[int, Key]] = [
        (-amount, ("token", contract, owner)),
        (amount, ("token", contract, recipient)),
    ]
    return Run(
        base + penalty,
        penalty,
        # Like USDT, which answers false on TRON although it paid.
        result=word("0"),
        logs=[log],
        moves=moves,
    )


def _pass_on(owner: str, contract: str, data: str, value: int, *, failing: bool) -> Run:
    """Pay what came along to the address in the data, in an inner call."""
    recipient = "41" + data[-40:]
    inner: dict[str, object] = {
        "caller_address": contract,
        "transferTo_address": recipient,
        "callValueInfo": [{"callValue": value}],
        "note": b"call".hex(),
    }
    if failing:
        failed = revert("not now")
        failed.inner = [inner | {"rejected": True}]
        return failed
    moves: list[tuple[int, Key]] = [(-value, ("trx", owner)), (value, ("trx", recipient))]
    return Run(PASS_ON_ENERGY, inner=[inner], moves=moves, activates=recipient)


def left_over(state: State, kind: str, address: str, limit: int, now_ms: int) -> int:
    """Return what is left of a resource that comes back evenly over a day."""
    used, at_ms = state.get(kind, address) or (0, now_ms)
    recovered = used * min(DAY_MS, now_ms - at_ms) // DAY_MS
    return max(0, limit - (used - recovered))


def use(state: State, kind: str, address: str, used: int, now_ms: int) -> None:
    """Note how much of a resource is used up now."""
    state.set((used, now_ms), kind, address)


def execute(state: State, signed: Signed, now_ms: int) -> dict[str, Any]:
    """Execute a transaction and return its info, without the block's part. Raises Invalid."""
    if state.get("account", signed.owner) is None:
        raise Invalid("CONTRACT_VALIDATE_ERROR", f"account [{signed.owner}] does not exist")
    receipt: dict[str, Any] = {}
    burned = _pay_bandwidth(state, signed, now_ms, receipt)
    info: dict[str, Any] = {"id": signed.id, "contractResult": [""], "receipt": receipt}
    if signed.kind == "TriggerSmartContract":
        burned += _call(state, signed, now_ms, info)
    else:
        burned += _move(state, signed)
    if burned:
        info["fee"] = burned
    return info


def _creates(state: State, signed: Signed) -> bool:
    recipient = signed.content.get("to_address")
    return recipient is not None and state.get("account", str(recipient)) is None


def _pay_bandwidth(state: State, signed: Signed, now_ms: int, receipt: dict[str, Any]) -> int:
    length = len(signed.whole) + RESULT_BYTES
    limit = PARAMETERS["getFreeNetLimit"]
    creates = _creates(state, signed)
    left = left_over(state, "net", signed.owner, limit, now_ms)
    if not creates and length <= left:
        use(state, "net", signed.owner, limit - left + length, now_ms)
        receipt["net_usage"] = length
        return 0
    price = PARAMETERS["getCreateAccountFee"]
    burned = price if creates else length * PARAMETERS["getTransactionFee"]
    if state.amount("trx", signed.owner) < burned:
        raise Invalid("BANDWITH_ERROR", "AccountResourceInsufficient error")
    state.add(-burned, "trx", signed.owner)
    receipt["net_fee"] = burned
    return burned


def _move(state: State, signed: Signed) -> int:
    """Execute a transfer of TRX or TRC-10; return what the new account costs."""
    owner, amount = signed.owner, int(signed.content.get("amount", 0))
    recipient = str(signed.content.get("to_address", ""))
    if len(recipient) != 42 or not recipient.startswith("41"):
        raise Invalid("CONTRACT_VALIDATE_ERROR", "Invalid toAddress!")
    if recipient == owner:
        raise Invalid("CONTRACT_VALIDATE_ERROR", "Cannot transfer TRX to yourself.")
    if not 0 < amount < 2**63:
        raise Invalid("CONTRACT_VALIDATE_ERROR", "Amount must be greater than 0.")
    if state.get("account", recipient) == "Contract":
        raise Invalid("CONTRACT_VALIDATE_ERROR", "Cannot transfer TRX to a smartContract.")
    fee = PARAMETERS["getCreateNewAccountFeeInSystemContract"] * _creates(state, signed)
    asset: Key = ("trx",)
    if signed.kind == "TransferAssetContract":
        asset = ("trc10", str(signed.content["asset_name"]))
    state.activate(recipient)
    state.add(-fee, "trx", owner)
    state.add(-amount, *asset, owner)
    state.add(amount, *asset, recipient)
    if min(state.amount("trx", owner), state.amount(*asset, owner)) < 0:
        raise Invalid("CONTRACT_VALIDATE_ERROR", "Validate error, balance is not sufficient.")
    return fee


def _call(state: State, signed: Signed, now_ms: int, info: dict[str, Any]) -> int:
    """Execute a call; return the TRX burned for energy."""
    owner, contract = signed.owner, str(signed.content.get("contract_address", ""))
    value = int(signed.content.get("call_value", 0))
    if state.get("account", contract) != "Contract":
        raise Invalid("CONTRACT_VALIDATE_ERROR", "No contract or not a valid smart contract")
    if not 0 <= signed.fee_limit <= PARAMETERS["getMaxFeeLimit"]:
        raise Invalid("CONTRACT_VALIDATE_ERROR", "feeLimit must be >= 0 and <= 15000000000")
    if state.amount("trx", owner) < value:
        raise Invalid("CONTRACT_VALIDATE_ERROR", "callValue is more than the balance")
    run = run_contract(state, owner, contract, str(signed.content.get("data", "")), value)
    price = PARAMETERS["getEnergyFee"]
    staked = left_over(state, "energy", owner, state.amount("energy_limit", owner), now_ms)
    affordable = staked + (state.amount("trx", owner) - value) // price
    limit = min(affordable, signed.fee_limit // price)
    info["contract_address"] = contract
    outcome = "SUCCESS"
    if run.energy > limit:
        run, outcome = Run(limit), "OUT_OF_ENERGY"
        message = "Not enough energy for 'SSTORE' operation executing"
    elif run.revert:
        outcome, message = "REVERT", run.revert
    receipt, burned = _pay_energy(state, owner, run, staked, now_ms)
    info["receipt"] |= receipt | {"result": outcome}
    info["contractResult"] = [run.result]
    if run.inner:
        info["internal_transactions"] = run.inner
    if outcome != "SUCCESS":
        info.update(result="FAILED", resMessage=message.encode().hex())
        return burned
    if run.activates:
        state.activate(run.activates)
    for change, key in run.moves:
        state.add(change, *key)
    if run.logs:
        info["log"] = run.logs
    return burned


def _pay_energy(
    state: State, owner: str, run: Run, staked: int, now_ms: int
) -> tuple[dict[str, Any], int]:
    """Take energy from stake, then burn TRX; return the receipt's part and what was burned."""
    from_stake = min(staked, run.energy)
    used = state.amount("energy_limit", owner) - staked + from_stake
    use(state, "energy", owner, used, now_ms)
    burned = (run.energy - from_stake) * PARAMETERS["getEnergyFee"]
    state.add(-burned, "trx", owner)
    figures = {
        "energy_usage": from_stake,
        "energy_fee": burned,
        "energy_usage_total": run.energy,
        "energy_penalty_total": run.penalty,
    }
    return {name: figure for name, figure in figures.items() if figure}, burned
