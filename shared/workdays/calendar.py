"""Which days are working days. The calendar is data: holidays, and swaps decided year by year."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone

ICT = timezone(timedelta(hours=7), "ICT")
"""Asia/Ho_Chi_Minh: UTC+7, no daylight saving."""

_WALK_LIMIT_DAYS = 40
"""Longer than any run of days off; a calendar without a working day in it is broken data."""


def local_day(instant: datetime) -> date:
    """The calendar day in Vietnam at an instant."""
    return instant.astimezone(ICT).date()


def start_of(day: date, at: time = time(0)) -> datetime:
    """The instant (UTC) of a local time on a day."""
    return datetime.combine(day, at, ICT).astimezone(UTC)


def end_of(day: date) -> datetime:
    """The instant a local day ends: 24:00 (Civil Code 2015 art. 148.5), which is the next day's 00:00."""
    return start_of(day + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class WorkingCalendar:
    """Saturdays and Sundays are off, holidays are off, and some Saturdays are worked in exchange for a day off."""

    days_off: frozenset[date] = frozenset()
    days_worked: frozenset[date] = frozenset()
    version: str = "plain"
    decided_years: frozenset[int] = frozenset()
    """Years whose holidays and swaps have all been decided; of others, a day may still change."""

    @classmethod
    def of(
        cls, days_off: Iterable[date], days_worked: Iterable[date], version: str, decided_years: Iterable[int] = ()
    ) -> "WorkingCalendar":
        """Build from data."""
        return cls(frozenset(days_off), frozenset(days_worked), version, frozenset(decided_years))

    def with_days(self, days_off: Iterable[date], days_worked: Iterable[date]) -> "WorkingCalendar":
        """The same with further decided days; what is decided later wins."""
        off, worked = frozenset(days_off), frozenset(days_worked)
        return replace(self, days_off=(self.days_off - worked) | off, days_worked=(self.days_worked - off) | worked)

    def is_decided(self, *days: date) -> bool:
        """Whether no later decision on holidays and swaps can touch these days."""
        return all(day.year in self.decided_years for day in days)

    def is_working(self, day: date) -> bool:
        """Whether offices work on that day. A decided working day beats everything."""
        if day in self.days_worked:
            return True
        return day.weekday() < 5 and day not in self.days_off

    def on_or_after(self, day: date) -> date:
        """The day itself if worked, else the next working day."""
        return self._walk(day, 1)

    def on_or_before(self, day: date) -> date:
        """The day itself if worked, else the last working day before it."""
        return self._walk(day, -1)

    def shift(self, day: date, working_days: int) -> date:
        """The working day that lies a number of working days after (or, negative, before) a day."""
        step = 1 if working_days >= 0 else -1
        for _ in range(abs(working_days)):
            day = self._walk(day + timedelta(days=step), step)
        return day

    def _walk(self, day: date, step: int) -> date:
        for _ in range(_WALK_LIMIT_DAYS):
            if self.is_working(day):
                return day
            day += timedelta(days=step)
        raise ValueError(f"calendar {self.version!r} has no working day near {day}")
