"""What custody raises on purpose. No message holds a secret or a part of one."""

from __future__ import annotations


class CustodyError(Exception):
    """Base of all errors of custody."""


class WrongKey(CustodyError):
    """The key does not open this secret, or the secret was changed or is for another purpose."""


class BadEnvelope(CustodyError):
    """These bytes are no sealed secret of a version this code knows."""


class NoMasterSecret(CustodyError):
    """The database holds no master secret yet: run `millrace init`."""


class MasterSecretExists(CustodyError):
    """There is a master secret already, and a second one would orphan its addresses."""


class BadMnemonic(CustodyError):
    """The words are no BIP-39 mnemonic of 24 English words, or their checksum is wrong."""


class BadKeyPath(CustodyError):
    """The text is no BIP-32 path."""


class UnusableKey(CustodyError):
    """BIP-32 has no key at this index (a chance of 2^-127): take the next one."""
