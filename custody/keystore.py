"""The master secrets: words that all keys come from, sealed, in the table master_secrets.

There are two: 'master' (BIP-39), from which the keys of every chain but TON are derived, and 'ton'
(a mnemonic of TON's own kind). The database holds envelopes that are worth nothing without the
key. Who has the key, opens: the signer's process and `millrace init`, nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from chain_adapters.types import KeyScheme
from custody import bip39, ton_mnemonic
from custody.errors import MasterSecretExists, NoMasterSecret, OtherWords
from custody.seal import ITERATIONS, seal, unseal, wipe
from custody.signer import Signer
from sql.custody import add_master_secret, first_keys, read_master_secret
from sql.pool import Connection


@dataclass(frozen=True)
class MasterSecret:
    """One kind of master secret: its name, and what its words are."""

    name: str
    purpose: str
    """Bound into the envelope, so that no secret opens in the place of another."""
    make_words: Callable[[], str]
    check_words: Callable[[str], str]
    """Returns the words in normal form, or raises BadMnemonic."""
    expand: Callable[[str], bytearray]
    """Returns what keys come from (a seed, a private key), for the caller to wipe."""


MASTER = MasterSecret(
    "master",
    "millrace/master-secret",
    bip39.new_mnemonic,
    bip39.checked_mnemonic,
    bip39.seed_of,
)
TON = MasterSecret(
    "ton",
    "millrace/ton-secret",
    ton_mnemonic.new_mnemonic,
    ton_mnemonic.checked_mnemonic,
    ton_mnemonic.private_key_of,
)
MASTER_SECRETS = (MASTER, TON)


class MasterKey(Protocol):
    """Seals and opens master secrets: a passphrase here, a KMS or a Vault behind the same."""

    async def seal(self, secret: bytes, purpose: str) -> bytes:
        """Return the envelope to be stored."""
        ...

    async def unseal(self, envelope: bytes, purpose: str) -> bytearray:
        """Return the secret, for the caller to wipe. Raises WrongKey or BadEnvelope."""
        ...


@dataclass(frozen=True)
class PassphraseKey:
    """A master key made from a passphrase; see custody.seal."""

    passphrase: str = field(repr=False)
    iterations: int = ITERATIONS

    async def seal(self, secret: bytes, purpose: str) -> bytes:
        """Seal in a thread, for the key derivation takes long."""
        return await asyncio.to_thread(seal, self.passphrase, secret, purpose, self.iterations)

    async def unseal(self, envelope: bytes, purpose: str) -> bytearray:
        """Open in a thread. Raises WrongKey or BadEnvelope."""
        return await asyncio.to_thread(unseal, self.passphrase, envelope, purpose)


async def open_signer(
    conn: Connection, passphrase: str, schemes: Collection[KeyScheme] = ()
) -> Signer:
    """Open the master secrets with a passphrase; see load_signer."""
    return await load_signer(conn, PassphraseKey(passphrase), schemes)


async def store_master_secret(
    conn: Connection, key: MasterKey, secret: MasterSecret = MASTER, words: str | None = None
) -> None:
    """Keep new words, or the given ones, as the installation's secret of this name.

    Raises MasterSecretExists, BadMnemonic. Of two concurrent calls one raises MasterSecretExists.
    """
    made = secret.make_words() if words is None else secret.check_words(words)
    envelope = await key.seal(made.encode(), secret.purpose)
    if not await add_master_secret(conn, secret.name, envelope):
        raise MasterSecretExists(f"there is a master secret {secret.name!r} already")


async def check_master_secret(conn: Connection, key: MasterKey, secret: MasterSecret) -> bool:
    """Whether the secret is there, in which case it opens. Raises WrongKey, BadEnvelope."""
    envelope = await read_master_secret(conn, secret.name)
    if envelope is not None:
        wipe(await _open(key, secret, envelope))
    return envelope is not None


async def load_signer(
    conn: Connection, key: MasterKey, schemes: Collection[KeyScheme] = ()
) -> Signer:
    """Open the master secrets that are there. For the signer's process alone.

    Raises NoMasterSecret if 'master' is not there, or one that is needed for the `schemes` that
    will be signed with; WrongKey, BadEnvelope.
    """
    sealed = {secret: await read_master_secret(conn, secret.name) for secret in MASTER_SECRETS}
    there = {secret: envelope for secret, envelope in sealed.items() if envelope is not None}
    if MASTER not in there:
        raise NoMasterSecret("there is no master secret yet: run `millrace init`")
    # Both at once: a signer that starts again keeps payments waiting, and each takes long.
    openings = (_open(key, secret, envelope) for secret, envelope in there.items())
    opened = await asyncio.gather(*openings, return_exceptions=True)
    secrets = [one for one in opened if isinstance(one, bytearray)]
    try:
        for error in opened:
            if isinstance(error, BaseException):
                raise error
        signer = Signer(*secrets)
    finally:
        for one in secrets:
            wipe(one)
    signer.require(schemes)
    return signer


async def require_same_words(
    conn: Connection, signer: Signer, schemes: Mapping[str, KeyScheme]
) -> None:
    """Raise OtherWords if the signer's words are not those that public keys were made of.

    `schemes` are those of the networks. With other words new addresses would be of keys that are
    gone once the right words are back, and nothing could be paid from the old ones.
    """
    for first in await first_keys(conn, sorted(schemes)):
        if signer.public_key(first.key_path, schemes[first.network]) != first.public_key:
            raise OtherWords(
                f"the master secret is of other words than the addresses on {first.network}: import"
                ' the words that they came from, docs/keys.md, "A lost key"'
            )


async def _open(key: MasterKey, secret: MasterSecret, envelope: bytes) -> bytearray:
    """Return what the keys come from."""
    words = await key.unseal(envelope, secret.purpose)
    try:
        return await asyncio.to_thread(secret.expand, words.decode())
    finally:
        wipe(words)
