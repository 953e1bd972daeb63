"""Reporting periods. A regime is data: Decree 09/2019 art. 12 is the default, a sector may deviate (domain §2.2)."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.reporting.domain.facts import local_day, start_of
from services.reporting.domain.schedule import AsOf

PERIODS_MAX = 120
"""Ten years of months. A task assigned before that is counted, but older periods are not computed again."""
_ID = re.compile(r"(2[01][0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Period:
    """One period: the days it counts, first and last included."""

    id: str
    starts_on: date
    cut_off_on: date

    @property
    def ends_at(self) -> datetime:
        """The cut-off instant: the end of the last day counted."""
        return start_of(self.cut_off_on + timedelta(days=1))

    @property
    def closing(self) -> AsOf:
        """The instant that the final report looks back from."""
        return AsOf(self.ends_at, day_ends=True)


@dataclass(frozen=True, slots=True)
class Regime:
    """A rule of monthly periods: each ends on `cut_off_day` of its month and begins the day after the one before."""

    id: str
    citation: str
    cut_off_day: int

    def period(self, period_id: str) -> Period:
        """Read `2024-11`. ValueError says what a period looks like."""
        match = _ID.fullmatch(period_id)
        if match is None:
            raise ValueError("a period is a month between 2000-01 and 2199-12, e.g. 2024-11")
        return self._of_month(date(int(match[1]), int(match[2]), 1))

    def period_at(self, instant: datetime) -> Period:
        """The period that runs at an instant."""
        day = local_day(instant)
        return self._of_month(day if day.day <= self.cut_off_day else _next_month(day))

    def between(self, first: datetime, last: datetime) -> list[Period]:
        """The periods from the one running at `first` to the one running at `last`, at most the latest PERIODS_MAX."""
        period, newest = self.period_at(first), self.period_at(last)
        periods = []
        while period.cut_off_on <= newest.cut_off_on:
            periods.append(period)
            period = self._of_month(_next_month(period.cut_off_on))
        return periods[-PERIODS_MAX:]

    def _of_month(self, day: date) -> Period:
        previous = day.replace(day=1) - timedelta(days=1)
        return Period(
            id=f"{day.year:04d}-{day.month:02d}",
            starts_on=previous.replace(day=self.cut_off_day) + timedelta(days=1),
            cut_off_on=day.replace(day=self.cut_off_day),
        )


def _next_month(day: date) -> date:
    return day.replace(day=1) + timedelta(days=31)


MONTHLY = Regime(id="nd-09-2019-monthly", citation="Nghị định 09/2019/NĐ-CP, Điều 12", cut_off_day=14)
