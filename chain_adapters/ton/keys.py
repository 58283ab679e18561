"""Which key and which wallet of it an address of ours belongs to."""

from __future__ import annotations

import re
from typing import NamedTuple

from chain_adapters.rpc import Endpoint
from chain_adapters.ton.asking import OK, read_number, run_method
from chain_adapters.ton.wallet import wallet_address, wallet_id
from chain_adapters.types import PaymentRefused

_PATH = re.compile(r"m/([01])'/([0-9]{1,10})'", re.ASCII)
_KNOWN_MAX = 100_000


class Owner(NamedTuple):
    """What a v4R2 wallet is made of: a public key, and its number among the key's wallets."""

    public_key: bytes
    number: int


class Owners:
    """Remembers whose the derived addresses are: an address itself does not tell.

    A wallet that is deployed tells its owner; one that is not can be paid from only after
    `derive` was called for it in this process.
    """

    def __init__(self) -> None:
        self._known: dict[str, Owner] = {}

    def derive(self, public_key: bytes, key_path: str) -> str:
        """Return the address of a key at a path, and remember it. ValueError if either is odd."""
        match = _PATH.fullmatch(key_path)
        if match is None:
            raise ValueError(f"{key_path} is no path of TON's wallets: m/branch'/index'")
        owner = Owner(public_key, wallet_id(int(match[1]), int(match[2])))
        address = wallet_address(*owner)
        self._known[address] = owner
        if len(self._known) > _KNOWN_MAX:
            del self._known[next(iter(self._known))]
        return address

    async def of(self, endpoint: Endpoint, address: str, *, deployed: bool) -> Owner:
        """Return the owner of a wallet; PaymentRefused("sender_unknown") if nobody tells."""
        if address not in self._known and deployed:
            owner = await ask_owner(endpoint, address)
            if owner is not None and wallet_address(*owner) == address:
                self._known[address] = owner
        if address not in self._known:
            raise PaymentRefused(
                "sender_unknown", "the sender is no derived wallet of version 4 R2"
            )
        return self._known[address]


async def ask_owner(endpoint: Endpoint, address: str) -> Owner | None:
    """Ask a deployed wallet for its key and number; None if it is no wallet."""
    key = await run_method(endpoint, address, "get_public_key")
    number = await run_method(endpoint, address, "get_subwallet_id")
    if not (key.exit_code in OK and number.exit_code in OK and key.stack and number.stack):
        return None
    public_key = read_number(key.stack[0])
    if not 0 <= public_key < 2**256:
        return None
    return Owner(public_key.to_bytes(32), read_number(number.stack[0]))
