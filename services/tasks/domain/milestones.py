"""What the passing of time does: reminders, overdue, escalation, reminders of the reviewer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache

from services.tasks.domain.task import STANDING, Milestone, MilestoneKind, Result, Task
from shared.workdays.calendar import WorkingCalendar, local_day, start_of


@dataclass(frozen=True, slots=True)
class MilestonePolicy:
    """When what fires. Days are working days; reminders are counted back from the operational day."""

    reminder_days_before: tuple[int, ...] = (7, 3, 1, 0)
    escalation_days_after: tuple[int, ...] = (1, 5, 10)
    review_days_after: tuple[int, ...] = (3, 10)
    reminder_time: time = time(8, 0)
    version: str = "default"


@dataclass(frozen=True, slots=True)
class Planned:
    """A milestone that will fire at `at`, unless something happens first."""

    key: str
    kind: MilestoneKind
    level: int
    days_before: int
    at: datetime


def _plan(
    operational: date,
    legal: date,
    due_at: datetime,
    returned_at: datetime | None,
    policy: MilestonePolicy,
    calendar: WorkingCalendar,
) -> tuple[Planned, ...]:
    """`returned_at`: when the latest result went back. The days it was under review were the reviewer's: an overdue
    begins when the agency has it again, and escalation counts its days of grace from there."""
    plan = [
        Planned(
            f"due_soon-{days}",
            MilestoneKind.DUE_SOON,
            0,
            days,
            start_of(calendar.shift(operational, -days), policy.reminder_time),
        )
        for days in policy.reminder_days_before
    ]
    overdue_at = due_at if returned_at is None else max(due_at, returned_at)
    grace_from = legal if returned_at is None else max(legal, local_day(returned_at))
    plan.append(Planned("overdue", MilestoneKind.OVERDUE, 0, 0, overdue_at))
    plan.extend(
        Planned(
            f"escalation-{level}",
            MilestoneKind.ESCALATION,
            level,
            0,
            max(overdue_at, start_of(calendar.shift(grace_from, days), policy.reminder_time)),
        )
        for level, days in enumerate(policy.escalation_days_after, start=1)
    )
    return tuple(sorted(plan, key=lambda planned: planned.at))


_deadline_plan = lru_cache(maxsize=50_000)(_plan)
"""Most tasks share their deadline with many others. What went back did so at an instant of its own."""


@lru_cache(maxsize=10_000)
def _review_plan(
    number: int, received_on: date, policy: MilestonePolicy, calendar: WorkingCalendar
) -> tuple[Planned, ...]:
    return tuple(
        Planned(
            f"review-{number}-{days}",
            MilestoneKind.REVIEW_REMINDER,
            0,
            0,
            start_of(calendar.shift(received_on, days), policy.reminder_time),
        )
        for days in policy.review_days_after
    )


def milestone_id(task: Task, planned: Planned, version: int) -> str:
    """`{task}:{milestone}:{deadline version}`: a moved deadline re-arms, a retry does not."""
    return f"{task.task_id}:{planned.key}:{version}"


def pending(task: Task, policy: MilestonePolicy, calendar: WorkingCalendar) -> Iterator[tuple[Planned, int]]:
    """The milestones still to fire, in order of time, with the deadline version they belong to."""
    match task.result:
        case Result.ASSIGNED | Result.IN_PROGRESS:
            due = task.deadline
            if due is None:
                return
            returned_at = _returned_at(task)
            planned_by = _deadline_plan if returned_at is None else _plan
            plan, version, since = (
                planned_by(due.operational, due.legal, due.due_at, returned_at, policy, calendar),
                due.version,
                max(due.cause.received_at, task.assigned.received_at),
            )
        case Result.SUBMITTED:
            waiting = task.unjudged_result
            assert waiting is not None, "submitted means that a result awaits review"
            if task.acceptance == "automatic":
                return
            plan, version, since = (
                _review_plan(waiting.number, local_day(waiting.cause.received_at), policy, calendar),
                task.deadline.version if task.deadline else 0,
                waiting.cause.received_at,
            )
        case _:
            return
    if not task.milestones:
        yield from ((planned, version) for planned in plan if planned.kind in STANDING or planned.at > since)
        return
    # What was taken back may fire again: an on-time result that surfaced late can still be returned.
    lasting = [milestone for milestone in task.milestones if milestone.retracted is None]
    fired = {milestone.id for milestone in lasting}
    standing = {(milestone.kind, milestone.level) for milestone in lasting if milestone.kind in STANDING}
    for planned in plan:
        if planned.kind in STANDING:
            if (planned.kind, planned.level) not in standing:
                yield planned, version
        # A reminder from before the deadline was given reminds of nothing; an overdue is true all the same.
        elif planned.at > since and milestone_id(task, planned, version) not in fired:
            yield planned, version


def _returned_at(task: Task) -> datetime | None:
    """When the latest result went back to the agency."""
    latest = task.results[-1] if task.results else None
    if latest is None or latest.verdict != "returned" or latest.verdict_cause is None:
        return None
    return latest.verdict_cause.received_at


def next_at(task: Task, policy: MilestonePolicy, calendar: WorkingCalendar) -> datetime | None:
    """When time will next do something to the task."""
    first = next(pending(task, policy, calendar), None)
    return first[0].at if first is not None else None


def fired(task: Task, planned: Planned, version: int, *, recorded_at: datetime, later: Iterable[Planned]) -> Milestone:
    """The milestone as it is kept. `later`: what is still to fire after it.

    One that was overtaken before anybody could tell it is marked with the one that says more: after an outage a task
    needs one word, not one for every day that was missed.
    """
    overtaken_by = [one for one in later if one.at <= recorded_at and _says_more(one, planned)]
    return Milestone(
        id=milestone_id(task, planned, version),
        kind=planned.kind,
        level=planned.level,
        days_before=planned.days_before,
        deadline_version=version,
        at=planned.at,
        fired_at=recorded_at,
        late_seconds=max(0, int((recorded_at - planned.at).total_seconds())),
        superseded_by=milestone_id(task, overtaken_by[-1], version) if overtaken_by else None,
    )


def _says_more(later: Planned, earlier: Planned) -> bool:
    """An overdue says more than a reminder; a higher level or a nearer reminder more than the one before."""
    if earlier.kind is MilestoneKind.DUE_SOON:
        return later.kind in {MilestoneKind.DUE_SOON, MilestoneKind.OVERDUE}
    return earlier.kind is later.kind
