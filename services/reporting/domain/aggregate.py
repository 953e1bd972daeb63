"""From all tasks' facts to the figures of every scope: the plain way, which the ledger must agree with to the digit."""

from collections.abc import Collection, Iterable, Mapping

from services.reporting.domain.facts import TaskFacts
from services.reporting.domain.figures import Figures, sum_up
from services.reporting.domain.schedule import PLAIN, AsOf, Judgement, schedule_at
from services.reporting.domain.scopes import NO_GROUP, Labels, ScopeKind, agency_of, scope
from shared.workdays.calendar import WorkingCalendar


def labels(task: TaskFacts) -> Labels:
    """Where a task is counted."""
    return Labels(task.agency, task.directive, task.category)


def aggregate(tasks: Iterable[TaskFacts], as_of: AsOf, *, calendar: WorkingCalendar = PLAIN) -> Mapping[str, Figures]:
    """Figures of each scope that has a task, as of an instant. Order decides nothing. Groups: see groups_of."""
    judgements: dict[str, list[Judgement]] = {}
    for task in tasks:
        judgement = schedule_at(task, as_of, calendar=calendar)
        if judgement is not None:
            for one in labels(task).scopes():
                judgements.setdefault(one, []).append(judgement)
    return {one: sum_up(some, as_of) for one, some in judgements.items()}


def groups_of(agencies: Mapping[str, Collection[str]], counted: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Group scope → its agencies that are counted. `agencies`: code → groups by the registry.

    An agency may be in several groups, so groups do not add up to the province. One in no group is in NO_GROUP.
    """
    found: dict[str, list[str]] = {}
    for code in sorted(filter(None, map(agency_of, counted))):
        names = agencies.get(code, ())
        for one in [scope(ScopeKind.GROUP, name) for name in names] or [NO_GROUP]:
            found.setdefault(one, []).append(code)
    return {one: tuple(codes) for one, codes in found.items()}
