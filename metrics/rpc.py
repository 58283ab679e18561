"""What adapters tell of their requests to nodes, put into metrics."""

from __future__ import annotations

from metrics.catalogue import rpc_endpoint_up, rpc_request_seconds


def observe_request(network: str, method: str, endpoint: int, seconds: float, ok: bool) -> None:
    """Count one request: `ok` says whether an answer came, a node's refusal being one too.

    `endpoint` is the position in `rpc_urls`; several methods in one post are joined by `+`.
    """
    outcome = "ok" if ok else "unavailable"
    rpc_request_seconds.labels(network, method, outcome).observe(seconds)
    rpc_endpoint_up.labels(network, str(endpoint)).set(ok)
