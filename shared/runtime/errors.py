"""What a consumer asks of an error: will it pass, is this process at its end, or can a record never be processed?"""

import asyncio

from aiokafka.errors import (
    BrokerNotAvailableError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    ReplicaNotAvailableError,
    TopicAuthorizationFailedError,
)
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
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
_PASSING_MONGO_CODES = frozenset({6, 7, 50, 64, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
# And those an operator ends: not authorised (13, 18), disk full (14031). No record is to blame for them.
_OPERATED_MONGO_CODES = frozenset({13, 18, 14031})
# aiokafka calls these final, yet they pass: its buffer was full, no leader was known, a replica was
# catching up; or an operator has to grant a permission.
_PASSING_KAFKA_ERRORS = (
    KafkaTimeoutError,
    BrokerNotAvailableError,
    ReplicaNotAvailableError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
# These are about the records sent, whoever sends them.
_RECORD_KAFKA_ERRORS = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError, InvalidTimestampError)


def is_transient(error: BaseException) -> bool:
    """Whether waiting and trying again can help."""
    if isinstance(error, TransientError | AutoReconnect | ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if isinstance(error, BulkWriteError):
        codes = [one["code"] for kind in ("writeErrors", "writeConcernErrors") for one in error.details.get(kind, ())]
        return bool(codes) and all(_passes_in_mongo(code) for code in codes)
    if isinstance(error, OperationFailure):
        return _passes_in_mongo(error.code) or error.has_error_label("RetryableWriteError")
    if isinstance(error, KafkaError):
        return bool(error.retriable) or isinstance(error, _PASSING_KAFKA_ERRORS)
    return isinstance(error, asyncio.TimeoutError | TimeoutError | ConnectionError)


def _passes_in_mongo(code: int | None) -> bool:
    return code in _PASSING_MONGO_CODES or code in _OPERATED_MONGO_CODES


def ends_process(error: BaseException) -> bool:
    """Whether this process's client is spent (aiokafka #1017), so that a fresh process is the way on.

    No record is to blame, and trying again here is in vain: an idempotent producer that failed for good stays so.
    """
    if isinstance(error, KafkaError):
        return not is_transient(error) and not isinstance(error, _RECORD_KAFKA_ERRORS)
    return isinstance(error, InvalidOperation)
