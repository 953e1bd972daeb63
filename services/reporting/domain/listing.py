"""Which tasks go into which list of the report, judged as of its instant. What a list cannot hold is counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Generic, TypeVar

from services.reporting.domain.content import (
    ExtensionRow,
    FundedRow,
    ObstacleShown,
    OverdueRow,
    Stage,
    State,
    TaskShown,
    UpcomingRow,
)
from services.reporting.domain.content_rules import RiskRule
from services.reporting.domain.facts import Deadline, TaskFacts
from services.reporting.domain.figures import DELAY_CAUSES, percent
from services.reporting.domain.schedule import UNSTATED, AsOf, Column, Judgement, deadline_in_force, schedule_at
from services.reporting.domain.scopes import name_key
from shared.workdays.calendar import WorkingCalendar, local_day

OBSTACLES_MAX: Final = 3
"""So many of one task are told; the task itself has them all."""
TEXT_CHARACTERS_MAX: Final = 300
"""Of a description or a note, as far as a list tells it."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class DocumentName:
    """A document as people cite it."""

    number: str | None
    issued_on: date
    issuer: str | None


@dataclass(frozen=True, slots=True)
class ObstacleText:
    """What an obstacle says."""

    description: str
    beyond_authority: bool


@dataclass(frozen=True, slots=True)
class AllocationText:
    """Which year an allocation is for, and by which document."""

    fiscal_year: int
    document: DocumentName


@dataclass(frozen=True, slots=True)
class TaskText:
    """A task's facts and the words to each: the tuples run along those of the facts."""

    facts: TaskFacts
    clause: str
    period: str | None
    title: str
    deadline_documents: tuple[DocumentName | None, ...] = ()
    delay_notes: tuple[str, ...] = ()
    """To the results."""
    obstacles: tuple[ObstacleText, ...] = ()
    allocations: tuple[AllocationText, ...] = ()


@dataclass(frozen=True, slots=True)
class AgencyCard:
    """An agency by the registry."""

    code: str
    name: str
    head_name: str | None = None
    head_title: str | None = None
    is_standing: bool = False
    valid_from: date = date.min
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """What agencies and directives are called, by the registry as it stands."""

    agencies: Mapping[str, AgencyCard] = field(default_factory=dict)
    directives: Mapping[str, str] = field(default_factory=dict)

    def agency(self, code: str) -> AgencyCard:
        """Its card; one that the registry does not know goes by its code."""
        return self.agencies.get(code) or AgencyCard(code, code)

    def directive(self, slug: str) -> str:
        """Its number, or what else it goes by."""
        return self.directives.get(slug, slug)

    def standing(self, day: date) -> AgencyCard | None:
        """The standing agency on a day; None where none is registered."""
        found = [
            one
            for one in self.agencies.values()
            if one.is_standing and one.valid_from <= day and (one.valid_to is None or day <= one.valid_to)
        ]
        return min(found, key=lambda one: one.code, default=None)


@dataclass(frozen=True, slots=True)
class Window:
    """What the lists of a report look at."""

    as_of: AsOf
    since: datetime
    """The instant the period begins."""
    upcoming_until: date


class Top(Generic[Row]):
    """The first rows by an order, of any number of them; the others are counted."""

    def __init__(self, rows_max: int, key: Callable[[Row], Any]) -> None:
        self._rows: list[Row] = []
        self._rows_max = rows_max
        self._key = key
        self.total = 0

    def add(self, row: Row) -> None:
        """One more."""
        self._rows.append(row)
        self.total += 1
        if len(self._rows) > 2 * self._rows_max:
            self._cut()

    def _cut(self) -> None:
        self._rows.sort(key=self._key)
        del self._rows[self._rows_max :]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The first ones, in order."""
        self._cut()
        return tuple(self._rows)

    @property
    def left_out(self) -> int:
        """How many are not among the rows."""
        return max(0, self.total - self._rows_max)


@dataclass(slots=True)
class Lateness:
    """What the open overdue tasks of one agency add up to, those left out of the list included."""

    overdue: int = 0
    obstructed: int = 0
    days_late_most: int = 0
    latest_task: str | None = None


class Lists:
    """The lists of one report. Give it every task that may be in one, each once; what is in none is passed over."""

    def __init__(
        self, window: Window, directory: Directory, *, risk: RiskRule, rows_max: int, calendar: WorkingCalendar
    ) -> None:
        self.window = window
        self.lateness: dict[str, Lateness] = {}
        self.at_risk = 0
        self._directory = directory
        self._risk = risk
        self._calendar = calendar
        # The task id last: lists have one order, whatever order the tasks came in.
        self.overdue = Top[OverdueRow](rows_max, lambda one: (-one.days_late, _where(one.task)))
        self.upcoming = Top[UpcomingRow](rows_max, lambda one: (one.legal, _where(one.task)))
        self.extensions = Top[ExtensionRow](rows_max, lambda one: (one.granted_on, _where(one.task), one.version))
        self.funded = Top[FundedRow](
            rows_max, lambda one: (not one.at_risk, one.disbursed_vnd - one.allocated_vnd, _where(one.task))
        )

    def add(self, task: TaskText) -> None:
        """Put a task into every list that it belongs to."""
        judgement = schedule_at(task.facts, self.window.as_of, calendar=self._calendar)
        if judgement is None:
            return
        shown = self._shown(task)
        deadline = deadline_in_force(task.facts, self.window.as_of)
        if judgement.column is Column.OPEN_OVERDUE:
            assert deadline is not None, "what has no deadline is not overdue"
            self._add_overdue(task, shown, judgement, deadline)
        elif judgement.column in {Column.OPEN_IN_TIME, Column.OPEN_DUE_SOON} and deadline is not None:
            self._add_upcoming(task, shown, deadline)
        if judgement.column is not Column.ENDED_WITHOUT_RESULT:
            self._add_extensions(task, shown)
        if judgement.funded:
            self._add_funded(task, shown, judgement)

    def _shown(self, task: TaskText) -> TaskShown:
        facts = task.facts
        return TaskShown(
            task_id=facts.task_id,
            clause=task.clause,
            period=task.period,
            title=task.title,
            directive=facts.directive,
            directive_number=self._directory.directive(facts.directive),
            agency=facts.agency,
            agency_name=self._directory.agency(facts.agency).name,
        )

    def _add_overdue(self, task: TaskText, shown: TaskShown, judgement: Judgement, deadline: Deadline) -> None:
        card = self._directory.agency(shown.agency)
        obstacles = self._obstacles(task)
        sums = self.lateness.setdefault(shown.agency, Lateness())
        sums.overdue += 1
        sums.obstructed += bool(obstacles)
        latest = (-judgement.days_late, shown.task_id)
        if sums.latest_task is None or latest < (-sums.days_late_most, sums.latest_task):
            sums.days_late_most, sums.latest_task = judgement.days_late, shown.task_id
        cause = judgement.delay_cause or UNSTATED
        self.overdue.add(
            OverdueRow(
                task=shown,
                legal=deadline.legal,
                days_late=judgement.days_late,
                state=self._state(task.facts),
                # A code that only a newer producer knows is none of ours (see figures.packed).
                delay_cause=cause if cause in DELAY_CAUSES else "other",
                delay_note=self._delay_note(task),
                obstacles=obstacles[:OBSTACLES_MAX],
                head_name=card.head_name,
                head_title=card.head_title,
            )
        )

    def _add_upcoming(self, task: TaskText, shown: TaskShown, deadline: Deadline) -> None:
        day = self.window.as_of.day
        if day <= deadline.legal <= self.window.upcoming_until:
            self.upcoming.add(
                UpcomingRow(
                    task=shown,
                    legal=deadline.legal,
                    operational=deadline.operational,
                    days_left=(deadline.legal - day).days,
                    state=self._state(task.facts),
                    obstacles=len(self._obstacles(task)),
                )
            )

    def _add_extensions(self, task: TaskText, shown: TaskShown) -> None:
        facts, as_of = task.facts, self.window.as_of
        known = [
            (one, document)
            for one, document in zip(facts.deadlines, task.deadline_documents, strict=True)
            if as_of.knows(one.received_at)
        ]
        known.sort(key=lambda pair: pair[0].version)
        for place, (one, document) in enumerate(known):
            if not one.granted or one.received_at < self.window.since:
                continue
            self.extensions.add(
                ExtensionRow(
                    task=shown,
                    version=one.version,
                    original_day=known[0][0].legal if place else None,
                    old_day=known[place - 1][0].legal if place else None,
                    new_day=one.legal,
                    granted_on=local_day(one.received_at),
                    document_number=document.number if document is not None else None,
                    document_issued_on=document.issued_on if document is not None else None,
                    document_issuer=document.issuer if document is not None else None,
                )
            )

    def _add_funded(self, task: TaskText, shown: TaskShown, judgement: Judgement) -> None:
        facts, as_of = task.facts, self.window.as_of
        known = [
            (one, text)
            for one, text in zip(facts.allocations, task.allocations, strict=True)
            if as_of.knows(one.received_at)
        ]
        fiscal_year = max(text.fiscal_year for _, text in known)
        first_on = min(local_day(one.received_at) for one, _ in known)
        elapsed = self._risk.elapsed_percent(fiscal_year, first_on, as_of.day)
        paid = [one for one in facts.disbursements if as_of.knows(one.received_at)]
        at_risk = judgement.column is not Column.ENDED_WITHOUT_RESULT and self._risk.is_at_risk(
            judgement.disbursed_vnd, judgement.allocated_vnd, elapsed
        )
        self.at_risk += at_risk
        numbers = dict.fromkeys(text.document.number for _, text in known if text.document.number is not None)
        self.funded.add(
            FundedRow(
                task=shown,
                fiscal_year=fiscal_year,
                allocated_vnd=judgement.allocated_vnd,
                assigned_vnd=judgement.assigned_vnd,
                disbursed_vnd=judgement.disbursed_vnd,
                disbursed_percent=percent(judgement.disbursed_vnd, judgement.allocated_vnd),
                disbursed_of_assigned_percent=percent(judgement.disbursed_vnd, judgement.assigned_vnd),
                disbursed_as_of=max((one.as_of for one in paid), default=None),
                elapsed_percent=elapsed,
                at_risk=at_risk,
                documents=tuple(numbers),
            )
        )

    # -- words to a task -------------------------------------------------------------------------------------------

    def _state(self, facts: TaskFacts) -> State:
        as_of = self.window.as_of
        known = [one for one in facts.results if as_of.knows(one.received_at)]
        if known and not as_of.knows(known[-1].judged_at):
            return State.AWAITING_REVIEW
        if any(as_of.knows(one.received_at) and not as_of.knows(one.resumed_at) for one in facts.suspensions):
            return State.SUSPENDED
        return State.RUNNING

    def _obstacles(self, task: TaskText) -> tuple[ObstacleShown, ...]:
        as_of = self.window.as_of
        return tuple(
            ObstacleShown(
                description=shortened(text.description),
                raised_on=local_day(one.received_at),
                beyond_authority=text.beyond_authority,
                stage=Stage.FORWARDED
                if as_of.knows(one.forwarded_at)
                else Stage.ANSWERED
                if as_of.knows(one.answered_at)
                else Stage.RAISED,
            )
            for one, text in zip(task.facts.obstacles, task.obstacles, strict=True)
            if as_of.knows(one.received_at) and not as_of.knows(one.cleared_at)
        )

    def _delay_note(self, task: TaskText) -> str:
        """To the latest result, as its cause is."""
        known = [
            note
            for one, note in zip(task.facts.results, task.delay_notes, strict=True)
            if self.window.as_of.knows(one.received_at)
        ]
        return shortened(known[-1]) if known else ""


def shortened(text: str) -> str:
    """At most TEXT_CHARACTERS_MAX characters."""
    return text if len(text) <= TEXT_CHARACTERS_MAX else f"{text[: TEXT_CHARACTERS_MAX - 1].rstrip()}…"


def _where(task: TaskShown) -> tuple[Any, ...]:
    return name_key(task.agency_name), task.task_id
