"""Marks that a word of the authority, or of the agency itself, leaves on what a task already holds."""

from dataclasses import replace
from typing import Any, Literal

from services.tasks.domain.decision import Decision, FactKind, Reason, changed, rejected
from services.tasks.domain.task import Cause, Extension, Task


def judge(task: Task, verdict: Literal["accepted", "returned"], note: str, cause: Cause) -> Task:
    """The task with its latest result judged."""
    latest = replace(task.results[-1], verdict=verdict, verdict_note=note, verdict_cause=cause)
    return task.changed(results=(*task.results[:-1], latest))


def answered(task: Task, outcome: Literal["granted", "refused"], cause: Cause) -> tuple[Extension, ...]:
    """Its extension requests, the open ones answered."""
    return tuple(
        request if request.outcome is not None else replace(request, outcome=outcome, outcome_cause=cause)
        for request in task.extensions
    )


def on_obstacle(task: Task, obstacle_id: str, cause: Cause, kind: FactKind, **stage: Any) -> Decision:
    """One stage in the life of an obstacle."""
    if all(known.obstacle_id != obstacle_id for known in task.obstacles):
        return rejected(task, Reason.UNKNOWN_OBSTACLE, cause)
    obstacles = tuple(
        replace(known, **stage) if known.obstacle_id == obstacle_id else known for known in task.obstacles
    )
    return changed(
        task,
        kind,
        Reason.APPLIED,
        cause,
        previous=obstacle_id,
        new=kind.value,
        obstacles=obstacles,
    )
