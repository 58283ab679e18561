"""What a development chain offers: a node to start, and a client that makes money and blocks."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from devstack.process import Server


class NodeError(RuntimeError):
    """The node said no; the message is the node's own."""


class DevChain(Protocol):
    """Drives a development node. Amounts are minor units; addresses are canonical or as shown.

    Whatever is paid comes from the node's own bank, which never runs dry. Nothing that is sent is
    in a block before `mine`, unless the node makes blocks by itself.
    """

    async def pay(self, address: str, amount_minor: int, memo: str | None = None) -> str:
        """Send native money, making the account first if the chain needs that; return an id."""
        ...

    async def issue_token(self, symbol: str) -> str:
        """Make a token whose supply the bank holds, in blocks; return its contract.

        NodeError if the chain has none.
        """
        ...

    async def pay_token(
        self, contract: str, address: str, amount_minor: int, memo: str | None = None
    ) -> str:
        """Send a token; return an id of what was sent."""
        ...

    async def new_recipient(self, contract: str | None = None) -> str:
        """Return a stranger's fresh address, canonical, that can be paid the asset.

        Where receiving it needs an account or the owner's consent (Stellar's trustlines), both are
        in blocks when this returns.
        """
        ...

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks at once; the first takes what waits."""
        ...

    async def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by as many without their transactions, which are lost.

        NodeError on a chain that has no reorganisations.
        """
        ...

    async def height(self) -> int:
        """Return the height of the tip."""
        ...


class DevNode(Server):
    """A node of one chain, on a free port of the loopback interface.

    Its data folder and its port are all that its client needs: another process may attach to it.
    """

    kind: ClassVar[str]
    """As in the settings of a network."""
    asset: ClassVar[str]
    """The native asset's name in configurations."""
    token_decimals: ClassVar[int] = 6
    """Of the tokens that `issue_token` makes."""
    has_tokens: ClassVar[bool] = True
    has_memos: ClassVar[bool] = False
    account_minor: ClassVar[int] = 0
    """The least native amount that a new address can be paid."""
    reorganises: ClassVar[bool] = False

    def __init__(
        self, data_dir: Path, *, port: int | None = None, block_time_s: int | None = None
    ) -> None:
        """Prepare a node that makes blocks when told to, or also every `block_time_s`."""
        super().__init__(data_dir, port=port)
        self.block_time_s = block_time_s

    @classmethod
    def is_installed(cls) -> bool:
        """Whether its program is on this machine, as after `make install` all but some are."""
        return True

    @property
    @abstractmethod
    def rpc_url(self) -> str:
        """Where the adapter finds the node."""

    @abstractmethod
    def network_config(self) -> dict[str, Any]:
        """Return the network's entry in the settings: few confirmations, quick answers."""

    @abstractmethod
    def open_chain(self) -> AbstractAsyncContextManager[DevChain]:
        """Return a client that is connected while it is entered.

        Entering raises NodeError if the node is no development node, OSError if it is away.
        """

    @classmethod
    def attach(cls, rpc_url: str, data_dir: Path) -> AbstractAsyncContextManager[DevChain]:
        """Return a client of the node that another process runs on this machine."""
        return cls(data_dir, port=urlsplit(rpc_url).port).open_chain()
