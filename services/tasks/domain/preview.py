"""What would be: the days a rule gives before it is signed, the deadlines that decided days would move."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice

from services.tasks.domain.correction import rescheduled
from services.tasks.domain.deadlines import DueRule, RecurringRule, single_deadline
from services.tasks.domain.decision import Rules
from services.tasks.domain.directive import Obligation
from services.tasks.domain.recurrence import Period, period_deadline, periods
from services.tasks.domain.task import Cause, Deadline, Task
from shared.workdays.calendar import WorkingCalendar


@dataclass(frozen=True, slots=True)
class Day:
    """One deadline; with its period where the rule recurs."""

    period: Period | None
    deadline: Deadline
    decided: bool
    """False where a later decision on holidays may still move the legal or the operational day."""


def days_of(rule: DueRule, calendar: WorkingCalendar, *, assigned: Cause, count: int) -> tuple[Day, ...]:
    """The first `count` deadlines of a rule, as its tasks would get them; none for a rule without a day."""
    return tuple(
        Day(period, found, calendar.is_decided(found.nominal, found.legal, found.operational))
        for period, found in islice(_days(rule, calendar, assigned), count)
    )


def _days(rule: DueRule, calendar: WorkingCalendar, assigned: Cause) -> Iterator[tuple[Period | None, Deadline]]:
    if isinstance(rule, RecurringRule):
        for period in periods(rule):
            yield period, period_deadline(rule, period, calendar, cause=assigned)
        return
    only = single_deadline(rule, calendar, cause=assigned, document=None)
    if only is not None:
        yield None, only


def moved_by(
    task: Task,
    obligation: Obligation | None,
    rules: Rules,
    days_off: Iterable[date],
    days_worked: Iterable[date],
    *,
    cause: Cause,
) -> Deadline | None:
    """The deadline that an open task would have if these days were decided; None where nothing moves."""
    decided = replace(rules, calendar=rules.calendar.with_days(days_off, days_worked))
    return rescheduled(task, obligation, cause=cause, rules=decided)
