"""What the handlers need from outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from services.notify.domain.alert import Alert, TaskState
from services.notify.domain.dedup import Heard
from services.notify.domain.digest import Digest, Summary, Unreachable
from services.notify.domain.dispatch import Delivery, Desk, Dispatch
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Step
from services.notify.domain.registry import AgencyRecord, Registry
from services.notify.domain.retrying import RetryTable
from services.notify.domain.routing import Recipient, Role
from services.notify.domain.silences import Silence


@dataclass(frozen=True, slots=True)
class Decided:
    """An alert with what was decided on it."""

    alert: Alert
    partition: int
    """Of the tasks topic: who owns it publishes."""
    reason: Reason
    recipients: tuple[Recipient, ...]
    decided_at: datetime
    steps: tuple[Step, ...] = ()

    @property
    def readers(self) -> frozenset[str]:
        """Whom it concerns: whose task it is about, and who hears it."""
        return frozenset({self.alert.agency, *(one.agency for one in self.recipients)})

    @property
    def notify(self) -> bool:
        """Whether somebody is to hear it."""
        return self.reason is Reason.DUE


@dataclass(frozen=True, slots=True)
class Wanted:
    """A delivery to be kept."""

    delivery: Delivery
    decided_at: datetime
    not_before: datetime
    silence_id: str
    """What holds it back until then, or nothing."""


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

    delivery_id: str
    agency: str
    role: str
    channel: str
    state: str
    """`pending`, then `sent`, `failed` or `suppressed`."""
    cause: str
    attempts: int
    not_before: datetime
    sent_at: datetime | None
    message_id: str | None
    steps: tuple[Step, ...]
    """What the stages after the decision said, oldest first; the last ones where there were many."""


@dataclass(frozen=True, slots=True)
class AlertWithDeliveries:
    """An alert as people ask for it."""

    decided: Decided
    deliveries: tuple[DeliveryState, ...]

    @property
    def state(self) -> str:
        """Where it stands: `silent`, `pending`, `sent`, `failed` or `suppressed`; failed where one recipient was."""
        if not self.decided.notify:
            return "silent"
        states = {one.state for one in self.deliveries}
        return next((one for one in ("pending", "failed", "sent", "suppressed") if one in states), "pending")


@dataclass(frozen=True, slots=True)
class Counts:
    """An agency's tasks by where they stand."""

    all: int
    completed: int
    submitted: int
    overdue: int
    due_soon: int


@dataclass(frozen=True, slots=True)
class Letter:
    """What every message has on its envelope."""

    message_id: str
    to: str
    province: str
    agency: str
    """Code of the agency that reads it."""
    agency_name: str
    role: Role
    head_title: str | None
    """Only where the head in person is addressed."""
    names: Mapping[str, str]
    """Agency code → name, for what is told about others."""


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
    """Writes messages, in official Vietnamese."""

    def alerts(self, letter: Letter, alerts: Sequence[Alert], *, now: datetime) -> Message: ...

    def digest(self, letter: Letter, digest: Digest, *, now: datetime) -> Message: ...

    def summary(self, letter: Letter, summary: Summary, *, now: datetime) -> Message: ...


class NotifyStore(Protocol):
    """What notify remembers. Floats are real seconds since the epoch, datetimes are business time."""

    # -- what is known ---------------------------------------------------------------------------------------------

    async def learn_tasks(self, states: Mapping[str, TaskState]) -> None:
        """Keep the newest state of tasks: a lower `seq` never replaces a higher one."""
        ...

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        """Newest known states."""
        ...

    async def standing(self, province: str, agency: str) -> Sequence[TaskState]:
        """An agency's tasks that are overdue or nearly due."""
        ...

    async def counts(self, province: str, agency: str) -> Counts:
        """An agency's tasks, those left aside that it has passed on or that were ended."""
        ...

    async def learn_agencies(self, records: Sequence[AgencyRecord]) -> None:
        """Keep the newest record of agencies, by `seq`."""
        ...

    async def registry(self, province: str) -> Registry:
        """The agencies of a province."""
        ...

    async def provinces(self) -> Sequence[str]:
        """The provinces that have agencies."""
        ...

    async def overdue_stories(self, task_ids: Collection[str]) -> Mapping[str, Sequence[Heard]]:
        """What became of the deliveries of each task's overdues, escalations and retractions."""
        ...

    # -- alerts ----------------------------------------------------------------------------------------------------

    async def record(self, decided: Sequence[Decided], wanted: Sequence[Wanted], *, now: float) -> Sequence[Decided]:
        """Keep alerts and their deliveries; what exists stays as it is. Returns the new alerts.

        Deliveries first: where a crash comes between, the repeat finds them, and they are looked at again anyway.
        """
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

    # -- deliveries that wait --------------------------------------------------------------------------------------

    async def waiting(self, slots: Collection[int], *, now: datetime) -> Sequence[str]:
        """What waits together (`waits_with`) and has a delivery whose time has come."""
        ...

    async def together(self, waits: str, *, now: datetime, limit: int) -> Sequence[Delivery]:
        """The deliveries whose time has come of what waits together, the oldest first."""
        ...

    async def waiting_of(self, task_ids: Collection[str]) -> Sequence[Delivery]:
        """Deliveries about tasks that are in no message yet, whenever their time comes."""
        ...

    async def hold(self, deliveries: Sequence[Delivery], step: Step, *, until: datetime, silence_id: str = "") -> None:
        """They wait on."""
        ...

    async def suppress(self, deliveries: Sequence[Delivery], step: Step) -> None:
        """Silenced for good. What was in a try of its message may have been heard all the same."""
        ...

    async def fail(self, deliveries: Sequence[Delivery], step: Step) -> None:
        """They will never go out over this channel."""
        ...

    async def move(self, deliveries: Sequence[Delivery], step: Step, *, not_before: datetime) -> None:
        """They wait elsewhere from now on: `lane`, `waits`, `slot` and `is_folded` as they are given here."""
        ...

    # -- dispatches ------------------------------------------------------------------------------------------------

    async def open(self, dispatch: Dispatch) -> bool:
        """Begin a message. False where it exists and has left the forming; an unfinished one may be begun again."""
        ...

    async def was_empty(self, dispatch_id: str) -> bool:
        """Whether a message has ended with nothing to say."""
        ...

    async def attach(self, dispatch: Dispatch, deliveries: Sequence[Delivery], step: Step, *, now: float) -> None:
        """Put deliveries in that are in no message yet."""
        ...

    async def ready(self, dispatch: Dispatch) -> bool:
        """It may go out. False where it has ended already: then `release` what was put in."""
        ...

    async def release(self, dispatch_id: str) -> int:
        """What is in a message that has ended without having been in a try of it waits again. Returns how many."""
        ...

    async def stranded(self, slots: Collection[int], *, attached_before: float, limit: int) -> Sequence[str]:
        """Ids of ended messages that still hold deliveries, which a crash left there."""
        ...

    async def drop(self, dispatch: Dispatch) -> None:
        """Forget a message that is still forming and holds nothing."""
        ...

    async def without_channel(self, slots: Collection[int], channels: Collection[str]) -> Sequence[Dispatch]:
        """Open messages over channels that are none of these any more."""
        ...

    async def unready(self, slots: Collection[int], *, formed_before: float) -> Sequence[Dispatch]:
        """What a crash left half formed."""
        ...

    async def formed_since(self, desk: Desk, channel: str, since: datetime) -> int:
        """How many messages of their own a desk was sent since an instant: no digests, no summaries."""
        ...

    async def due(
        self, slots: Collection[int], channel: str, *, now: float, at: datetime, busy: Collection[str], limit: int
    ) -> Sequence[Dispatch]:
        """Messages to be sent now, the oldest of each desk (`Desk.key`) that is not busy, the oldest first."""
        ...

    async def claim(self, dispatch: Dispatch, *, until: float) -> Dispatch | None:
        """Say that it is about to go out. None where somebody else has taken it meanwhile.

        Should nobody note an outcome, it comes up again at `until`.
        """
        ...

    async def deliveries_of(self, dispatch_id: str) -> Sequence[Delivery]:
        """What a message is about, without what was suppressed meanwhile."""
        ...

    async def tried(self, dispatch: Dispatch, deliveries: Sequence[Delivery]) -> None:
        """They are in a try of their message that is about to be made: from now on they may have been heard."""
        ...

    async def heard(self, tasks: Mapping[str, int], recipient: Recipient, *, at: datetime) -> None:
        """A recipient hears, in a list, that these tasks (id → newest `seq`) are overdue, whatever became of alerts."""
        ...

    async def put_back(
        self, deliveries: Sequence[Delivery], step: Step, *, until: datetime, silence_id: str = ""
    ) -> None:
        """Take out of their message what was in no try of it; it waits again."""
        ...

    async def listed_before(self, desk: Desk, channel: str, day: date) -> Mapping[str, str]:
        """`Digest.listed` of the last digest before a day that had any news."""
        ...

    async def sent(self, dispatch: Dispatch, *, at: datetime, listed: Mapping[str, str] | None = None) -> None:
        """It went out, and so did the deliveries that were in the try; others wait again."""
        ...

    async def failed(self, dispatch: Dispatch, cause: str, *, at: datetime, was_refused: bool = False) -> None:
        """It will never go out. `was_refused`: in so many words, so that this try, at least, told nobody."""
        ...

    async def empty(self, dispatch: Dispatch) -> None:
        """Nothing was left to be said; what came in since waits again."""
        ...

    async def postponed(
        self, dispatch: Dispatch, cause: str, *, until: float, not_before: datetime | None = None
    ) -> None:
        """Try again later."""
        ...

    async def unsettled(self, slots: Collection[int]) -> int:
        """Finish what a crash left half noted. Returns how many messages."""
        ...

    async def pending_count(self, slots: Collection[int]) -> int:
        """Messages that wait for their turn or for a channel."""
        ...

    # -- who cannot be reached ---------------------------------------------------------------------------------------

    async def disable(self, channel: str, address: str, cause: str, *, at: datetime) -> None:
        """Send nothing more to an address."""
        ...

    async def disabled(self, channel: str, address: str) -> str | None:
        """Why nothing is sent there any more."""
        ...

    async def note_unreachable(self, desk: Desk, role: str, channel: str, cause: str, *, at: datetime) -> None:
        """One more message could not be brought there."""
        ...

    async def reached(self, desk: Desk, channel: str) -> None:
        """It was reached again, in whatever role."""
        ...

    async def unreachable(self, province: str) -> tuple[Sequence[Unreachable], datetime | None]:
        """Who cannot be reached, and since when there is news of it for the standing agency; None for no news."""
        ...

    async def told_unreachable(self, province: str, *, up_to: datetime) -> None:
        """The standing agency knows what was news up to an instant."""
        ...

    # -- what officers ask for -----------------------------------------------------------------------------------------

    async def add_silence(self, silence: Silence) -> Silence:
        """Keep a silence; one with that id stays as it is. Returns what is kept."""
        ...

    async def silences(self, province: str, *, active_at: datetime | None = None) -> Sequence[Silence]:
        """The silences of a province, the newest first."""
        ...

    async def end_silence(self, province: str, silence_id: str, *, at: datetime, digest: datetime) -> Silence | None:
        """End a silence now; what it held back may go, with the digest at `digest` where it belongs into one.

        None for one that is not there.
        """
        ...

    async def deliveries_about(self, alert_id: str) -> Sequence[Delivery]:
        """An alert's deliveries that were sent or have failed."""
        ...

    async def resend(self, deliveries: Sequence[Delivery], step: Step, *, at: datetime) -> int:
        """Put them up again, with `waits`, `slot` and `resent` as given. Returns how many were not up already."""
        ...

    async def find_alert(self, alert_id: str) -> AlertWithDeliveries | None:
        """One alert."""
        ...

    async def list_alerts(
        self, wanted: Mapping[str, str], *, after: str | None, limit: int, reader: str | None = None
    ) -> Sequence[AlertWithDeliveries]:
        """Alerts in order of id, after a cursor. Filters: province, agency, kind, task_id, directive, outcome.

        `reader`: only alerts that concern this agency.
        """
        ...

    async def purge(self, *, older_than: datetime, agencies_ended_before: date) -> Mapping[str, int]:
        """Forget alerts, deliveries and messages that are old, and how agencies were reached that ended long ago."""
        ...
