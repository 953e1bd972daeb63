"""What the handlers need from outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.notify.domain.alert import Alert, TaskState
from services.notify.domain.grouping import Delivery, Group
from services.notify.domain.inhibit import Reason
from services.notify.domain.routing import Recipient, Supervisors


@dataclass(frozen=True, slots=True)
class Decided:
    """An alert with what was decided on it."""

    alert: Alert
    partition: int
    reason: Reason
    recipients: tuple[Recipient, ...]
    decided_at: datetime

    @property
    def notify(self) -> bool:
        """Whether somebody is to hear it."""
        return self.reason is Reason.DUE


@dataclass(frozen=True, slots=True)
class Contact:
    """Where an agency is reached. Personal data: never logged, never on a topic of ours."""

    name: str
    mailbox: str | None
    head_mailbox: str | None
    head_title: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one mailbox."""

    message_id: str
    to: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The channel took it."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Not now; try again."""

    cause: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Never: the channel will not take it."""

    cause: str


Sent = Delivered | RetryLater | Refused


class Channel(Protocol):
    """A way to reach people."""

    async def __call__(self, message: Message) -> Sent: ...


class Compose(Protocol):
    """Writes the message of a group."""

    def __call__(self, group: Group, contact: Contact, to: str, *, now: datetime) -> Message: ...


class NotifyStore(Protocol):
    """What notify remembers."""

    async def learn_tasks(self, states: Mapping[str, TaskState]) -> None:
        """Keep the newest state of tasks: a lower `seq` never replaces a higher one."""
        ...

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        """Newest known states."""
        ...

    async def learn_agencies(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep the newest record of agencies, by `seq`."""
        ...

    async def supervisors(self, province: str) -> Supervisors:
        """Who supervises in a province."""
        ...

    async def contacts(self, province: str, codes: Collection[str]) -> Mapping[str, Contact]:
        """Where agencies are reached."""
        ...

    async def told_of_overdue(self, task_ids: Collection[str]) -> Mapping[str, frozenset[Recipient]]:
        """Who was to hear of each task's overdue or escalations."""
        ...

    async def record(self, decided: Sequence[Decided]) -> None:
        """Keep alerts and their deliveries; what exists stays as it is."""
        ...

    async def unpublished(self, alert_ids: Collection[str] | None, partitions: Collection[int]) -> Sequence[Decided]:
        """Alerts not published yet: of these ids, or (None) of these partitions."""
        ...

    async def published(self, alert_ids: Sequence[str]) -> None:
        """They are published."""
        ...

    async def pending(self, partitions: Collection[int], *, now: float, limit: int) -> Sequence[Delivery]:
        """Deliveries whose turn has come (`now`: real seconds)."""
        ...

    async def sent(self, deliveries: Sequence[Delivery], *, message_id: str, at: datetime) -> None:
        """They went out."""
        ...

    async def failed(self, deliveries: Sequence[Delivery], cause: str) -> None:
        """They will never go out over this channel."""
        ...

    async def suppressed(self, delivery: Delivery, reason: Reason) -> None:
        """Silenced just before sending."""
        ...

    async def postponed(self, deliveries: Sequence[Delivery], cause: str, *, until: float) -> None:
        """Try again at a real instant."""
        ...
