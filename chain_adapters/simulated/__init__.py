"""A chain in memory: it mines when told to, reorganises to any depth, lies and fails on order.

It keeps the same promises as the real adapters and passes the same contract suite; scenarios and
property tests run on it. Addresses and keys look like Ethereum's. A transaction has a sender, a
nonce and a fixed fee. Nothing here is for production.
"""

from chain_adapters.simulated.adapter import Mischief, SimulatedAdapter
from chain_adapters.simulated.chain import FEE_MINOR, Order, Pooled, SimulatedChain

__all__ = ["FEE_MINOR", "Mischief", "Order", "Pooled", "SimulatedAdapter", "SimulatedChain"]
