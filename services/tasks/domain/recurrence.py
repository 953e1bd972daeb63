"""Periods of a recurring obligation, derived from rule and period, never from the one created last."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.tasks.domain.deadlines import (
    Boundary,
    RecurringRule,
    deadline,
    last_day_of,
    named_in_month,
    nominal_day,
)
from services.tasks.domain.task import Cause, Deadline
from shared.workdays.calendar import WorkingCalendar, start_of

_PERIODS_MAX = 40_000
"""A daily rule over 109 years; a rule that yields more is broken."""

_DAYS = {"daily": 1, "weekly": 7}
_MONTHS = {"monthly": 1, "quarterly": 3, "half_yearly": 6, "yearly": 12}


@dataclass(frozen=True, slots=True)
class Period:
    """One period of a rule."""

    id: str
    starts_on: date
    nominal: date

    @property
    def opens_at(self) -> datetime:
        """The period's task opens when the period begins."""
        return start_of(self.starts_on)


def periods(rule: RecurringRule) -> Iterator[Period]:
    """All periods of a rule in order: the first whose last day is on or after `starts_on`, until `ends_on`."""
    day = _first_day(rule, rule.starts_on)
    for _ in range(_PERIODS_MAX):
        period = _period(rule, day)
        if rule.ends_on is not None and period.starts_on > rule.ends_on:
            return
        if period.nominal >= rule.starts_on:
            yield period
        day = _next_first_day(rule, day)


def _first_day(rule: RecurringRule, day: date) -> date:
    if rule.every == "daily":
        return day
    if rule.every == "weekly":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[rule.every]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def _next_first_day(rule: RecurringRule, day: date) -> date:
    if rule.every in _DAYS:
        return day + timedelta(days=_DAYS[rule.every])
    month = day.month - 1 + _MONTHS[rule.every]
    return date(day.year + month // 12, month % 12 + 1, 1)


def _period(rule: RecurringRule, first: date) -> Period:
    period_id = _period_id(rule, first)
    last = last_day_of(period_id)
    if rule.day is None:
        named = last
    elif rule.every == "weekly":
        named = first + timedelta(days=rule.day - 1)
    else:
        named = named_in_month(last.year, last.month, rule.day)
    return Period(period_id, first, nominal_day(rule.boundary, named))


def _period_id(rule: RecurringRule, first: date) -> str:
    match rule.every:
        case "daily":
            return first.isoformat()
        case "weekly":
            year, week, _ = first.isocalendar()
            return f"{year}-W{week:02d}"
        case "monthly":
            return f"{first:%Y-%m}"
        case "quarterly":
            return f"{first.year}-Q{(first.month + 2) // 3}"
        case "half_yearly":
            return f"{first.year}-H{1 if first.month <= 6 else 2}"
        case "yearly":
            return str(first.year)


def period_deadline(rule: RecurringRule, period: Period, calendar: WorkingCalendar, *, cause: Cause) -> Deadline:
    """The first deadline of one period's tasks."""
    return deadline(period.nominal, rule.policy, calendar, version=1, cause=cause, hour=rule.hour)


def opened_by(rule: RecurringRule, instant: datetime) -> Iterator[Period]:
    """The periods that have begun by an instant."""
    for period in periods(rule):
        if period.opens_at > instant:
            return
        yield period


def next_opening(rule: RecurringRule, instant: datetime) -> datetime | None:
    """When the next period begins after an instant; None when the rule has ended."""
    return next((period.opens_at for period in periods(rule) if period.opens_at > instant), None)


__all__ = ["Boundary", "Period", "next_opening", "opened_by", "period_deadline", "periods"]
