"""Which stages and loops run together in one process.

The roles are split by what they may touch: the signer alone is given the key of the master secret,
notify alone talks to the outside, chain alone follows nodes. Each can run many times over; Kafka
shares the partitions among the workers of a role, leases share the loops. Adapters are opened only
where nodes are asked or payments made: to load them is much of a worker's start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.broadcast_withdrawals import BroadcastWithdrawals
from agents.check_withdrawals import CheckWithdrawals
from agents.confirm_deposits import ConfirmDeposits
from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.deliver_webhooks import DeliverWebhooks
from agents.follow_chain import FollowChain, lease_name
from agents.match_deposits import MatchDeposits
from agents.measure_state import MeasureState
from agents.notify import Notify
from agents.post_ledger import PostLedger
from agents.prune_history import PruneHistory
from agents.reconcile_chain import ReconcileChain
from agents.relay_outbox import RelayOutbox
from agents.replace_withdrawals import ReplaceWithdrawals
from agents.resend_withdrawals import ResendWithdrawals
from agents.runtime.context import Context, wallet_passphrase
from agents.runtime.loop import Loop
from agents.runtime.stage import Stage
from agents.sign_withdrawals import SignWithdrawals
from agents.stock_keys import StockKeys
from custody.hide import forbid_dumps
from custody.keystore import open_signer, require_same_words
from custody.signer import Signer

Body = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Role:
    """What one process does. `leased` bodies run for ever under the lease named beside them."""

    stages: Sequence[Stage[Any, Any]] = ()
    loops: Sequence[Loop] = ()
    leased: Sequence[tuple[str, Body]] = ()
    """One worker at a time each."""
    shared: Sequence[Body] = ()
    """On every worker of the role at once."""


async def _chain(context: Context) -> Role:
    await context.open_adapters()
    followers = [
        FollowChain(
            network,
            context.adapters[network.network],
            context.pool,
            context.publisher.publish_blocks,
            holder=context.holder,
            topic_prefix=context.settings.topic_prefix,
            outlet=context.outlet,
        )
        for network in context.settings.networks
    ]
    return Role(
        loops=(
            RelayOutbox(context),
            MeasureState(context),
            ReconcileChain(context),
            PruneHistory(context),
        ),
        leased=[(lease_name(follower.network), follower.run) for follower in followers],
    )


async def _deposits(context: Context) -> Role:
    return Role(stages=(MatchDeposits(context), ConfirmDeposits(context), PostLedger(context)))


async def _withdrawals(context: Context) -> Role:
    await context.open_adapters()
    return Role(
        stages=(
            CheckWithdrawals(context),
            BroadcastWithdrawals(context),
            ConfirmWithdrawals(context),
        ),
        loops=(ResendWithdrawals(context),),
    )


async def _signer(context: Context) -> Role:
    forbid_dumps()
    # At the same time, for both take long, and payments wait for a signer that starts again.
    signer, _ = await asyncio.gather(_open_secrets(context), context.open_adapters())
    schemes = {network: adapter.key_scheme for network, adapter in context.adapters.items()}
    signer.require(schemes.values())
    async with context.pool.acquire() as conn:
        await require_same_words(conn, signer, schemes)
    return Role(
        stages=(SignWithdrawals(context, signer),),
        loops=(ReplaceWithdrawals(context, signer), StockKeys(context, signer)),
    )


async def _open_secrets(context: Context) -> Signer:
    passphrase = wallet_passphrase(context.settings)
    async with context.pool.acquire() as conn:
        return await open_signer(conn, passphrase)


async def _notify(context: Context) -> Role:
    forbid_dumps()
    return Role(stages=(Notify(),), shared=(DeliverWebhooks(context).run,))


ROLES: dict[str, Callable[[Context], Awaitable[Role]]] = {
    "chain": _chain,
    "deposits": _deposits,
    "withdrawals": _withdrawals,
    "signer": _signer,
    "notify": _notify,
}
"""By name, as given to `millrace worker --role`."""
