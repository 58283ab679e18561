"""What addresses hold, in the latest state: toncenter keeps no older ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from chain_adapters.rpc import Endpoint
from chain_adapters.ton.asking import fetch_accounts, get
from chain_adapters.ton.wire import JettonWallets
from chain_adapters.types import Holding

_AT_ONCE = 50
"""Addresses in one request; they stand in the URL."""


async def fetch_balances(endpoint: Endpoint, holdings: Sequence[Holding]) -> list[int]:
    """Return what is held in minor units, in the order of `holdings`."""
    owners: defaultdict[str | None, list[str]] = defaultdict(list)
    for holding in dict.fromkeys(holdings):
        owners[holding.contract].append(holding.address)
    found: dict[Holding, int] = {}
    for contract, addresses in owners.items():
        for start in range(0, len(addresses), _AT_ONCE):
            chunk = addresses[start : start + _AT_ONCE]
            if contract is None:
                found |= await fetch_native(endpoint, chunk)
            else:
                found |= await fetch_jettons(endpoint, contract, chunk)
    return [found.get(holding, 0) for holding in holdings]


async def fetch_native(endpoint: Endpoint, addresses: list[str]) -> dict[Holding, int]:
    """Return native balances."""
    accounts = await fetch_accounts(endpoint, addresses)
    return {Holding(a): int(account.balance or 0) for a, account in accounts.items()}


async def fetch_jettons(
    endpoint: Endpoint, contract: str, addresses: list[str]
) -> dict[Holding, int]:
    """Return jetton balances, as the index has them of the master's wallets."""
    query = {
        "jetton_address": contract.upper(),
        "owner_address": ",".join(a.upper() for a in addresses),
        "limit": "1000",
    }
    wallets = (await get(endpoint, "jetton/wallets", query, JettonWallets)).jetton_wallets
    return {
        Holding(w.owner.lower(), contract): int(w.balance)
        for w in wallets
        if w.jetton.lower() == contract
    }
