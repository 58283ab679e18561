"""Where servers are: URLs with a password in them, of which no error shows a piece, and brokers."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"(\[[^]]*\]|[^][:]*)(:[0-9]*)?")
_BROKER = re.compile(r"(\[[^]@]+\]|[^][@:]+):[0-9]+")
PORT_MAX = 65535


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
    _check_ports(hosts)
    return url


def check_database_url(url: str) -> str:
    """Return the URL of a Postgres database. ValueError, with nothing of it, if it is none."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("the URL must begin with postgresql://")
    return check_url(url)


def check_bootstrap(brokers: str) -> str:
    """Return where Kafka's brokers are. ValueError, with nothing of it, if that cannot be."""
    if not all(map(_BROKER.fullmatch, brokers.split(","))):
        raise ValueError("each broker must be host:port, with commas between several")
    _check_ports(brokers)
    return brokers


def _check_ports(hosts: str) -> None:
    for host in hosts.split(","):
        port = host.rpartition(":")[2]
        if port.isdecimal() and int(port) > PORT_MAX:
            raise ValueError(f"a port is above {PORT_MAX}")


def _unreadable() -> ValueError:
    return ValueError(
        "the URL cannot be read: write / # ? @ [ ] in a password as %2F %23 %3F %40 %5B %5D"
    )
