"""What `millrace doctor` makes of what it was told. Pure: nothing is asked here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from chain_adapters.types import Token
from cli.errors import NOT_SET_UP, Problem
from cli.installed import check_sense
from cli.waits import WORDS
from settings.model import Asset, Settings
from sql.catalogue import NetworkRow
from sql.health import LeaseRow, Progress
from sql.measures import WithdrawalMeasure
from sql.stream import OutboxMeasure, Partition

if TYPE_CHECKING:
    from agents.runtime.kafka_survey import Kept

CLOCK_SKEW_S_MAX = 2.0
OUTBOX_S_MAX = 30.0
LAG_RECORDS_MAX = 10_000
LAG_BLOCKS_MAX = 20
UNSEEN_S_MAX = 30.0
FIRST_INIT = "`millrace init` refuses it so: correct it in millrace.toml."


class Finding(NamedTuple):
    """One thing that was looked at."""

    check: str
    state: Literal["green", "yellow", "red"]
    """yellow: works, and should not stay so."""
    detail: str
    remedy: str = ""


def green(check: str, detail: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(check, "green", detail)


def yellow(check: str, detail: str, remedy: str) -> Finding:
    """Return the finding that something should not stay so."""
    return Finding(check, "yellow", detail, remedy)


def red(check: str, detail: str, remedy: str) -> Finding:
    """Return the finding that something does not work."""
    return Finding(check, "red", detail, remedy)


def judge_migrations(applied: Sequence[str], there: Sequence[str]) -> Finding:
    """Compare the database's schema with the migrations of this version."""
    missing = sorted(set(there) - set(applied))
    unknown = sorted(set(applied) - set(there))
    if missing:
        return red("schema", f"migrations missing: {', '.join(missing)}", NOT_SET_UP)
    if unknown:
        newer = f"migrations of a newer version: {', '.join(unknown)}"
        return red("schema", newer, "Run the version of Millrace that applied them.")
    return green("schema", f"all {len(there)} migrations applied")


def judge_clock(skew_s: float) -> Finding:
    """Judge how far this machine's clock is from the database's."""
    detail = f"{skew_s:+.1f} s from the database's"
    if abs(skew_s) > CLOCK_SKEW_S_MAX:
        return red("clock", detail, "Set both by NTP: webhooks with a wrong time are refused.")
    return green("clock", detail)


def judge_topics(config: Settings, wanted: Sequence[str], there: Mapping[str, int]) -> Finding:
    """Judge whether all topics are there with as many partitions as configured."""
    missing = sorted(name for name in wanted if name not in there)
    if missing:
        return red("topics", f"missing: {', '.join(missing)}", NOT_SET_UP)
    odd = [f"{name} has {there[name]}" for name in wanted if there[name] != config.topic_partitions]
    if odd:
        remedy = (
            f"{config.topic_partitions} are configured (topic_partitions). The number must not"
            " change while records wait: their order by key would be lost."
        )
        return yellow("topics", f"partitions: {', '.join(odd)}", remedy)
    return green("topics", f"all {len(wanted)}, {config.topic_partitions} partitions each")


def judge_topic_settings(
    wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]]
) -> list[Finding]:
    """Judge whether topics are set to what `millrace init` sets those that it makes."""
    findings = [
        red(f"topic {topic}", _differences(found[topic], rules), _mend(topic, rules))
        for topic, rules in wanted.items()
        if topic in found and _differences(found[topic], rules)
    ]
    if unknown := [topic for topic in wanted if topic not in found]:
        remedy = "Give our user the right to DescribeConfigs on our topics (docs/operations.md)."
        detail = f"Kafka does not tell those of {', '.join(unknown)}"
        findings.append(yellow("topic settings", detail, remedy))
    if wanted and not findings:
        return [green("topic settings", "as `millrace init` sets them")]
    return findings


def _differences(found: Mapping[str, str], rules: Mapping[str, str]) -> str:
    odd = [name for name, value in rules.items() if found.get(name) != value]
    return ", ".join(f"{name} is {found.get(name)}, not {rules[name]}" for name in odd)


def _mend(topic: str, rules: Mapping[str, str]) -> str:
    changes = ",".join(f"{name}={value}" for name, value in rules.items())
    return (
        "Records may be dropped or refused. Let an administrator of Kafka run: kafka-configs.sh"
        " --bootstrap-server … --alter --entity-type topics"
        f" --entity-name {topic} --add-config {changes}"
    )


def judge_cluster(cluster_id: str, progress: Sequence[Progress]) -> Finding:
    """Judge whether the stages' offsets are of this broker."""
    others = {row.cluster_id for row in progress} - {cluster_id}
    if others and all(row.cluster_id != cluster_id for row in progress):
        return red(
            "cluster",
            f"{cluster_id}, but the stages worked with {', '.join(sorted(others))}",
            "Is MILLRACE_KAFKA_BOOTSTRAP the right broker? If it was replaced for good, records"
            " that only the old one had are lost: `millrace rescan` finds deposits again.",
        )
    return green("cluster", cluster_id)


def judge_lag(
    config: Settings, cluster_id: str, progress: Sequence[Progress], kept: Mapping[Partition, Kept]
) -> list[Finding]:
    """Judge how far each stage is behind its topic, and whether Kafka keeps what it still needs."""
    rows: dict[str, list[Progress]] = defaultdict(list)
    for row in progress:
        if row.cluster_id == cluster_id:
            rows[row.stage].append(row)
    return [_judge_stage(config, stage, rows[stage], kept) for stage in sorted(rows)]


def _judge_stage(
    config: Settings, stage: str, rows: Sequence[Progress], kept: Mapping[Partition, Kept]
) -> Finding:
    check = f"stage {stage}"
    found = [(row, kept.get((row.topic, row.partition))) for row in rows]
    behind = [(row, has) for row, has in found if has is not None and row.next_offset < has.end]
    if not behind:
        return green(check, "0 records behind")
    if lost := [(row, has) for row, has in behind if 0 < row.next_offset < has.first]:
        gaps = (
            f"{row.topic} {row.partition} from offset {row.next_offset}, kept only from {has.first}"
            for row, has in lost
        )
        remedy = "Do as docs/operations.md says in 'Retention ran past a stage'."
        return red(check, f"needs what Kafka dropped: {', '.join(gaps)}", remedy)
    lag = sum(has.end - row.next_offset for row, has in behind)
    spare = min(row.next_offset - has.first for row, has in behind)
    detail = f"{lag} records behind, {max(0, spare)} done before them still kept"
    if idle := [row for row, _ in behind if row.idle_s > config.stage_stall_s]:
        return red(
            check,
            f"{detail}, nothing done for {max(row.idle_s for row in idle):.0f} s",
            "Is a worker of its role up? The end of its log says what it waits for.",
        )
    if lag > LAG_RECORDS_MAX:
        return yellow(check, detail, "After an outage this is catching up.")
    return green(check, detail)


def judge_leases(expected: Mapping[str, str], leases: Iterable[LeaseRow]) -> list[Finding]:
    """Judge whether every lease, given with its role, is held by a worker that renews it."""
    held = {lease.name: lease for lease in leases}
    findings = []
    for name, role in expected.items():
        lease = held.get(name)
        if lease is None or lease.left_s <= 0:
            state = "held by nobody" if lease is None else f"lapsed {-lease.left_s:.0f} s ago"
            remedy = f"Start a worker: `millrace worker --role {role}`."
            findings.append(red(f"lease {name}", state, remedy))
        else:
            findings.append(green(f"lease {name}", f"good for {lease.left_s:.1f} s"))
    return findings


def judge_configuration(config: Settings) -> list[Finding]:
    """Say so if there is nothing to work on, or what does not fit together."""
    if config.networks:
        try:
            check_sense(config)
        except Problem as problem:
            return [red("configuration", problem.what, problem.remedy or FIRST_INIT)]
        return []
    remedy = (
        "Name networks and assets in millrace.toml here (README.md, “Configure it”). For the stack"
        " of `millrace up`, run in the folder it was started in."
    )
    return [red("configuration", "it names no network", remedy)]


def judge_coin(asset: Asset, decimals: int) -> Finding:
    """Hold a native asset against what its chain's coin has."""
    check = f"asset {asset.asset}"
    if asset.decimals != decimals:
        return _wrong_decimals(asset, f"the coin of {asset.network} has {decimals}", decimals)
    return green(check, f"{decimals} decimals, as the coin of {asset.network} has")


def judge_token(asset: Asset, told: Token | None, assets: Iterable[Asset]) -> Finding:
    """Hold a token against what it tells of itself. `assets` are all that are configured."""
    check = f"asset {asset.asset}"
    if told is None:
        remedy = "None of it is credited or paid. Compare the contract with what its issuer says."
        return red(check, f"there is no token {asset.contract} on {asset.network}", remedy)
    if told.decimals is None:
        remedy = (
            "Some tokens do not tell, and some contracts are no tokens: compare contract and"
            " decimals with what its issuer says."
        )
        detail = f"its contract tells no decimals, {asset.decimals} are configured"
        return yellow(check, detail, remedy)
    if told.decimals != asset.decimals:
        return _wrong_decimals(asset, f"its contract says {told.decimals}", told.decimals)
    if other := _meant(asset, told.symbol or "", assets):
        remedy = f"Are its contract and that of {other} mixed up? One is credited as the other."
        return yellow(check, f"its contract calls itself {told.symbol}, like {other}", remedy)
    name = f", and calls itself {told.symbol}" if told.symbol else ""
    return green(check, f"its contract says {told.decimals} decimals{name}")


def _meant(asset: Asset, symbol: str, assets: Iterable[Asset]) -> str | None:
    """Return the other asset of the network that bears a symbol which this one does not bear."""
    bearing = [
        other.asset
        for other in assets
        if other.network == asset.network and other.asset.upper().startswith(symbol.upper())
    ]
    return bearing[0] if symbol and bearing and asset.asset not in bearing else None


def _wrong_decimals(asset: Asset, truth: str, decimals: int) -> Finding:
    digits = abs(asset.decimals - decimals)
    remedy = (
        f"Amounts are shown and taken (`--amount`) wrong by a factor of 10^{digits}, and limits"
        " worked out by it are wrong too. See docs/operations.md, 'Wrong decimals'."
    )
    detail = f"configured with {asset.decimals} decimals, but {truth}"
    return red(f"asset {asset.asset}", detail, remedy)


def judge_variables(unknown: Mapping[str, str | None]) -> list[Finding]:
    """Name each variable that looks like a setting and is none."""
    return [
        yellow(
            f"variable {name}",
            "there is no such setting, so it changes nothing",
            f"Is {nearest} meant?" if nearest else "Take it out, if it is meant for Millrace.",
        )
        for name, nearest in unknown.items()
    ]


def judge_networks(config: Settings, rows: Collection[NetworkRow]) -> list[Finding]:
    """Judge how far each configured network is followed and matched."""
    known = {row.network: row for row in rows}
    return [
        _judge_network(network.network, known.get(network.network)) for network in config.networks
    ]


def _judge_network(network: str, row: NetworkRow | None) -> Finding:
    check = f"network {network}"
    if row is None:
        return red(check, "not in the database", NOT_SET_UP)
    if row.halted_reason is not None:
        remedy = "Find out which branch the chain keeps, then `millrace network resume`."
        return red(check, f"halted: {row.halted_reason}", remedy)
    if row.height is None or row.matched_height is None or row.node_height is None:
        return red(check, "not followed or not matched yet", "Are the roles chain and deposits up?")
    final = {"safe": row.safe_height, "finalized": row.finalized_height}
    if final.get(row.finality, row.height) is None:
        remedy = (
            "No node in rpc_urls has said which block that is, and until then no deposit and no"
            " withdrawal is confirmed. Put in one that does, or set finality to depth."
        )
        return red(check, f"waits for a block to be {row.finality}", remedy)
    lag = row.node_height - row.matched_height
    detail = f"block {row.matched_height} matched, {lag} behind the node"
    if lag > LAG_BLOCKS_MAX:
        return yellow(check, detail, "After an outage this is catching up.")
    return green(check, detail)


def judge_keys(network: str, free: int, wanted: int) -> Finding:
    """Judge how many keys wait to become addresses."""
    check, detail = f"keys {network}", f"{free} ready for new addresses"
    if free == 0:
        return red(check, detail, "Is a worker of the role signer up? It makes them.")
    if free < wanted // 2:
        return yellow(check, detail, f"{wanted} are wanted. Is the role signer up?")
    return green(check, detail)


def judge_withdrawals(measures: Iterable[WithdrawalMeasure]) -> list[Finding]:
    """Name what approved withdrawals wait for; those that wait their turn alone are well."""
    waiting = [m for m in measures if m.status == "approved"]
    found = [_judge_waiting(measure) for measure in waiting]
    return found or [green("withdrawals", "none waits to be signed")]


def _judge_waiting(measure: WithdrawalMeasure) -> Finding:
    check = f"withdrawals {measure.network}"
    since = f"the oldest approved {measure.oldest_s:.0f} s ago"
    if measure.waits_for is None:
        detail = f"{measure.withdrawals} that no signer has looked at, {since}"
        if measure.oldest_s <= UNSEEN_S_MAX:
            return green(check, detail)
        return yellow(check, detail, "Is a worker of the role signer up? It signs.")
    detail = f"{measure.withdrawals} wait: {measure.waits_for}, {since}"
    if measure.waits_for == "earlier_payment":  # where a wallet pays one at a time that is usual
        return green(check, detail)
    words = WORDS[measure.waits_for]
    return yellow(check, detail, f"{words[0].upper()}{words[1:]}.")


def judge_outbox(measure: OutboxMeasure) -> Finding:
    """Judge how long the oldest record waits to be published."""
    detail = f"{measure.depth} records wait, the oldest for {measure.oldest_s:.0f} s"
    if measure.oldest_s > OUTBOX_S_MAX:
        remedy = "Is a worker of the role chain up, the broker well, and no topic missing?"
        return red("outbox", detail, remedy)
    return green("outbox", detail)


def judge_dead_letters(count: int) -> Finding:
    """Judge the number of open dead letters."""
    if count:
        remedy = (
            "`millrace dlq list` says why. Repair the cause, then `millrace dlq redrive`; what will"
            " never be of use, `millrace dlq discard` closes."
        )
        return red("dead letters", f"{count} open", remedy)
    return green("dead letters", "none")
