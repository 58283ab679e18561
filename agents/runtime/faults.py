"""Which faults pass by themselves, and how long to wait for that."""

from __future__ import annotations

import asyncpg
from aiokafka.errors import KafkaError

from agents.runtime.stage import Retryable
from chain_adapters.types import NodeUnavailable

PASSING_FAULTS: tuple[type[Exception], ...] = (
    Retryable,
    NodeUnavailable,
    KafkaError,
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
"""The world is not ready. OSError covers refused and reset connections and time-outs; a server that
has become a standby takes no writes; an administrator's time-outs and a disk that cannot be read
are no fault of a record; a migration makes prepared statements stale once; a connection that dies
under the end of a transaction may be told as an internal error of the driver."""
RETRY_S_MIN, RETRY_S_MAX = 0.05, 5.0
