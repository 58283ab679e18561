"""Recorded blocks and receipts of TRON are read exactly."""

from __future__ import annotations

from typing import Any

from chain_adapters.tron import node, wire
from chain_adapters.tron.decode import check_header
from chain_adapters.tron.prices import Prices, read_prices
from chain_adapters.types import Transaction, Transfer
from tests.support.tron_vectors import encode, identify, load, read_block, wrap

USDT = "41a614f803b6fd780986a42c78ec9c7f77e6ded13c"
GAME = "418d9dd663cf90256fdf2faba2a1be71f8a0147f8c"
HOLDER = "416e3b44b96104b26f84057974a1f0c9880f7c9b13"


def read_recorded(transaction: dict[str, Any], info: dict[str, Any]) -> Transaction:
    """Read a recorded transaction with its info, put into a block of ours."""
    block, infos = wrap([transaction], [info])
    [found] = read_block(block, infos).transactions
    return found


def test_a_whole_recorded_block() -> None:
    block = read_block(load("block_1000000"), load("block_1000000_infos"), 1_578_594_849_000)
    assert (block.height, block.time, block.clock) == (1_000_000, 1_578_594_852, 1_578_594_849_000)
    assert block.block_id == "00000000000f424013e51b18e0782a32fa079ddafdb2f4c343468cf8896dc887"
    assert block.parent_id == "00000000000f423fbccd9cdb9e410eabdf9f94145cf5b71a678b8b9616619125"
    assert all(transaction.succeeded for transaction in block.transactions)
    assert [transaction.fee_minor for transaction in block.transactions] == [
        *(0, 433_850, 0),
        *(376_380, 433_850, 3_130),
    ]
    player, winner = (
        "41ed2f4270fa5a7cae1efd4706ae27a4335406921e",
        "41f07e117a4b5f1fda66f8fcedf44065f1dafc5ad7",
    )
    house = "413a5bfb715d2086ec513b64e98531e2f58154c44c"
    transfers = [transaction.transfers for transaction in block.transactions]
    assert transfers[1] == (
        Transfer("value", player, GAME, None, 14_000_000),
        Transfer("call:1", GAME, house, None, 700_000),
    )
    assert transfers[3] == (
        Transfer("value", winner, GAME, None, 1_982_000_000),
        Transfer("call:2", GAME, winner, None, 2_457_950_000),
    )
    assert transfers[0] == transfers[2] == transfers[5] == ()


def test_a_recorded_block_of_java_tron_4_8() -> None:
    recorded = load("privatenet_javatron_4_8_2_block_and_receipts")
    block = read_block(recorded["block_165"], [recorded["receipt_cancel_unfreeze_map"]])
    [transaction] = block.transactions
    assert transaction.payer == "41dcf2957055e8fcde477a077ecfeddf5ab2357547"
    assert (transaction.succeeded, transaction.fee_minor, transaction.transfers) == (True, 0, ())


def test_headers_of_mainnet_hash_to_their_ids() -> None:
    [recorded] = load("mainnet_block_84940008_getblockbylimitnext_trimmed")["block"]
    answer = node.read(encode(recorded), node.decode_block)
    assert answer.block_id is not None
    assert answer.block_header is not None
    check_header(answer.block_id, answer.block_header.raw_data)


def test_recorded_transfers_of_trx_and_trc10_of_mainnet() -> None:
    [recorded] = load("mainnet_block_84940008_getblockbylimitnext_trimmed")["block"]
    infos = [{"id": t["txID"], "receipt": {"net_usage": 268}} for t in recorded["transactions"]]
    block, infos = wrap(recorded["transactions"], infos)
    trc10, first, second = (t.transfers for t in read_block(block, infos).transactions)
    assert trc10 == ()
    assert first == (
        Transfer(
            "value",
            "4199a3cb64a17066fe19bfbce3dc5f0bb1d1220f55",
            "41a61e8fa110c166d65372953c1c43556f56193ccf",
            None,
            8,
        ),
    )
    assert [transfer.amount_minor for transfer in second] == [8]


def account_history() -> dict[str, Transaction]:
    recorded = load("mainnet_account_transactions_trx_trc10_usdt_with_info")
    infos = {info["id"]: info for info in recorded["gettransactioninfobyid"]}
    transactions = recorded["accounts_TL24LCps5FKwp3PoU1MvrYrwhi5LU1tHre_transactions"]
    return {
        t["txID"][:8]: read_recorded(t, infos[t["txID"]])
        for t in transactions
        if t["txID"] in infos
    }


def test_the_recorded_history_of_an_account() -> None:
    history = account_history()
    assert history["034897cb"].transfers == ()  # TRC-10
    assert [t.amount_minor for t in history["5144c4f5"].transfers] == [1]
    assert [t.amount_minor for t in history["d8b11250"].transfers] == [177_986_418]
    paid = history["0130dfde"]
    assert (paid.payer, paid.fee_minor) == (HOLDER, 26_420_100)
    assert paid.transfers == (
        Transfer("log:0", HOLDER, "41ec20315a879c48f5e3a6a1c9826d5225f8b658b8", USDT, 41_677_389),
    )


def test_the_byte_0x41_in_call_data_does_not_matter() -> None:
    recorded = load("mainnet_account_transactions_trx_trc10_usdt_with_info")
    transaction = next(
        t
        for t in recorded["accounts_TL24LCps5FKwp3PoU1MvrYrwhi5LU1tHre_transactions"]
        if t["txID"].startswith("0130dfde")
    )
    data = transaction["raw_data"]["contract"][0]["parameter"]["value"]["data"]
    assert data[8:].startswith(22 * "0" + "41")
    [transfer] = account_history()["0130dfde"].transfers
    assert transfer.address == "41" + data[8 + 24 : 8 + 64]


def read_call(info: dict[str, Any], ret: str = "SUCCESS") -> Transaction:
    """Read a recorded info with a call that could have made it."""
    content = {"owner_address": HOLDER, "contract_address": info["contract_address"]}
    contract = {"parameter": {"value": content}, "type": "TriggerSmartContract"}
    call = identify({"ret": [{"contractRet": ret}], "raw_data": {"contract": [contract]}}, "call")
    return read_recorded(call, {**info, "id": call["txID"]})


def test_out_of_energy_burns_a_fee_and_moves_nothing() -> None:
    failed, paid, _ = load("mainnet_txinfo_out_of_energy_and_success_usdt")
    transaction = read_call(failed, "OUT_OF_ENERGY")
    assert (transaction.succeeded, transaction.transfers) == (False, ())
    assert transaction.fee_minor == 16_500_120
    [transfer] = read_call(paid).transfers
    assert (transfer.contract, transfer.amount_minor) == (USDT, 3_500_000)


def test_a_recorded_revert_moves_nothing() -> None:
    transaction = read_call(load("nile_txinfo_revert"), "REVERT")
    assert (transaction.succeeded, transaction.transfers) == (False, ())
    assert transaction.fee_minor == 802_800


def test_recorded_receipts_of_a_token_and_of_an_inner_call() -> None:
    recorded = load("privatenet_javatron_4_8_2_block_and_receipts")
    [token] = read_call(recorded["receipt_trc20_transfer"]).transfers
    assert token == Transfer(
        "log:0",
        "417e5f4552091a69125d5dfcb7b8c2659029395bdf",
        "41dcf2957055e8fcde477a077ecfeddf5ab2357547",
        "41d53adb8bb7b45de60d0dc3d03ba0c187093b919d",
        1_000_000,
    )
    [inner] = read_call(recorded["receipt_internal_trx_transfer"]).transfers
    assert (inner.index, inner.address, inner.amount_minor) == ("call:0", token.address, 1)


def test_recorded_delegations_are_no_transfers() -> None:
    _, info = load("mainnet_block_67325788_infos")
    kinds = {
        bytes.fromhex(call["note"]).decode(): call["callValueInfo"][0].get("callValue", 0)
        for call in info["internal_transactions"]
    }
    assert kinds["unDelegateResourceOfEnergy"] == 822_994_311_610
    amounts = [transfer.amount_minor for transfer in read_call(info).transfers]
    assert amounts == [200, 1_000, 100_000, 1_424_255_258]  # TRC-10 beside them left out


def test_recorded_prices() -> None:
    answer = node.read(encode(load("getchainparameters")), node.decode_parameters)
    assert read_prices(answer.parameters) == Prices(
        byte_minor=1_000,
        energy_minor=420,
        account_minor=1_000_000,
        account_bandwidth_minor=100_000,
        fee_limit_minor_max=15_000_000_000,
    )


def test_recorded_resources() -> None:
    first, second = load("wallet_getaccountresource").values()
    read = node.decode_resources(encode(first))
    assert (read.free_net_limit, read.free_net_used, read.energy_limit) == (600, 335, 0)
    assert node.decode_resources(encode(second)) == wire.ResourceAnswer(
        free_net_limit=600, energy_limit=4448
    )
