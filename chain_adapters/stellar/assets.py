"""Issued assets: all have the same decimals, and their code is in their name."""

from __future__ import annotations

from chain_adapters.rpc import Absent, Endpoint
from chain_adapters.stellar import wire
from chain_adapters.stellar.network import DECIMALS
from chain_adapters.stellar.reading import expect_ok
from chain_adapters.types import Token


async def fetch_token(endpoint: Endpoint, contract: str) -> Token:
    """Return what is known of an asset; Absent if no account accepts it, as of one misspelt."""
    code, _, issuer = contract.partition(":")
    query = {"asset_code": code, "asset_issuer": issuer}
    status, raw = await endpoint.ask("assets", "assets", query=query)
    records = wire.decode_assets(expect_ok(status, raw)).embedded.records
    if not any((record.asset_code, record.asset_issuer) == (code, issuer) for record in records):
        raise Absent("no account accepts the asset")
    return Token(DECIMALS, code)
