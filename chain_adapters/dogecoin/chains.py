"""Dogecoin's networks. Sources: chainparams.cpp, policy/policy.h and doc/fee-recommendation.md of
Dogecoin Core 1.14; SLIP-44.

No segregated witness. Dust is a flat amount. Coinbase outputs wait for 240 blocks.
"""

from __future__ import annotations

import msgspec

from chain_adapters.utxo.chain import DEVELOPMENT_GENESIS, UtxoChain

MAINNET = UtxoChain(
    name="Dogecoin",
    genesis=("1a91e3dace36e2be3bf030a65679fe821aa1d6ef92e7c9902eb318182c355691",),
    coin_type=3,
    p2pkh_version=30,
    p2sh_version=22,
    bech32_prefix=None,
    maturity=240,
    dust_minor=1_000_000,
    dust_rate=0,
    fee_rate_min=1_000_000,
    fee_rate_step=100_000,
    fee_minor_cap=10_000_000_000,
    merge_mined=True,
)

TESTNET = msgspec.structs.replace(
    MAINNET,
    name="Dogecoin testnet",
    genesis=("bb0a78264637406b6360aad926284d544d7049f45189db5664f3c4d07350559e",),
    coin_type=1,
    p2pkh_version=113,
    p2sh_version=196,
)

REGTEST = msgspec.structs.replace(
    TESTNET,
    name="Dogecoin regtest",
    genesis=(
        "3d2160a3b5dc4a9d62e7e66a295f70313ac808440ef7400d6c0772171ce973a5",
        DEVELOPMENT_GENESIS,
    ),
    p2pkh_version=111,
)

CHAINS = (MAINNET, TESTNET, REGTEST)
