"""What stands in a digest: the truth of an agency's tasks at 08:00, what is new in it, and what is gone from it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from services.notify.domain.alert import Alert, AlertKind, Standing, TaskState

LINES_MAX = 100
"""Of one section; the rest is counted and stands on the board."""


class Topic(StrEnum):
    """A section of a digest, in the order of urgency in which they are read."""

    OVERDUE = "overdue"
    DUE_SOON = "due_soon"
    ESCALATION = "escalation"
    RETRACTED = "overdue_retracted"
    RETURNED = "result_returned"
    REVIEW = "review_reminder"
    OBSTACLE = "obstacle"
    SUCCESSION = "succession"
    EXTENSION = "extension"
    ASSIGNED = "assigned"
    CONTRIBUTION = "contribution"
    CHANGED = "changed"
    ENDED = "ended"


TOPIC_OF = {
    AlertKind.OVERDUE: Topic.OVERDUE,
    AlertKind.DUE_SOON: Topic.DUE_SOON,
    AlertKind.ESCALATION: Topic.ESCALATION,
    AlertKind.OVERDUE_RETRACTED: Topic.RETRACTED,
    AlertKind.RESULT_RETURNED: Topic.RETURNED,
    AlertKind.REVIEW_REMINDER: Topic.REVIEW,
    AlertKind.OBSTACLE: Topic.OBSTACLE,
    AlertKind.SUCCESSION: Topic.SUCCESSION,
    AlertKind.EXTENSION_GRANTED: Topic.EXTENSION,
    AlertKind.EXTENSION_REFUSED: Topic.EXTENSION,
    AlertKind.ASSIGNED: Topic.ASSIGNED,
    AlertKind.CONTRIBUTION: Topic.CONTRIBUTION,
    AlertKind.CHANGED: Topic.CHANGED,
    AlertKind.ENDED: Topic.ENDED,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One task in a section."""

    task_id: str
    directive: str
    clause: str
    title: str
    agency: str
    last_day: date | None
    """The legal last day."""
    is_new: bool
    """Not in the last digest."""
    level: int = 0
    """How high it was escalated."""

    def days_late(self, today: date) -> int:
        """Calendar days after the last day; 0 before it."""
        return max(0, (today - self.last_day).days) if self.last_day is not None else 0


@dataclass(frozen=True, slots=True)
class Section:
    """The lines of one topic by directive: the most urgent directive first, in it the most urgent task first."""

    topic: Topic
    directives: tuple[tuple[str, tuple[Line, ...]], ...]
    unlisted: int
    """How many more there are."""

    @property
    def count(self) -> int:
        """All tasks of the section."""
        return self.unlisted + sum(len(lines) for _, lines in self.directives)


class Gone(StrEnum):
    """Why a task of the last digest is not in this one."""

    SUBMITTED = "submitted"
    COMPLETED = "completed"
    DEADLINE_MOVED = "deadline_moved"
    SUSPENDED = "suspended"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class GoneLine:
    """A task that was overdue or nearly due in the last digest, and is no more."""

    task_id: str
    directive: str
    clause: str
    title: str
    why: Gone


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A recipient that a message could not be brought to, for the standing agency to mend."""

    agency: str
    role: str
    channel: str
    cause: str
    messages: int


@dataclass(frozen=True, slots=True)
class Digest:
    """One message for one agency and working day."""

    day: date
    sections: tuple[Section, ...]
    gone: tuple[GoneLine, ...]
    folded: int
    """Alerts that would have been messages of their own, had there not been too many in an hour."""
    unreachable: tuple[Unreachable, ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)
    """Task id → topic of all that stands in it as overdue or nearly due, shown or counted: what the next one compares
    itself with."""

    @property
    def overdue(self) -> frozenset[str]:
        """The tasks that its reader hears are overdue."""
        return frozenset(one for one, topic in self.listed.items() if topic == Topic.OVERDUE)


@dataclass(frozen=True, slots=True)
class Summary:
    """The month in figures for the head of an agency, as of the instant it is written."""

    month: str
    """`2024-10`."""
    all: int
    completed: int
    submitted: int
    overdue: int
    due_soon: int
    others: int
    """Worked on and neither overdue nor nearly due, suspended ones included."""
    overdue_lines: Section | None


def digest(
    *,
    day: date,
    standing: Iterable[TaskState],
    alerts: Iterable[Alert],
    before: Mapping[str, str],
    states: Mapping[str, TaskState],
    is_silenced: Callable[[TaskState], bool] = lambda _: False,
    folded: int = 0,
    unreachable: Sequence[Unreachable] = (),
) -> Digest:
    """Put a digest together.

    `standing`: the agency's tasks that are overdue or nearly due now. `alerts`: what else it has to hear, still due.
    `before`: `Digest.listed` of its last digest. `states`: the newest of the tasks in `before` and `alerts`.
    `is_silenced`: whether an officer asked for quiet about a task, which then neither stands nor goes.
    """
    lines: dict[Topic, list[Line]] = {}
    shown: dict[str, Topic] = {}
    for task in standing:
        if is_silenced(task):
            continue
        topic = Topic.OVERDUE if task.standing is Standing.OVERDUE else Topic.DUE_SOON
        shown[task.task_id] = topic
        lines.setdefault(topic, []).append(line_of_task(task, is_new=before.get(task.task_id) != topic.value))
    for alert in _newest(alerts):
        topic = TOPIC_OF[alert.kind]
        # What stands is shown once, from the task itself: a reminder of what is overdue by now says less.
        if topic in {Topic.OVERDUE, Topic.DUE_SOON} and alert.task_id in shown:
            continue
        lines.setdefault(topic, []).append(line_of_alert(alert))
    gone = tuple(
        GoneLine(task_id, one.directive, one.clause, one.title, gone_why(one))
        for task_id in sorted(before)
        if task_id not in shown and (one := states.get(task_id)) is not None and not is_silenced(one)
    )
    sections = tuple(section(topic, lines[topic]) for topic in Topic if topic in lines)
    listed = {task_id: topic.value for task_id, topic in shown.items()}
    return Digest(day, sections, gone, folded, tuple(unreachable), listed)


def section(topic: Topic, lines: Sequence[Line]) -> Section:
    """Group by directive, the most urgent first, and keep what fits."""
    kept = sorted(lines, key=_urgency)[:LINES_MAX]
    directives: dict[str, list[Line]] = {}
    for line in kept:
        directives.setdefault(line.directive, []).append(line)
    return Section(topic, tuple((name, tuple(some)) for name, some in directives.items()), len(lines) - len(kept))


def gone_why(task: TaskState) -> Gone:
    """Say why a task is no longer overdue or nearly due."""
    match task.result:
        case "submitted":
            return Gone.SUBMITTED
        case "completed":
            return Gone.COMPLETED
        case "suspended":
            return Gone.SUSPENDED
        case "discontinued" | "transferred":
            return Gone.ENDED
    return Gone.DEADLINE_MOVED


def _newest(alerts: Iterable[Alert]) -> list[Alert]:
    """Of each task and topic the newest."""
    found: dict[tuple[str, Topic], Alert] = {}
    for alert in alerts:
        key = (alert.task_id, TOPIC_OF[alert.kind])
        if key not in found or found[key].seq < alert.seq:
            found[key] = alert
    return list(found.values())


def line_of_task(task: TaskState, *, is_new: bool) -> Line:
    """A task as it stands."""
    return Line(
        task.task_id, task.directive, task.clause, task.title, task.agency, task.last_day, is_new, task.escalation
    )


def line_of_alert(alert: Alert) -> Line:
    """A task as an alert has it."""
    return Line(
        alert.task_id,
        alert.directive,
        alert.clause,
        alert.title,
        alert.agency,
        alert.last_day,
        is_new=True,
        level=alert.level,
    )


def _urgency(line: Line) -> tuple[str, str]:
    return (line.last_day.isoformat() if line.last_day else "9999", line.task_id)
