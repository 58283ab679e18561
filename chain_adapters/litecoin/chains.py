"""Litecoin's networks. Sources: chainparams.cpp, policy/policy.h, consensus/consensus.h of Litecoin
Core; SLIP-44.

Script addresses that begin with 3, as older software shows them, are refused: they cannot be told
from Bitcoin's.
"""

from __future__ import annotations

import msgspec

from chain_adapters.utxo.chain import DEVELOPMENT_GENESIS, UtxoChain

MAINNET = UtxoChain(
    name="Litecoin",
    genesis=("12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2",),
    coin_type=2,
    p2pkh_version=48,
    p2sh_version=50,
    bech32_prefix="ltc",
    maturity=100,
    dust_minor=0,
    dust_rate=30_000,
    fee_rate_min=1_000,
    fee_rate_step=1_000,
    fee_minor_cap=50_000_000,
    pegout_maturity=6,
)

TESTNET = msgspec.structs.replace(
    MAINNET,
    name="Litecoin testnet4",
    genesis=("4966625a4b2851d9fdee139e56211a0d88575f59ed816ff5e6a63deb4e3e29a0",),
    coin_type=1,
    p2pkh_version=111,
    p2sh_version=58,
    bech32_prefix="tltc",
)

REGTEST = msgspec.structs.replace(
    TESTNET, name="Litecoin regtest", genesis=(DEVELOPMENT_GENESIS,), bech32_prefix="rltc"
)

CHAINS = (MAINNET, TESTNET, REGTEST)
