"""Options that many commands share, spelt once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from cli.errors import misused
from ledger.validate import OWNER_CHARACTERS_MAX

ID_MAX = 2**63 - 1


NOTE_CHARACTERS_MAX = 300
"""Of what is kept or told for a person to read."""


def check_name(param: typer.CallbackParam, name: str | None) -> str | None:
    """Return a name. Problem if it is too long to be kept."""
    return _check_length(param, name, OWNER_CHARACTERS_MAX)


def check_note(param: typer.CallbackParam, note: str | None) -> str | None:
    """Return a note. Problem if it is too long to be kept."""
    return _check_length(param, note, NOTE_CHARACTERS_MAX)


def _check_length(param: typer.CallbackParam, text: str | None, most: int) -> str | None:
    if text is not None and len(text) > most:
        raise misused(f"{param.opts[0]} has {len(text)} characters; it may have {most}")
    return text


def check_owner(owner: str) -> str:
    """Return the name of a user. Problem if it cannot be one."""
    if not 0 < len(owner) <= OWNER_CHARACTERS_MAX:
        raise misused(f"--owner has {len(owner)} characters; it needs 1 to {OWNER_CHARACTERS_MAX}")
    return owner


JsonWanted: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON, with amounts as strings of minor units.")
]
Tenant: TypeAlias = Annotated[str, typer.Option("--tenant", help="The tenant's name.")]
TenantWanted: TypeAlias = Annotated[
    str | None, typer.Option("--tenant", help="Of this tenant only.")
]
Owner: TypeAlias = Annotated[
    str, typer.Option("--owner", callback=check_owner, help="The tenant's own name for its user.")
]
AssetNamed: TypeAlias = Annotated[str, typer.Option("--asset", help="As in `millrace asset list`.")]
OwnerWanted: TypeAlias = Annotated[str | None, typer.Option("--owner", help="Of this user only.")]
Chains: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--chain",
        metavar="KIND",
        help="A kind of chain, e.g. ethereum, which it is if not given; several times for several;"
        " all of them: all.",
    ),
]
NetworkWanted: TypeAlias = Annotated[
    str | None,
    typer.Option("--network", help="CAIP-2 id, e.g. eip155:1, or its kind. Needed if several."),
]
NetworkNamed: TypeAlias = Annotated[
    str, typer.Argument(metavar="NETWORK", help="CAIP-2 id, e.g. eip155:1, or its kind.")
]
Limit: TypeAlias = Annotated[
    int, typer.Option("--limit", min=1, max=10_000, help="At most so many rows.")
]
Actor: TypeAlias = Annotated[
    str,
    typer.Option("--actor", callback=check_name, help="Who decides; kept with the decision."),
]
Detail: TypeAlias = Annotated[
    str, typer.Option("--detail", callback=check_note, help="Why; the tenant reads it.")
]
