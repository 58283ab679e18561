"""The master secret: one BIP-39 mnemonic, sealed, in the table master_secrets.

The database holds an envelope that is worth nothing without the key. Who has the key, opens: the
signer's process and `millrace init`, nobody else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from mnemonic import Mnemonic

from custody.errors import BadMnemonic, MasterSecretExists, NoMasterSecret
from custody.seal import ITERATIONS, seal, unseal, wipe
from custody.signer import Signer
from sql.custody import add_master_secret, read_master_secret
from sql.pool import Connection

MASTER_SECRET = "master"  # noqa: S105 - its name, not the secret
WORDS = 24
_PURPOSE = "millrace/master-secret"
_english = Mnemonic("english")


class MasterKey(Protocol):
    """Seals and opens the master secret: a passphrase here, a KMS or a Vault behind the same."""

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


async def create_master_secret(
    conn: Connection, passphrase: str, mnemonic: str | None = None
) -> None:
    """Seal a new mnemonic, or the given one, under a passphrase; see store_master_secret."""
    await store_master_secret(conn, PassphraseKey(passphrase), mnemonic)


async def open_signer(conn: Connection, passphrase: str) -> Signer:
    """Open the master secret with a passphrase; see load_signer."""
    return await load_signer(conn, PassphraseKey(passphrase))


async def store_master_secret(
    conn: Connection, key: MasterKey, mnemonic: str | None = None
) -> None:
    """Keep the installation's one master secret. Raises MasterSecretExists, BadMnemonic.

    Of two concurrent calls one raises MasterSecretExists.
    """
    words = checked_mnemonic(mnemonic) if mnemonic is not None else new_mnemonic()
    envelope = await key.seal(words.encode(), _PURPOSE)
    if not await add_master_secret(conn, MASTER_SECRET, envelope):
        raise MasterSecretExists("there is a master secret already")


async def load_signer(conn: Connection, key: MasterKey) -> Signer:
    """Open the master secret. Raises NoMasterSecret, WrongKey, BadEnvelope.

    For the signer's process alone.
    """
    envelope = await read_master_secret(conn, MASTER_SECRET)
    if envelope is None:
        raise NoMasterSecret("there is no master secret yet: run `millrace init`")
    words = await key.unseal(envelope, _PURPOSE)
    seed = bytearray(Mnemonic.to_seed(words.decode(), ""))
    try:
        return Signer(seed)
    finally:
        wipe(words)
        wipe(seed)


def new_mnemonic() -> str:
    """Return 24 new words: 256 bits from the system's random numbers."""
    return _english.generate(256)


def checked_mnemonic(text: str) -> str:
    """Return the words in normal form, or raise BadMnemonic, which does not repeat them."""
    words = text.lower().split()
    if len(words) != WORDS:
        raise BadMnemonic(f"a mnemonic has {WORDS} words here, not {len(words)}")
    if not _english.check(" ".join(words)):
        raise BadMnemonic("a word is not in the English list, or the checksum is wrong")
    return " ".join(words)
