"""What custody raises on purpose. No message holds a secret or a part of one."""

from __future__ import annotations


class CustodyError(Exception):
    """Base of all errors of custody."""


class WrongKey(CustodyError):
    """The key does not open this secret, or the secret was changed or is for another purpose."""


class BadEnvelope(CustodyError):
    """These bytes are no sealed secret of a version this code knows."""


class NoMasterSecret(CustodyError):
    """The database does not hold the master secret that is needed: run `millrace init`."""


class MasterSecretExists(CustodyError):
    """There is a master secret of this name, and a second one would orphan its addresses."""


class BadMnemonic(CustodyError):
    """The words are no mnemonic of 24 English words of this kind, or their checksum is wrong."""


class OtherWords(CustodyError):
    """The master secret is not the one that the addresses of this installation came from."""


class BadKeyPath(CustodyError):
    """The text is no key path, or none that the key scheme has keys at."""


class UnusableKey(CustodyError):
    """BIP-32 has no key at this index (a chance of 2^-127): take the next one."""
