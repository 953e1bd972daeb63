"""The rules: decide(task, command, …) and advance(task, now=…). Pure; each decision says why."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from services.tasks.domain import milestones as due
from services.tasks.domain.calendar import WorkingCalendar, local_day
from services.tasks.domain.commands import (
    AGENCY_COMMANDS,
    AcceptResult,
    Acknowledge,
    Allocate,
    AnswerObstacle,
    Cancel,
    ClearObstacle,
    Command,
    ForwardObstacle,
    GrantExtension,
    RaiseObstacle,
    Reassign,
    RefuseExtension,
    ReportDisbursement,
    ReportProgress,
    RequestExtension,
    ReturnResult,
    SubmitResult,
)
from services.tasks.domain.deadlines import POLICIES, Boundary, deadline
from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.domain.task import (
    Allocation,
    Cause,
    Disbursement,
    End,
    Extension,
    MilestoneKind,
    Obstacle,
    Progress,
    Result,
    ResultEntry,
    Task,
)

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
    CANCELLED = "cancelled"
    TRANSFERRED = "transferred"
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
    Reason.SAME_AGENCY: "The task already belongs to that agency.",
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


def assign(task: Task) -> Decision:
    """The first fact of a task."""
    return _changed(task, FactKind.ASSIGNED, Reason.APPLIED, task.assigned, previous="", new=Result.ASSIGNED)


def advance(task: Task, *, now: datetime, recorded_at: datetime, rules: Rules) -> Decision:
    """Let time pass until `now`: every milestone due by then fires once, in order."""
    facts: tuple[Fact, ...] = ()
    while True:
        first = next(due.pending(task, rules.milestones, rules.calendar), None)
        if first is None or first[0].at > now:
            return Decision(task, facts, Reason.MILESTONE_REACHED if facts else Reason.ALREADY_SO)
        planned, version = first
        milestone = due.fired(task, planned, version, fired_at=recorded_at)
        cause = Cause(milestone.id, "clock", planned.at, recorded_at)
        step = _changed(
            task,
            _MILESTONE_FACTS[planned.kind],
            Reason.MILESTONE_REACHED,
            cause,
            previous=task.result,
            new=planned.key,
            milestones=(*task.milestones, milestone),
        )
        task, facts = step.task, facts + step.facts


_MILESTONE_FACTS = {
    MilestoneKind.DUE_SOON: FactKind.DUE_SOON,
    MilestoneKind.OVERDUE: FactKind.OVERDUE,
    MilestoneKind.ESCALATION: FactKind.ESCALATED,
    MilestoneKind.REVIEW_REMINDER: FactKind.REVIEW_DUE,
}


def decide(task: Task, command: Command, *, cause: Cause, rules: Rules, time_passes: bool = True) -> Decision:
    """Apply a command as of the moment it was received. Time passes first, so that order of arrival decides nothing.

    The result depends on the facts and on `cause.received_at`, not on when somebody got round to it.

    `time_passes`: not for what comes through another partition than the task's own (money, a revocation). That one may
    be ahead: a result that was received in time may still stand in the backlog of the task's own.
    """
    passed = Decision(task, (), Reason.ALREADY_SO)
    if time_passes:
        passed = advance(task, now=cause.received_at, recorded_at=cause.recorded_at, rules=rules)
    decision = _rule(passed.task, command, cause, rules)
    return Decision(decision.task, passed.facts + decision.facts, decision.reason)


def _rule(task: Task, command: Command, cause: Cause, rules: Rules) -> Decision:
    if isinstance(command, AGENCY_COMMANDS) and cause.actor != task.agency:
        return _rejected(task, Reason.NOT_YOURS, cause)
    if task.ended is not None:
        return _rejected(task, Reason.TASK_ENDED, cause)
    rule: Callable[[Task, Any, Cause, Rules], Decision] = _RULES[type(command)]
    return rule(task, command, cause, rules)


# -- what agencies say ---------------------------------------------------------------------------------------------


def _acknowledge(task: Task, _: Acknowledge, cause: Cause, _rules: Rules) -> Decision:
    known = task.acknowledged
    if known is not None and known.received_at <= cause.received_at:
        return Decision(task, (), Reason.ALREADY_SO)
    return _changed(
        task,
        FactKind.ACKNOWLEDGED,
        Reason.APPLIED,
        cause,
        previous=task.result,
        new=task.result,
        acknowledged=cause,
    )


def _report_progress(task: Task, command: ReportProgress, cause: Cause, _rules: Rules) -> Decision:
    if not task.is_open:
        return _rejected(task, Reason.TASK_COMPLETED, cause)
    known = task.progress
    if known is not None and known.cause.received_at > cause.received_at:
        return Decision(task, (), Reason.ALREADY_SO)
    return _changed(
        task,
        FactKind.PROGRESSED,
        Reason.APPLIED,
        cause,
        previous=f"{known.percent}%" if known else "",
        new=f"{command.percent}%",
        progress=Progress(command.percent, command.note, cause),
    )


def _submit_result(task: Task, command: SubmitResult, cause: Cause, rules: Rules) -> Decision:
    if not task.is_open:
        return _rejected(task, Reason.TASK_COMPLETED, cause)
    if len(task.results) >= ENTRIES_MAX:
        return _rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    entry = ResultEntry(
        number=len(task.results) + 1,
        document=command.document,
        summary=command.summary,
        evidence_count=command.evidence_count,
        delay_cause=command.delay_cause,
        cause=cause,
    )
    before = task.result
    decision = _changed(
        task,
        FactKind.RESULT_RECEIVED,
        Reason.APPLIED,
        cause,
        previous=before,
        new=Result.SUBMITTED,
        results=(*task.results, entry),
    )
    decision = _retract_if_in_time(decision, cause)
    if task.acceptance == "automatic":
        judged = _judge(decision.task, "accepted", "", cause)
        completed = _changed(
            judged,
            FactKind.COMPLETED,
            Reason.ACCEPTED_AUTOMATICALLY,
            cause,
            previous=Result.SUBMITTED,
            new=Result.COMPLETED,
        )
        decision = Decision(completed.task, decision.facts + completed.facts, decision.reason)
    return decision


def _retract_if_in_time(decision: Decision, cause: Cause) -> Decision:
    """A result that was received in time but arrives here late takes back the overdue that was fired meanwhile."""
    task = decision.task
    due_date = task.deadline
    if due_date is None or cause.received_at >= due_date.due_at:
        return decision
    return _retract(decision, cause, Reason.RESULT_WAS_IN_TIME)


def _retract(decision: Decision, cause: Cause, reason: Reason) -> Decision:
    task = decision.task
    standing = {
        milestone.id
        for milestone in task.milestones
        if milestone.retracted is None and milestone.kind in {MilestoneKind.OVERDUE, MilestoneKind.ESCALATION}
    }
    if not standing:
        return decision
    kept = tuple(
        replace(milestone, retracted=cause) if milestone.id in standing and milestone.retracted is None else milestone
        for milestone in task.milestones
    )
    step = _changed(
        task,
        FactKind.OVERDUE_RETRACTED,
        reason,
        cause,
        previous=",".join(sorted(standing)),
        new="",
        milestones=kept,
    )
    return Decision(step.task, decision.facts + step.facts, decision.reason)


def _report_disbursement(task: Task, command: ReportDisbursement, cause: Cause, _rules: Rules) -> Decision:
    if command.as_of > local_day(cause.received_at):
        return _rejected(task, Reason.AS_OF_IN_FUTURE, cause)
    if len(task.disbursements) >= ENTRIES_MAX:
        return _rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    entry = Disbursement(command.as_of, command.cumulative_vnd, cause)
    # Kept in order of what they speak of, then of receipt: the last one counts, and a smaller figure is a correction.
    ordered = tuple(sorted((*task.disbursements, entry), key=lambda known: (known.as_of, known.cause.received_at)))
    return _changed(
        task,
        FactKind.DISBURSED,
        Reason.APPLIED,
        cause,
        previous=str(task.disbursements[-1].cumulative_vnd) if task.disbursements else "",
        new=str(ordered[-1].cumulative_vnd),
        disbursements=ordered,
    )


def _raise_obstacle(task: Task, command: RaiseObstacle, cause: Cause, _rules: Rules) -> Decision:
    if not task.is_open:
        return _rejected(task, Reason.TASK_COMPLETED, cause)
    if any(known.obstacle_id == command.obstacle_id for known in task.obstacles):
        return _rejected(task, Reason.OBSTACLE_EXISTS, cause)
    if len(task.obstacles) >= ENTRIES_MAX:
        return _rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    obstacle = Obstacle(command.obstacle_id, command.description, command.beyond_authority, cause)
    return _changed(
        task,
        FactKind.OBSTACLE_RAISED,
        Reason.APPLIED,
        cause,
        previous="",
        new=command.obstacle_id,
        obstacles=(*task.obstacles, obstacle),
    )


def _clear_obstacle(task: Task, command: ClearObstacle, cause: Cause, _rules: Rules) -> Decision:
    return _on_obstacle(task, command.obstacle_id, cause, FactKind.OBSTACLE_CLEARED, cleared=cause)


def _answer_obstacle(task: Task, command: AnswerObstacle, cause: Cause, _rules: Rules) -> Decision:
    return _on_obstacle(task, command.obstacle_id, cause, FactKind.OBSTACLE_ANSWERED, answered=cause)


def _forward_obstacle(task: Task, command: ForwardObstacle, cause: Cause, _rules: Rules) -> Decision:
    return _on_obstacle(
        task, command.obstacle_id, cause, FactKind.OBSTACLE_FORWARDED, forwarded=cause, forwarded_to=command.to
    )


def _on_obstacle(task: Task, obstacle_id: str, cause: Cause, kind: FactKind, **stage: Any) -> Decision:
    if all(known.obstacle_id != obstacle_id for known in task.obstacles):
        return _rejected(task, Reason.UNKNOWN_OBSTACLE, cause)
    obstacles = tuple(
        replace(known, **stage) if known.obstacle_id == obstacle_id else known for known in task.obstacles
    )
    return _changed(
        task,
        kind,
        Reason.APPLIED,
        cause,
        previous=obstacle_id,
        new=kind.value,
        obstacles=obstacles,
    )


def _request_extension(task: Task, command: RequestExtension, cause: Cause, _rules: Rules) -> Decision:
    if not task.is_open:
        return _rejected(task, Reason.TASK_COMPLETED, cause)
    if task.deadline is None:
        return _rejected(task, Reason.NO_DEADLINE_TO_EXTEND, cause)
    if command.requested_last_day <= task.deadline.nominal:
        return _rejected(task, Reason.EXTENSION_NOT_LATER, cause)
    if len(task.extensions) >= ENTRIES_MAX:
        return _rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    request = Extension(command.requested_last_day, command.reason, cause)
    return _changed(
        task,
        FactKind.EXTENSION_REQUESTED,
        Reason.APPLIED,
        cause,
        previous=task.deadline.nominal.isoformat(),
        new=command.requested_last_day.isoformat(),
        extensions=(*task.extensions, request),
    )


# -- what the authority says ---------------------------------------------------------------------------------------


def _judge(task: Task, verdict: Any, note: str, cause: Cause) -> Task:
    latest = replace(task.results[-1], verdict=verdict, verdict_note=note, verdict_cause=cause)
    return task.changed(results=(*task.results[:-1], latest))


def _verdict(task: Task, verdict: str, note: str, cause: Cause, kind: FactKind) -> Decision:
    if cause.actor != task.reviewer:
        return _rejected(task, Reason.NOT_THE_REVIEWER, cause)
    if not task.is_open:
        return _rejected(task, Reason.TASK_COMPLETED, cause)
    waiting = task.unjudged_result
    # A verdict cannot speak of a result that was received after it.
    if waiting is None or waiting.cause.received_at > cause.received_at:
        return _rejected(task, Reason.NOTHING_TO_JUDGE, cause)
    judged = _judge(task, verdict, note, cause)
    return _changed(judged, kind, Reason.APPLIED, cause, previous=task.result, new=judged.result)


def _accept_result(task: Task, command: AcceptResult, cause: Cause, _rules: Rules) -> Decision:
    return _verdict(task, "accepted", command.note, cause, FactKind.COMPLETED)


def _return_result(task: Task, command: ReturnResult, cause: Cause, _rules: Rules) -> Decision:
    return _verdict(task, "returned", command.reason, cause, FactKind.RETURNED)


def _grant_extension(task: Task, command: GrantExtension, cause: Cause, rules: Rules) -> Decision:
    current = task.deadline
    if current is None:
        return _rejected(task, Reason.NO_DEADLINE_TO_EXTEND, cause)
    if command.last_day <= current.nominal:
        return _rejected(task, Reason.EXTENSION_NOT_LATER, cause)
    if len(task.deadlines) >= ENTRIES_MAX:
        return _rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    granted = deadline(
        command.last_day,
        POLICIES[Boundary.BY],
        rules.calendar,
        version=current.version + 1,
        cause=cause,
        document=command.document,
    )
    decision = _changed(
        task,
        FactKind.EXTENDED,
        Reason.EXTENSION_GRANTED,
        cause,
        previous=current.nominal.isoformat(),
        new=granted.nominal.isoformat(),
        deadlines=(*task.deadlines, granted),
        extensions=_answered(task, "granted", cause),
    )
    return _retract(decision, cause, Reason.EXTENSION_GRANTED)


def _refuse_extension(task: Task, _: RefuseExtension, cause: Cause, _rules: Rules) -> Decision:
    if all(request.outcome is not None for request in task.extensions):
        return _rejected(task, Reason.NO_EXTENSION_REQUESTED, cause)
    return _changed(
        task,
        FactKind.EXTENSION_REFUSED,
        Reason.APPLIED,
        cause,
        previous="requested",
        new="refused",
        extensions=_answered(task, "refused", cause),
    )


def _answered(task: Task, outcome: Any, cause: Cause) -> tuple[Extension, ...]:
    return tuple(
        request if request.outcome is not None else replace(request, outcome=outcome, outcome_cause=cause)
        for request in task.extensions
    )


def _cancel(task: Task, command: Cancel, cause: Cause, _rules: Rules) -> Decision:
    if not task.is_open:
        return _rejected(task, Reason.TASK_COMPLETED, cause)
    end = End("discontinued", command.reason, command.document, None, cause)
    return _changed(
        task,
        FactKind.CANCELLED,
        Reason.APPLIED,
        cause,
        previous=task.result,
        new=end.how,
        ended=end,
    )


def _reassign(task: Task, command: Reassign, cause: Cause, _rules: Rules) -> Decision:
    if not task.is_open:
        return _rejected(task, Reason.TASK_COMPLETED, cause)
    if command.to_agency == task.agency:
        return _rejected(task, Reason.SAME_AGENCY, cause)
    successor = successor_id(task, command.to_agency)
    end = End("transferred", command.reason, command.document, successor, cause)
    return _changed(
        task,
        FactKind.TRANSFERRED,
        Reason.APPLIED,
        cause,
        previous=task.agency,
        new=successor,
        ended=end,
    )


def successor_id(task: Task, agency: str) -> str:
    """The id of the same share at another agency."""
    tail = f"/{task.period}" if task.period else ""
    return f"{task.province}/{task.directive}/{task.clause}/{agency}{tail}"


def succeed(task: Task, agency: str, cause: Cause) -> Task:
    """The successor's task: same obligation, same deadlines with their history, no results yet."""
    return Task(
        task_id=successor_id(task, agency),
        province=task.province,
        directive=task.directive,
        clause=task.clause,
        agency=agency,
        period=task.period,
        title=task.title,
        phrase=task.phrase,
        category=task.category,
        bases=task.bases,
        cooperating=tuple(code for code in task.cooperating if code != agency),
        reviewer=task.reviewer,
        acceptance=task.acceptance,
        assigned=cause,
        predecessor=task.task_id,
        deadlines=task.deadlines,
        allocations=task.allocations,
    )


def _allocate(task: Task, command: Allocate, cause: Cause, _rules: Rules) -> Decision:
    known = next((one for one in task.allocations if one.allocation_id == command.allocation_id), None)
    if known is not None and known.cause.received_at > cause.received_at:
        return Decision(task, (), Reason.ALREADY_SO)
    if known is None and len(task.allocations) >= ENTRIES_MAX:
        return _rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    allocation = Allocation(command.allocation_id, command.fiscal_year, command.amount_vnd, command.document, cause)
    others = tuple(one for one in task.allocations if one is not known)
    return _changed(
        task,
        FactKind.ALLOCATED,
        Reason.APPLIED,
        cause,
        previous=str(known.amount_vnd) if known else "",
        new=str(command.amount_vnd),
        allocations=(*others, allocation),
    )


_RULES: dict[type[Any], Callable[[Task, Any, Cause, Rules], Decision]] = {
    Acknowledge: _acknowledge,
    ReportProgress: _report_progress,
    SubmitResult: _submit_result,
    ReportDisbursement: _report_disbursement,
    RaiseObstacle: _raise_obstacle,
    ClearObstacle: _clear_obstacle,
    RequestExtension: _request_extension,
    AcceptResult: _accept_result,
    ReturnResult: _return_result,
    GrantExtension: _grant_extension,
    RefuseExtension: _refuse_extension,
    Cancel: _cancel,
    Reassign: _reassign,
    AnswerObstacle: _answer_obstacle,
    ForwardObstacle: _forward_obstacle,
    Allocate: _allocate,
}


def _changed(
    task: Task, kind: FactKind, reason: Reason, cause: Cause, *, previous: str, new: str, **changes: Any
) -> Decision:
    task = task.changed(seq=task.seq + 1, **changes)
    return Decision(task, (Fact(kind, reason, cause, previous, new, task),), reason)


def reject(task: Task, reason: Reason, *, cause: Cause, rules: Rules) -> Decision:
    """A rejection found outside these rules, e.g. against the registry. Time passes first here too."""
    passed = advance(task, now=cause.received_at, recorded_at=cause.recorded_at, rules=rules)
    decision = _rejected(passed.task, reason, cause)
    return Decision(decision.task, passed.facts + decision.facts, reason)


def _rejected(task: Task, reason: Reason, cause: Cause) -> Decision:
    return _changed(task, FactKind.REJECTED, reason, cause, previous=task.result, new=task.result)
