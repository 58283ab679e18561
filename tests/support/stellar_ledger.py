"""A complete ledger of the public network, as Horizon would tell of it, made from core's XDR.

Also what it did to every balance, read from the changes of ledger entries that core noted: an
account of the same ledger that shares nothing with Horizon's operations.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from stellar_sdk import (
    Asset,
    ClaimClaimableBalance,
    HashMemo,
    IdMemo,
    PathPaymentStrictReceive,
    PathPaymentStrictSend,
    Payment,
    ReturnHashMemo,
    TextMemo,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.operation import Operation
from stellar_sdk.strkey import StrKey

from tests.support.stellar_vectors import (
    Envelope,
    Json,
    inner_of,
    load_meta,
    place_of,
    results,
)

REAL_HEIGHT = 53312000
Change = xdr.LedgerEntryChange
Kind = xdr.LedgerEntryChangeType

SNAKE = {
    "CreateClaimableBalance": "create_claimable_balance",
    "ManageBuyOffer": "manage_buy_offer",
    "ManageSellOffer": "manage_sell_offer",
    "Payment": "payment",
    "PathPaymentStrictReceive": "path_payment_strict_receive",
    "PathPaymentStrictSend": "path_payment_strict_send",
    "ChangeTrust": "change_trust",
    "ClaimClaimableBalance": "claim_claimable_balance",
    "InvokeHostFunction": "invoke_host_function",
}


def show(amount: int) -> str:
    return f"{amount // 10**7}.{amount % 10**7:07d}"


def stroops(text: str) -> int:
    return int(Decimal(text).scaleb(7))


def asset_of(asset: Asset, prefix: str = "") -> Json:
    if asset.is_native():
        return {f"{prefix}asset_type": "native"}
    return {
        f"{prefix}asset_type": asset.type,
        f"{prefix}asset_code": asset.code,
        f"{prefix}asset_issuer": asset.issuer,
    }


def memo_of(envelope: TransactionEnvelope) -> Json:
    memo = envelope.transaction.memo
    if isinstance(memo, TextMemo):
        content = base64.b64encode(memo.memo_text).decode()
        return {"memo_type": "text", "memo": memo.memo_text.decode(), "memo_bytes": content}
    if isinstance(memo, IdMemo):
        return {"memo_type": "id", "memo": str(memo.memo_id)}
    if isinstance(memo, HashMemo):
        return {"memo_type": "hash", "memo": base64.b64encode(memo.memo_hash).decode()}
    if isinstance(memo, ReturnHashMemo):
        return {"memo_type": "return", "memo": base64.b64encode(memo.memo_return).decode()}
    return {"memo_type": "none"}


def succeeded(meta: xdr.TransactionResultMeta) -> bool:
    return "SUCCESS" in meta.result.result.result.code.name


def transaction_of(position: int, meta: xdr.TransactionResultMeta, envelope: Envelope) -> Json:
    inner = inner_of(envelope)
    source = inner.transaction.source.account_id
    bumped = inner is not envelope
    payer = envelope.transaction.fee_source.account_id if bumped else source  # type: ignore[union-attr]
    record = {
        "hash": envelope.hash_hex(),
        "ledger": REAL_HEIGHT,
        "successful": succeeded(meta),
        "paging_token": str(place_of(position, 0, REAL_HEIGHT)),
        "source_account": source,
        "fee_account": payer,
        "fee_charged": str(meta.result.result.fee_charged.int64),
        "operation_count": len(inner.transaction.operations),
        **memo_of(inner),
    }
    return {**record, "inner_transaction": {"hash": inner.hash_hex()}} if bumped else record


def operation_results(meta: xdr.TransactionResultMeta) -> list[xdr.OperationResult]:
    result = meta.result.result.result
    if result.inner_result_pair is not None:
        return result.inner_result_pair.result.result.results or []
    return result.results or []


def changed_in(meta: xdr.TransactionResultMeta, number: int) -> list[Change]:
    """Return what one operation changed."""
    applied = meta.tx_apply_processing
    found = applied.v3 or applied.v2
    assert found is not None
    return found.operations[number].changes.ledger_entry_changes


def sent_amount(success: xdr.PathPaymentStrictReceiveResultSuccess) -> int:
    """Return what a strict receive cost: the sum over its first step."""
    atoms = [atom.order_book or atom.liquidity_pool or atom.v0 for atom in success.offers]
    if not atoms:
        return success.last.amount.int64
    first = atoms[0].asset_bought  # type: ignore[union-attr]
    return sum(a.amount_bought.int64 for a in atoms if a and a.asset_bought == first)


def path_amounts(operation: Operation, result: xdr.OperationResult) -> tuple[int, int]:
    """Return what was sent and what arrived."""
    assert result.tr is not None
    if isinstance(operation, PathPaymentStrictSend):
        sent = result.tr.path_payment_strict_send_result
        assert sent is not None
        assert sent.success is not None
        return stroops(operation.send_amount), sent.success.last.amount.int64
    received = result.tr.path_payment_strict_receive_result
    assert received is not None
    assert received.success is not None
    return sent_amount(received.success), received.success.last.amount.int64


def operation_fields(operation: Operation, result: xdr.OperationResult, source: str) -> Json:
    if isinstance(operation, Payment):
        to, asset = operation.destination, asset_of(operation.asset)
        return {
            "from": source,
            "to": to.account_id,
            "amount": show(stroops(operation.amount)),
            **asset,
        }
    if isinstance(operation, (PathPaymentStrictReceive, PathPaymentStrictSend)):
        sent, arrived = path_amounts(operation, result)
        return {
            "from": source,
            "to": operation.destination.account_id,
            "amount": show(arrived),
            "source_amount": show(sent),
            **asset_of(operation.dest_asset),
            **asset_of(operation.send_asset, "source_"),
        }
    return {}


def claimed(changes: Iterable[Change]) -> xdr.ClaimableBalanceEntry:
    """Return the claimable balance that was there before."""
    for change in changes:
        if change.state is not None and change.state.data.claimable_balance is not None:
            return change.state.data.claimable_balance
    raise AssertionError


def effect_of(place: int, source: str, balance: xdr.ClaimableBalanceEntry) -> Iterator[Json]:
    """Yield the two effects of a claim."""
    asset = asset_of(Asset.from_xdr_object(balance.asset))
    told = {"account": source, "amount": show(balance.amount.int64), **asset}
    for order, kind in enumerate(("claimable_balance_claimed", "account_credited"), 1):
        ids = {"id": f"{place:019d}-{order:010d}", "paging_token": f"{place}-{order}"}
        yield {**ids, "type": kind, **told}


def real_ledger() -> tuple[Json, list[Json], list[Json], list[Json]]:
    """Return the ledger's record, its transactions, operations, and effects of claims."""
    transactions: list[Json] = []
    operations: list[Json] = []
    effects: list[Json] = []
    for position, meta, envelope in results():
        transactions.append(transaction_of(position, meta, envelope))
        if not succeeded(meta):
            continue
        inner = inner_of(envelope).transaction
        for number, result in enumerate(operation_results(meta)):
            operation = inner.operations[number]
            place = place_of(position, number + 1, REAL_HEIGHT)
            source = (operation.source or inner.source).account_id
            own = operation_fields(operation, result, source)
            operations.append(
                {
                    "id": str(place),
                    "transaction_hash": envelope.hash_hex(),
                    "transaction_successful": True,
                    "source_account": source,
                    "type": SNAKE[type(operation).__name__],
                    **own,
                }
            )
            if isinstance(operation, ClaimClaimableBalance):
                effects += effect_of(place, source, claimed(changed_in(meta, number)))
    return header_of(transactions), transactions, operations, effects


def header_of(transactions: list[Json]) -> Json:
    entry = load_meta().ledger_header
    header = entry.header
    closed = datetime.fromtimestamp(header.scp_value.close_time.time_point.uint64, UTC)
    done = [t for t in transactions if t["successful"]]
    return {
        "sequence": header.ledger_seq.uint32,
        "hash": entry.hash.hash.hex(),
        "prev_hash": header.previous_ledger_hash.hash.hex(),
        "closed_at": closed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "successful_transaction_count": len(done),
        "failed_transaction_count": len(transactions) - len(done),
        "operation_count": sum(t["operation_count"] for t in done),
        "base_fee_in_stroops": header.base_fee.uint32,
        "base_reserve_in_stroops": header.base_reserve.uint32,
    }


def all_changes() -> Iterator[Change]:
    """Yield every change of a ledger entry, fees first, as core applies them."""
    metas = load_meta().tx_processing
    for meta in metas:
        yield from meta.fee_processing.ledger_entry_changes
    for meta in metas:
        applied = meta.tx_apply_processing
        found: Any = applied.v3 or applied.v2
        yield from found.tx_changes_before.ledger_entry_changes
        for operation in found.operations:
            yield from operation.changes.ledger_entry_changes
        yield from found.tx_changes_after.ledger_entry_changes


def held(entry: xdr.LedgerEntry) -> tuple[tuple[str, str | None], int] | None:
    """Return whose balance of what an entry is, and how much; None for other entries."""
    account, line = entry.data.account, entry.data.trust_line
    if account is not None:
        return (address_of(account.account_id), None), account.balance.int64
    if line is None or line.asset.liquidity_pool_id is not None:
        return None
    asset = line.asset.alpha_num4 or line.asset.alpha_num12
    assert asset is not None
    raw: Any = asset.asset_code
    code = (raw.asset_code4 if line.asset.alpha_num4 else raw.asset_code12).rstrip(b"\0").decode()
    name = f"{code}:{address_of(asset.issuer)}"
    return (address_of(line.account_id), name), line.balance.int64


def address_of(account: xdr.AccountID) -> str:
    key = account.account_id.ed25519
    assert key is not None
    return StrKey.encode_ed25519_public_key(key.uint256)


def balance_changes() -> dict[tuple[str, str | None], int]:
    """Return what the ledger did to every balance of an account, in stroops."""
    moved: defaultdict[tuple[str, str | None], int] = defaultdict(int)
    before: dict[tuple[str, str | None], int] = {}
    for change in all_changes():
        if change.state is not None and (found := held(change.state)) is not None:
            before[found[0]] = found[1]
        after = change.created or change.updated
        if after is not None and (found := held(after)) is not None:
            whose, amount = found
            moved[whose] += amount - before.pop(whose, 0)
    return dict(moved)


def traders() -> set[str]:
    """Return who traded, set money aside or called a contract: beyond what transfers explain."""
    found: set[str] = set()
    for _, meta, envelope in results():
        if not succeeded(meta):
            continue
        inner = inner_of(envelope).transaction
        for number, operation in enumerate(inner.operations):
            if not isinstance(operation, (Payment, ClaimClaimableBalance)):
                found.add((operation.source or inner.source).account_id)
            for change in changed_in(meta, number):
                entry = change.state
                if entry is not None and entry.data.offer is not None:
                    found.add(address_of(entry.data.offer.seller_id))
    return found
