"""An alert: what somebody must hear about one fact, and how urgent it is."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class AlertKind(StrEnum):
    """What an alert is about."""

    ASSIGNED = "assigned"
    DUE_SOON = "due_soon"
    OVERDUE = "overdue"
    OVERDUE_RETRACTED = "overdue_retracted"
    ESCALATION = "escalation"
    REVIEW_REMINDER = "review_reminder"
    RESULT_RETURNED = "result_returned"
    EXTENSION_GRANTED = "extension_granted"
    EXTENSION_REFUSED = "extension_refused"
    OBSTACLE = "obstacle"
    CHANGED = "changed"
    CONTRIBUTION = "contribution"
    SUCCESSION = "succession"
    ENDED = "ended"


KIND_OF_FACT: dict[str, AlertKind] = {
    "assigned": AlertKind.ASSIGNED,
    "due_soon": AlertKind.DUE_SOON,
    "overdue": AlertKind.OVERDUE,
    "overdue_retracted": AlertKind.OVERDUE_RETRACTED,
    "escalated": AlertKind.ESCALATION,
    "review_due": AlertKind.REVIEW_REMINDER,
    "returned": AlertKind.RESULT_RETURNED,
    "extended": AlertKind.EXTENSION_GRANTED,
    "extension_refused": AlertKind.EXTENSION_REFUSED,
    "obstacle_raised": AlertKind.OBSTACLE,
    "obstacle_forwarded": AlertKind.OBSTACLE,
    "dated": AlertKind.CHANGED,
    "corrected": AlertKind.CHANGED,
    "suspended": AlertKind.CHANGED,
    "resumed": AlertKind.CHANGED,
    "contribution_received": AlertKind.CONTRIBUTION,
    "contribution_judged": AlertKind.CONTRIBUTION,
    "succession_due": AlertKind.SUCCESSION,
    "cancelled": AlertKind.ENDED,
    "transferred": AlertKind.ENDED,
}
"""Facts that are not here alert nobody: they are what the agency itself has just done, or quiet (a new calendar)."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One fact that may alert somebody."""

    alert_id: str
    """`{task_id}:{seq}`: the fact's id, so a fact that is told twice alerts once."""
    kind: AlertKind
    level: int
    province: str
    task_id: str
    seq: int
    directive: str
    clause: str
    agency: str
    reviewer: str
    title: str
    last_day: date | None
    """The legal last day in force."""
    deadline_version: int
    forwarded: bool
    """An obstacle that goes to the chairman's office."""
    received_at: datetime
    superseded: bool = False
    """A milestone that was recorded when a later one of its kind had been reached, as after an outage."""
    contributor: str = ""
    """The cooperating agency whose contribution was judged, which is who hears of it."""
    continues: bool = False
    """Its task is a period of a recurring obligation, or was another agency's: that it opens is no new directive."""
    cooperating: tuple[str, ...] = ()
    """Who cooperates in the task, where the policy lets them hear of it."""


class Standing(StrEnum):
    """How an open task stands in a digest."""

    OVERDUE = "overdue"
    DUE_SOON = "due_soon"


_WORKED_ON = frozenset({"assigned", "in_progress"})


@dataclass(frozen=True, slots=True)
class TaskState:
    """The newest that is known of a task when a decision is made."""

    seq: int
    result: str
    deadline_version: int
    overdue_since: int
    """The deadline version on which an overdue stands, not taken back; 0 where none does."""
    given_on: int = 0
    """The deadline version that the directive, an extension or the like gave; later ones came from a calendar."""
    reminded_on: int = 0
    """The deadline version on which a reminder has fired; 0 where none has."""
    escalation: int = 0
    """The highest level that was escalated to and not taken back."""
    task_id: str = ""
    province: str = ""
    agency: str = ""
    directive: str = ""
    clause: str = ""
    title: str = ""
    last_day: date | None = None
    """The legal last day in force."""

    @property
    def is_worked_on(self) -> bool:
        """Whether the agency still has to hand a result in."""
        return self.result in _WORKED_ON

    @property
    def standing(self) -> Standing | None:
        """Whether it belongs into its agency's digest, and as what."""
        if not self.is_worked_on:
            return None
        if self.overdue_since:
            return Standing.OVERDUE
        return Standing.DUE_SOON if 0 < self.reminded_on == self.deadline_version else None
