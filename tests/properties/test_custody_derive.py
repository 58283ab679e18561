"""Our derivation and an independent one agree on random seeds and paths."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from custody.derive import HARDENED, parse_key_path, root_key
from tests.support.oracles import HDKey

steps = st.tuples(st.integers(0, HARDENED - 1), st.booleans())


@settings(max_examples=40, deadline=None)
@given(seed=st.binary(min_size=16, max_size=64), path=st.lists(steps, max_size=5))
def test_derivation_agrees_with_bitcoinlib(seed: bytes, path: list[tuple[int, bool]]) -> None:
    text = "/".join(["m", *(f"{index}{chr(39) if hard else ''}" for index, hard in path)])
    theirs = HDKey.from_seed(seed).subkey_for_path(text)

    ours = root_key(seed).descend(parse_key_path(text))

    assert ours.reveal() == (theirs.private_byte, theirs.chain)
    assert ours.public_key == theirs.public_byte
