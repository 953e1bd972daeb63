"""The two questions a consumer asks of an error: will it pass, or can this record never be processed?"""

import asyncio

from aiokafka.errors import KafkaError
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    WTimeoutError,
)


class TransientError(Exception):
    """The world is missing something for now; the same step may succeed later."""


class PermanentError(Exception):
    """Nobody can ever process this record. `reason` is a stable word for metrics and the dead letter."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


# Server states that pass by themselves: shutting down, stepping down, not primary, interrupted, node is recovering.
_PASSING_MONGO_CODES = frozenset({6, 7, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 50, 64})


def is_transient(error: BaseException) -> bool:
    """Whether waiting and trying again can help."""
    if isinstance(error, TransientError | AutoReconnect | ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if isinstance(error, OperationFailure):
        return error.code in _PASSING_MONGO_CODES or error.has_error_label("RetryableWriteError")
    if isinstance(error, KafkaError):
        return bool(error.retriable)
    return isinstance(error, asyncio.TimeoutError | TimeoutError | ConnectionError)
