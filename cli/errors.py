"""Expected errors in words an operator can act on: what happened, what it means, what to do."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping

FAILED = 1
"""Exit status: the command was understood, and the answer is no or the world is not ready."""
MISUSED = 2
"""Exit status: the command or the configuration is wrong."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


class Problem(Exception):
    """An error that is told instead of traced. Holds no secret."""

    def __init__(
        self, what: str, *, meaning: str = "", remedy: str = "", status: int = FAILED
    ) -> None:
        super().__init__(what)
        self.what = what
        self.meaning = meaning
        self.remedy = remedy
        self.status = status


def misused(what: str, remedy: str = "") -> Problem:
    """Return the problem of a command that cannot be meant so."""
    return Problem(what, remedy=remedy, status=MISUSED)


def not_found(what: str, remedy: str = "") -> Problem:
    """Return the problem of something that is not there."""
    return Problem(what, remedy=remedy)


NO_DATABASE = "Is MILLRACE_DATABASE_URL right, and does the server run? `millrace doctor` tells."
NO_BROKER = "Is MILLRACE_KAFKA_BOOTSTRAP right, and does the broker run? `millrace doctor` tells."
NOT_ASSIGNED = (
    "`millrace deposit list --unassigned` shows what waits, `millrace address list` the users."
)
WAITING = (
    "`millrace withdraw list --tenant TENANT --status awaiting_approval` shows those that wait for"
    " approval."
)
NOT_CANCELLED = (
    "Cancelled is what can never be paid (docs/cli.md); what waits for approval is rejected"
    " (`millrace withdraw reject`)."
)
OWES = (
    "What comes to the owner next pays the debt, and with it paid the freeze ends by itself;"
    " `millrace balance` shows what is owed."
)
ALL_TENANTS = "`millrace tenant list` shows them all."
NOT_SET_UP = "Run `millrace init`; it is harmless to run it again."


_NOT_JSON = re.compile(r'error parsing value for field "(\w+)"')


def words_of(error: BaseException) -> str:
    """Return what an error says, or its name if it says nothing. Kafka's begin with their names."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    name = type(error).__name__
    return str(error).removeprefix(f"{name}: ") or name


def explain(error: BaseException) -> Problem | None:
    """Return the problem an expected error stands for, None for one nobody expected."""
    if isinstance(error, Problem):
        return error
    told = (_of_settings, _of_words, _of_disk, _of_database, _of_kafka, _of_chain, _of_ours)
    for explain_some in (*told, _of_connections):  # last: the others know whose it was
        if problem := explain_some(error):
            return problem
    return None


def _of_settings(error: BaseException) -> Problem | None:
    import tomllib

    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    remedy = "Look at millrace.toml (or the file in MILLRACE_CONFIG) and at MILLRACE_* variables."
    if isinstance(error, ValidationError):
        # The input is left out of the message: it may be a secret.
        faults = [
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), _fault(fault))))
            for fault in error.errors(include_input=False, include_url=False)
        ]
        if error.title != "Settings":
            return misused(f"not valid: {'; '.join(faults)}")
        return misused(f"the configuration is not valid: {'; '.join(faults)}", remedy)
    if isinstance(error, SettingsError):
        if unread := _NOT_JSON.search(str(error)):
            return misused(f"MILLRACE_{unread[1].upper()} is not JSON", "It must be a JSON list.")
        return misused(f"the configuration cannot be read: {error}", remedy)
    if isinstance(error, tomllib.TOMLDecodeError):
        return misused(f"the configuration is not TOML: {error}", remedy)
    return None


def _fault(fault: Mapping[str, object]) -> str:
    unknown = fault["type"] == "extra_forbidden"
    return "there is no such name" if unknown else str(fault["msg"]).removeprefix("Value error, ")


def _of_words(error: BaseException) -> Problem | None:
    import asyncpg

    if isinstance(error, asyncpg.DataError) and "surrogates" in str(error):
        return misused("a word of the command is not UTF-8")
    return None


def _of_disk(error: BaseException) -> Problem | None:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Problem("what was to be written has no room: the disk is full")
    if isinstance(error, PermissionError) and error.filename is not None:
        return Problem(
            f"{error.filename}: {error.strerror}",
            meaning=f"It is closed to us, who are user {os.getuid()}.",
            remedy="In a container, files from outside must be readable for every user.",
        )
    return None


def _of_database(error: BaseException) -> Problem | None:
    import asyncpg

    from sql.migrate import MigrationError

    missing = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
    if isinstance(error, (*missing, asyncpg.InvalidCatalogNameError)):
        return Problem(
            f"the database is not set up: {error}",
            meaning="It is new, or older than this version of Millrace.",
            remedy=NOT_SET_UP,
        )
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return Problem(f"the database refuses us: {error}", remedy=NO_DATABASE)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Problem(f"the database user may not do this: {error}", remedy=NO_DATABASE)
    standby = (asyncpg.TargetServerAttributeNotMatched, asyncpg.ReadOnlySQLTransactionError)
    gone = (asyncpg.OperatorInterventionError, *standby)
    if isinstance(error, (*gone, asyncpg.InsufficientResourcesError, asyncpg.InterfaceError)):
        return Problem(
            f"the database is away: {error}",
            meaning="What was under way is undone; nothing is half done.",
            remedy=NO_DATABASE,
        )
    if isinstance(error, MigrationError):
        return Problem(
            f"the schema could not be brought up to date: {str(error).strip()}",
            meaning="Migrations that were not applied whole are undone.",
            remedy=NO_DATABASE,
        )
    return None


def _of_kafka(error: BaseException) -> Problem | None:
    from aiokafka.errors import KafkaError

    if isinstance(error, KafkaError):
        return Problem(f"the broker is away or refuses: {words_of(error)}", remedy=NO_BROKER)
    return None


def _of_connections(error: BaseException) -> Problem | None:
    import asyncpg

    # Of a database too: a connection that is lost under a COMMIT does not tell whether it was done.
    lost = (ConnectionError, TimeoutError, socket.gaierror, asyncpg.PostgresConnectionError)
    if isinstance(error, lost):
        return Problem(
            f"a server does not answer: {words_of(error)}",
            meaning="Whether the last step was done is not known.",
            remedy="`millrace doctor` looks at every server. Look before you repeat the command.",
        )
    return None


def _of_chain(error: BaseException) -> Problem | None:
    from chain_adapters.types import AdapterError, InvalidAddress, InvalidMemo, NodeUnavailable

    if isinstance(error, InvalidAddress):
        return misused(f"not an address of this network: {error}")
    if isinstance(error, InvalidMemo):
        return misused(f"not a memo of this network: {error}")
    if isinstance(error, NodeUnavailable):
        return Problem(
            f"no node gave a usable answer: {error}",
            remedy="Look at rpc_urls of the network; `millrace doctor` asks each endpoint.",
        )
    if isinstance(error, AdapterError):
        return Problem(str(error))
    return None


def _of_ours(error: BaseException) -> Problem | None:
    from agents.by_operator.assign_deposit import NotAssignable
    from custody.addresses import TenantClosed
    from custody.approve import MayBePaid, NotWaiting
    from custody.errors import CustodyError, WrongKey
    from custody.freeze import AlreadyFrozen, FrozenForDebt, NotFrozen

    remedies: dict[type[BaseException], str] = {
        NotAssignable: NOT_ASSIGNED,
        NotWaiting: WAITING,
        MayBePaid: NOT_CANCELLED,
        TenantClosed: f"{ALL_TENANTS} `millrace tenant resume` lets a suspended one go on.",
        AlreadyFrozen: "To give another reason, `millrace owner unfreeze` first.",
        NotFrozen: "`millrace balance` shows what is frozen, and why.",
        FrozenForDebt: OWES,
        WrongKey: "Give the key it was sealed with in the environment.",
    }
    if isinstance(error, NotAssignable | CustodyError):
        return Problem(str(error), remedy=remedies.get(type(error), ""))
    return None
