"""Variables that look like settings and are none: slips, mostly, which would else do nothing."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from settings.expand import variables_in
from settings.model import Settings

PREFIX = "MILLRACE_"
OTHERS = frozenset(
    {
        "MILLRACE_CONFIG",  # where the file with the settings is
        "MILLRACE_CACHE_DIR",  # these three: `millrace up` and `millrace demo`
        "MILLRACE_RPC_URL",
        "MILLRACE_WEBSOCKET_URL",
        "MILLRACE_TOML",  # docker-compose.yml
        "MILLRACE_BTCD",  # these two: nodes to run our tests against
        "MILLRACE_SURFPOOL",
    }
)
"""Variables with our prefix that are no settings."""


def unknown_variables(settings: Settings, environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return variables with our prefix that nothing reads, each with the nearest that is read.

    A warning is as much as they allow: Kubernetes, for one, sets MILLRACE_…_PORT and the like by
    itself for services whose names begin so.
    """
    known = {PREFIX + field.upper() for field in Settings.model_fields} | OTHERS
    known |= {
        name
        for network in settings.networks
        for text in (*network.rpc_urls, *network.rpc_headers.values(), network.push_url or "")
        for name in variables_in(text)
    }
    ours = sorted(name for name in environ if name.upper().startswith(PREFIX))
    return {name: _nearest(name, known) for name in ours if not {name, name.upper()} & known}


def _nearest(name: str, known: set[str]) -> str | None:
    by_rest = {other.removeprefix(PREFIX): other for other in known}
    near = get_close_matches(name.upper().removeprefix(PREFIX), by_rest, n=1)
    return by_rest[near[0]] if near else None
