"""From all tasks' facts to the figures of every period: a pure function, and the same kept up to date step by step."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.reporting.domain.facts import TaskFacts, local_day, start_of
from services.reporting.domain.periods import Period, Regime
from services.reporting.domain.report import PROVINCE_SCOPE, Figures, agency_scope
from services.reporting.domain.schedule import AsOf, Column, Judgement, schedule_at


def aggregate(tasks: Iterable[TaskFacts], as_of: AsOf) -> Mapping[str, Figures]:
    """Figures of the province and of each agency that has a task, as of an instant. Order decides nothing."""
    book = Book(as_of)
    for task in tasks:
        book.put(task)
    return book.figures()


def sum_up(judgements: Collection[Judgement]) -> Figures:
    """Add up what tasks contribute."""
    columns = Counter(one.column for one in judgements)
    figures = Figures(
        done_on_time=columns[Column.DONE_ON_TIME],
        done_late=columns[Column.DONE_LATE],
        open_in_time=columns[Column.OPEN_IN_TIME],
        open_due_soon=columns[Column.OPEN_DUE_SOON],
        open_overdue=columns[Column.OPEN_OVERDUE],
        open_no_deadline=columns[Column.OPEN_NO_DEADLINE],
        done_without_deadline=sum(one.done_without_deadline for one in judgements),
        ended_without_result=columns[Column.ENDED_WITHOUT_RESULT],
        days_late=sum(one.days_late for one in judgements),
        extended=sum(one.extended for one in judgements),
        obstacles_open=sum(one.obstacles_open for one in judgements),
        allocated_vnd=sum(one.allocated_vnd for one in judgements),
        disbursed_vnd=sum(one.disbursed_vnd for one in judgements),
    )
    # Counted twice, by column and by task: a column that nobody adds up would show here.
    assert figures.total + figures.ended_without_result == len(judgements), "each task stands in one column"
    assert figures.done_without_deadline <= figures.done_on_time, "what has no deadline is never late"
    return figures


class Book:
    """The figures as of one instant. Putting a task replaces what it contributed before."""

    def __init__(self, as_of: AsOf) -> None:
        self._as_of = as_of
        self._judgements: dict[str, dict[str, Judgement]] = {}
        self._figures: Mapping[str, Figures] | None = None

    def put(self, task: TaskFacts) -> None:
        """Judge a task and take it in."""
        judgement = schedule_at(task, self._as_of)
        of_agency = self._judgements.setdefault(task.agency, {})
        if judgement != of_agency.get(task.task_id):
            self._figures = None
        if judgement is not None:
            of_agency[task.task_id] = judgement
        else:
            of_agency.pop(task.task_id, None)

    def figures(self) -> Mapping[str, Figures]:
        """By scope; nothing at all before the first task."""
        if self._figures is None:
            agencies = {agency: list(tasks.values()) for agency, tasks in self._judgements.items() if tasks}
            self._figures = {
                PROVINCE_SCOPE: sum_up([one for judgements in agencies.values() for one in judgements]),
                **{agency_scope(agency): sum_up(judgements) for agency, judgements in agencies.items()},
            }
            if not agencies:
                self._figures = {}
        return self._figures


@dataclass(frozen=True, slots=True)
class Statement:
    """The figures of one period. Not final: the period still runs."""

    period: Period
    final: bool
    figures: Mapping[str, Figures]


class Books:
    """A province's periods, from the first assignment to the running one, kept up to date task by task."""

    def __init__(self, regime: Regime) -> None:
        self._regime = regime
        self._tasks: dict[str, TaskFacts] = {}
        self._closed: dict[str, Book] = {}

    def seqs(self) -> Mapping[str, int]:
        """Which version of each task is in the books."""
        return {task_id: task.seq for task_id, task in self._tasks.items()}

    def put(self, task: TaskFacts) -> None:
        """Take in a task, or its newer version. Closed periods change only where it was received before their end."""
        known = self._tasks.get(task.task_id)
        if known is not None and known.seq >= task.seq:
            return
        self._tasks[task.task_id] = task
        for book in self._closed.values():
            book.put(task)

    def at(self, reached: datetime) -> list[Statement]:
        """Every period as of its cut-off where business time has passed it, the running one as of `reached`."""
        first = min((task.assigned_at for task in self._tasks.values()), default=reached)
        return [
            Statement(period, True, self._closing_figures(period))
            if period.ends_at <= reached
            else Statement(period, False, aggregate(self._tasks.values(), AsOf(reached)))
            for period in self._regime.between(first, reached)
        ]

    def _closing_figures(self, period: Period) -> Mapping[str, Figures]:
        book = self._closed.get(period.id)
        if book is None:
            book = self._closed[period.id] = Book(period.closing)
            for task in self._tasks.values():
                book.put(task)
        return book.figures()

    def holds_until(self, reached: datetime) -> datetime:
        """The first later instant at which `at` may say something else although no task changes."""
        midnight = start_of(local_day(reached) + timedelta(days=1))
        later = (instant for task in self._tasks.values() for instant in task.instants() if instant > reached)
        return min(midnight, min(later, default=midnight))
