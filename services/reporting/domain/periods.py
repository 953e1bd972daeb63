"""Reporting periods. A regime is data: Decree 09/2019 art. 12 is the default, a sector may deviate (domain §2.2)."""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from services.reporting.domain.schedule import AsOf
from shared.workdays.calendar import local_day, start_of

YEARS_MAX: Final = 10
"""A task assigned before that is counted, but older periods are not computed again."""
FIRST_YEAR, LAST_YEAR = 2000, 2199


class Kind(StrEnum):
    """How long a period is; the name of its topic."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    HALF_YEARLY = "half-yearly"
    YEARLY = "yearly"


_MONTHS: Final = {Kind.MONTHLY: 1, Kind.QUARTERLY: 3, Kind.HALF_YEARLY: 6, Kind.YEARLY: 12}
_IDS: Final[Mapping[Kind, re.Pattern[str]]] = {
    Kind.WEEKLY: re.compile(r"(2[01][0-9]{2})-W(0[1-9]|[1-4][0-9]|5[0-3])"),
    Kind.MONTHLY: re.compile(r"(2[01][0-9]{2})-(0[1-9]|1[0-2])"),
    Kind.QUARTERLY: re.compile(r"(2[01][0-9]{2})-Q([1-4])"),
    Kind.HALF_YEARLY: re.compile(r"(2[01][0-9]{2})-H([12])"),
    Kind.YEARLY: re.compile(r"(2[01][0-9]{2})()"),
}
_FORMATS: Final[Mapping[Kind, str]] = {
    Kind.WEEKLY: "{0:04d}-W{1:02d}",
    Kind.MONTHLY: "{0:04d}-{1:02d}",
    Kind.QUARTERLY: "{0:04d}-Q{1}",
    Kind.HALF_YEARLY: "{0:04d}-H{1}",
    Kind.YEARLY: "{0:04d}",
}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Which one of its kind: the fourth quarter of 2024."""

    year: int
    number: int
    """From 1; of a year, 1."""


@dataclass(frozen=True, slots=True)
class Period:
    """One period: the days it counts, first and last included, and the day its report is due."""

    id: str
    kind: Kind
    place: Place
    starts_on: date
    cut_off_on: date
    due_on: date

    @property
    def ends_at(self) -> datetime:
        """The cut-off instant: the end of the last day counted."""
        return start_of(self.cut_off_on + timedelta(days=1))

    @property
    def closing(self) -> AsOf:
        """The instant that the final report looks back from."""
        return AsOf(self.ends_at, day_ends=True)


@dataclass(frozen=True, slots=True)
class Mark:
    """A day of a period: of the month that lies so many months after its first one; of a week, after its Monday."""

    month: int
    day: int
    """From 1; beyond the month's end, its last day. Of a week: 1 is its Monday, 0 the Sunday before."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How periods of one kind are cut."""

    starts: Mark
    cut_off: Mark
    due: Mark


class RegimeError(ValueError):
    """A regime that cannot be used; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Regime:
    """A reporting regime: for each kind of period how it is cut and when its report is due, and who receives it."""

    id: str
    name: str
    citation: str
    rules: Mapping[Kind, Rule]
    recipients: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse periods that overlap, leave a gap, or are due before they end."""
        for kind in self.rules:
            last: Period | None = None
            place = Place(FIRST_YEAR + 1, 1)
            while place.year <= FIRST_YEAR + 30:
                period = self._at(kind, place)
                if period.starts_on > period.cut_off_on:
                    raise RegimeError(f"{kind}: {period.id} starts after its cut-off; look at starts and cut_off")
                if period.due_on <= period.cut_off_on:
                    raise RegimeError(
                        f"{kind}: the report on {period.id} is due on {period.due_on}, before the day after its "
                        f"cut-off {period.cut_off_on}; Decree 09/2019 art. 8.5 asks for a working day between"
                    )
                if last is not None and period.starts_on != last.cut_off_on + timedelta(days=1):
                    how = "overlap" if period.starts_on <= last.cut_off_on else "leave a gap"
                    raise RegimeError(
                        f"{kind}: {last.id} and {period.id} {how}: the first ends on {last.cut_off_on}, the second "
                        f"starts on {period.starts_on}; starts must be the day after the cut-off before"
                    )
                last, place = period, self._next(kind, place)

    def kind_of(self, period_id: str) -> Kind:
        """Which kind an id is of. ValueError says what ids look like."""
        for kind, pattern in _IDS.items():
            if pattern.fullmatch(period_id):
                if kind not in self.rules:
                    raise ValueError(f"the regime {self.id} has no {kind} periods")
                return kind
        raise ValueError(
            "a period is a week 2024-W45, a month 2024-11, a quarter 2024-Q4, a half-year 2024-H2 or a year 2024, "
            f"from {FIRST_YEAR} to {LAST_YEAR}"
        )

    def period(self, period_id: str) -> Period:
        """Read an id, e.g. `2024-11`. ValueError says what a period looks like."""
        kind = self.kind_of(period_id)
        match = _IDS[kind].fullmatch(period_id)
        assert match is not None, "its kind was found by the same pattern"
        year, number = int(match[1]), int(match[2] or 1)
        if kind is Kind.WEEKLY:
            date.fromisocalendar(year, number, 1)
        return self._at(kind, Place(year, number))

    def period_at(self, kind: Kind, instant: datetime) -> Period:
        """The period of a kind that runs at an instant."""
        return self.period_on(kind, local_day(instant))

    def period_on(self, kind: Kind, day: date) -> Period:
        """The period of a kind that counts a day."""
        if kind is Kind.WEEKLY:
            iso = day.isocalendar()
            place = Place(iso.year, iso.week)
        else:
            place = Place(day.year, (day.month - 1) // _MONTHS[kind] + 1)
        period = self._at(kind, place)
        while period.cut_off_on < day:
            period = self._at(kind, self._next(kind, period.place))
        while period.starts_on > day:
            period = self._at(kind, self._before(kind, period.place))
        return period

    def before(self, period: Period) -> Period:
        """The period before."""
        return self._at(period.kind, self._before(period.kind, period.place))

    def year_before(self, period: Period) -> Period | None:
        """The same period of last year; None for a week that last year did not have."""
        place = Place(period.place.year - 1, period.place.number)
        if period.kind is Kind.WEEKLY and place.number > _weeks(place.year):
            return None
        return self._at(period.kind, place)

    def running(self, instant: datetime) -> list[Period]:
        """The periods that run at an instant, one of each kind."""
        return [self.period_at(kind, instant) for kind in self.rules]

    def between(self, kind: Kind, first: datetime, last: datetime) -> list[Period]:
        """The periods of a kind from the one running at `first` to the one running at `last`, of YEARS_MAX at most."""
        newest = self.period_at(kind, last)
        oldest = max(local_day(first), local_day(last) - timedelta(days=366 * YEARS_MAX))
        period = self.period_on(kind, oldest)
        periods = []
        while period.cut_off_on <= newest.cut_off_on:
            periods.append(period)
            period = self._at(kind, self._next(kind, period.place))
        return periods

    def cut_off_after(self, day: date) -> date:
        """The first cut-off, of any kind, whose period counts a day."""
        return min(self.period_on(kind, day).cut_off_on for kind in self.rules)

    def cut_off_before(self, day: date) -> date:
        """The last cut-off, of any kind, that lies before a day."""
        return max(self.period_on(kind, day).starts_on for kind in self.rules) - timedelta(days=1)

    # -- places ----------------------------------------------------------------------------------------------------

    def _at(self, kind: Kind, place: Place) -> Period:
        rule = self.rules[kind]
        if kind is Kind.WEEKLY:
            monday = date.fromisocalendar(place.year, place.number, 1)
            starts, cut_off, due = (monday + timedelta(days=mark.day - 1) for mark in _marks(rule))
        else:
            month = (place.number - 1) * _MONTHS[kind]
            starts, cut_off, due = (_day(place.year, month + mark.month, mark.day) for mark in _marks(rule))
        name = _FORMATS[kind].format(place.year, place.number)
        return Period(name, kind, place, starts, cut_off, due)

    @staticmethod
    def _next(kind: Kind, place: Place) -> Place:
        last = _weeks(place.year) if kind is Kind.WEEKLY else 12 // _MONTHS[kind]
        return Place(place.year, place.number + 1) if place.number < last else Place(place.year + 1, 1)

    @staticmethod
    def _before(kind: Kind, place: Place) -> Place:
        if place.number > 1:
            return Place(place.year, place.number - 1)
        return Place(place.year - 1, _weeks(place.year - 1) if kind is Kind.WEEKLY else 12 // _MONTHS[kind])


def _marks(rule: Rule) -> tuple[Mark, Mark, Mark]:
    return rule.starts, rule.cut_off, rule.due


def _weeks(year: int) -> int:
    """28 December is always in the last week (ISO 8601)."""
    return date(year, 12, 28).isocalendar().week


def _day(year: int, month: int, day: int) -> date:
    """A day of the month that lies `month` months after January; one that the month has not is its last."""
    year, month = year + month // 12, month % 12 + 1
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))
