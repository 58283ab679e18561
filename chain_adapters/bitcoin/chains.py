"""Bitcoin's networks. Sources: chainparams.cpp and policy/policy.h of Bitcoin Core; SLIP-44."""

from __future__ import annotations

import msgspec

from chain_adapters.utxo.chain import DEVELOPMENT_GENESIS, UtxoChain

MAINNET = UtxoChain(
    name="Bitcoin",
    genesis=("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",),
    coin_type=0,
    p2pkh_version=0,
    p2sh_version=5,
    bech32_prefix="bc",
    maturity=100,
    dust_minor=0,
    dust_rate=3_000,
    fee_rate_min=1_000,
    fee_rate_step=1_000,
    fee_minor_cap=5_000_000,
)

TESTNET4 = msgspec.structs.replace(
    MAINNET,
    name="Bitcoin testnet4",
    genesis=("00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",),
    coin_type=1,
    p2pkh_version=111,
    p2sh_version=196,
    bech32_prefix="tb",
)

TESTNET3 = msgspec.structs.replace(
    TESTNET4,
    name="Bitcoin testnet3",
    genesis=("000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",),
)

SIGNET = msgspec.structs.replace(
    TESTNET4,
    name="Bitcoin signet",
    genesis=("00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",),
)

REGTEST = msgspec.structs.replace(
    TESTNET4,
    name="Bitcoin regtest",
    genesis=(
        "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        DEVELOPMENT_GENESIS,
    ),
    bech32_prefix="bcrt",
)

CHAINS = (MAINNET, TESTNET4, TESTNET3, SIGNET, REGTEST)
