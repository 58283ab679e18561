"""Published vectors of keys, and the extended keys in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.oracles import change_base

VECTORS = Path(__file__).parent.parent / "vectors" / "keys"


def read_key_vectors(name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a file of tests/vectors/keys holds."""
    return json.loads((VECTORS / name).read_text())


def private_parts(extended: str) -> tuple[bytes, bytes]:
    """Return (private key, chain code) of an xprv or zprv."""
    raw = change_base(extended, 58, 256, 82)
    return raw[46:78], raw[13:45]


def public_part(extended: str) -> bytes:
    """Return the public key of an xpub or zpub."""
    raw: bytes = change_base(extended, 58, 256, 82)
    return raw[45:78]
