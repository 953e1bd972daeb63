"""The notice as data: province, agencies, directive, indicator targets; and the tasks that follow from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.contracts.authority_events import (
    AgencyRegistered,
    AgencyRole,
    DirectiveIssued,
    IndicatorTargetSet,
    Obligation,
)
from shared.contracts.due_rules import Boundary, Every, RecurringDue
from shared.contracts.identifiers import TaskName
from shared.contracts.model import Part

NOTICE_FILE: Final = Path(__file__).with_name("quang-ngai-2024-10.yaml")
_MONTHS: Final[Mapping[Every, int]] = {Every.MONTHLY: 1, Every.QUARTERLY: 3, Every.HALF_YEARLY: 6, Every.YEARLY: 12}


P = TypeVar("P", bound=Part)


class StoryError(ValueError):
    """The demo files contradict the contract or each other; the text names the entry."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the province and the document say before anybody acts on it."""

    province: str
    agencies: tuple[AgencyRegistered, ...]
    directive: DirectiveIssued
    targets: tuple[IndicatorTargetSet, ...]

    def agency(self, code: str) -> AgencyRegistered:
        """The agency with this code; StoryError if none has it."""
        for agency in self.agencies:
            if agency.code == code:
                return agency
        raise StoryError(f"no agency has the code {code!r}")

    def members(self, names: Sequence[str], *, without: Sequence[str] = ()) -> tuple[str, ...]:
        """Agency codes behind codes and @groups, each once, in the registry's order."""
        for name in (*names, *without):
            if name.startswith("@") and not any(name in agency.groups for agency in self.agencies):
                raise StoryError(f"no agency is in the group {name!r}")
            if not name.startswith("@"):
                self.agency(name)

        def named(agency: AgencyRegistered, among: Sequence[str]) -> bool:
            return agency.code in among or any(group in among for group in agency.groups)

        return tuple(a.code for a in self.agencies if named(a, names) and not named(a, without))

    def standing_agency(self) -> str:
        """The agency that supervises and, where nothing else is said, speaks for the authority."""
        return next(agency.code for agency in self.agencies if agency.role is AgencyRole.STANDING)


class _Target(BaseModel):
    """An indicator target, or with `each` one for every agency of the named groups."""

    model_config = ConfigDict(extra="allow", frozen=True)

    each: tuple[str, ...] = ()


class _NoticeFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    province: str
    directive: dict[str, Any]
    agencies: tuple[dict[str, Any], ...]
    targets: tuple[_Target, ...] = ()


def checked(model: type[P], data: object, where: str) -> P:
    """`data` as the contract's model; unknown fields are refused, as they are at the edge."""
    try:
        return model.model_validate(data, extra="forbid")
    except ValidationError as error:
        faults = "; ".join(f"/{'/'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise StoryError(f"{where}: {faults}") from error


def load_notice(path: Path = NOTICE_FILE) -> Notice:
    """Read the notice file and hold it against the contract."""
    try:
        file = _NoticeFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise StoryError(f"{path.name}: {error}") from error
    agencies = tuple(checked(AgencyRegistered, a, f"agency {a.get('code')!r}") for a in file.agencies)
    directive = checked(DirectiveIssued, file.directive, f"{path.name}: directive")
    notice = Notice(file.province, agencies, directive, ())
    targets = tuple(target for stated in file.targets for target in _targets(notice, stated))
    return Notice(file.province, agencies, directive, targets)


def _targets(notice: Notice, stated: _Target) -> Iterator[IndicatorTargetSet]:
    fields = stated.model_extra or {}
    where = f"target {fields.get('code')!r} {fields.get('period')!r}"
    if not stated.each:
        yield checked(IndicatorTargetSet, fields, where)
    for code in notice.members(stated.each):
        yield checked(IndicatorTargetSet, {**fields, "agency": code}, where)


def tasks_of(notice: Notice, directive: DirectiveIssued, *, until: date) -> dict[str, date]:
    """Every task of a directive that opens on or before `until`, with the day it opens."""
    return {
        str(TaskName(notice.province, directive.directive, obligation.clause, agency, period)): opens
        for obligation in directive.obligations
        for agency in notice.members(obligation.leads)
        for period, opens in _openings(obligation, directive.issued_on, until)
    }


def _openings(obligation: Obligation, issued_on: date, until: date) -> Iterator[tuple[str | None, date]]:
    if not isinstance(obligation.due, RecurringDue):
        yield None, issued_on
        return
    rule = obligation.due
    if rule.every not in _MONTHS:
        raise StoryError(f"clause {obligation.clause}: a rule that is due {rule.every} has no place in this demo")
    months = _MONTHS[rule.every]
    start = date(rule.starts_on.year, 1, 1)
    while start <= min(until, rule.ends_on or until):
        next_start = _months_later(start, months)
        if _nominal_last_day(rule, next_start) >= rule.starts_on:
            yield _period(rule.every, start), max(start, issued_on)
        start = next_start


def _nominal_last_day(rule: RecurringDue, next_start: date) -> date:
    last = next_start - timedelta(days=1)
    if rule.day is None:
        return last
    named = last.replace(day=min(rule.day, last.day))
    return named - timedelta(days=1) if rule.boundary is Boundary.BEFORE else named


def _months_later(day: date, months: int) -> date:
    months += day.month - 1
    return date(day.year + months // 12, months % 12 + 1, 1)


def _period(every: Every, start: date) -> str:
    match every:
        case Every.MONTHLY:
            return f"{start:%Y-%m}"
        case Every.QUARTERLY:
            return f"{start.year}-Q{(start.month + 2) // 3}"
        case Every.HALF_YEARLY:
            return f"{start.year}-H{(start.month + 5) // 6}"
        case _:
            return f"{start.year}"
