"""Which days are worked, and where a day in Vietnam begins and ends."""

from datetime import date, timedelta

import pytest

from shared.workdays.calendar import WorkingCalendar, end_of, local_day, start_of
from tests.support.builders import at

FRIDAY, SATURDAY, MONDAY = date(2024, 10, 18), date(2024, 10, 19), date(2024, 10, 21)


def test_a_day_begins_at_midnight_in_vietnam() -> None:
    assert start_of(FRIDAY) == at("2024-10-18 00:00")
    assert end_of(FRIDAY) == start_of(SATURDAY)
    assert local_day(end_of(FRIDAY)) == SATURDAY
    assert local_day(end_of(FRIDAY) - timedelta(microseconds=1)) == FRIDAY


def test_working_days_are_counted_over_the_weekend_both_ways() -> None:
    plain = WorkingCalendar()

    assert plain.shift(FRIDAY, 1) == MONDAY
    assert plain.shift(MONDAY, -1) == FRIDAY
    assert plain.shift(SATURDAY, 0) == SATURDAY
    assert (plain.on_or_before(SATURDAY), plain.on_or_after(SATURDAY)) == (FRIDAY, MONDAY)


def test_what_is_decided_later_wins() -> None:
    swapped = WorkingCalendar.of([FRIDAY], [SATURDAY], "1")
    back = swapped.with_days([SATURDAY], [FRIDAY])

    assert (swapped.is_working(FRIDAY), swapped.is_working(SATURDAY)) == (False, True)
    assert (back.is_working(FRIDAY), back.is_working(SATURDAY)) == (True, False)


def test_a_calendar_without_a_working_day_is_broken_data() -> None:
    never = WorkingCalendar.of((FRIDAY + timedelta(days=days) for days in range(60)), (), "never")

    with pytest.raises(ValueError, match="'never' has no working day"):
        never.on_or_after(FRIDAY)
