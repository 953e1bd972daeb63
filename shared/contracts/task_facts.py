"""What `tasks` publishes on `dondoc.tasks.v1`: one event per change, each with the whole task."""

from datetime import date
from enum import StrEnum
from typing import Literal

from shared.contracts.agency_events import DelayCause
from shared.contracts.authority_events import Category
from shared.contracts.identifiers import AgencyCode, ClauseId, DirectiveSlug, PeriodId, ProvinceCode, TaskId
from shared.contracts.model import Document, Instant, Part


class Result(StrEnum):
    """Where the work stands, as asserted and verified. The schedule is computed, never stored."""

    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    SUSPENDED = "suspended"
    DISCONTINUED = "discontinued"
    TRANSFERRED = "transferred"


class Cause(Part):
    """Which event made a fact, who sent it, when it was received and when it was recorded."""

    event_id: str
    """`{source}#{id}` of the submission, or the milestone's id."""
    actor: str
    """Agency code, or `clock`."""
    received_at: Instant
    recorded_at: Instant


class DeadlineVersion(Part):
    """One version of the deadline; the highest version is in force, the first is the original for ever."""

    version: int
    nominal: date
    """What the document says (trước ngày 20 → the 19th)."""
    legal: date
    """After rolling forward, where the policy says so; lateness is judged on it."""
    operational: date
    """Moved back to the last working day; what reminders aim at."""
    due_at: Instant
    """The instant the legal day ends."""
    policy: str
    citation: str
    document: Document | None
    """The document that gave this version; None for the directive's own."""
    cause: Cause
    given_by: Literal["directive", "trigger", "reference", "extension", "resumption", "correction"] = "directive"
    """What named this version's day. A version that a changed calendar made keeps it; its cause is the calendar."""


class ResultRecord(Part):
    """One result handed in, and the verdict on it."""

    number: int
    document: Document
    summary: str
    evidence_count: int
    delay_cause: DelayCause | None
    delay_note: str = ""
    cause: Cause
    verdict: Literal["accepted", "returned"] | None
    verdict_note: str
    verdict_cause: Cause | None


class ExtensionRecord(Part):
    """One request for an extension and what became of it."""

    requested_last_day: date
    reason: str
    cause: Cause
    outcome: Literal["granted", "refused"] | None
    outcome_cause: Cause | None


class MilestoneKind(StrEnum):
    """What the passing of time does to a task."""

    DUE_SOON = "due_soon"
    OVERDUE = "overdue"
    ESCALATION = "escalation"
    REVIEW_REMINDER = "review_reminder"


class MilestoneRecord(Part):
    """A milestone that fired. `retracted`: it was taken back, by an older result or by an extension."""

    id: str
    kind: MilestoneKind
    level: int
    """Escalation: 1 head of agency, 2 standing agency, 3 chairman. Otherwise 0."""
    days_before: int
    """Reminders: working days before the operational date. Otherwise 0."""
    deadline_version: int
    at: Instant
    """When it was due to fire."""
    fired_at: Instant
    retracted: Cause | None
    late_seconds: int = 0
    """How long after `at` it was recorded, in whole seconds; what an outage costs."""
    superseded_by: str | None = None
    """The later milestone of its kind that had been reached when this one was recorded: only that one needs a word."""


class ObstacleRecord(Part):
    """An obstacle and its stages."""

    obstacle_id: str
    description: str
    beyond_authority: bool
    cause: Cause
    answered: Cause | None
    forwarded_to: Literal["chairman", "committee"] | None
    forwarded: Cause | None
    cleared: Cause | None


class AllocationRecord(Part):
    """Money given for the task."""

    allocation_id: str
    fiscal_year: int
    amount_vnd: int
    document: Document
    cause: Cause
    plan: Literal["assigned", "supplementary", "carried_over"] = "assigned"


class DisbursementRecord(Part):
    """Money paid out, cumulative, as of a day."""

    as_of: date
    cumulative_vnd: int
    cause: Cause


class ProgressRecord(Part):
    """The latest word on progress."""

    percent: int
    note: str
    cause: Cause


class SuspensionRecord(Part):
    """A time in which the deadline's clock stands still."""

    reason: str
    document: Document
    cause: Cause
    resumed: Cause | None
    resumed_document: Document | None


class ContributionRecord(Part):
    """What a cooperating agency did, and the lead's word on it."""

    number: int
    agency: AgencyCode
    summary: str
    document: Document | None
    evidence_count: int
    cause: Cause
    verdict: Literal["accepted", "returned"] | None
    verdict_note: str
    verdict_cause: Cause | None


class DependencyRecord(Part):
    """Another clause of the directive whose result this task needs."""

    clause: ClauseId
    conflict: Literal["shared_deadline", "reversed_deadline"] | None
    """Both are due the same day, or the other one later: the directive leaves no time in between."""


class SuccessionRecord(Part):
    """The agency is no more and its successor is not plain: a human chooses (`task.reassigned`)."""

    choices: tuple[AgencyCode, ...]
    document: Document
    why: Literal["several_successors", "no_successor", "successor_has_its_own"]
    cause: Cause


class EndRecord(Part):
    """How a task ended without result."""

    how: Literal["discontinued", "transferred"]
    reason: str
    document: Document | None
    successor: TaskId | None
    cause: Cause


class TaskSnapshot(Part):
    """The whole task: a consumer needs no other source and can judge it as of any instant."""

    task_id: TaskId
    seq: int
    province: ProvinceCode
    directive: DirectiveSlug
    clause: ClauseId
    agency: AgencyCode
    period: PeriodId | None
    title: str
    phrase: str
    category: Category
    bases: tuple[str, ...]
    cooperating: tuple[AgencyCode, ...]
    reviewer: AgencyCode
    acceptance: Literal["reviewer", "automatic"]
    result: Result
    assigned: Cause
    predecessor: TaskId | None
    acknowledged: Cause | None
    progress: ProgressRecord | None
    deadlines: tuple[DeadlineVersion, ...]
    results: tuple[ResultRecord, ...]
    extensions: tuple[ExtensionRecord, ...]
    milestones: tuple[MilestoneRecord, ...]
    obstacles: tuple[ObstacleRecord, ...]
    allocations: tuple[AllocationRecord, ...]
    disbursements: tuple[DisbursementRecord, ...]
    ended: EndRecord | None
    dependencies: tuple[DependencyRecord, ...] = ()
    suspensions: tuple[SuspensionRecord, ...] = ()
    contributions: tuple[ContributionRecord, ...] = ()
    succession: SuccessionRecord | None = None
    """Set while the task waits for a human to choose its new agency."""


class Change(Part):
    """What this event changed, and why."""

    reason: str
    """An enum value of the deciding service, e.g. `result_received`, `milestone_reached`."""
    cause: Cause
    previous: str
    new: str
    """Previous and new value in short: a result state, a last day, a milestone id."""


class TaskChanged(Part):
    """Data of every `dondoc.task.*` event on `dondoc.tasks.v1`. Drop what you have seen by (`task_id`, `seq`)."""

    task_id: TaskId
    seq: int
    change: Change
    task: TaskSnapshot


class SubmissionRejected(Part):
    """Data of `dondoc.submission.rejected.v1`: why a submission had no effect, and what to do."""

    submission_source: str
    submission_id: str
    submission_type: str
    agency: AgencyCode
    received_at: Instant
    reason: str
    detail: str
    task_id: TaskId | None
    seq: int | None
    task: TaskSnapshot | None
    """The task as it stands, where there is one."""
