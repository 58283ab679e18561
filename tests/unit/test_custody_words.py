"""Words are made, read in any form, and refused without repeating them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from mnemonic import Mnemonic

from custody import bip39, ton_mnemonic
from custody.ed25519 import TonKey
from custody.errors import BadMnemonic
from custody.keystore import MASTER_SECRETS, MasterSecret
from tests.support.key_vectors import read_key_vectors

OUT_OF_ORDER = (
    "abandon ability able about above absent absorb abstract absurd abuse access accident"
    " account accuse achieve acid acoustic acquire across act action actor actress actual"
)
TON_VECTORS = read_key_vectors("ton_mnemonics.json")
each_kind = pytest.mark.parametrize("secret", MASTER_SECRETS, ids=lambda secret: secret.name)


@each_kind
def test_new_words_are_24_of_the_list_pass_the_check_and_never_repeat(
    secret: MasterSecret,
) -> None:
    made = {secret.make_words() for _ in range(3)}

    assert len(made) == 3
    for words in made:
        assert secret.check_words(words) == words
        assert len(words.split()) == 24
        assert set(words.split()) <= set(Mnemonic("english").wordlist)


@each_kind
def test_words_are_brought_to_one_form(secret: MasterSecret) -> None:
    words = secret.make_words()

    spread = "\n".join(f"  {word.upper()}\t" for word in words.split())
    assert secret.check_words(spread) == words


@each_kind
@pytest.mark.parametrize(
    "text",
    ["", "abandon " * 11 + "about", "abandon " * 24, "sesame " * 24, "abandon " * 25],
)
def test_what_is_no_mnemonic_is_refused_without_repeating_it(
    secret: MasterSecret, text: str
) -> None:
    with pytest.raises(BadMnemonic) as caught:
        secret.check_words(text)

    assert "abandon" not in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


@each_kind
def test_words_give_the_same_keys_every_time(secret: MasterSecret) -> None:
    words = secret.make_words()

    assert secret.expand(words) == secret.expand(words)
    assert secret.expand(words) != secret.expand(secret.make_words())


def test_words_of_one_kind_are_not_taken_for_the_other() -> None:
    """By chance one of 256 passes; among the published ones none does."""
    rows = read_key_vectors("bip39_english_vectors.json")
    theirs = [row[1] for row in rows if len(row[1].split()) == 24]

    assert theirs
    for words in theirs:
        assert bip39.checked_mnemonic(words) == words
        with pytest.raises(BadMnemonic, match="TON"):
            ton_mnemonic.checked_mnemonic(words)


@pytest.mark.parametrize("check", [bip39.checked_mnemonic, ton_mnemonic.checked_mnemonic])
def test_words_out_of_order_are_refused(check: Callable[[str], str]) -> None:
    with pytest.raises(BadMnemonic):
        check(OUT_OF_ORDER)


@pytest.mark.parametrize("vector", TON_VECTORS[:3], ids=["first", "second", "third"])
def test_keys_of_ton_words_are_those_of_other_wallets(vector: dict[str, str]) -> None:
    words = ton_mnemonic.checked_mnemonic(vector["words"])

    private_key = ton_mnemonic.private_key_of(words)

    assert private_key.hex() == vector["private_key"]
    assert TonKey(private_key).public_key("m/0'/0'").hex() == vector["public_key"]


def test_ton_words_that_need_a_password_are_refused() -> None:
    """Without the password they would open another, empty wallet."""
    (vector,) = [row for row in TON_VECTORS if row["password"]]

    with pytest.raises(BadMnemonic, match="without a password"):
        ton_mnemonic.checked_mnemonic(vector["words"])


def test_ton_words_that_are_not_in_the_list_are_refused_though_the_checksum_fits() -> None:
    tries = ("abandon " * 23 + f"word{number}" for number in itertools.count())
    words = next(words for words in tries if ton_mnemonic.is_kept(words))

    with pytest.raises(BadMnemonic, match="not in the English list"):
        ton_mnemonic.checked_mnemonic(words)
