"""Reading what addresses hold, for reconciliation."""

from __future__ import annotations

from collections.abc import Sequence

from chain_adapters.rpc import Endpoint
from chain_adapters.stellar import wire
from chain_adapters.stellar.amounts import to_minor
from chain_adapters.stellar.quoting import fetch_accounts, line_of
from chain_adapters.types import Holding

ACCOUNTS_AT_ONCE = 10
"""Accounts asked for at the same time: public servers limit rates."""


async def read_balances(endpoint: Endpoint, holdings: Sequence[Holding]) -> list[int]:
    """Return what is held as of the server's latest ledger, in the order of `holdings`."""
    addresses = list(dict.fromkeys(holding.address for holding in holdings))
    accounts: dict[str, wire.WireAccount | None] = {}
    for start in range(0, len(addresses), ACCOUNTS_AT_ONCE):
        chunk = addresses[start : start + ACCOUNTS_AT_ONCE]
        accounts.update(zip(chunk, await fetch_accounts(endpoint, chunk), strict=True))
    return [balance_of(accounts[holding.address], holding.contract) for holding in holdings]


def balance_of(account: wire.WireAccount | None, contract: str | None) -> int:
    """Return the stroops of one asset: nothing without account or trustline."""
    line = None if account is None else line_of(account, contract)
    return 0 if line is None else to_minor(line.balance)
