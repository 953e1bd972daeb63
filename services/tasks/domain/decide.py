"""The rules: decide(task, command, …) and advance(task, now=…). Pure; each decision says why."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.tasks.domain import agency_rules as agency
from services.tasks.domain import authority_rules as authority
from services.tasks.domain import milestones as due
from services.tasks.domain.commands import (
    AGENCY_COMMANDS,
    AcceptResult,
    Acknowledge,
    Allocate,
    AnswerObstacle,
    Cancel,
    ClearObstacle,
    Command,
    Contribute,
    ForwardObstacle,
    GrantExtension,
    JudgeContribution,
    RaiseObstacle,
    Reassign,
    RefuseExtension,
    ReportDisbursement,
    ReportProgress,
    RequestExtension,
    Resume,
    ReturnResult,
    SubmitResult,
    Suspend,
)
from services.tasks.domain.decision import Decision, Fact, FactKind, Reason, Rules, changed, preceded, rejected
from services.tasks.domain.task import CLOCK, Cause, MilestoneKind, Result, Task


def assign(task: Task) -> Decision:
    """The first fact of a task."""
    return changed(task, FactKind.ASSIGNED, Reason.APPLIED, task.assigned, previous="", new=Result.ASSIGNED)


def advance(task: Task, *, now: datetime, recorded_at: datetime, rules: Rules) -> Decision:
    """Let time pass until `now`: every milestone due by then fires once, in order."""
    facts: tuple[Fact, ...] = ()
    while True:
        pending = due.pending(task, rules.milestones, rules.calendar)
        first = next(pending, None)
        if first is None or first[0].at > now:
            return Decision(task, facts, Reason.MILESTONE_REACHED if facts else Reason.ALREADY_SO)
        planned, version = first
        later = [one for one, _ in pending]
        milestone = due.fired(task, planned, version, recorded_at=recorded_at, later=later)
        cause = Cause(milestone.id, CLOCK, planned.at, recorded_at)
        step = changed(
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

    `time_passes`: not for what comes through another partition than the task's own (money, a directive). That one may
    be ahead: a result that was received in time may still stand in the backlog of the task's own.
    """
    if not time_passes:
        return _rule(task, command, cause, rules)
    passed = advance(task, now=cause.received_at, recorded_at=cause.recorded_at, rules=rules)
    return preceded(passed, _rule(passed.task, command, cause, rules))


def reject(task: Task, reason: Reason, *, cause: Cause, rules: Rules) -> Decision:
    """A rejection found outside these rules, e.g. against the registry. Time passes first here too."""
    passed = advance(task, now=cause.received_at, recorded_at=cause.recorded_at, rules=rules)
    return preceded(passed, rejected(passed.task, reason, cause))


def _rule(task: Task, command: Command, cause: Cause, rules: Rules) -> Decision:
    if isinstance(command, AGENCY_COMMANDS) and cause.actor != task.agency:
        return rejected(task, Reason.NOT_YOURS, cause)
    if task.ended is not None:
        return rejected(task, Reason.TASK_ENDED, cause)
    rule: Callable[[Task, Any, Cause, Rules], Decision] = _RULES[type(command)]
    return rule(task, command, cause, rules)


_RULES: dict[type[Any], Callable[[Task, Any, Cause, Rules], Decision]] = {
    Acknowledge: agency.acknowledge,
    ReportProgress: agency.report_progress,
    SubmitResult: agency.submit_result,
    Contribute: agency.contribute,
    JudgeContribution: agency.judge_contribution,
    ReportDisbursement: agency.report_disbursement,
    RaiseObstacle: agency.raise_obstacle,
    ClearObstacle: agency.clear_obstacle,
    RequestExtension: agency.request_extension,
    AcceptResult: authority.accept_result,
    ReturnResult: authority.return_result,
    GrantExtension: authority.grant_extension,
    RefuseExtension: authority.refuse_extension,
    Cancel: authority.cancel,
    Suspend: authority.suspend,
    Resume: authority.resume,
    Reassign: authority.reassign,
    AnswerObstacle: authority.answer_obstacle,
    ForwardObstacle: authority.forward_obstacle,
    Allocate: authority.allocate,
}
