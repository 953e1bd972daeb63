"""Directives: who is meant by a group, which tasks an obligation makes, which it will make later."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from services.tasks.domain.deadlines import DueRule, RecurringRule, single_deadline
from services.tasks.domain.decide import Rules
from services.tasks.domain.recurrence import Period, opened_by, period_deadline
from services.tasks.domain.task import Cause, Deadline, Document, Task


@dataclass(frozen=True, slots=True)
class Agency:
    """What expansion needs to know of an agency."""

    code: str
    role: Literal["agency", "standing", "chairman_office"]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Obligation:
    """One clause with its agencies already named one by one."""

    province: str
    directive: str
    clause: str
    title: str
    phrase: str
    category: str
    bases: tuple[str, ...]
    leads: tuple[str, ...]
    cooperating: tuple[str, ...]
    due: DueRule
    acceptance: Literal["reviewer", "automatic"]
    reviewer: str
    prior_document: Document | None
    issued: Cause

    @property
    def obligation_id(self) -> str:
        """`{province}/{directive}/{clause}`."""
        return f"{self.province}/{self.directive}/{self.clause}"


def obligation_id_of(task_id: str) -> str:
    """The obligation that a task is a share of."""
    return "/".join(task_id.split("/")[:3])


class DirectiveProblem(StrEnum):
    """Why a directive cannot be expanded."""

    UNKNOWN_AGENCY = "unknown_agency"
    EMPTY_GROUP = "empty_group"
    NO_STANDING_AGENCY = "no_standing_agency"
    DIRECTIVE_EXISTS = "directive_exists"
    REVISION_NOT_SUPPORTED = "revision_not_supported"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem and where it lies."""

    reason: DirectiveProblem
    detail: str


def members(names: Iterable[str], agencies: Mapping[str, Agency]) -> tuple[str, ...] | Problem:
    """Name agencies one by one: codes stay, `@group` becomes its members, in order of code, each once."""
    found: dict[str, None] = {}
    for name in names:
        if name.startswith("@"):
            group = sorted(agency.code for agency in agencies.values() if name in agency.groups)
            if not group:
                return Problem(DirectiveProblem.EMPTY_GROUP, f"no registered agency is in group {name}")
            found.update(dict.fromkeys(group))
        elif name in agencies:
            found[name] = None
        else:
            return Problem(DirectiveProblem.UNKNOWN_AGENCY, f"agency {name} is not registered")
    return tuple(found)


def standing_agency(agencies: Mapping[str, Agency]) -> str | None:
    """Who supervises and, by default, judges results."""
    return next((agency.code for agency in agencies.values() if agency.role == "standing"), None)


def tasks_of(obligation: Obligation, *, until: datetime, recorded_at: datetime, rules: Rules) -> Iterator[Task]:
    """The tasks an obligation has made by an instant; for a recurring one, those of all periods begun."""
    due = obligation.due
    if isinstance(due, RecurringRule):
        for period in opened_by(due, until):
            yield from period_tasks(obligation, period, recorded_at=recorded_at, rules=rules)
        return
    first = single_deadline(due, rules.calendar, cause=obligation.issued, document=obligation.prior_document)
    for agency in obligation.leads:
        yield _task(obligation, agency, None, obligation.issued, (first,) if first is not None else ())


def period_tasks(obligation: Obligation, period: Period, *, recorded_at: datetime, rules: Rules) -> Iterator[Task]:
    """One period's tasks. A period that was running when the directive came is assigned by the directive."""
    due = obligation.due
    assert isinstance(due, RecurringRule), "only recurring obligations have periods"
    cause = obligation.issued
    if period.opens_at > cause.received_at:
        opening = f"{obligation.obligation_id}:opens:{period.id}"
        cause = Cause(opening, "clock", period.opens_at, recorded_at)
    last_day = period_deadline(due, period, rules.calendar, cause=cause)
    for agency in obligation.leads:
        yield _task(obligation, agency, period.id, cause, (last_day,))


def _task(
    obligation: Obligation, agency: str, period: str | None, cause: Cause, deadlines: tuple[Deadline, ...]
) -> Task:
    tail = f"/{period}" if period else ""
    return Task(
        task_id=f"{obligation.obligation_id}/{agency}{tail}",
        province=obligation.province,
        directive=obligation.directive,
        clause=obligation.clause,
        agency=agency,
        period=period,
        title=obligation.title,
        phrase=obligation.phrase,
        category=obligation.category,
        bases=obligation.bases,
        cooperating=tuple(code for code in obligation.cooperating if code != agency),
        reviewer=obligation.reviewer,
        acceptance=obligation.acceptance,
        assigned=cause,
        deadlines=deadlines,
    )
