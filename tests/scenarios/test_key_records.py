"""Whose an address, a memo or a key is: each network, tenant and branch of keys by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sql import addresses as addresses_sql
from sql import custody as custody_sql
from sql.addresses import OwnedAddress
from sql.custody import FreeKeys, HotWallet, SystemWallet, WalletKey
from sql.pool import Pool
from tests.support.records import NET, Records, open_records

OTHER = "test:2"
DEPOSIT, SYSTEM = 0, 1


@pytest.fixture
async def records(pool: Pool) -> AsyncIterator[Records]:
    """Two networks, two tenants, and keys of all of them; the second network has one more each."""
    async with open_records(pool) as made:
        await made.conn.execute("DELETE FROM tenants")
        for network in (NET, OTHER):
            await made.insert(
                "networks", network=network, kind="simulated", native_asset="COIN", confirmations=1
            )
        for tenant, index in (("acme", 0), ("bolt", 1)):
            await made.insert("tenants", tenant=tenant, name=tenant, wallet_index=index)
        for network, count in ((NET, 3), (OTHER, 4)):
            for branch in (DEPOSIT, SYSTEM):
                for index in range(count if branch == DEPOSIT else count - 2):
                    await key(made, network, branch, index)
        yield made


def path(network: str, branch: int, index: int) -> str:
    return f"m/{network[-1]}/{branch}/{index}"


async def key(records: Records, network: str, branch: int, index: int) -> None:
    await records.insert(
        "key_pool",
        network=network,
        branch=branch,
        key_index=index,
        key_path=path(network, branch, index),
        public_key=path(network, branch, index).encode(),
    )


async def address(records: Records, serial: int, text: str, **columns: object) -> None:
    row = {"network": NET, "tenant": "acme", "purpose": "hot", "owner": "", "key_path": f"{serial}"}
    await records.insert("addresses", address=text, serial=serial, **row | columns)


async def test_deposit_keys_are_given_out_in_order_each_once_and_of_that_network_alone(
    records: Records,
) -> None:
    for wanted, indexes in ((2, [0, 1]), (2, [2]), (2, [])):
        keys = await addresses_sql.reserve_addresses(records.conn, NET, wanted)
        assert [key.key_path for key in keys] == [path(NET, DEPOSIT, index) for index in indexes]
        await addresses_sql.advance_counter(records.conn, NET, len(keys), keys)


async def test_free_keys_are_counted_of_each_network_and_the_deposit_branch_alone(
    records: Records,
) -> None:
    await key(records, NET, SYSTEM, 7)
    keys = await addresses_sql.reserve_addresses(records.conn, NET, 1)
    await addresses_sql.advance_counter(records.conn, NET, 1, keys)
    for network, kind in (("test:3", "simulated"), ("test:4", "another")):
        await records.insert(
            "networks", network=network, kind=kind, native_asset="COIN", confirmations=1
        )
    found = await custody_sql.count_free_keys(records.conn, [NET, OTHER, "test:3", "test:4"])
    assert found == [
        FreeKeys(NET, 2, 3),
        FreeKeys(OTHER, 3, 4),
        FreeKeys("test:3", 0, 1),
        FreeKeys("test:4", 0, 0),
    ]


async def test_a_tenant_lacks_a_key_on_each_network_whose_system_branch_has_none_of_its_own(
    records: Records,
) -> None:
    missing = await custody_sql.missing_wallet_keys(records.conn, [NET, OTHER])
    assert missing == [(NET, 1)]


async def test_the_words_are_held_against_a_key_of_each_network(records: Records) -> None:
    found = await custody_sql.first_keys(records.conn, [NET, OTHER, "test:3"])
    assert [(one.network, one.key_path) for one in found] == [
        (NET, path(NET, DEPOSIT, 0)),
        (OTHER, path(OTHER, DEPOSIT, 0)),
    ]


@pytest.mark.parametrize(
    ("tenant", "network", "index"),
    [("acme", NET, 0), ("bolt", NET, None), ("acme", OTHER, 0), ("bolt", OTHER, 1)],
)
async def test_a_wallet_has_the_key_of_its_tenant_and_network(
    records: Records, tenant: str, network: str, index: int | None
) -> None:
    found = await custody_sql.read_wallet_key(records.conn, tenant, network)
    if index is None:
        assert found is None
        return
    expected = path(network, SYSTEM, index)
    assert found == WalletKey(expected, expected.encode())


async def test_the_hot_wallet_is_the_tenants_own_on_that_network_and_no_other_address(
    records: Records,
) -> None:
    await address(records, 1, "alice's", purpose="deposit", owner="alice")
    await address(records, 2, "bolt's", tenant="bolt")
    await address(records, 3, "elsewhere", network=OTHER)
    await address(records, 4, "withheld", purpose="pooled")
    assert await custody_sql.read_hot_wallet(records.conn, "acme", NET) is None
    await address(records, 5, "ours")
    await address(records, 6, "frozen", purpose="cold")
    found = await custody_sql.read_hot_wallet(records.conn, "acme", NET)
    assert found == HotWallet("ours", "5")
    wallets = await custody_sql.list_system_wallets(records.conn, "acme", NET)
    assert wallets == [SystemWallet("hot", "ours", "5"), SystemWallet("pooled", "withheld", "4")]


async def test_memos_are_given_out_on_the_tenants_first_pooled_address_on_that_network(
    records: Records,
) -> None:
    await address(records, 1, "alice's", purpose="deposit", owner="alice")
    await address(records, 2, "bolt's", purpose="pooled", tenant="bolt")
    await address(records, 3, "elsewhere", purpose="pooled", network=OTHER)
    assert await addresses_sql.read_pooled(records.conn, "acme", NET) is None
    await address(records, 5, "later", purpose="pooled")
    await address(records, 4, "first", purpose="pooled")
    assert await addresses_sql.read_pooled(records.conn, "acme", NET) == "first"
    wallets = await custody_sql.list_system_wallets(records.conn, "acme", NET)
    assert wallets == [SystemWallet("pooled", "first", "4")]


async def test_an_address_is_ours_on_the_network_on_which_it_was_given_out(
    records: Records,
) -> None:
    await address(records, 1, "0xa", purpose="deposit", owner="alice")
    await address(records, 2, "0xb", network=OTHER)
    found = await addresses_sql.owned_addresses(records.conn, NET, ["0xa", "0xb", "0xc"])
    assert found == {"0xa": OwnedAddress("0xa", "acme", "alice", "deposit")}
    assert await addresses_sql.new_addresses(records.conn, NET, 0, 10) == [(1, "0xa")]


async def test_new_addresses_come_in_order_and_none_twice(records: Records) -> None:
    for serial in (3, 1, 2, 4):
        await address(
            records, serial, f"a{serial}", purpose="deposit", owner="alice", key_path=None
        )
    told = [await addresses_sql.new_addresses(records.conn, NET, after, 3) for after in (0, 3, 4)]
    assert told == [[(1, "a1"), (2, "a2"), (3, "a3")], [(4, "a4")], []]


async def test_a_memo_is_its_owners_on_its_address_and_network_alone(records: Records) -> None:
    rows = [("pool", NET, "alice"), ("another", NET, "bob"), ("pool", OTHER, "carol")]
    for text, network, owner in rows:
        await records.insert(
            "memos", network=network, address=text, memo="7", tenant="acme", owner=owner
        )
    asked = [("pool", "7"), ("pool", "8"), ("nobody's", "7")]
    found = await addresses_sql.memo_owners(records.conn, NET, asked)
    assert found == {("pool", "7"): "alice"}


async def test_serials_and_memo_numbers_go_on_where_the_last_ended(records: Records) -> None:
    await addresses_sql.lock_counter(records.conn, NET)
    for first, texts in ((1, ["a", "b"]), (3, ["c"])):
        rows = [(text, "alice", None, None) for text in texts]
        await addresses_sql.add_addresses(records.conn, NET, "acme", "deposit", rows)
        await addresses_sql.advance_counter(records.conn, NET, len(rows))
        count = len(rows)
        assert await addresses_sql.take_memo_numbers(records.conn, NET, count) == first
    found = await addresses_sql.new_addresses(records.conn, NET, 0, 10)
    assert found == [(1, "a"), (2, "b"), (3, "c")]
