"""What the handlers need from outside."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from services.ingest.domain.authorisation import Credential


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C trace context. `state` is kept only with a well-formed parent."""

    parent: str
    state: str | None = None

    @property
    def trace_id(self) -> str:
        """What all spans of one request have in common: the second part of a `traceparent`."""
        return self.parent.split("-")[1]


class Message(NamedTuple):
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


class OutboxDownError(Exception):
    """The outbox does not answer; what was to be kept may be kept all the same."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that waits for the broker."""

    key: str
    """Its place in the order."""
    message: Message


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, of all replicas."""

    events: int
    oldest_seconds: float
    """How long the oldest has waited; 0 where nothing does."""


class Outbox(Protocol):
    """Keeps messages while the broker is away, for all replicas of ingest. Everything raises OutboxDownError."""

    async def prepare(self) -> None:
        """Make ready; safe to repeat, and nothing else waits for it."""

    async def keep(self, messages: Sequence[Message]) -> None:
        """Returns once they are on disk on a majority, after all that this replica kept before."""

    async def has_own(self) -> bool:
        """Whether something that this replica kept still waits to be forwarded."""

    async def lead(self) -> bool:
        """Become the one replica that forwards, or stay it; for some seconds, then somebody else may."""

    async def step_back(self) -> None:
        """Lead no more: whoever else can reach the broker may."""

    async def oldest(self, *, events_max: int, bytes_max: int) -> Sequence[Kept]:
        """The first to be forwarded, in order: of each replica, as it kept them. One at least, however large."""

    async def forget(self, keys: Collection[str]) -> None:
        """They were forwarded."""

    async def set_aside(self, key: str, reason: str) -> None:
        """It cannot be forwarded: it stays, for somebody to look at, and holds nothing up."""

    async def backlog(self) -> Backlog:
        """What waits, those set aside included."""


class Clock(Protocol):
    """Business time."""

    def now(self) -> datetime: ...


class Identify(Protocol):
    """Turns what a request's head says of its sender into what it proves. Raises RefusedError with a `token_…` code.

    `authorizations`, `senders`: the headers Authorization and Dondoc-Sender; `peer`: the address at the other end.
    """

    def __call__(self, authorizations: Sequence[bytes], senders: Sequence[bytes], peer: str | None) -> Credential: ...
