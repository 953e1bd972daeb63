"""A task's whole course in a few numbers: from which moment on it adds what.

The judgement on a task as of an instant changes only where something was received, where a deadline passes, or where
its day comes near. Between those it stands still (days late that grow are kept as their beginning). So the course is a
list of steps, and what all tasks add as of any instant is a sum over steps, which can be kept up to date step by step.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from services.reporting.domain.facts import Deadline, TaskFacts
from services.reporting.domain.figures import packed
from services.reporting.domain.schedule import PLAIN, AsOf, schedule_from, soon_on
from shared.workdays.calendar import ICT, WorkingCalendar, start_of

RULES: Final = 1
"""To be raised with every change of what a trace says of the same facts: kept traces are then made anew."""

Moment: TypeAlias = int
"""A place in time that tells apart what is received at an instant from what time itself brings at that instant.

Two for each microsecond: first what the end of a day sees (AsOf with day_ends), then what is received there.
"""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_OFFSET: Final = ICT.utcoffset(None) // _MICROSECOND
_DAY: Final = timedelta(days=1) // _MICROSECOND


def moment(as_of: AsOf) -> Moment:
    """The moment of an instant to look back from."""
    return 2 * ((as_of.instant - _EPOCH) // _MICROSECOND) + (not as_of.day_ends)


def day_of(at: Moment) -> date:
    """The local day in whose figures a moment counts: the end of a day belongs to the day that ends."""
    return date.fromordinal(_EPOCH_DAY + ((at - 1) // 2 + _OFFSET) // _DAY)


class Step(NamedTuple):
    """From a moment on, the task adds this much."""

    at: Moment
    adds: int
    """See figures.packed."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A task's steps, in order; each differs from the one before."""

    steps: tuple[Step, ...] = ()

    def adds_at(self, at: Moment) -> int:
        """What the task adds as of a moment."""
        return next((step.adds for step in reversed(self.steps) if step.at <= at), 0)

    def changes(self) -> Iterator[Step]:
        """Each step as the difference to the one before."""
        before = 0
        for step in self.steps:
            yield Step(step.at, step.adds - before)
            before = step.adds


NOTHING: Final = Trace()
"""The trace of a task that does not exist yet."""


def trace(task: TaskFacts, *, calendar: WorkingCalendar = PLAIN) -> Trace:
    """Follow a task from its assignment to all that is known of its future."""
    if task.is_plain and not (task.results or task.suspensions or task.ended):
        return _untouched(task.assigned_at, task.deadlines, calendar)
    return _followed(task, calendar)


@lru_cache(maxsize=4_096)
def _untouched(assigned_at: datetime, deadlines: tuple[Deadline, ...], calendar: WorkingCalendar) -> Trace:
    """The same for every agency of a clause, until one of them does something: a directive may go to hundreds."""
    return _followed(TaskFacts("", 1, "", assigned_at, deadlines=deadlines), calendar)


def _followed(task: TaskFacts, calendar: WorkingCalendar) -> Trace:
    steps: list[Step] = []
    before = 0
    known = set(task.instants())
    all_known = moment(AsOf(max(known)))
    for at, as_of in _looks(task, known, calendar):
        judgement, clock_runs = schedule_from(task, as_of, calendar=calendar)
        adds = packed(judgement)
        if adds != before:
            steps.append(Step(at, adds))
            before = adds
        if at >= all_known and not clock_runs:
            # Done, ended, waiting for a verdict, suspended: its deadlines may pass, and change nothing.
            break
    return Trace(tuple(steps))


def _looks(task: TaskFacts, known: Collection[datetime], calendar: WorkingCalendar) -> Sequence[tuple[Moment, AsOf]]:
    """The instants at which the judgement may change, in order, from the assignment on."""
    received = set(known)
    passed = set[datetime]()
    for deadline in task.deadlines:
        received.add(start_of(soon_on(deadline, calendar)))
        passed.add(deadline.due_at)
        if deadline.due_at < (legal := start_of(deadline.legal)):
            received.add(legal)
    looks = [AsOf(one) for one in received] + [AsOf(one, day_ends=True) for one in passed]
    return sorted((moment(one), one) for one in looks)


def difference(old: Trace, new: Trace) -> Iterator[Step]:
    """What must be added, and from when on, so that sums over the old trace become sums over the new one."""
    same = 0
    for before, after in zip(old.steps, new.steps, strict=False):
        if before != after:
            break
        same += 1
    base = old.steps[same - 1].adds if same else 0
    for trace_, sign in ((old, -1), (new, 1)):
        before_adds = base
        for step in trace_.steps[same:]:
            yield Step(step.at, sign * (step.adds - before_adds))
            before_adds = step.adds
