"""`millrace init` and `millrace migrate`: all a new installation needs, repeatable."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli import session
from cli.errors import Problem, misused
from cli.options import JsonWanted
from cli.output import print_json, say

if TYPE_CHECKING:
    from custody.keystore import MasterSecret
    from settings.model import Settings
    from sql.pool import Connection

WORDS = 24
TITLES = {"master": "master secret", "ton": "TON secret"}
"""What the secrets are called, by the names they are kept under."""


class Step(NamedTuple):
    """What init did in one matter."""

    step: str
    done: list[str]

    @property
    def words(self) -> str:
        """The step for a person."""
        return ", ".join(self.done) or "nothing to do"


def migrate(json_wanted: JsonWanted = False) -> None:
    """Bring the database's schema up to date (and make the database, if need be)."""
    config = session.settings()
    step = migrate_schema(config)
    if json_wanted:
        print_json([step._asdict()])
    else:
        tell_step(step)


def init(
    import_mnemonic: Annotated[
        bool,
        typer.Option(
            "--import-mnemonic",
            help="Ask for the 24 words of the master secret (or read them from a pipe) instead of"
            " making new ones.",
        ),
    ] = False,
    import_ton_mnemonic: Annotated[
        bool,
        typer.Option(
            "--import-ton-mnemonic",
            help="The same for the 24 words of the TON secret. A pipe gives those of the master"
            " secret first, if both are imported.",
        ),
    ] = False,
    show_mnemonic: Annotated[
        bool,
        typer.Option(
            "--show-mnemonic",
            help="Show the words that are made, this once. On a terminal only.",
        ),
    ] = False,
    json_wanted: JsonWanted = False,
) -> None:
    """Set everything up: schema, topics, networks and assets, master secrets. Repeatable."""
    importing = [
        name
        for name, wanted in (("master", import_mnemonic), ("ton", import_ton_mnemonic))
        if wanted
    ]
    if show_mnemonic and (importing or not (sys.stdout.isatty() and sys.stderr.isatty())):
        raise misused(
            "--show-mnemonic needs a terminal and new mnemonics",
            "The words would end up in a file or a log. Without the option nobody sees them.",
        )
    config = session.settings()
    words = read_mnemonics(importing)
    tell = ignore_step if json_wanted else tell_step
    steps = session.run(set_up(config, tell, words, show=show_mnemonic))
    if json_wanted:
        print_json([step._asdict() for step in steps])


def tell_step(step: Step) -> None:
    """Tell a person what was done."""
    say(f"{step.step + ':':<15}{step.words}")


def ignore_step(step: Step) -> None:
    """Tell nobody."""


def read_mnemonics(names: Sequence[str]) -> dict[str, str]:
    """Ask for the words of each secret without showing them, or read them all from a pipe."""
    if not names:
        return {}
    if sys.stdin.isatty():
        from getpass import getpass

        ask = "The 24 words of the {} (not shown): "
        return {name: getpass(ask.format(TITLES[name])) for name in names}
    words = sys.stdin.read().split()
    first, *rest = names
    cut = WORDS if rest else len(words)
    parts = [(first, words[:cut]), *((name, words[cut:]) for name in rest)]
    return {name: " ".join(part) for name, part in parts}


async def set_up(
    config: Settings,
    tell: Callable[[Step], None],
    words: Mapping[str, str] = MappingProxyType({}),
    *,
    show: bool = False,
) -> list[Step]:
    """Do all that is not done yet; return what was done, told step by step.

    `words` are those to import, by the secret's name. Two at once do no harm.
    """
    from custody.keystore import MASTER_SECRETS

    steps: list[Step] = []

    def done(step: Step) -> None:
        steps.append(step)
        tell(step)

    done(await asyncio.to_thread(migrate_schema, config))
    done(await make_topics(config))
    async with session.database(config) as pool, pool.acquire() as conn:
        for step in await fill_catalogue(conn, config):
            done(step)
        for secret in MASTER_SECRETS:
            done(await make_master_secret(conn, config, secret, words.get(secret.name), show=show))
    return steps


def migrate_schema(config: Settings) -> Step:
    """Apply the migrations that are missing."""
    from sql.migrate import migrate as apply_migrations

    output = apply_migrations(config.database_url.get_secret_value())
    names = [
        line.split(":", 1)[1].strip() for line in output.splitlines() if line[:9] == "Applying:"
    ]
    return Step("migrations", names)


async def make_topics(config: Settings) -> Step:
    """Make the topics that are missing."""
    from agents.runtime.kafka_topics import create_topics
    from topics.catalogue import ALL_TOPICS

    async with session.broker_errors():
        return Step("topics", await create_topics(config, [topic.name for topic in ALL_TOPICS]))


async def fill_catalogue(conn: Connection, config: Settings) -> list[Step]:
    """Bring networks and assets to what is configured. Problem if that must not be."""
    from cli import installed
    from sql import catalogue

    installed.check_sense(config)
    contracts = await canonical_contracts(config)
    installed.check_contracts(config, contracts)
    async with conn.transaction():
        there = await catalogue.list_assets(conn)
        installed.check_kept(config, contracts, await catalogue.list_networks(conn), there)
        installed.check_nothing_left_out(config, there, await catalogue.open_work(conn))
        networks = await catalogue.upsert_networks(conn, config.networks)
        assets = await catalogue.upsert_assets(conn, config.assets, contracts)
    return [Step("networks", networks), Step("assets", assets)]


async def canonical_contracts(config: Settings) -> list[str | None]:
    """Return each asset's contract in its chain's canonical form; None of a chain's own coin.

    Problem if a coin is not configured with the decimals it has.
    """
    from cli.installed import check_coin

    contracts: list[str | None] = []
    for asset in config.assets:
        network = session.pick_network(config, asset.network)
        async with session.chain(network) as adapter:
            if asset.contract is None:
                check_coin(asset, adapter.native_decimals)
            contract = asset.contract
            contracts.append(None if contract is None else adapter.parse_contract(contract))
    return contracts


async def make_master_secret(
    conn: Connection,
    config: Settings,
    secret: MasterSecret,
    words: str | None = None,
    *,
    show: bool = False,
) -> Step:
    """Make a master secret, of the words given or of new ones, if it is not there."""
    from custody.errors import MasterSecretExists
    from custody.keystore import PassphraseKey, store_master_secret
    from sql.custody import read_master_secret

    title = TITLES[secret.name]
    there = await read_master_secret(conn, secret.name) is not None
    if there and words is not None:
        raise Problem(
            f"there is a {title} already",
            meaning="A second one would orphan the addresses that came from the first.",
        )
    if there:
        await try_key(conn, config, secret)
        return Step(title, [])
    if config.wallet_enc_key is None and not is_needed(config, secret):
        return Step(title, [])
    if config.wallet_enc_key is None:
        raise Problem(
            f"there is no {title} yet, and no key to seal one with",
            remedy="Set MILLRACE_WALLET_ENC_KEY to a long random text (the signer needs the same),"
            " keep a copy apart from the database's backups, and run `millrace init` again.",
        )
    key = PassphraseKey(config.wallet_enc_key.get_secret_value())
    made = secret.make_words() if show else words
    try:
        await store_master_secret(conn, key, secret, made)
    except MasterSecretExists:
        return Step(title, [])
    if show and made is not None:
        show_words(title, made)
    return Step(title, ["made" if words is None else "imported"])


async def try_key(conn: Connection, config: Settings, secret: MasterSecret) -> None:
    """Raise Problem if there is a key and it does not open the secret that is there."""
    from custody.errors import WrongKey
    from custody.keystore import PassphraseKey, check_master_secret

    if config.wallet_enc_key is None:
        return
    key = PassphraseKey(config.wallet_enc_key.get_secret_value())
    try:
        await check_master_secret(conn, key, secret)
    except WrongKey as error:
        raise Problem(
            f"MILLRACE_WALLET_ENC_KEY does not open the {TITLES[secret.name]} that is there",
            meaning="It was sealed with another key, and is left as it is. With this key no signer"
            " starts, and nothing is paid.",
            remedy="Give the key it was sealed with. If that is lost, only the 24 words bring back"
            ' what it kept: docs/keys.md, "A lost key".',
        ) from error


def is_needed(config: Settings, secret: MasterSecret) -> bool:
    """Whether there can be no signer without the secret; TON's only if TON is configured."""
    return secret.name == "master" or any(network.kind == "ton" for network in config.networks)


def show_words(title: str, words: str) -> None:
    """Show a new mnemonic on the terminal, for the only time."""
    say(f"Write down these 24 words of the {title} and keep them apart from every computer:")
    typer.echo(f"\n  {words}\n")
