"""How one task stands as of an instant: which column of the report, by how many days late, and what else it adds."""

from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from services.reporting.domain.facts import Deadline, Result, TaskFacts
from shared.workdays.calendar import WorkingCalendar, local_day

DUE_SOON_WORKING_DAYS = 3
PLAIN = WorkingCalendar()
"""Saturdays and Sundays alone are off."""


class AsOf(NamedTuple):
    """The instant to look back from. A fact counts when it was *received* by then, whenever it was recorded.

    `day_ends`: the instant is the end of a day, as at a cut-off. Then what is received at that very instant belongs to
    the next day and does not count, and days are counted to the day that ends, so that they can be checked by hand.
    """

    instant: datetime
    day_ends: bool = False

    def knows(self, received_at: datetime | None) -> bool:
        """Whether something had been received by then; None never was."""
        if received_at is None:
            return False
        return received_at < self.instant if self.day_ends else received_at <= self.instant

    @property
    def day(self) -> date:
        """The local day to count to."""
        return local_day(self.instant - timedelta(microseconds=1) if self.day_ends else self.instant)


class Column(StrEnum):
    """The columns of the official report; a task stands in one."""

    DONE_ON_TIME = "done_on_time"
    DONE_LATE = "done_late"
    OPEN_IN_TIME = "open_in_time"
    OPEN_DUE_SOON = "open_due_soon"
    OPEN_OVERDUE = "open_overdue"
    OPEN_NO_DEADLINE = "open_no_deadline"
    ENDED_WITHOUT_RESULT = "ended_without_result"

    @property
    def is_open(self) -> bool:
        """Whether work is still owed."""
        return self.startswith("open")

    @property
    def is_late(self) -> bool:
        """Whether the last day passed before the work was handed in."""
        return self is Column.DONE_LATE or self is Column.OPEN_OVERDUE


UNSTATED = "unstated"
"""The cause of a delay that nobody gave."""


class Judgement(NamedTuple):
    """What one task adds to a report."""

    column: Column
    days_late: int = 0
    late_since: date | None = None
    """The legal last day, where `days_late` still grows with every day; None where it stands."""
    delay_cause: str | None = None
    """Of those late: a code of the list, or UNSTATED."""
    done_without_deadline: bool = False
    extended: bool = False
    extensions_granted: int = 0
    extensions_refused: int = 0
    extensions_pending: int = 0
    obstacles_open: int = 0
    obstacles_raised: int = 0
    obstacles_answered: int = 0
    obstacles_forwarded: int = 0
    obstacles_cleared: int = 0
    funded: bool = False
    allocated_vnd: int = 0
    assigned_vnd: int = 0
    disbursed_vnd: int = 0


def schedule_at(task: TaskFacts, as_of: AsOf, *, calendar: WorkingCalendar = PLAIN) -> Judgement | None:
    """Judge a task as of an instant, from what had been received by then; None: it did not exist yet."""
    return schedule_from(task, as_of, calendar=calendar)[0]


def schedule_from(task: TaskFacts, as_of: AsOf, *, calendar: WorkingCalendar = PLAIN) -> tuple[Judgement | None, bool]:
    """Judge a task as of an instant; and whether time alone may change the judgement after it."""
    if not as_of.knows(task.assigned_at):
        return None, False
    deadline = deadline_in_force(task, as_of)
    place = _place(task, deadline, as_of, calendar)
    column = place.column
    if task.is_plain:
        return Judgement(
            column,
            place.days_late,
            place.late_since,
            (place.delay_cause or UNSTATED) if column.is_late else None,
            column is Column.DONE_ON_TIME and deadline is None,
        ), place.clock_runs
    counted = column is not Column.ENDED_WITHOUT_RESULT
    granted = sum(one.granted and as_of.knows(one.received_at) for one in task.deadlines) if counted else 0
    asked = [one for one in task.extensions if as_of.knows(one.received_at)] if counted and task.extensions else ()
    refused = sum(one.outcome == "refused" and as_of.knows(one.decided_at) for one in asked)
    obstacles = [one for one in task.obstacles if as_of.knows(one.received_at)] if task.obstacles else ()
    cleared = sum(as_of.knows(one.cleared_at) for one in obstacles)
    allocated, assigned = _allocated(task, as_of) if task.allocations else (0, 0)
    judgement = Judgement(
        column=column,
        days_late=place.days_late,
        late_since=place.late_since,
        delay_cause=(place.delay_cause or UNSTATED) if column.is_late else None,
        done_without_deadline=column is Column.DONE_ON_TIME and deadline is None,
        # Once extended, always extended: a later resumption or calendar takes nothing back.
        extended=granted > 0,
        extensions_granted=granted,
        extensions_refused=refused,
        extensions_pending=sum(not as_of.knows(one.decided_at) for one in asked) if column.is_open else 0,
        obstacles_open=len(obstacles) - cleared if column.is_open else 0,
        obstacles_raised=len(obstacles),
        obstacles_answered=sum(as_of.knows(one.answered_at) for one in obstacles),
        obstacles_forwarded=sum(as_of.knows(one.forwarded_at) for one in obstacles),
        obstacles_cleared=cleared,
        funded=allocated > 0,
        allocated_vnd=allocated,
        assigned_vnd=assigned,
        disbursed_vnd=_disbursed(task, as_of) if task.disbursements else 0,
    )
    return judgement, place.clock_runs


class _Place(NamedTuple):
    column: Column
    days_late: int = 0
    late_since: date | None = None
    delay_cause: str | None = None
    clock_runs: bool = False
    """Whether it is the deadline's clock that decides: then time alone may bring another place."""


def deadline_in_force(task: TaskFacts, as_of: AsOf) -> Deadline | None:
    """The highest version known by then. An extension received later does not count, even if it speaks of earlier."""
    if len(task.deadlines) == 1:
        only = task.deadlines[0]
        return only if as_of.knows(only.received_at) else None
    known = [deadline for deadline in task.deadlines if as_of.knows(deadline.received_at)]
    return max(known, key=lambda deadline: deadline.version, default=None)


def _deadline_for(task: TaskFacts, received_at: datetime, as_of: AsOf) -> Deadline | None:
    """What a result is judged by: the days of a suspension that ended after it do not make it earlier."""
    known = (one for one in task.deadlines if as_of.knows(one.received_at))
    counted = [one for one in known if not one.suspended_days or one.received_at <= received_at]
    return max(counted, key=lambda one: one.version, default=None)


def _place(task: TaskFacts, deadline: Deadline | None, as_of: AsOf, calendar: WorkingCalendar) -> _Place:
    known = [result for result in task.results if as_of.knows(result.received_at)] if task.results else []
    if accepted := [one for one in known if _verdict(one, as_of) == "accepted"]:
        # What was accepted stays done, whatever happened to the task afterwards.
        first = min(accepted, key=lambda one: one.received_at)
        deadline = _deadline_for(task, first.received_at, as_of)
        judged_at = _clock_at(task, first.received_at, as_of)
        if deadline is None or judged_at < deadline.due_at:
            return _Place(Column.DONE_ON_TIME)
        days_late = days_after(deadline.legal, local_day(judged_at))
        return _Place(Column.DONE_LATE, days_late, delay_cause=first.delay_cause)
    if task.ended is not None and as_of.knows(task.ended.received_at):
        return _Place(Column.ENDED_WITHOUT_RESULT)
    if deadline is None:
        return _Place(Column.OPEN_NO_DEADLINE)
    latest = known[-1] if known else None
    # A later result replaces one that nobody had judged: the reviewer's word is on the latest.
    if latest is not None and _verdict(latest, as_of) is None:
        # The reviewer's delay is not the agency's: in time stays in time, and late does not become later.
        deadline = _deadline_for(task, latest.received_at, as_of) or deadline
        received = _clock_at(task, latest.received_at, as_of)
        if received < deadline.due_at:
            return _Place(Column.OPEN_IN_TIME)
        days_late = days_after(deadline.legal, local_day(received))
        return _Place(Column.OPEN_OVERDUE, days_late, delay_cause=latest.delay_cause)
    stands_at = _suspended_since(task, as_of)
    if stands_at is not None:
        # Work stopped by decision: what was overdue by then stays so, the rest does not become it.
        if stands_at >= deadline.due_at:
            return _Place(Column.OPEN_OVERDUE, days_after(deadline.legal, local_day(stands_at)))
        return _Place(Column.OPEN_IN_TIME)
    day = as_of.day
    if as_of.instant >= deadline.due_at:
        # A resumption may end the time before the legal day: then no day is counted until that day has come.
        since = deadline.legal if day >= deadline.legal else None
        return _Place(Column.OPEN_OVERDUE, days_after(deadline.legal, day), late_since=since, clock_runs=True)
    near = day >= soon_on(deadline, calendar)
    return _Place(Column.OPEN_DUE_SOON if near else Column.OPEN_IN_TIME, clock_runs=True)


def soon_on(deadline: Deadline, calendar: WorkingCalendar) -> date:
    """The first day on which a deadline is near."""
    return _soon_on(deadline.operational, calendar)


@lru_cache(maxsize=4_096)
def _soon_on(operational: date, calendar: WorkingCalendar) -> date:
    return calendar.shift(operational, -DUE_SOON_WORKING_DAYS)


def _suspended_since(task: TaskFacts, as_of: AsOf) -> datetime | None:
    """Since when the deadline's clock stands still; None where it runs."""
    if not task.suspensions:
        return None
    running = (
        one.received_at for one in task.suspensions if as_of.knows(one.received_at) and not as_of.knows(one.resumed_at)
    )
    return next(running, None)


def _clock_at(task: TaskFacts, instant: datetime, as_of: AsOf) -> datetime:
    """What the deadline's clock showed when something was received."""
    for one in task.suspensions:
        resumed = one.resumed_at if as_of.knows(one.resumed_at) else None
        if as_of.knows(one.received_at) and one.received_at <= instant and (resumed is None or instant < resumed):
            return one.received_at
    return instant


def _verdict(result: Result, as_of: AsOf) -> str | None:
    return result.verdict if as_of.knows(result.judged_at) else None


def days_after(legal: date, day: date) -> int:
    """Calendar days from the legal last day to another day; 0 on the same day (a deadline may name an hour)."""
    return max(0, (day - legal).days)


def _allocated(task: TaskFacts, as_of: AsOf) -> tuple[int, int]:
    """What was given and is still here, in all and by plan: a transferred task's allocations went to its successor."""
    if task.ended is not None and task.ended.how == "transferred" and as_of.knows(task.ended.received_at):
        return 0, 0
    known = sorted((one for one in task.allocations if as_of.knows(one.received_at)), key=lambda one: one.received_at)
    last = {one.allocation_id: one for one in known}.values()
    return sum(one.amount_vnd for one in last), sum(one.amount_vnd for one in last if one.assigned)


def _disbursed(task: TaskFacts, as_of: AsOf) -> int:
    """The latest word, by the day it speaks of, then by receipt: a later and smaller figure is a correction.

    What was paid goes along with what was given when a task is transferred, or it would count twice.
    """
    if task.ended is not None and task.ended.how == "transferred" and as_of.knows(task.ended.received_at):
        return 0
    # Of two received at once the later in the list counts; max takes the first that it meets.
    known = [one for one in reversed(task.disbursements) if as_of.knows(one.received_at)]
    latest = max(known, key=lambda one: (one.as_of, one.received_at), default=None)
    return latest.cumulative_vnd if latest is not None else 0
