"""When a task may belong into a list of a report: what a store finds it by, so that no report reads all tasks."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from services.reporting.domain.facts import TaskFacts
from services.reporting.domain.figures import is_in
from services.reporting.domain.listing import Window
from services.reporting.domain.schedule import Column
from services.reporting.domain.trace import Moment, Trace, moment

FOREVER: Final[Moment] = 2**63 - 1
"""After everything that is known; the largest integer that BSON has."""


@dataclass(frozen=True, slots=True)
class Occasions:
    """Found by these, a task may be in a list; whether it is, its facts decide."""

    overdue: tuple[Moment, Moment] | None
    """From the first moment at which it stands, or will stand, among the overdue, to the end of its last such stretch.

    FOREVER where no end is known; None: never, by what is known.
    """
    deadline_days: tuple[date, ...]
    """The legal days of all versions of its deadline."""
    extended_at: tuple[datetime, ...]
    """When each extension that was granted was received."""
    funded: bool

    def may_be_listed(self, window: Window) -> bool:
        """What a store's query must say, in plain words."""
        return (
            (self.overdue is not None and self.overdue[0] <= moment(window.as_of) < self.overdue[1])
            or any(window.as_of.day <= one <= window.upcoming_until for one in self.deadline_days)
            or any(window.since <= one <= window.as_of.instant for one in self.extended_at)
            or self.funded
        )


def occasions(task: TaskFacts, trace: Trace) -> Occasions:
    """Read them off a task and its trace."""
    return Occasions(
        overdue=_overdue(trace),
        deadline_days=tuple(sorted({one.legal for one in task.deadlines})),
        extended_at=tuple(sorted(one.received_at for one in task.deadlines if one.granted)),
        funded=bool(task.allocations),
    )


def _overdue(trace: Trace) -> tuple[Moment, Moment] | None:
    first = last = None
    for place, step in enumerate(trace.steps):
        if is_in(Column.OPEN_OVERDUE, step.adds):
            first = step.at if first is None else first
            last = trace.steps[place + 1].at if place + 1 < len(trace.steps) else FOREVER
    return (first, last) if first is not None and last is not None else None
