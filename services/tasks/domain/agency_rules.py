"""What agencies say of tasks: work taken up, progress, results, money, obstacles, cooperation."""

from dataclasses import replace

from services.tasks.domain.commands import (
    Acknowledge,
    ClearObstacle,
    Contribute,
    JudgeContribution,
    RaiseObstacle,
    ReportDisbursement,
    ReportProgress,
    RequestExtension,
    SubmitResult,
)
from services.tasks.domain.decision import ENTRIES_MAX, Decision, FactKind, Reason, Rules, changed, rejected, then
from services.tasks.domain.retraction import retract_if_in_time
from services.tasks.domain.task import (
    Cause,
    Contribution,
    Disbursement,
    Extension,
    Obstacle,
    Progress,
    Result,
    ResultEntry,
    Task,
)
from services.tasks.domain.verdicts import judge, on_obstacle
from shared.workdays.calendar import local_day


def acknowledge(task: Task, _: Acknowledge, cause: Cause, _rules: Rules) -> Decision:
    """The first acknowledgement by receipt counts."""
    known = task.acknowledged
    if known is not None and known.received_at <= cause.received_at:
        return Decision(task, (), Reason.ALREADY_SO)
    return changed(
        task,
        FactKind.ACKNOWLEDGED,
        Reason.APPLIED,
        cause,
        previous=task.result,
        new=task.result,
        acknowledged=cause,
    )


def report_progress(task: Task, command: ReportProgress, cause: Cause, _rules: Rules) -> Decision:
    """The latest word by receipt counts."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    known = task.progress
    if known is not None and known.cause.received_at > cause.received_at:
        return Decision(task, (), Reason.ALREADY_SO)
    return changed(
        task,
        FactKind.PROGRESSED,
        Reason.APPLIED,
        cause,
        previous=f"{known.percent}%" if known else "",
        new=f"{command.percent}%",
        progress=Progress(command.percent, command.note, cause),
    )


def submit_result(task: Task, command: SubmitResult, cause: Cause, rules: Rules) -> Decision:
    """A result is handed in; one that was received in time takes back an overdue."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    if len(task.results) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    entry = ResultEntry(
        number=len(task.results) + 1,
        document=command.document,
        summary=command.summary,
        evidence_count=command.evidence_count,
        delay_cause=command.delay_cause,
        delay_note=command.delay_note,
        cause=cause,
    )
    before = task.result
    decision = changed(
        task,
        FactKind.RESULT_RECEIVED,
        Reason.APPLIED,
        cause,
        previous=before,
        new=Result.SUBMITTED,
        results=(*task.results, entry),
    )
    decision = retract_if_in_time(decision, cause, Reason.RESULT_WAS_IN_TIME)
    if task.acceptance == "automatic":
        judged = judge(decision.task, "accepted", "", cause)
        completed = changed(
            judged,
            FactKind.COMPLETED,
            Reason.ACCEPTED_AUTOMATICALLY,
            cause,
            previous=Result.SUBMITTED,
            new=Result.COMPLETED,
        )
        decision = then(decision, completed)
    return decision


def report_disbursement(task: Task, command: ReportDisbursement, cause: Cause, _rules: Rules) -> Decision:
    """Kept by the day it speaks of; a later and smaller figure is a correction."""
    if command.as_of > local_day(cause.received_at):
        return rejected(task, Reason.AS_OF_IN_FUTURE, cause)
    if len(task.disbursements) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    entry = Disbursement(command.as_of, command.cumulative_vnd, cause)
    # Kept in order of what they speak of, then of receipt: the last one counts, and a smaller figure is a correction.
    ordered = tuple(sorted((*task.disbursements, entry), key=lambda known: (known.as_of, known.cause.received_at)))
    return changed(
        task,
        FactKind.DISBURSED,
        Reason.APPLIED,
        cause,
        previous=str(task.disbursements[-1].cumulative_vnd) if task.disbursements else "",
        new=str(ordered[-1].cumulative_vnd),
        disbursements=ordered,
    )


def raise_obstacle(task: Task, command: RaiseObstacle, cause: Cause, _rules: Rules) -> Decision:
    """Something is in the way."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    if any(known.obstacle_id == command.obstacle_id for known in task.obstacles):
        return rejected(task, Reason.OBSTACLE_EXISTS, cause)
    if len(task.obstacles) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    obstacle = Obstacle(command.obstacle_id, command.description, command.beyond_authority, cause)
    return changed(
        task,
        FactKind.OBSTACLE_RAISED,
        Reason.APPLIED,
        cause,
        previous="",
        new=command.obstacle_id,
        obstacles=(*task.obstacles, obstacle),
    )


def clear_obstacle(task: Task, command: ClearObstacle, cause: Cause, _rules: Rules) -> Decision:
    """It is gone."""
    return on_obstacle(task, command.obstacle_id, cause, FactKind.OBSTACLE_CLEARED, cleared=cause)


def request_extension(task: Task, command: RequestExtension, cause: Cause, _rules: Rules) -> Decision:
    """Nothing changes until it is granted."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    if task.deadline is None:
        return rejected(task, Reason.NO_DEADLINE_TO_EXTEND, cause)
    if command.requested_last_day <= task.deadline.nominal:
        return rejected(task, Reason.EXTENSION_NOT_LATER, cause)
    if len(task.extensions) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    request = Extension(command.requested_last_day, command.reason, cause)
    return changed(
        task,
        FactKind.EXTENSION_REQUESTED,
        Reason.APPLIED,
        cause,
        previous=task.deadline.nominal.isoformat(),
        new=command.requested_last_day.isoformat(),
        extensions=(*task.extensions, request),
    )


# -- cooperation ---------------------------------------------------------------------------------------------------


def contribute(task: Task, command: Contribute, cause: Cause, _rules: Rules) -> Decision:
    """A cooperating agency tells what it did; the lead's result is the lead's to report."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    # A lead may have taken in an agency that cooperated with it: it would judge its own contribution.
    if cause.actor == task.agency or not {cause.actor, *command.stands_for} & set(task.cooperating):
        return rejected(task, Reason.NOT_COOPERATING, cause)
    if len(task.contributions) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    entry = Contribution(
        number=len(task.contributions) + 1,
        agency=cause.actor,
        summary=command.summary,
        document=command.document,
        evidence_count=command.evidence_count,
        cause=cause,
    )
    return changed(
        task,
        FactKind.CONTRIBUTION_RECEIVED,
        Reason.APPLIED,
        cause,
        previous="",
        new=cause.actor,
        contributions=(*task.contributions, entry),
    )


def judge_contribution(task: Task, command: JudgeContribution, cause: Cause, _rules: Rules) -> Decision:
    """The lead's word on the latest contribution of an agency."""
    waiting = next(
        (one for one in reversed(task.contributions) if one.agency == command.agency and one.verdict is None), None
    )
    if waiting is None or waiting.cause.received_at > cause.received_at:
        return rejected(task, Reason.NO_CONTRIBUTION, cause)
    judged = replace(waiting, verdict=command.verdict, verdict_note=command.note, verdict_cause=cause)
    return changed(
        task,
        FactKind.CONTRIBUTION_JUDGED,
        Reason.APPLIED,
        cause,
        previous=command.agency,
        new=command.verdict,
        contributions=tuple(judged if one is waiting else one for one in task.contributions),
    )
