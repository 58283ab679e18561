"""URLs with a password in them, taken apart so that no error shows a piece of it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"(\[[^]]*\]|[^][:]*)(:[0-9]*)?")


def check_url(url: str) -> str:
    """Return `url` if its parts are where they seem to be. ValueError, with nothing of it, if not.

    A "/", "#" or "?" in a password ends the host early (RFC 3986, 3.2): what stands before it is
    taken for the port, and libraries then say which port they could not read.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _unreadable() from None
    _, at, hosts = parts.netloc.rpartition("@")
    if not all(map(_HOST.fullmatch, hosts.split(","))):
        raise _unreadable()
    if not at and ":" in hosts and "@" in parts.path + parts.query + parts.fragment:
        raise _unreadable()  # a password that begins with digits
    return url


def _unreadable() -> ValueError:
    return ValueError(
        "the URL cannot be read: write / # ? @ [ ] in a password as %2F %23 %3F %40 %5B %5D"
    )
