"""The oracle, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracles.wallet_core import WalletCore


@pytest.fixture(scope="session")
def wallet_core() -> Iterator[WalletCore]:
    with WalletCore() as oracle:
        yield oracle
