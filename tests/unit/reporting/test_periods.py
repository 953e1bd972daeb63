"""Decree 09/2019 art. 12: the 15th of the month before to the 14th."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporting.domain.periods import YEARS_MAX, Kind, Mark, Regime, RegimeError, Rule
from tests.unit.reporting.builders import DECREE_09, at


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
    found = DECREE_09.period(period)

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
    assert period == DECREE_09.period_at(Kind.MONTHLY, at(instant)).id


def test_cut_off_is_the_end_of_the_14th_in_vietnam() -> None:
    assert at("2024-11-15 00:00") == DECREE_09.period("2024-11").ends_at


@pytest.mark.parametrize(
    "text",
    ["2024-13", "2024-00", "2024-1", "2024-Q5", "2024-H3", "2024-W54", "2024-11-14", "", "1999-12", "٢٠٢٤-11"],
)
def test_other_texts_are_no_period(text: str) -> None:
    with pytest.raises(ValueError, match="2024-11"):
        DECREE_09.period(text)


def test_periods_follow_each_other_without_gap() -> None:
    periods = DECREE_09.between(Kind.MONTHLY, at("2024-10-11"), at("2025-03-20"))

    assert [one.id for one in periods] == ["2024-10", "2024-11", "2024-12", "2025-01", "2025-02", "2025-03", "2025-04"]
    for before, after in pairwise(periods):
        assert (after.starts_on - before.cut_off_on).days == 1


def test_no_period_before_the_first() -> None:
    assert DECREE_09.between(Kind.MONTHLY, at("2024-11-20"), at("2024-11-10")) == []


def test_number_of_periods_is_bounded() -> None:
    periods = DECREE_09.between(Kind.MONTHLY, at("2001-01-01"), at("2024-11-10"))

    assert (periods[0].id, periods[-1].id) == ("2014-11", "2024-11")
    assert len(periods) <= YEARS_MAX * 12 + 1


@pytest.mark.parametrize(
    ("period", "starts_on", "cut_off_on", "due_on"),
    [
        ("2024-Q4", "2024-09-15", "2024-12-14", "2024-12-19"),
        ("2025-Q1", "2024-12-15", "2025-03-14", "2025-03-19"),
        ("2024-H1", "2023-12-15", "2024-06-14", "2024-06-19"),
        ("2024-H2", "2024-06-15", "2024-12-14", "2024-12-19"),
        ("2024", "2023-12-15", "2024-12-14", "2024-12-19"),
        ("2024-W45", "2024-11-04", "2024-11-10", "2024-11-11"),
        ("2020-W53", "2020-12-28", "2021-01-03", "2021-01-04"),
        ("2025-W01", "2024-12-30", "2025-01-05", "2025-01-06"),
    ],
)
def test_longer_and_shorter_periods(period: str, starts_on: str, cut_off_on: str, due_on: str) -> None:
    """Decree 09/2019 art. 12; the weeks are those of ISO 8601."""
    found = DECREE_09.period(period)

    assert (found.starts_on.isoformat(), found.cut_off_on.isoformat()) == (starts_on, cut_off_on)
    assert found.due_on.isoformat() == due_on


def test_week_that_the_year_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="week"):
        DECREE_09.period("2024-W53")


@given(st.dates(date(2001, 1, 1), date(2190, 12, 31)), st.sampled_from(Kind))
def test_every_day_counts_in_one_period_of_each_kind(day: date, kind: Kind) -> None:
    """INVARIANT: periods neither overlap nor leave a day out. Else a task would be counted twice, or never."""
    found = DECREE_09.period_on(kind, day)

    assert found.starts_on <= day <= found.cut_off_on
    assert DECREE_09.period(found.id) == found
    before = DECREE_09.before(found)
    assert (found.starts_on - before.cut_off_on).days == 1
    assert DECREE_09.period_on(kind, before.cut_off_on) == before


@given(st.dates(date(2001, 1, 1), date(2190, 12, 31)))
def test_cut_offs_around_a_day(day: date) -> None:
    after, before = DECREE_09.cut_off_after(day), DECREE_09.cut_off_before(day)

    assert before < day <= after
    assert DECREE_09.cut_off_after(before + timedelta(days=1)) == after


def test_same_period_of_last_year() -> None:
    found = [DECREE_09.year_before(DECREE_09.period(one)) for one in ("2025-03", "2025-Q1", "2025", "2021-W52")]

    assert [one.id if one is not None else None for one in found] == ["2024-03", "2024-Q1", "2024", "2020-W52"]
    assert DECREE_09.year_before(DECREE_09.period("2020-W53")) is None


@pytest.mark.parametrize(
    ("starts", "cut_off", "due", "what"),
    [
        (Mark(-1, 14), Mark(0, 14), Mark(0, 19), "overlap"),
        (Mark(-1, 16), Mark(0, 14), Mark(0, 19), "leave a gap"),
        (Mark(-1, 15), Mark(0, 14), Mark(0, 14), "is due"),
        (Mark(1, 15), Mark(0, 14), Mark(0, 19), "after its cut-off"),
    ],
)
def test_regime_whose_periods_contradict_each_other_is_refused(
    starts: Mark, cut_off: Mark, due: Mark, what: str
) -> None:
    regime = Regime("own", "own", "none", {Kind.MONTHLY: Rule(starts, cut_off, due)})

    with pytest.raises(RegimeError, match=what):
        regime.check()


def test_regime_of_a_sector() -> None:
    """TT 02/2023/TT-BTTTT (domain §2.2): month 15, quarter the 6th of its last month, year 25/11."""
    regime = Regime(
        "tt-02-2023",
        "Báo cáo định kỳ ngành TT&TT",
        "Thông tư 02/2023/TT-BTTTT",
        {
            Kind.MONTHLY: Rule(Mark(-1, 16), Mark(0, 15), Mark(0, 16)),
            Kind.QUARTERLY: Rule(Mark(-1, 7), Mark(2, 6), Mark(2, 8)),
            Kind.YEARLY: Rule(Mark(-2, 26), Mark(10, 25), Mark(10, 27)),
        },
    )
    regime.check()

    assert regime.period("2024-Q4").cut_off_on == date(2024, 12, 6)
    assert regime.period_on(Kind.YEARLY, date(2024, 11, 26)).id == "2025"
    with pytest.raises(ValueError, match="no half-yearly"):
        regime.period("2024-H2")


def test_decree_is_sound() -> None:
    DECREE_09.check()
