"""What the authority says of a task: verdicts, extensions, money, suspension, ends."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Literal

from services.tasks.domain.commands import (
    AcceptResult,
    Allocate,
    AnswerObstacle,
    Cancel,
    ForwardObstacle,
    GrantExtension,
    Reassign,
    RefuseExtension,
    Resume,
    ReturnResult,
    Suspend,
)
from services.tasks.domain.deadlines import POLICIES, Boundary, deadline, moved
from services.tasks.domain.decision import ENTRIES_MAX, Decision, FactKind, Reason, Rules, changed, rejected
from services.tasks.domain.retraction import retract, retract_if_in_time
from services.tasks.domain.succession import successor_id
from services.tasks.domain.task import (
    CLOCK,
    Allocation,
    Cause,
    Deadline,
    Document,
    End,
    GivenBy,
    Result,
    Suspension,
    Task,
)
from services.tasks.domain.verdicts import answered, judge, on_obstacle
from shared.workdays.calendar import local_day


def _verdict(task: Task, verdict: Literal["accepted", "returned"], note: str, cause: Cause, kind: FactKind) -> Decision:
    if cause.actor != task.reviewer:
        return rejected(task, Reason.NOT_THE_REVIEWER, cause)
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    waiting = task.unjudged_result
    # A verdict cannot speak of a result that was received after it.
    if waiting is None or waiting.cause.received_at > cause.received_at:
        return rejected(task, Reason.NOTHING_TO_JUDGE, cause)
    judged = judge(task, verdict, note, cause)
    return changed(judged, kind, Reason.APPLIED, cause, previous=task.result, new=judged.result)


def accept_result(task: Task, command: AcceptResult, cause: Cause, _rules: Rules) -> Decision:
    """The latest result completes the task, judged by when it was received."""
    return _verdict(task, "accepted", command.note, cause, FactKind.COMPLETED)


def return_result(task: Task, command: ReturnResult, cause: Cause, _rules: Rules) -> Decision:
    """The latest result goes back; work goes on."""
    return _verdict(task, "returned", command.reason, cause, FactKind.RETURNED)


def grant_extension(task: Task, command: GrantExtension, cause: Cause, rules: Rules) -> Decision:
    """A new last day with its document; what the old day set off is taken back."""
    current = task.deadline
    if current is None:
        return rejected(task, Reason.NO_DEADLINE_TO_EXTEND, cause)
    if command.last_day <= current.nominal:
        return rejected(task, Reason.EXTENSION_NOT_LATER, cause)
    if len(task.deadlines) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    granted = _named_day(current, command.last_day, command.document, GivenBy.EXTENSION, cause, rules)
    decision = changed(
        task,
        FactKind.EXTENDED,
        Reason.EXTENSION_GRANTED,
        cause,
        previous=current.nominal.isoformat(),
        new=granted.nominal.isoformat(),
        deadlines=(*task.deadlines, granted),
        extensions=answered(task, "granted", cause),
    )
    return retract(decision, cause, Reason.EXTENSION_GRANTED)


def refuse_extension(task: Task, _: RefuseExtension, cause: Cause, _rules: Rules) -> Decision:
    """The deadline stands."""
    if all(request.outcome is not None for request in task.extensions):
        return rejected(task, Reason.NO_EXTENSION_REQUESTED, cause)
    return changed(
        task,
        FactKind.EXTENSION_REFUSED,
        Reason.APPLIED,
        cause,
        previous="requested",
        new="refused",
        extensions=answered(task, "refused", cause),
    )


def cancel(task: Task, command: Cancel, cause: Cause, _rules: Rules) -> Decision:
    """The task ends without result."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    end = End("discontinued", command.reason, command.document, None, cause)
    return changed(
        task,
        FactKind.CANCELLED,
        Reason.APPLIED,
        cause,
        previous=task.result,
        new=end.how,
        ended=end,
    )


def reassign(task: Task, command: Reassign, cause: Cause, _rules: Rules) -> Decision:
    """The task ends here and goes on at another agency."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    if command.to_agency == task.agency:
        return rejected(task, Reason.SAME_AGENCY, cause)
    successor = successor_id(task, command.to_agency)
    end = End("transferred", command.reason, command.document, successor, cause)
    return changed(
        task,
        FactKind.TRANSFERRED,
        Reason.APPLIED,
        cause,
        previous=task.agency,
        new=successor,
        ended=end,
    )


def allocate(task: Task, command: Allocate, cause: Cause, _rules: Rules) -> Decision:
    """Money by decision; the same id again replaces the amount."""
    known = next((one for one in task.allocations if one.allocation_id == command.allocation_id), None)
    if known is not None and known.cause.received_at > cause.received_at:
        return Decision(task, (), Reason.ALREADY_SO)
    if known is None and len(task.allocations) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    allocation = Allocation(
        command.allocation_id, command.fiscal_year, command.amount_vnd, command.document, cause, command.plan
    )
    others = tuple(one for one in task.allocations if one is not known)
    return changed(
        task,
        FactKind.ALLOCATED,
        Reason.APPLIED,
        cause,
        previous=str(known.amount_vnd) if known else "",
        new=str(command.amount_vnd),
        allocations=(*others, allocation),
    )


def answer_obstacle(task: Task, command: AnswerObstacle, cause: Cause, _rules: Rules) -> Decision:
    """The answer to an obstacle."""
    return on_obstacle(task, command.obstacle_id, cause, FactKind.OBSTACLE_ANSWERED, answered=cause)


def forward_obstacle(task: Task, command: ForwardObstacle, cause: Cause, _rules: Rules) -> Decision:
    """The obstacle goes to who can decide."""
    return on_obstacle(
        task, command.obstacle_id, cause, FactKind.OBSTACLE_FORWARDED, forwarded=cause, forwarded_to=command.to
    )


# -- suspension ----------------------------------------------------------------------------------------------------


def suspend(task: Task, command: Suspend, cause: Cause, _rules: Rules) -> Decision:
    """The deadline's clock stands still. One that arrives here late takes back what was fired in the meantime."""
    if not task.is_open:
        return rejected(task, Reason.TASK_COMPLETED, cause)
    if task.suspension is not None:
        return rejected(task, Reason.ALREADY_SUSPENDED, cause)
    if len(task.suspensions) >= ENTRIES_MAX:
        return rejected(task, Reason.TOO_MANY_ENTRIES, cause)
    suspension = Suspension(command.reason, command.document, cause)
    decision = changed(
        task,
        FactKind.SUSPENDED,
        Reason.APPLIED,
        cause,
        previous=task.result,
        new=Result.SUSPENDED,
        suspensions=(*task.suspensions, suspension),
    )
    return retract_if_in_time(decision, cause, Reason.WAS_SUSPENDED)


def resume(task: Task, command: Resume, cause: Cause, rules: Rules) -> Decision:
    """The clock goes on: with the last day that the document names, else as many days later as it stood still.

    An overdue from before the suspension stays, with as many days late as it had.
    """
    current, suspension = task.deadline, task.suspension
    if suspension is None or suspension.cause.received_at > cause.received_at:
        return rejected(task, Reason.NOT_SUSPENDED, cause)
    if command.last_day is not None and current is None:
        return rejected(task, Reason.NO_DEADLINE_TO_MOVE, cause)
    if command.last_day is not None and command.last_day < local_day(cause.received_at):
        return rejected(task, Reason.LAST_DAY_IN_PAST, cause)
    resumed = replace(suspension, resumed=cause, resumed_document=command.document)
    task = task.changed(suspensions=(*task.suspensions[:-1], resumed))
    moved_to = _resumed_deadline(task, current, suspension, command, cause, rules) if current is not None else None
    if current is None or moved_to is None:
        return changed(task, FactKind.RESUMED, Reason.APPLIED, cause, previous=Result.SUSPENDED, new=task.result)
    decision = changed(
        task,
        FactKind.RESUMED,
        Reason.LAST_DAY_NAMED if command.last_day is not None else Reason.SUSPENDED_TIME_NOT_COUNTED,
        cause,
        previous=current.nominal.isoformat(),
        new=moved_to.nominal.isoformat(),
        deadlines=(*task.deadlines, moved_to),
    )
    return retract_if_in_time(decision, cause, Reason.LAST_DAY_NAMED)


def _named_day(
    current: Deadline, last_day: date, document: Document, given_by: GivenBy, cause: Cause, rules: Rules
) -> Deadline:
    """The deadline that follows on the current one when a document names a last day ("đến ngày …")."""
    return deadline(
        last_day,
        POLICIES[Boundary.BY],
        rules.calendar,
        version=current.version + 1,
        cause=cause,
        document=document,
        given_by=given_by,
    )


def _resumed_deadline(
    task: Task, current: Deadline, suspension: Suspension, command: Resume, cause: Cause, rules: Rules
) -> Deadline | None:
    if command.last_day is not None:
        return _named_day(current, command.last_day, command.document, GivenBy.RESUMPTION, cause, rules)
    # A day that was named during the suspension was named knowing of it: only what followed is made up for. A calendar
    # names no day.
    named = [one.cause.received_at for one in task.deadlines if one.cause.actor != CLOCK]
    # Nor does the clock run before there is a deadline: a suspension may have been received before its period opened.
    stood_from = max([suspension.cause.received_at, task.deadlines[0].cause.received_at, *named])
    days = (local_day(cause.received_at) - local_day(stood_from)).days
    overdue = suspension.cause.received_at >= current.due_at
    if not overdue and current.due_at + timedelta(days=days) <= cause.received_at:
        # It names an hour that the clock did not reach: resumed after that hour, the next day's is meant.
        days += 1
    if days <= 0:
        return None
    return moved(current, days, rules.calendar, overdue=overdue, cause=cause, document=command.document)
