"""What the handlers need from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.ingest.domain.authorisation import Credential


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C trace context. `state` is kept only with a well-formed parent."""

    parent: str
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One record to publish."""

    topic: str
    key: str
    value: bytes
    trace: Trace | None = None
    """Of the request that brought it, or its own."""


class NotAcknowledgedError(Exception):
    """The broker did not acknowledge in time; the records may still arrive."""


class TooLargeError(Exception):
    """The broker takes no record of this size."""


class Publish(Protocol):
    """Publishes in order, returns once everything is acknowledged. Raises NotAcknowledgedError, TooLargeError."""

    async def __call__(self, messages: Sequence[Message]) -> None: ...


class Clock(Protocol):
    """Business time."""

    def now(self) -> datetime: ...


class Identify(Protocol):
    """Turns a request's Authorization headers into what they prove. Raises RefusedError with a `token_…` code."""

    def __call__(self, authorizations: Sequence[bytes]) -> Credential: ...
