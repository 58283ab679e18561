"""Our derivation and independent ones agree on random seeds and paths."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair

from custody.bip32 import root_key
from custody.ed25519 import Ed25519Keys
from custody.key_path import HARDENED, parse_key_path
from tests.support.oracles import HDKey

indices = st.integers(0, HARDENED - 1)
steps = st.tuples(indices, st.booleans())


@settings(max_examples=40, deadline=None)
@given(seed=st.binary(min_size=16, max_size=64), path=st.lists(steps, max_size=5))
def test_derivation_on_secp256k1_agrees_with_bitcoinlib(
    seed: bytes, path: list[tuple[int, bool]]
) -> None:
    text = "/".join(["m", *(f"{index}{chr(39) if hard else ''}" for index, hard in path)])
    theirs = HDKey.from_seed(seed).subkey_for_path(text)

    ours = root_key(seed).descend(parse_key_path(text))

    assert ours.reveal() == (theirs.private_byte, theirs.chain)
    assert ours.public_key == theirs.public_byte


@settings(max_examples=100, deadline=None)
@given(
    seed=st.binary(min_size=64, max_size=64),
    path=st.lists(indices, min_size=1, max_size=5),
    payload=st.binary(max_size=2000),
)
def test_derivation_and_signatures_on_ed25519_agree_with_solders(
    seed: bytes, path: list[int], payload: bytes
) -> None:
    text = "/".join(["m", *(f"{index}'" for index in path)])
    theirs = Keypair.from_seed_and_derivation_path(seed, text)

    ours = Ed25519Keys(seed)

    assert ours.public_key(text) == bytes(theirs.pubkey())
    assert ours.sign(text, payload) == bytes(theirs.sign_message(payload))
