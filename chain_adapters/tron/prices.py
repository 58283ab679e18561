"""What bandwidth, energy and new accounts cost, by the witnesses' vote; cached."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chain_adapters.rpc import Endpoint
from chain_adapters.tron import node, wire
from chain_adapters.types import NodeUnavailable

KEPT_S = 60.0
"""Prices change at most once in a maintenance period of six hours."""

ENERGY_MINOR_DEFAULT = 100
"""Sun for a unit of energy on a network that never voted (java-tron, SUN_PER_ENERGY)."""


class Prices(msgspec.Struct, frozen=True):
    """In sun: for a byte of bandwidth, a unit of energy, the two parts of a new account's price,
    and the highest fee limit that a transaction may state."""

    byte_minor: int
    energy_minor: int
    account_minor: int
    account_bandwidth_minor: int
    fee_limit_minor_max: int

    @property
    def new_account_minor(self) -> int:
        """What a transfer to a new account burns if no staked bandwidth pays a part of it."""
        return self.account_minor + self.account_bandwidth_minor


def read_prices(parameters: list[wire.ChainParameter]) -> Prices:
    """Pick the prices from a network's parameters. NodeUnavailable if one is missing or odd."""
    values = {parameter.key: parameter.value for parameter in parameters}
    try:
        prices = Prices(
            byte_minor=values["getTransactionFee"],
            energy_minor=values["getEnergyFee"] or ENERGY_MINOR_DEFAULT,
            account_minor=values["getCreateNewAccountFeeInSystemContract"],
            account_bandwidth_minor=values["getCreateAccountFee"],
            fee_limit_minor_max=values["getMaxFeeLimit"],
        )
    except KeyError as missing:
        raise NodeUnavailable(f"the node does not tell {missing}") from None
    if min(msgspec.structs.astuple(prices)) < 0:
        raise NodeUnavailable("a price is negative")
    return prices


class PriceList:
    """The prices of one network, asked for again when they are old."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._prices: Prices | None = None
        self._asked_at = 0.0

    async def fetch(self, endpoint: Endpoint) -> Prices:
        """Return the prices, from the endpoint if those known are older than `KEPT_S`."""
        now = self._clock()
        if self._prices is None or now - self._asked_at > KEPT_S:
            answer = await node.ask(endpoint, "wallet/getchainparameters", node.decode_parameters)
            self._prices, self._asked_at = read_prices(answer.parameters), now
        return self._prices
