"""Decree 09/2019 art. 12: the 15th of the month before to the 14th."""

from itertools import pairwise

import pytest

from services.reporting.domain.periods import MONTHLY, PERIODS_MAX
from tests.unit.reporting.builders import at


@pytest.mark.parametrize(
    ("period", "starts_on", "cut_off_on"),
    [
        ("2024-11", "2024-10-15", "2024-11-14"),
        ("2025-01", "2024-12-15", "2025-01-14"),
        ("2024-12", "2024-11-15", "2024-12-14"),
        ("2025-02", "2025-01-15", "2025-02-14"),
        ("2024-03", "2024-02-15", "2024-03-14"),
        ("2025-03", "2025-02-15", "2025-03-14"),
    ],
)
def test_month_runs_from_the_15th_to_the_14th(period: str, starts_on: str, cut_off_on: str) -> None:
    found = MONTHLY.period(period)

    assert (period, starts_on, cut_off_on) == (found.id, found.starts_on.isoformat(), found.cut_off_on.isoformat())


@pytest.mark.parametrize(
    ("instant", "period"),
    [
        ("2024-11-14 23:59:59.999999", "2024-11"),
        ("2024-11-15 00:00", "2024-12"),
        ("2024-12-14", "2024-12"),
        ("2024-12-15", "2025-01"),
        ("2024-12-31", "2025-01"),
        ("2025-01-31", "2025-02"),
        ("2024-02-29", "2024-03"),
    ],
)
def test_instant_belongs_to_one_period(instant: str, period: str) -> None:
    assert period == MONTHLY.period_at(at(instant)).id


def test_cut_off_is_the_end_of_the_14th_in_vietnam() -> None:
    assert at("2024-11-15 00:00") == MONTHLY.period("2024-11").ends_at


@pytest.mark.parametrize(
    "text", ["2024-13", "2024-00", "2024-1", "2024", "2024-Q4", "2024-11-14", "", "1999-12", "٢٠٢٤-11"]
)
def test_other_texts_are_no_period(text: str) -> None:
    with pytest.raises(ValueError, match="2024-11"):
        MONTHLY.period(text)


def test_periods_follow_each_other_without_gap() -> None:
    periods = MONTHLY.between(at("2024-10-11"), at("2025-03-20"))

    assert [one.id for one in periods] == ["2024-10", "2024-11", "2024-12", "2025-01", "2025-02", "2025-03", "2025-04"]
    for before, after in pairwise(periods):
        assert (after.starts_on - before.cut_off_on).days == 1


def test_no_period_before_the_first() -> None:
    assert MONTHLY.between(at("2024-11-20"), at("2024-11-10")) == []


def test_number_of_periods_is_bounded() -> None:
    periods = MONTHLY.between(at("2001-01-01"), at("2024-11-10"))

    assert (len(periods), periods[-1].id) == (PERIODS_MAX, "2024-11")
