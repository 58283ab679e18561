"""What all tenants hear of a network. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from topics import event_data, events
from topics.events import Event


def halted_events(
    tenants: Iterable[str], network: str, height: int, reason: str, now: datetime
) -> list[Event]:
    """Return network.halted for every tenant; `height` is the highest block followed."""
    data = event_data.HaltedNetwork(
        network=network, height=height, reason="reorganisation_too_deep", detail=reason
    )
    return [
        events.NetworkHalted(
            id=events.make_event_id(now, "network.halted", network, tenant),
            tenant=tenant,
            occurred_at=now,
            data=data,
        )
        for tenant in tenants
    ]


def resumed_events(tenants: Iterable[str], network: str, height: int, now: datetime) -> list[Event]:
    """Return network.resumed for every tenant."""
    return [
        events.NetworkResumed(
            id=events.make_event_id(now, "network.resumed", network, tenant),
            tenant=tenant,
            occurred_at=now,
            data=event_data.ResumedNetwork(network=network, height=height),
        )
        for tenant in tenants
    ]
