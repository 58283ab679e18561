"""What people paste as an address and is none, of another chain or of another kind: every chain
refuses it, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from chain_adapters.bitcoin.chains import MAINNET as BITCOIN
from chain_adapters.dogecoin.chains import MAINNET as DOGECOIN
from chain_adapters.ethereum import address as ethereum
from chain_adapters.litecoin.chains import MAINNET as LITECOIN
from chain_adapters.solana import address as solana
from chain_adapters.stellar import address as stellar
from chain_adapters.ton import address as ton
from chain_adapters.tron import address as tron
from chain_adapters.types import InvalidAddress
from chain_adapters.utxo import address as utxo

ETHER = "0x52908400098527886E0F7030069857D2E4169EE7"
CHAINS: dict[str, Callable[[str], object]] = {
    "bitcoin": partial(utxo.parse_address, BITCOIN),
    "dogecoin": partial(utxo.parse_address, DOGECOIN),
    "ethereum": ethereum.parse_address,
    "litecoin": partial(utxo.parse_address, LITECOIN),
    "solana": solana.parse_address,
    "stellar": stellar.split_muxed,
    "ton": ton.parse_address,
    "tron": tron.parse_address,
}
ODD = {
    "a Lightning invoice": "lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqy",
    "a link that asks for an amount": "bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4?amount=1",
    "an address of Bitcoin Cash": "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
    "an address inside Litecoin's MWEB": "ltcmweb1qq20e2arnhvxw97katjkmsd35agw3capxjkrkh7dk8d30",
    "an address of XRP": "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh",
    "an IBAN of Ethereum": "XE7338O073KYGTWWZN0F2WZ0R8PX5ZPPZS",
    "a network before the address": f"eth:{ETHER}",
    "a network behind the address": f"ethereum:{ETHER}@1",
    "Cyrillic letters": ETHER.replace("EE7", "\u0415\u04157"),
    "full-width digits": "\uff11BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    "an invisible character": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t\u200b",
    "a name of ENS": "vitalik.eth",
    "a name of TON": "alice.ton",
    "a claimable balance": "BAAD6DBUX6J22DMZOHIEZTEQ64CVCHEDRKWZONFEUL5Q26QD7R76RGR4TU",
    "a liquidity pool": "LA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUPUI",
    "spaces": "   ",
    "a zero byte": "\0",
    "hundreds of digits": "1" * 300,
}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_address_of_the_chain_is_refused(chain: str, odd: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        CHAINS[chain](ODD[odd])
    assert str(refused.value)
