"""What the handlers need from outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from services.notify.domain.alert import Alert, TaskState
from services.notify.domain.dedup import Heard
from services.notify.domain.grouping import Delivery, Group
from services.notify.domain.inhibit import Reason
from services.notify.domain.retrying import RetryTable
from services.notify.domain.routing import Recipient, Supervisors


@dataclass(frozen=True, slots=True)
class Decided:
    """An alert with what was decided on it."""

    alert: Alert
    partition: int
    """Of the tasks topic: who owns it sends and publishes."""
    reason: Reason
    recipients: tuple[Recipient, ...]
    decided_at: datetime

    @property
    def readers(self) -> frozenset[str]:
        """Whom it concerns: whose task it is about, and who hears it."""
        return frozenset({self.alert.agency, *(one.agency for one in self.recipients)})

    @property
    def notify(self) -> bool:
        """Whether somebody is to hear it."""
        return self.reason is Reason.DUE


@dataclass(frozen=True, slots=True)
class AgencyRecord:
    """An agency as the registry has it."""

    province: str
    code: str
    seq: int
    name: str
    role: str
    valid_to: date | None
    contact: str | None
    head_contact: str | None
    head_title: str | None


@dataclass(frozen=True, slots=True)
class Contact:
    """Where an agency is reached. Personal data: never logged, never on a topic of ours."""

    name: str
    mailbox: str | None
    head_mailbox: str | None
    head_title: str | None


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What became of a delivery, as people ask for it."""

    agency: str
    role: str
    channel: str
    state: str
    """`pending`, then `sent`, `failed` or `suppressed`."""
    cause: str
    attempts: int
    sent_at: datetime | None
    message_id: str | None


@dataclass(frozen=True, slots=True)
class AlertWithDeliveries:
    """An alert as people ask for it."""

    decided: Decided
    deliveries: tuple[DeliveryState, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one mailbox."""

    message_id: str
    to: str
    subject: str
    text: str
    html: str
    written_at: datetime
    kind: str = ""
    """`digest`, `summary`, or the kind of its alerts."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The same for machines, as JSON takes it: agency, role, day, and its alerts or sections. No addresses."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The channel took it."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Not now; try again."""

    cause: str
    after_seconds: float | None = None
    """What the other side asks for; without it, ever more slowly."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Never: the channel will not take it."""

    cause: str
    disables: bool = False
    """The address is gone for good: nothing more is sent there until somebody changes it."""


Sent = Delivered | RetryLater | Refused


class Channel(Protocol):
    """A way to reach people: one file in `channels/`, one entry in `app._channels`."""

    @property
    def retries(self) -> RetryTable:
        """When it tries again."""
        ...

    @property
    def is_optional(self) -> bool:
        """Whether an agency without an address here simply has none (webhook), or is unreachable (e-mail)."""
        ...

    def address(self, province: str, recipient: Recipient, contact: Contact | None) -> str | None:
        """Where a recipient is reached over it; None for nowhere."""
        ...

    async def __call__(self, message: Message) -> Sent:
        """Hand one message over. A repeat carries the same id."""
        ...


class Compose(Protocol):
    """Writes the message of a group. `contacts`: by agency code, of the recipients and of the tasks' agencies."""

    def __call__(self, group: Group, contacts: Mapping[str, Contact], *, now: datetime) -> Message: ...


class NotifyStore(Protocol):
    """What notify remembers. Instants given as float are real seconds since the epoch."""

    async def learn_tasks(self, states: Mapping[str, TaskState]) -> None:
        """Keep the newest state of tasks: a lower `seq` never replaces a higher one."""
        ...

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        """Newest known states."""
        ...

    async def learn_agencies(self, records: Sequence[AgencyRecord]) -> None:
        """Keep the newest record of agencies, by `seq`."""
        ...

    async def supervisors(self, province: str, on: date) -> Supervisors:
        """Who supervises in a province on a local day."""
        ...

    async def role(self, province: str, code: str, on: date) -> str | None:
        """What the registry says that an agency is on a local day; None for one that is not there, or no more."""
        ...

    async def contacts(self, province: str, codes: Collection[str]) -> Mapping[str, Contact]:
        """Where agencies are reached."""
        ...

    async def overdue_stories(self, task_ids: Collection[str]) -> Mapping[str, Sequence[Heard]]:
        """What became of the deliveries of each task's overdues, escalations and retractions."""
        ...

    async def record(
        self, decided: Sequence[Decided], *, channels: Collection[str], now: float, due: float
    ) -> Sequence[Decided]:
        """Keep alerts and, per recipient and channel, a delivery to be sent from `due` on; what exists stays as it
        is. Returns the new ones. Repeated after a crash, it completes what is missing."""
        ...

    async def unpublished(self, alert_ids: Collection[str]) -> Sequence[Decided]:
        """Those of these alerts that are not published yet, each task's in order."""
        ...

    async def leftovers(self, partitions: Collection[int], *, recorded_before: float) -> Sequence[Decided]:
        """A page of alerts that are still not published, each task's in order."""
        ...

    async def published(self, alert_ids: Collection[str]) -> None:
        """They are published."""
        ...

    async def pending(self, partitions: Collection[int], *, now: float, limit: int) -> Sequence[Delivery]:
        """Deliveries whose turn has come, with all that wait for the same message."""
        ...

    async def claim(self, deliveries: Sequence[Delivery], *, message_id: str, until: float) -> Sequence[Delivery]:
        """Say that they are about to go out as this message. Returns those that nobody else has taken meanwhile.

        Should nobody note an outcome, they come up again at `until`.
        """
        ...

    async def sent(self, deliveries: Sequence[Delivery], *, at: datetime) -> None:
        """They went out."""
        ...

    async def failed(self, deliveries: Sequence[Delivery], cause: str) -> None:
        """They will never go out over this channel."""
        ...

    async def suppressed(self, deliveries: Sequence[Delivery], reason: Reason) -> None:
        """Silenced just before sending."""
        ...

    async def postponed(self, deliveries: Sequence[Delivery], cause: str, *, until: float) -> None:
        """Try again later."""
        ...

    async def list_alerts(
        self, wanted: Mapping[str, str], *, after: str | None, limit: int, reader: str | None = None
    ) -> Sequence[AlertWithDeliveries]:
        """Alerts in order of id, after a cursor. Filters: province, agency, kind, task_id, outcome.

        `reader`: only alerts that concern this agency.
        """
        ...
