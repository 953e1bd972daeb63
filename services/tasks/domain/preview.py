"""What days a due rule gives, without a task: for whoever drafts a directive and wants to see before it is signed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from services.tasks.domain.calendar import WorkingCalendar
from services.tasks.domain.deadlines import DueRule, RecurringRule, single_deadline
from services.tasks.domain.recurrence import Period, period_deadline, periods
from services.tasks.domain.task import Cause, Deadline


@dataclass(frozen=True, slots=True)
class Day:
    """One deadline; with its period where the rule recurs."""

    period: Period | None
    deadline: Deadline


def days_of(rule: DueRule, calendar: WorkingCalendar, *, assigned: Cause, count: int) -> tuple[Day, ...]:
    """The first `count` deadlines of a rule, as its tasks would get them; none for a rule without a day."""
    return tuple(islice(_days(rule, calendar, assigned), count))


def _days(rule: DueRule, calendar: WorkingCalendar, assigned: Cause) -> Iterator[Day]:
    if isinstance(rule, RecurringRule):
        for period in periods(rule):
            yield Day(period, period_deadline(rule, period, calendar, cause=assigned))
        return
    only = single_deadline(rule, calendar, cause=assigned, document=None)
    if only is not None:
        yield Day(None, only)
