"""What a decision is: facts, reasons, and the task they leave. Whatever decides on a task answers in these words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.domain.task import Cause, Task
from shared.workdays.calendar import WorkingCalendar

ENTRIES_MAX = 300
"""Of each kind in one task. A task is one document of at most 16 MB, and people read it."""


class FactKind(StrEnum):
    """What happened to a task; becomes the event type."""

    ASSIGNED = "assigned"
    ACKNOWLEDGED = "acknowledged"
    PROGRESSED = "progressed"
    RESULT_RECEIVED = "result_received"
    COMPLETED = "completed"
    RETURNED = "returned"
    DUE_SOON = "due_soon"
    OVERDUE = "overdue"
    OVERDUE_RETRACTED = "overdue_retracted"
    ESCALATED = "escalated"
    REVIEW_DUE = "review_due"
    EXTENSION_REQUESTED = "extension_requested"
    EXTENDED = "extended"
    EXTENSION_REFUSED = "extension_refused"
    DATED = "dated"
    CORRECTED = "corrected"
    RESCHEDULED = "rescheduled"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    TRANSFERRED = "transferred"
    SUCCESSION_DUE = "succession_due"
    CONTRIBUTION_RECEIVED = "contribution_received"
    CONTRIBUTION_JUDGED = "contribution_judged"
    ALLOCATED = "allocated"
    DISBURSED = "disbursed"
    OBSTACLE_RAISED = "obstacle_raised"
    OBSTACLE_ANSWERED = "obstacle_answered"
    OBSTACLE_FORWARDED = "obstacle_forwarded"
    OBSTACLE_CLEARED = "obstacle_cleared"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Why a decision came out as it did."""

    APPLIED = "applied"
    ALREADY_SO = "already_so"
    MILESTONE_REACHED = "milestone_reached"
    ACCEPTED_AUTOMATICALLY = "accepted_automatically"
    RESULT_WAS_IN_TIME = "result_was_in_time"
    EXTENSION_GRANTED = "extension_granted"
    WAS_SUSPENDED = "was_suspended"
    SUSPENDED_TIME_NOT_COUNTED = "suspended_time_not_counted"
    LAST_DAY_NAMED = "last_day_named"
    DEADLINE_CORRECTED = "deadline_corrected"
    CALENDAR_CHANGED = "calendar_changed"
    DIRECTIVE_CORRECTED = "directive_corrected"
    CLAUSE_WITHDRAWN = "clause_withdrawn"
    NO_LONGER_NAMED = "no_longer_named"
    PERIOD_SUSPENDED = "period_suspended"
    AGENCY_REORGANISED = "agency_reorganised"
    REVIEWER_REORGANISED = "reviewer_reorganised"
    # rejections
    NOT_YOURS = "not_yours"
    NOT_THE_REVIEWER = "not_the_reviewer"
    TASK_ENDED = "task_ended"
    TASK_COMPLETED = "task_completed"
    NOTHING_TO_JUDGE = "nothing_to_judge"
    NO_DEADLINE_TO_EXTEND = "no_deadline_to_extend"
    EXTENSION_NOT_LATER = "extension_not_later"
    NO_EXTENSION_REQUESTED = "no_extension_requested"
    OBSTACLE_EXISTS = "obstacle_exists"
    UNKNOWN_OBSTACLE = "unknown_obstacle"
    AS_OF_IN_FUTURE = "as_of_in_future"
    SAME_AGENCY = "same_agency"
    SHARE_ENDED = "share_ended"
    NOT_COOPERATING = "not_cooperating"
    NO_CONTRIBUTION = "no_contribution"
    ALREADY_SUSPENDED = "already_suspended"
    NOT_SUSPENDED = "not_suspended"
    LAST_DAY_IN_PAST = "last_day_in_past"
    NO_DEADLINE_TO_MOVE = "no_deadline_to_move"
    UNKNOWN_AGENCY = "unknown_agency"
    TOO_MANY_ENTRIES = "too_many_entries"


EXPLANATIONS: dict[Reason, str] = {
    Reason.NOT_YOURS: "The task belongs to another agency. Send events for your own tasks only.",
    Reason.NOT_THE_REVIEWER: "Only the task's reviewer judges its results.",
    Reason.TASK_ENDED: "The task has ended (discontinued or transferred); nothing more can be reported on it.",
    Reason.TASK_COMPLETED: "The task is completed; its result was accepted.",
    Reason.NOTHING_TO_JUDGE: "No result awaits a verdict. Wait for the agency's result, then judge it.",
    Reason.NO_DEADLINE_TO_EXTEND: "The task has no deadline, so there is nothing to extend.",
    Reason.EXTENSION_NOT_LATER: "The new last day is not after the one in force. Send a later day.",
    Reason.NO_EXTENSION_REQUESTED: "No extension request is open.",
    Reason.OBSTACLE_EXISTS: "An obstacle with this id exists. Choose another obstacle_id.",
    Reason.UNKNOWN_OBSTACLE: "The task has no obstacle with this id.",
    Reason.AS_OF_IN_FUTURE: "as_of lies after the day of receipt. Report what has been paid, not what will be.",
    Reason.NOT_COOPERATING: "The obligation does not name your agency as cooperating. Its lead reports results.",
    Reason.NO_CONTRIBUTION: "No contribution of that agency awaits a word.",
    Reason.ALREADY_SUSPENDED: "The task is suspended already.",
    Reason.NOT_SUSPENDED: "The task is not suspended, so there is nothing to resume.",
    Reason.LAST_DAY_IN_PAST: "The last day lies before the day of receipt. Send the day on which work is due again.",
    Reason.NO_DEADLINE_TO_MOVE: "The task has no deadline; leave last_day out, or give it one with obligation.dated.",
    Reason.SAME_AGENCY: "The task already belongs to that agency.",
    Reason.SHARE_ENDED: "That agency's own share has ended; nobody would go on with this one. Choose another agency.",
    Reason.UNKNOWN_AGENCY: "No agency with this code is registered. Register it first (agency.registered).",
    Reason.TOO_MANY_ENTRIES: f"A task keeps at most {ENTRIES_MAX} entries of a kind.",
}


class Fact(NamedTuple):
    """One change: what, why, by which cause, from what to what, and the task just after it."""

    kind: FactKind
    reason: Reason
    cause: Cause
    previous: str
    new: str
    task: Task


class Decision(NamedTuple):
    """The task as it is now, what is to be told, and whether the command was taken."""

    task: Task
    facts: tuple[Fact, ...]
    reason: Reason

    @property
    def rejected(self) -> bool:
        """Whether the command had no effect because of a rule."""
        return self.reason in EXPLANATIONS


@dataclass(frozen=True, slots=True)
class Rules:
    """What a province decides about time: its calendar and its milestones."""

    calendar: WorkingCalendar
    milestones: MilestonePolicy

    @property
    def version(self) -> str:
        """Grows with every change of either; tasks remember by which version their dates stand."""
        return f"{self.calendar.version} {self.milestones.version}"


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules of each province; most have the common ones."""

    common: Rules
    provinces: Mapping[str, Rules] = field(default_factory=dict)

    def of(self, province: str) -> Rules:
        """The rules of a province."""
        return self.provinces.get(province, self.common)


def changed(
    task: Task, kind: FactKind, reason: Reason, cause: Cause, *, previous: str, new: str, **changes: Any
) -> Decision:
    """The decision that one change makes."""
    task = task.changed(seq=task.seq + 1, **changes)
    return Decision(task, (Fact(kind, reason, cause, previous, new, task),), reason)


def preceded(passed: Decision, decision: Decision) -> Decision:
    """A decision on what time had left, with what time did before it."""
    return Decision(decision.task, passed.facts + decision.facts, decision.reason)


def rejected(task: Task, reason: Reason, cause: Cause) -> Decision:
    """Nothing changes but the number of facts: the rejection itself is one."""
    return changed(task, FactKind.REJECTED, reason, cause, previous=task.result, new=task.result)


def then(decision: Decision, step: Decision) -> Decision:
    """Two steps as one decision, with the first one's reason."""
    return Decision(step.task, decision.facts + step.facts, decision.reason)
