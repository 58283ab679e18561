"""`millrace dlq`: records no stage could use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.errors import Problem, misused, not_found
from cli.options import ID_MAX, JsonWanted, Limit
from cli.output import plain, print_fields, print_json, print_rows, say

if TYPE_CHECKING:
    from sql.stream import StoredDeadLetter

app = typer.Typer(no_args_is_help=True, help="Records no stage could use (dead letters).")
COLUMNS = ("id", "stage", "topic", "offset", "created_at", "error")
ERROR_CHARS = 100
OPEN_ONES = "`millrace dlq list` shows those that are open."

Ids = Annotated[
    list[int] | None, typer.Argument(metavar="ID", max=ID_MAX, help="Dead letters by id.")
]


@app.command("list")
def list_(limit: Limit = 100, json_wanted: JsonWanted = False) -> None:
    """List the open dead letters, oldest first."""
    rows = [_summary(letter) for letter in session.run(_list(limit))]
    if not json_wanted:
        rows = [{**row, "error": _reason(row["error"])} for row in rows]
    print_rows(rows, json_wanted=json_wanted, empty="No dead letters.", columns=COLUMNS)


@app.command("show")
def show(
    letter_id: Annotated[int, typer.Argument(metavar="ID", max=ID_MAX, help="As in `dlq list`.")],
    json_wanted: JsonWanted = False,
) -> None:
    """Show one dead letter whole: its record and why no stage could use it."""
    stored = session.run(_find(letter_id))
    letter = stored.letter
    fields = {
        **_summary(stored),
        "key": _text(letter.key),
        "payload": _text(letter.payload),
        "payload_hex": None if letter.payload is None else letter.payload.hex(),
    }
    if not json_wanted:
        fields.pop("payload_hex")
    print_fields(fields, json_wanted=json_wanted)


@app.command("redrive")
def redrive(
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    json_wanted: JsonWanted = False,
) -> None:
    """Put dead letters back on their topics. What was already applied is not applied again."""
    if bool(ids) == everything:
        raise misused("name the dead letters by id, or give --all")
    done, missing = session.run_again(lambda: _redrive(ids or None))
    if json_wanted:
        print_json({"redriven": done, "not_open": missing})
    else:
        say(f"redriven: {', '.join(map(str, done)) or 'none'}")
    _require_none(missing)


@app.command("discard")
def discard(
    ids: Annotated[list[int], typer.Argument(metavar="ID", max=ID_MAX, help="By id.")],
    json_wanted: JsonWanted = False,
) -> None:
    """Close dead letters that will never be of use, e.g. a command that was no JSON.

    What they hold is not done, now or later. They are kept as long as redriven ones.
    """
    done, missing = session.run_again(lambda: _discard(ids))
    if json_wanted:
        print_json({"discarded": done, "not_open": missing})
    else:
        say(f"discarded: {', '.join(map(str, done)) or 'none'}")
    _require_none(missing)


def _require_none(missing: list[int]) -> None:
    """Raise Problem if some letters were not open."""
    if missing:
        raise not_found(f"not open: {', '.join(map(str, missing))}", OPEN_ONES)


def _summary(stored: StoredDeadLetter) -> dict[str, Any]:
    return {
        "id": stored.id,
        "stage": stored.letter.stage,
        "topic": stored.letter.topic,
        "partition": stored.letter.partition,
        "offset": stored.letter.record_offset,
        "created_at": plain(stored.created_at),
        "error": stored.letter.error,
    }


def _reason(error: str) -> str:
    """Return the first line of why a record was parked; the places in the code come after it."""
    line = error.strip().partition("\n")[0]
    return line if len(line) <= ERROR_CHARS else line[: ERROR_CHARS - 1] + "…"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


async def _list(limit: int) -> list[StoredDeadLetter]:
    from sql import stream

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        return await stream.list_dead_letters(conn, limit)


async def _find(letter_id: int) -> StoredDeadLetter:
    from sql.stream import find_dead_letter

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        found = await find_dead_letter(conn, letter_id)
    if found is None:
        raise not_found(f"there is no open dead letter {letter_id}", OPEN_ONES)
    return found


async def _discard(ids: list[int]) -> tuple[list[int], list[int]]:
    """Close letters; return what was closed and what was not open."""
    from sql.stream import discard_dead_letters

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        done = await discard_dead_letters(conn, ids)
    return done, sorted(set(ids) - set(done))


async def _redrive(ids: list[int] | None) -> tuple[list[int], list[int]]:
    """Mark and republish in one transaction; return what was done and what was not open."""
    from agents.by_operator.redrive_letters import ForgottenBlock, redrive_dead_letters

    config = session.settings()
    try:
        async with (
            session.database(config) as pool,
            pool.acquire() as conn,
            conn.transaction(),
        ):
            done = await redrive_dead_letters(conn, ids, topic_prefix=config.topic_prefix)
    except ForgottenBlock as error:
        height, network = error.block.height, error.block.network
        raise Problem(
            str(error),
            meaning="Nothing was redriven.",
            remedy=f"`millrace rescan --network {network} --from {height} --to {height}` looks at"
            " it again. Redrive the others by their ids.",
        ) from error
    return done, sorted(set(ids or []) - set(done))
