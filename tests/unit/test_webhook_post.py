"""What is kept of a request that failed."""

from __future__ import annotations

import pytest

from notifications.post import ERROR_CHARACTERS_MAX, fail


@pytest.mark.parametrize("said", ["\0", "\udcff", "\ud800x", "x" * 5000])
def test_an_error_can_always_be_kept(said: str) -> None:
    error = fail(ValueError(said)).error
    assert error is not None
    assert error.encode().decode() == error
    assert "\0" not in error
    assert len(error) <= ERROR_CHARACTERS_MAX
