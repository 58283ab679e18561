"""The words of the secret 'ton': TON's own mnemonic scheme, 24 words, without a password.

TON's wallets take the word list of BIP-39 and nothing else of it: the words are random and kept
only if a hash of them begins with a zero byte, one set in 256. That is all the checksum there is:
a mistyped word is noticed 255 times of 256. Words that were made with a password do not pass, as
the password is part of what is hashed. The rules are those of the package @ton/crypto, which TON's
documentation names; tests compare with it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from custody.bip39 import WORD_LIST, WORDS, split_words
from custody.errors import BadMnemonic

ITERATIONS = 100_000
CHECK_ITERATIONS = 390
"""One in 256 of ITERATIONS, as on average so many sets are tried until one is kept."""


def new_mnemonic() -> str:
    """Return 24 new words: 256 bits from the system's random numbers. Takes about 0.1 s."""
    while True:
        words = " ".join(secrets.choice(WORD_LIST) for _ in range(WORDS))
        if is_kept(words):
            return words


def checked_mnemonic(text: str) -> str:
    """Return the words in normal form, or raise BadMnemonic, which does not repeat them."""
    words = split_words(text)
    if not set(words).issubset(WORD_LIST):
        raise BadMnemonic("a word is not in the English list")
    if not is_kept(" ".join(words)):
        raise BadMnemonic(
            "these are no words of a TON wallet without a password: the checksum is wrong"
        )
    return " ".join(words)


def is_kept(mnemonic: str) -> bool:
    """Whether words in normal form pass TON's check."""
    return _stretch(mnemonic, b"TON seed version", CHECK_ITERATIONS)[0] == 0


def private_key_of(mnemonic: str) -> bytearray:
    """Return the private key of words in normal form, 32 bytes, for the caller to wipe."""
    return bytearray(_stretch(mnemonic, b"TON default seed", ITERATIONS)[:32])


def _stretch(mnemonic: str, salt: bytes, iterations: int) -> bytes:
    entropy = hmac.digest(mnemonic.encode(), b"", "sha512")
    return hashlib.pbkdf2_hmac("sha512", entropy, salt, iterations)
