"""Taking back an overdue and its escalations, visibly: by a result that was in time, or by a deadline that moved."""

from dataclasses import replace

from services.tasks.domain.deadlines import deadline_for
from services.tasks.domain.decision import Decision, FactKind, Reason, changed, then
from services.tasks.domain.task import STANDING, Cause


def retract_if_in_time(decision: Decision, cause: Cause, reason: Reason) -> Decision:
    """What was received in time but arrives here late takes back the overdue that was fired meanwhile.

    A task whose result awaits review is judged by when that was received, also where its deadline moves.
    """
    task, waiting = decision.task, decision.task.unjudged_result
    received_at = (waiting.cause if waiting is not None else cause).received_at
    due = deadline_for(task, received_at)
    if due is None or task.clock_at(received_at) >= due.due_at:
        return decision
    return retract(decision, cause, reason)


def retract(decision: Decision, cause: Cause, reason: Reason) -> Decision:
    """Take back what stands."""
    task = decision.task
    standing = {one.id for one in task.milestones if one.retracted is None and one.kind in STANDING}
    if not standing:
        return decision
    kept = tuple(
        replace(one, retracted=cause) if one.id in standing and one.retracted is None else one
        for one in task.milestones
    )
    step = changed(
        task,
        FactKind.OVERDUE_RETRACTED,
        reason,
        cause,
        previous=",".join(sorted(standing)),
        new="",
        milestones=kept,
    )
    return then(decision, step)
