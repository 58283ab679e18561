"""Signed transactions are those of wallet-core, byte for byte: chains on secp256k1.

Both are given the same key, payment and terms, and neither sees what the other makes.
"""

from __future__ import annotations

from base64 import b64decode

import msgspec
import pytest
from eth_abi.abi import encode

from chain_adapters.ethereum import pay as ethereum
from chain_adapters.tron import pay as tron
from chain_adapters.types import Coin, Payment
from chain_adapters.utxo import pay as utxo
from chain_adapters.utxo.transaction import Draft
from tests.oracles.chains import open_wallet, source, stranger, text
from tests.oracles.wallet_core import WalletCore

ROUNDS = 50
USDT_ETHEREUM = "0xdac17f958d2ee523a2206206994597c13d831ec7"
USDT_TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"

CHAIN_INFO = {
    "bitcoin": {"p2pkhPrefix": 0, "p2shPrefix": 5, "hrp": "bc"},
    "litecoin": {"p2pkhPrefix": 48, "p2shPrefix": 50, "hrp": "ltc"},
    "dogecoin": {"p2pkhPrefix": 30, "p2shPrefix": 22},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("contract", [None, USDT_ETHEREUM])
def test_ethereum(wallet_core: WalletCore, contract: str | None, legacy: bool) -> None:
    wallet = open_wallet(wallet_core, "ethereum")
    for _ in range(ROUNDS):
        to = stranger(wallet_core, "ethereum")
        amount, nonce = source.getrandbits(source.randint(1, 80)) + 1, source.getrandbits(20)
        price = source.getrandbits(36) + 1
        bid = ethereum.Bid(21_000, price, price if legacy else price // 3, legacy)
        payment = Payment(wallet.address, wallet.adapter.parse_address(to), contract, amount)

        _, ours = wallet.pay(payment, msgspec.json.encode(bid), nonce=nonce)

        moved = {"amount": text(amount)}
        output = wallet_core.sign(
            "ethereum",
            "Ethereum",
            chainId=text(1),
            nonce=text(nonce),
            txMode=0 if legacy else 1,
            gasLimit=text(bid.gas_limit),
            toAddress=to if contract is None else contract,
            privateKey=text(wallet.private_key),
            transaction={"transfer": moved}
            if contract is None
            else {"erc20Transfer": {"to": to, **moved}},
            **({"gasPrice": text(price)} if legacy else {}),
            **(
                {}
                if legacy
                else {"maxFeePerGas": text(price), "maxInclusionFeePerGas": text(bid.tip_minor)}
            ),
        )
        assert ours.raw == b64decode(output["encoded"])


@pytest.mark.parametrize("contract", [None, USDT_TRON])
def test_tron(wallet_core: WalletCore, contract: str | None) -> None:
    """The oracle makes the reference to a block of a header, of which we are told two parts."""
    wallet = open_wallet(wallet_core, "tron")
    sender = wallet.adapter.show_address(wallet.address)
    token = None if contract is None else wallet.adapter.parse_contract(contract)
    for _ in range(ROUNDS):
        to, amount = stranger(wallet_core, "tron"), source.getrandbits(50) + 1
        time_ms = 1_700_000_000_000 + source.getrandbits(36)
        header = {
            "timestamp": str(time_ms),
            "txTrieRoot": text(source.randbytes(32)),
            "parentHash": text(source.randbytes(32)),
            "number": str(source.getrandbits(27)),
            "witnessAddress": text(b"\x41" + source.randbytes(20)),
            "version": 30,
        }
        limit = 0 if contract is None else source.getrandbits(27) + 1
        moved = {"ownerAddress": sender, "toAddress": to}
        output = wallet_core.sign(
            "tron",
            "Tron",
            privateKey=text(wallet.private_key),
            transaction={
                "timestamp": str(time_ms),
                "expiration": str(time_ms + 60_000),
                "blockHeader": header,
                "feeLimit": str(limit),
                **(
                    {"transfer": {**moved, "amount": str(amount)}}
                    if contract is None
                    else {
                        "triggerSmartContract": {
                            "ownerAddress": sender,
                            "contractAddress": contract,
                            "data": text(trc20_call(wallet.adapter.parse_address(to), amount)),
                        }
                    }
                ),
            },
        )
        block_id = bytes(6) + b64decode(output["refBlockBytes"]) + b64decode(output["refBlockHash"])
        terms = tron.Terms(block_id.hex(), time_ms, time_ms + 60_000, limit)
        payment = Payment(wallet.address, wallet.adapter.parse_address(to), token, amount)

        _, ours = wallet.pay(payment, msgspec.json.encode(terms))

        assert ours.transaction_id == b64decode(output["id"]).hex()
        assert b64decode(output["signature"]) in ours.raw


def trc20_call(to: str, amount: int) -> bytes:
    """Return the call of a transfer as TronWeb makes it.

    The oracle's own has another form: it leaves 0x41 in front of the address, which the virtual
    machine cuts off.
    """
    words = encode(["address", "uint256"], [f"0x{to[2:]}", amount])
    return bytes.fromhex("a9059cbb") + words


@pytest.mark.parametrize("kind", ["bitcoin", "litecoin", "dogecoin"])
def test_chains_with_coins(wallet_core: WalletCore, kind: str) -> None:
    """Coins are chosen by us; the oracle signs them in our order, with our outputs."""
    wallet = open_wallet(wallet_core, kind)
    form = "p2pkh" if kind == "dogecoin" else "p2wpkh"
    key = wallet.signer.public_key(wallet.key_path, wallet.adapter.key_scheme)
    for _ in range(ROUNDS):
        coins = tuple(
            Coin(f"{source.randbytes(32).hex()}:{source.randint(0, 300)}", 10**8 + number)
            for number in range(source.randint(1, 8))
        )
        to = stranger(wallet_core, kind)
        amount = source.randint(1, len(coins)) * 10**8 - 10**7
        payment = Payment(wallet.address, wallet.adapter.parse_address(to), None, amount)
        bid = utxo.Bid(source.randint(1_000, 20_000), 1_000)

        unsigned, ours = wallet.pay(payment, msgspec.json.encode(bid), coins=coins)

        draft = msgspec.json.decode(unsigned.body, type=Draft)
        addresses = (to, wallet.address)
        output = wallet_core.sign(
            kind,
            "Bitcoin",
            privateKey=[text(wallet.private_key)],
            signingV2={
                "privateKeys": [text(wallet.private_key)],
                "chainInfo": CHAIN_INFO[kind],
                "builder": {
                    "version": 2,
                    "inputSelector": 10,
                    "fixedDustThreshold": "1",
                    "inputs": [spend(coin, {form: {"pubkey": text(key)}}) for coin in draft.coins],
                    "outputs": [
                        {"value": str(made.amount_minor), "toAddress": address}
                        for made, address in zip(draft.outputs, addresses, strict=False)
                    ],
                },
            },
        )
        result = output["signingResultV2"]
        assert ours.raw == b64decode(result["encoded"]), result
        assert draft.outputs[0].amount_minor == amount


def spend(coin: Coin, script: dict[str, object]) -> dict[str, object]:
    """Return an input of the oracle."""
    transaction_id, _, number = coin.id.partition(":")
    return {
        "outPoint": {"hash": text(bytes.fromhex(transaction_id)[::-1]), "vout": int(number)},
        "value": str(coin.amount_minor),
        "sighashType": 1,
        "sequence": {"sequence": 0xFFFFFFFD},
        "scriptBuilder": script,
    }
