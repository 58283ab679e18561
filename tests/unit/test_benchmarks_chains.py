"""The chains' benchmarks do what they say: full blocks, every hit found, payments that are good."""

from __future__ import annotations

from functools import cache

import pytest
from coincurve import PrivateKey
from nacl.signing import SigningKey

from agents.parts.watched_addresses import WatchedAddresses
from benchmarks import keys, peak, report, signing
from benchmarks.chains import bitcoin, dogecoin, solana, stellar, ton, tron
from chain_adapters.types import Block, KeyScheme
from topics.blocks import block_added

FEWER = 300
"""Transactions of the blocks that take long to make."""

LOAD = {
    "ethereum": 500,  # 60 million gas of recorded transactions
    "bitcoin": FEWER,
    "dogecoin": FEWER,
    "solana": solana.OTHERS,  # votes move nothing and are left out
    "stellar": stellar.OPERATIONS,
    "ton": ton.TRANSACTIONS,
    "tron": tron.TRANSACTIONS,
}


@pytest.fixture(scope="module", autouse=True)
def _smaller_blocks() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitcoin, "TRANSACTIONS", FEWER)
        patch.setattr(dogecoin, "TRANSACTIONS", FEWER)
        yield


@cache
def answers_of(kind: str) -> list[bytes]:
    return peak.chain_of(kind).peak_block()


def block_of(kind: str) -> Block:
    return peak.chain_of(kind).decode(answers_of(kind))


@pytest.mark.parametrize("kind", peak.CHAINS)
def test_a_block_has_the_load_that_is_stated(kind: str) -> None:
    block = block_of(kind)
    assert LOAD[kind] <= len(block.transactions) <= 1.2 * LOAD[kind]
    deposits = [(t.id, transfer.index) for t in block.transactions for transfer in t.transfers]
    assert len(set(deposits)) == len(deposits) > len(block.transactions) / 3


@pytest.mark.parametrize("kind", peak.CHAINS)
def test_every_watched_recipient_is_found_and_hardly_a_stranger(kind: str) -> None:
    block, watched = block_of(kind), WatchedAddresses()
    records = peak.hand_over(block)
    assert records == block_added("bench:1", block)
    ours = peak.recipients_of(block)[:: peak.WATCHED_OF_BLOCK]
    watched.add(ours)
    received, paid = peak.match(records, watched)
    assert ours
    assert set(ours) <= set(received)
    assert len({*received, *paid} - set(ours)) <= 5


@pytest.mark.parametrize("kind", peak.CHAINS)
def test_every_chain_is_measured_beside_something_that_reads_the_same(kind: str) -> None:
    references = peak.references_of(peak.chain_of(kind), answers_of(kind))
    assert references
    for reference in references:
        reference.read()
        assert 0 < reference.share <= 1
    row = peak.row(kind, references[0].name, 1.0, 1.0, first=True)
    assert report.aim_of(row["name"]) is not None


@pytest.mark.parametrize("kind", keys.CHAINS)
def test_payments_are_put_together_from_the_signatures_that_are_measured(kind: str) -> None:
    desk = signing.Desk(kind)
    unsigned = desk.build(1)
    signatures = desk.sign(unsigned)
    assert desk.adapter.assemble(unsigned, signatures).raw
    assert len(signatures) == (signing.COINS if kind in {"bitcoin", "dogecoin"} else 1)


@pytest.mark.parametrize("kind", keys.CHAINS)
def test_the_bare_library_signs_with_the_same_key(kind: str) -> None:
    desk = signing.Desk(kind)
    payload = bytes(range(32))
    secret = signing.key_bytes(desk)
    if desk.scheme is KeyScheme.SECP256K1:
        bare = PrivateKey(secret).sign_recoverable(payload, hasher=None)
    else:
        bare = SigningKey(secret).sign(payload).signature
    assert bare == desk.sign_payload(payload)
    signing.library_signing(desk, [payload], ready=True)()
    signing.library_signing(desk, [payload], ready=False)()


def test_every_chain_is_measured_in_all_three_ways() -> None:
    assert sorted(peak.CHAINS) == sorted(keys.CHAINS)
    rows = [f"{what}, {kind}" for kind in keys.CHAINS for what in ("address derivation", "signing")]
    assert all(report.aim_of(name) is not None for name in rows)
