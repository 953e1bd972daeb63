"""The task: one agency's share of one obligation, for one period where it recurs. States derive from facts.

Values without slots: a change copies all fields in one step, and they are written as JSON in a third of the time.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal


class Result(StrEnum):
    """Where the work stands, as asserted and verified."""

    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    SUSPENDED = "suspended"
    DISCONTINUED = "discontinued"
    TRANSFERRED = "transferred"


class Schedule(StrEnum):
    """How the work stands in time, computed at an instant and never stored as truth."""

    NO_DEADLINE = "no_deadline"
    ON_TRACK = "on_track"
    DUE_SOON = "due_soon"
    OVERDUE = "overdue"
    ON_TIME = "on_time"
    LATE = "late"


class MilestoneKind(StrEnum):
    """What the passing of time does to a task."""

    DUE_SOON = "due_soon"
    OVERDUE = "overdue"
    ESCALATION = "escalation"
    REVIEW_REMINDER = "review_reminder"


STANDING = frozenset({MilestoneKind.OVERDUE, MilestoneKind.ESCALATION})
"""What stands until it is taken back, whatever becomes of the deadline; the others are passing words."""


CLOCK = "clock"
"""The actor of what no one sent: milestones, periods, a calendar that was replaced."""


@dataclass(frozen=True)
class Cause:
    """Which event made a fact, who sent it, when it was received (what counts) and when it was recorded."""

    event_id: str
    actor: str
    received_at: datetime
    recorded_at: datetime


@dataclass(frozen=True)
class Document:
    """A document as people cite it."""

    issued_on: date
    number: str | None = None
    issuer: str | None = None
    title: str | None = None


class GivenBy(StrEnum):
    """What gave a deadline its version."""

    DIRECTIVE = "directive"
    TRIGGER = "trigger"
    REFERENCE = "reference"
    EXTENSION = "extension"
    RESUMPTION = "resumption"
    CORRECTION = "correction"


@dataclass(frozen=True)
class Deadline:
    """One version of the deadline. The highest version is in force; the first stays for ever."""

    version: int
    nominal: date
    legal: date
    operational: date
    due_at: datetime
    policy: str
    citation: str
    document: Document | None
    cause: Cause
    given_by: GivenBy = GivenBy.DIRECTIVE


@dataclass(frozen=True)
class ResultEntry:
    """One result handed in, and the verdict on it."""

    number: int
    document: Document
    summary: str
    evidence_count: int
    delay_cause: str | None
    cause: Cause
    verdict: Literal["accepted", "returned"] | None = None
    verdict_note: str = ""
    verdict_cause: Cause | None = None
    delay_note: str = ""


@dataclass(frozen=True)
class Extension:
    """A request for more time and what became of it."""

    requested_last_day: date
    reason: str
    cause: Cause
    outcome: Literal["granted", "refused"] | None = None
    outcome_cause: Cause | None = None


@dataclass(frozen=True)
class Milestone:
    """A milestone that fired."""

    id: str
    kind: MilestoneKind
    level: int
    days_before: int
    deadline_version: int
    at: datetime
    fired_at: datetime
    retracted: Cause | None = None
    late_seconds: int = 0
    superseded_by: str | None = None
    """The later milestone of its kind that had been reached when this one was recorded."""


@dataclass(frozen=True)
class Obstacle:
    """Something in the way, and its stages."""

    obstacle_id: str
    description: str
    beyond_authority: bool
    cause: Cause
    answered: Cause | None = None
    forwarded_to: Literal["chairman", "committee"] | None = None
    forwarded: Cause | None = None
    cleared: Cause | None = None


@dataclass(frozen=True)
class Allocation:
    """Money given for the task by a decision."""

    allocation_id: str
    fiscal_year: int
    amount_vnd: int
    document: Document
    cause: Cause
    plan: Literal["assigned", "supplementary", "carried_over"] = "assigned"
    """Both denominators of a rate follow from it: the assigned plan, and everything."""


@dataclass(frozen=True)
class Disbursement:
    """Money paid out, cumulative, as of a day."""

    as_of: date
    cumulative_vnd: int
    cause: Cause


@dataclass(frozen=True)
class Progress:
    """The latest word on progress."""

    percent: int
    note: str
    cause: Cause


@dataclass(frozen=True)
class Suspension:
    """A time in which the deadline's clock stands still."""

    reason: str
    document: Document
    cause: Cause
    resumed: Cause | None = None
    resumed_document: Document | None = None

    def covers(self, instant: datetime) -> bool:
        """Whether the clock stood still at an instant."""
        return self.cause.received_at <= instant and (self.resumed is None or instant < self.resumed.received_at)


@dataclass(frozen=True)
class Contribution:
    """What a cooperating agency did for the task, and the lead's word on it."""

    number: int
    agency: str
    summary: str
    document: Document | None
    evidence_count: int
    cause: Cause
    verdict: Literal["accepted", "returned"] | None = None
    verdict_note: str = ""
    verdict_cause: Cause | None = None


@dataclass(frozen=True)
class Dependency:
    """Another clause of the directive whose result this task needs."""

    clause: str
    conflict: Literal["shared_deadline", "reversed_deadline"] | None = None


@dataclass(frozen=True)
class Succession:
    """The agency is no more, and who takes the task over is for a human to choose."""

    choices: tuple[str, ...]
    document: Document
    why: Literal["several_successors", "no_successor", "successor_has_its_own"]
    cause: Cause


@dataclass(frozen=True)
class End:
    """How the task ended without result."""

    how: Literal["discontinued", "transferred"]
    reason: str
    document: Document | None
    successor: str | None
    cause: Cause


def share_id(obligation_id: str, agency: str, period: str | None) -> str:
    """The id of an agency's share of an obligation: `{province}/{directive}/{clause}/{agency}[/{period}]`."""
    tail = f"/{period}" if period else ""
    return f"{obligation_id}/{agency}{tail}"


@dataclass(frozen=True)
class Task:
    """All that is known of a task. Every change makes a new value with a higher `seq`."""

    task_id: str
    province: str
    directive: str
    clause: str
    agency: str
    period: str | None
    title: str
    phrase: str
    category: str
    bases: tuple[str, ...]
    cooperating: tuple[str, ...]
    reviewer: str
    acceptance: Literal["reviewer", "automatic"]
    assigned: Cause
    seq: int = 0
    predecessor: str | None = None
    acknowledged: Cause | None = None
    progress: Progress | None = None
    deadlines: tuple[Deadline, ...] = ()
    results: tuple[ResultEntry, ...] = ()
    extensions: tuple[Extension, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    disbursements: tuple[Disbursement, ...] = ()
    ended: End | None = None
    dependencies: tuple[Dependency, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    succession: Succession | None = None

    def changed(self, **changes: Any) -> "Task":
        """`dataclasses.replace` in a quarter of its time, which was a tenth of the work on an event."""
        fields = self.__dict__
        assert fields.keys() >= changes.keys(), "no such field"
        new = object.__new__(Task)
        new.__dict__.update(fields, **changes)
        return new

    @property
    def obligation_id(self) -> str:
        """The obligation that it is a share of: `{province}/{directive}/{clause}`."""
        return f"{self.province}/{self.directive}/{self.clause}"

    @property
    def deadline(self) -> Deadline | None:
        """The deadline in force."""
        return self.deadlines[-1] if self.deadlines else None

    def deadline_behind(self, event_id: str) -> Deadline | None:
        """The deadline that a cause gave or that a milestone fired on; None where a fact rests on no deadline."""
        fired = next(
            (
                one.deadline_version
                for one in self.milestones
                # A reviewer is reminded by the days a result has waited, whatever the deadline.
                if one.id == event_id and one.kind is not MilestoneKind.REVIEW_REMINDER
            ),
            None,
        )
        return next(
            (one for one in self.deadlines if one.version == fired or one.cause.event_id == event_id),
            None,
        )

    @property
    def accepted_result(self) -> ResultEntry | None:
        """The result that completed the task."""
        return next((entry for entry in self.results if entry.verdict == "accepted"), None)

    @property
    def unjudged_result(self) -> ResultEntry | None:
        """The latest result, while nobody has judged it."""
        latest = self.results[-1] if self.results else None
        return latest if latest is not None and latest.verdict is None else None

    @property
    def times_extended(self) -> int:
        """How often the authority gave more time; a calendar that moved an extended day does not count."""
        return sum(one.given_by is GivenBy.EXTENSION and one.cause.actor != CLOCK for one in self.deadlines)

    @property
    def suspension(self) -> Suspension | None:
        """The suspension that lasts."""
        latest = self.suspensions[-1] if self.suspensions else None
        return latest if latest is not None and latest.resumed is None else None

    def clock_at(self, instant: datetime) -> datetime:
        """What the deadline's clock shows at an instant: it stands still while the task is suspended."""
        return next((one.cause.received_at for one in self.suspensions if one.covers(instant)), instant)

    @property
    def result(self) -> Result:
        """Derived from the facts, so that it cannot contradict them."""
        if self.ended is not None:
            return Result(self.ended.how)
        if self.accepted_result is not None:
            return Result.COMPLETED
        if self.suspension is not None:
            return Result.SUSPENDED
        if self.unjudged_result is not None:
            return Result.SUBMITTED
        if self.progress is not None or self.results:
            return Result.IN_PROGRESS
        return Result.ASSIGNED

    @property
    def is_open(self) -> bool:
        """Whether work on it can still be reported."""
        return self.ended is None and self.accepted_result is None
