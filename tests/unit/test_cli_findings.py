"""What `millrace doctor` makes of what it is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from agents.runtime.kafka_survey import Kept
from chain_adapters.types import Token
from cli import findings
from cli.findings import Finding
from settings.model import Asset, Network, Settings
from sql.catalogue import NetworkRow
from sql.health import LeaseRow, Progress
from sql.measures import WithdrawalMeasure
from sql.stream import OutboxMeasure
from sql.withdrawals import WAIT_REASONS, WaitReason

NETWORK = "eip155:1"
CONFIG = Settings(
    topic_partitions=2,
    stage_stall_s=60,
    networks=(
        Network(network=NETWORK, kind="ethereum", rpc_urls=("http://n",), native_asset="ETH"),
    ),
    assets=(
        Asset(asset="ETH", network=NETWORK, decimals=18),
        Asset(asset="USDC-ETH", network=NETWORK, contract="0x1", decimals=6),
        Asset(asset="usdt-eth", network=NETWORK, contract="0x2", decimals=6),
    ),
)
ETH, USDC, USDT = CONFIG.assets


def progress(next_offset: int, *, idle_s: float = 0, cluster_id: str = "here") -> Progress:
    return Progress(cluster_id, "match_deposits", "blocks", 0, next_offset, idle_s)


def network_row(**changes: Any) -> NetworkRow:  # noqa: ANN401
    row = NetworkRow(
        NETWORK, "ethereum", "ETH", 12, "depth", 100, 100, 100, None, datetime.now(UTC), None, None
    )
    return row._replace(**changes)


def judge_approved(reason: WaitReason | None, oldest_s: float = 0) -> Finding:
    measures = [
        WithdrawalMeasure(NETWORK, "approved", reason, 3, oldest_s),
        WithdrawalMeasure(NETWORK, "broadcast", None, 5, 9000),
    ]
    (finding,) = findings.judge_withdrawals(measures)
    return finding


def judge_usdc(told: Token | None) -> Finding:
    return findings.judge_token(USDC, told, CONFIG.assets)


BLOCKED = tuple(reason for reason in WAIT_REASONS if reason != "earlier_payment")


@pytest.mark.parametrize(
    ("finding", "state"),
    [
        (findings.judge_migrations(["0001", "0002"], ["0001", "0002"]), "green"),
        (findings.judge_migrations(["0001"], ["0001", "0002"]), "red"),
        (findings.judge_migrations(["0001", "0002"], ["0001"]), "red"),
        (findings.judge_clock(-1.9), "green"),
        (findings.judge_clock(-2.1), "red"),
        (findings.judge_topics(CONFIG, ["a"], {"a": 2, "b": 9}), "green"),
        (findings.judge_topics(CONFIG, ["a"], {"a": 3}), "yellow"),
        (findings.judge_topics(CONFIG, ["a"], {}), "red"),
        (findings.judge_cluster("here", []), "green"),
        (findings.judge_cluster("here", [progress(1)]), "green"),
        (findings.judge_cluster("here", [progress(1), progress(1, cluster_id="old")]), "green"),
        (findings.judge_cluster("here", [progress(1, cluster_id="old")]), "red"),
        (findings.judge_keys(NETWORK, 0, 200), "red"),
        (findings.judge_keys(NETWORK, 99, 200), "yellow"),
        (findings.judge_keys(NETWORK, 100, 200), "green"),
        (findings.judge_outbox(OutboxMeasure(9, 29.0)), "green"),
        (findings.judge_outbox(OutboxMeasure(9, 31.0)), "red"),
        (findings.judge_dead_letters(0), "green"),
        (findings.judge_dead_letters(1), "red"),
        *((judge_approved(reason), "yellow") for reason in BLOCKED),
        (judge_approved("earlier_payment"), "green"),
        (judge_approved(None, oldest_s=29), "green"),
        (judge_approved(None, oldest_s=31), "yellow"),
        (findings.judge_withdrawals([])[0], "green"),
        (findings.judge_coin(ETH, 18), "green"),
        (findings.judge_coin(ETH, 8), "red"),
        (judge_usdc(None), "red"),
        (judge_usdc(Token(None)), "yellow"),
        (judge_usdc(Token(None, "USDC")), "yellow"),
        (judge_usdc(Token(18, "USDC")), "red"),
        (judge_usdc(Token(6)), "green"),
        (judge_usdc(Token(6, "USDC")), "green"),
        (judge_usdc(Token(6, "usdc")), "green"),
        (judge_usdc(Token(6, "CENTRE")), "green"),
        (judge_usdc(Token(6, "USDT")), "yellow"),
        (judge_usdc(Token(6, "U")), "green"),
    ],
)
def test_each_state_has_its_colour_and_what_is_not_green_says_what_to_do(
    finding: Finding, state: str
) -> None:
    assert finding.state == state
    assert bool(finding.remedy) == (state != "green")


def test_wrong_decimals_are_told_with_what_they_do_to_amounts() -> None:
    finding = judge_usdc(Token(18, "USDC"))
    assert finding.detail == "configured with 6 decimals, but its contract says 18"
    assert "10^12" in finding.remedy


def test_a_symbol_of_another_network_is_no_mix_up() -> None:
    elsewhere = USDT.model_copy(update={"network": "eip155:10"})
    assert findings.judge_token(USDC, Token(6, "USDT"), (USDC, elsewhere)).state == "green"


def test_a_configuration_that_init_refuses_is_red() -> None:
    (finding,) = findings.judge_configuration(CONFIG.model_copy(update={"assets": (USDC,)}))
    assert (finding.state, bool(finding.remedy)) == ("red", True)
    assert findings.judge_configuration(CONFIG) == []


def test_topics_whose_settings_kafka_does_not_tell_are_no_good_news() -> None:
    (found,) = findings.judge_topic_settings({"a": {"k": "v"}}, {})
    assert (found.state, bool(found.remedy)) == ("yellow", True)
    assert findings.judge_topic_settings({}, {}) == []


@pytest.mark.parametrize(
    ("row", "end", "state"),
    [
        (progress(10), 10, "green"),
        (progress(10, idle_s=3600), 10, "green"),
        (progress(10), 5, "green"),
        (progress(10), 50, "green"),
        (progress(10, idle_s=61), 50, "red"),
        (progress(10), 20_000, "yellow"),
    ],
)
def test_a_stage_is_red_only_if_it_is_behind_and_does_nothing(
    row: Progress, end: int, state: str
) -> None:
    (finding,) = findings.judge_lag(CONFIG, "here", [row], {("blocks", 0): Kept(0, end)})
    assert finding.state == state


def test_of_a_stage_that_is_behind_it_is_told_how_near_retention_is() -> None:
    others = progress(30)._replace(partition=1), progress(50)._replace(partition=2)
    kept = {("blocks", 0): Kept(3, 12), ("blocks", 1): Kept(25, 40), ("blocks", 2): Kept(50, 50)}
    (finding,) = findings.judge_lag(CONFIG, "here", [progress(10), *others], kept)
    assert finding.detail == "12 records behind, 5 done before them still kept"
    assert finding.state == "green"


def test_a_stage_that_needs_what_kafka_dropped_is_red_with_every_gap_named() -> None:
    rows = [progress(10), progress(7)._replace(partition=1), progress(50)._replace(partition=2)]
    kept = {("blocks", 0): Kept(12, 40), ("blocks", 1): Kept(8, 8), ("blocks", 2): Kept(50, 60)}
    (finding,) = findings.judge_lag(CONFIG, "here", rows, kept)
    assert finding.state == "red"
    assert "blocks 0 from offset 10, kept only from 12" in finding.detail
    assert "blocks 1 from offset 7, kept only from 8" in finding.detail
    assert "blocks 2" not in finding.detail
    assert "Retention ran past a stage" in finding.remedy


def test_the_offsets_of_another_cluster_are_no_lag() -> None:
    assert findings.judge_lag(CONFIG, "here", [progress(1, cluster_id="old")], {}) == []


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([network_row()], "green"),
        ([network_row(node_height=121)], "yellow"),
        ([network_row(halted_reason="too deep")], "red"),
        ([network_row(matched_height=None)], "red"),
        ([network_row(finality="safe", finalized_height=90)], "red"),
        ([network_row(finality="safe", safe_height=90)], "green"),
        ([network_row(finality="finalized", safe_height=90)], "red"),
        ([network_row(finality="finalized", finalized_height=90)], "green"),
        ([], "red"),
    ],
)
def test_a_network_must_be_known_followed_and_matched(rows: list[NetworkRow], state: str) -> None:
    assert [finding.state for finding in findings.judge_networks(CONFIG, rows)] == [state]


def test_no_network_at_all_is_red() -> None:
    assert [finding.state for finding in findings.judge_configuration(Settings(networks=()))] == [
        "red"
    ]


def test_a_lease_must_be_held_and_fresh() -> None:
    leases = [LeaseRow("held", uuid4(), 4.0), LeaseRow("lapsed", uuid4(), -1.0)]
    expected = {"held": "chain", "lapsed": "signer", "missing": "withdrawals"}
    found = findings.judge_leases(expected, leases)
    assert [finding.state for finding in found] == ["green", "red", "red"]
    assert "--role signer" in found[1].remedy
    assert "--role withdrawals" in found[2].remedy
