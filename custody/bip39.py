"""The words of the secret 'master': BIP-39, English, 24 of them, without a passphrase."""

from __future__ import annotations

from mnemonic import Mnemonic

from custody.errors import BadMnemonic

WORDS = 24
_english = Mnemonic("english")
WORD_LIST: tuple[str, ...] = tuple(_english.wordlist)


def new_mnemonic() -> str:
    """Return 24 new words: 256 bits from the system's random numbers."""
    return _english.generate(256)


def checked_mnemonic(text: str) -> str:
    """Return the words in normal form, or raise BadMnemonic, which does not repeat them."""
    words = split_words(text)
    if not _english.check(" ".join(words)):
        raise BadMnemonic("a word is not in the English list, or the checksum is wrong")
    return " ".join(words)


def seed_of(mnemonic: str) -> bytearray:
    """Return the seed of words in normal form, 64 bytes, for the caller to wipe."""
    return bytearray(Mnemonic.to_seed(mnemonic, ""))


def split_words(text: str) -> list[str]:
    """Return 24 words in lower case, or raise BadMnemonic."""
    words = text.lower().split()
    if len(words) != WORDS:
        raise BadMnemonic(f"a mnemonic has {WORDS} words here, not {len(words)}")
    return words
