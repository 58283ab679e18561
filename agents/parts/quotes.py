"""Asking nodes what payments cost, many at a time, none of them held up by another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import structlog

from chain_adapters.adapter import ChainAdapter
from chain_adapters.types import AdapterError, Holding, NodeUnavailable, PaymentRefused
from custody.pay import Priced, payment_of
from sql.transactions import PaymentRow
from topics.event_data import HotWallet

log = structlog.get_logger(__name__)

CONCURRENCY = 16
"""Quotes asked of one network at the same time."""


async def price_payments(adapter: ChainAdapter, rows: Iterable[PaymentRow]) -> list[Priced]:
    """Quote payments that have a wallet. One without an answer has neither quote nor refusal."""
    rows = list(rows)
    _introduce(adapter, rows)
    gate = asyncio.Semaphore(CONCURRENCY)

    async def price(row: PaymentRow) -> Priced:
        async with gate:
            return await _price(adapter, row)

    return list(await asyncio.gather(*(price(row) for row in rows if row.sender is not None)))


async def price_nothing(adapter: ChainAdapter, rows: Iterable[PaymentRow]) -> list[Priced]:
    """Quote payments of nothing, each from the wallet of a row and in its stead.

    For payments that are sent, would be undone by now and hold up all that have a later nonce: they
    are outbid all the same, and cost their fee. Where there are no nonces nothing is quoted.
    """
    rows = [row for row in rows if row.sender is not None]
    priced = await price_payments(
        adapter,
        (
            row._replace(address=row.sender or "", contract=None, amount_minor=0, memo=None)
            for row in rows
        ),
    )
    return [
        Priced(row, quote)
        for row, (_, quote, _) in zip(rows, priced, strict=True)
        if quote is not None and quote.next_nonce is not None
    ]


def _introduce(adapter: ChainAdapter, rows: Iterable[PaymentRow]) -> None:
    """Show an adapter whose wallets they are: on some chains an address alone does not tell."""
    for public_key, key_path in {(row.public_key, row.key_path) for row in rows}:
        if public_key is not None and key_path is not None:
            with contextlib.suppress(ValueError):  # a key that is none is told of when it signs
                adapter.derive_address(public_key, key_path)


async def _price(adapter: ChainAdapter, row: PaymentRow) -> Priced:
    try:
        return Priced(row, quote=await adapter.quote(payment_of(row)))
    except PaymentRefused as refusal:
        return Priced(row, refusal=refusal)
    except AdapterError as fault:
        log.warning("no quote", network=adapter.network, fault=str(fault)[:300])
        return Priced(row)


async def measure_low_wallets(
    adapter: ChainAdapter, priced: Iterable[Priced], native_asset: str, height: int
) -> dict[str, HotWallet]:
    """Return by tenant the wallets that lack money for a payment, with what they hold."""
    lacking = {
        one.row.tenant: one.row
        for one in priced
        if one.refusal is not None and one.refusal.reason == "sender_lacks_funds"
    }
    found: dict[str, HotWallet] = {}
    for tenant, row in lacking.items():
        try:
            found[tenant] = await _measure(adapter, row, native_asset, height)
        except NodeUnavailable:
            continue  # told the next time
    return found


async def _measure(
    adapter: ChainAdapter, row: PaymentRow, native_asset: str, height: int
) -> HotWallet:
    """Look at the asset to be paid; if there is enough, what lacks is the fee.

    How much the fee is, a node that refuses does not say: then more than there is.
    """
    sender = row.sender or ""
    asset, threshold_minor = row.asset, row.amount_minor
    [balance_minor] = await adapter.fetch_balances([Holding(sender, row.contract)], height)
    if row.contract is not None and balance_minor >= threshold_minor:
        asset, threshold_minor = native_asset, 1
        [balance_minor] = await adapter.fetch_balances([Holding(sender)], height)
    threshold_minor = max(threshold_minor, balance_minor + 1)
    return HotWallet(
        network=adapter.network,
        asset=asset,
        address=sender,
        balance_minor=str(balance_minor),
        threshold_minor=str(threshold_minor),
    )
