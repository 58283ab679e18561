"""Sealed secrets open with their key and purpose, and with nothing else."""

from __future__ import annotations

import pickle

import pytest

from custody.box import SecretBox
from custody.errors import BadEnvelope, CustodyError, WrongKey
from custody.keystore import PassphraseKey
from custody.seal import ITERATIONS, seal, unseal, wipe

SECRET = b"correct horse battery staple"
QUICK = 10
"""Iterations for tests that are not about their number."""


def test_a_sealed_secret_opens_with_its_key_and_purpose() -> None:
    envelope = seal("key", SECRET, "purpose")

    assert unseal("key", envelope, "purpose") == SECRET


def test_an_envelope_states_600000_iterations_and_keeps_its_own_number() -> None:
    assert ITERATIONS == 600_000
    assert int.from_bytes(seal("key", SECRET, "purpose")[3:7], "big") == ITERATIONS
    assert unseal("key", seal("key", SECRET, "purpose", QUICK), "purpose") == SECRET


async def test_a_master_secret_is_sealed_with_as_many_iterations_unless_it_is_told_otherwise() -> (
    None
):
    for key, iterations in ((PassphraseKey("key"), ITERATIONS), (PassphraseKey("key", 10), 10)):
        envelope = await key.seal(SECRET, "purpose")
        assert int.from_bytes(envelope[3:7], "big") == iterations
        assert await key.unseal(envelope, "purpose") == SECRET


def test_salt_and_nonce_are_new_for_every_sealing() -> None:
    envelopes = [seal("key", SECRET, "purpose", QUICK) for _ in range(50)]

    assert len({envelope[7:23] for envelope in envelopes}) == len(envelopes)
    assert len({envelope[23:35] for envelope in envelopes}) == len(envelopes)


@pytest.mark.parametrize(
    ("passphrase", "purpose"), [("other", "purpose"), ("key", "other"), ("", "purpose")]
)
def test_another_key_or_purpose_does_not_open(passphrase: str, purpose: str) -> None:
    with pytest.raises(WrongKey):
        unseal(passphrase, seal("key", SECRET, "purpose", QUICK), purpose)


def test_every_changed_byte_is_noticed() -> None:
    envelope = seal("key", SECRET, "purpose", QUICK)
    for position in range(len(envelope)):
        if 3 <= position < 6:
            continue  # the high bytes of the iterations would only make it slow
        changed = bytearray(envelope)
        changed[position] ^= 1
        with pytest.raises(CustodyError):
            unseal("key", bytes(changed), "purpose")


@pytest.mark.parametrize("envelope", [b"", b"MR\x01", b"\0" * 100, b"MR\x02" + b"\0" * 100])
def test_other_bytes_are_called_a_bad_envelope(envelope: bytes) -> None:
    with pytest.raises(BadEnvelope):
        unseal("key", envelope, "purpose")


def test_an_envelope_cannot_ask_for_hours_of_work() -> None:
    envelope = bytearray(seal("key", SECRET, "purpose", QUICK))
    envelope[3:7] = b"\xff\xff\xff\xff"

    with pytest.raises(BadEnvelope):
        unseal("key", bytes(envelope), "purpose")


def test_the_error_of_a_wrong_key_holds_no_secret() -> None:
    with pytest.raises(WrongKey) as caught:
        unseal("hunter2", seal("key", SECRET, "purpose", QUICK), "purpose")

    assert "hunter2" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None


def test_wiping_leaves_only_zeros() -> None:
    secret = bytearray(SECRET)

    wipe(secret)

    assert secret == bytes(len(SECRET))


def test_a_box_opens_its_own_secrets_in_every_process() -> None:
    sealed = SecretBox("key", iterations=QUICK).encrypt(SECRET, "webhook")

    assert SecretBox("key", iterations=QUICK).decrypt(sealed, "webhook") == SECRET


def test_a_box_never_repeats_itself() -> None:
    box = SecretBox("key", iterations=QUICK)

    assert len({box.encrypt(SECRET, "webhook") for _ in range(50)}) == 50


def test_a_box_with_another_key_or_purpose_does_not_open() -> None:
    box = SecretBox("key", iterations=QUICK)
    sealed = box.encrypt(SECRET, "webhook")

    with pytest.raises(WrongKey):
        SecretBox("other", iterations=QUICK).decrypt(sealed, "webhook")
    with pytest.raises(WrongKey):
        box.decrypt(sealed, "email")
    with pytest.raises(WrongKey):
        box.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]), "webhook")
    with pytest.raises(BadEnvelope):
        box.decrypt(b"\x01short", "webhook")


def test_a_box_is_neither_printed_nor_pickled() -> None:
    box = SecretBox("hunter2", iterations=QUICK)

    assert repr(box) == "SecretBox(…)"
    with pytest.raises(TypeError):
        pickle.dumps(box)
