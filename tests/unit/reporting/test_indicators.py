"""Indicators as of an instant, added up, against targets and dated benchmarks."""

from datetime import date
from decimal import Decimal

import pytest

from services.reporting.domain.indicators import (
    Benchmark,
    BenchmarkKind,
    Indicator,
    IndicatorReport,
    IndicatorTarget,
    indicators_at,
    period_end,
)
from services.reporting.domain.schedule import AsOf
from tests.unit.reporting.builders import at


def a_report(numerator: str, denominator: str, received: str) -> IndicatorReport:
    return IndicatorReport(Decimal(numerator), Decimal(denominator), "KBNN", at(received))


def a_target(percent: str, received: str, *, general: bool = True) -> IndicatorTarget:
    return IndicatorTarget(Decimal(percent), "QĐ 1", general, at(received))


def an_indicator(agency: str = "A", period: str = "2024-11", **more: object) -> Indicator:
    return Indicator(agency, "DVC", period, "Hồ sơ trực tuyến", **more)  # type: ignore[arg-type]


def test_latest_report_received_by_then_counts() -> None:
    one = an_indicator(reports=(a_report("1", "4", "2024-11-02"), a_report("2", "4", "2024-11-20")))

    (before,) = indicators_at([one], AsOf(at("2024-11-15"), day_ends=True))
    (after,) = indicators_at([one], AsOf(at("2024-11-20")))

    assert (before.percent, after.percent) == (Decimal("25.00"), Decimal("50.00"))
    assert indicators_at([one], AsOf(at("2024-11-01"))) == []


def test_of_two_received_at_once_the_later_in_the_list_counts() -> None:
    one = an_indicator(
        reports=(a_report("1", "4", "2024-11-02"), a_report("3", "4", "2024-11-02")),
        targets=(a_target("10", "2024-11-01"), a_target("80", "2024-11-01")),
    )

    (found,) = indicators_at([one], AsOf(at("2024-11-20")))

    assert (found.percent, found.at_least_percent) == (Decimal("75.00"), Decimal(80))


def test_own_target_wins_over_the_general_one() -> None:
    one = an_indicator(
        reports=(a_report("1", "2", "2024-11-02"),),
        targets=(a_target("40", "2024-10-01", general=False), a_target("60", "2024-11-01")),
    )

    (found,) = indicators_at([one], AsOf(at("2024-11-20")))

    assert (found.at_least_percent, found.is_met, found.agencies_met) == (Decimal(40), True, 1)


def test_exact_value_decides_and_not_the_printed_one() -> None:
    one = an_indicator(reports=(a_report("99996", "100000", "2024-11-02"),), targets=(a_target("100", "2024-11-01"),))

    (found,) = indicators_at([one], AsOf(at("2024-11-20")))

    assert (found.percent, found.is_met) == (Decimal("100.00"), False)


def test_agencies_add_up_by_numerator_and_denominator() -> None:
    some = [
        an_indicator("A", reports=(a_report("1", "10", "2024-11-02"),), targets=(a_target("50", "2024-11-01"),)),
        an_indicator("B", reports=(a_report("90", "90", "2024-11-02"),), targets=(a_target("60", "2024-11-01"),)),
        an_indicator("C", reports=()),
    ]

    (found,) = indicators_at(some, AsOf(at("2024-11-20")))

    assert (found.percent, found.agencies, found.agencies_met) == (Decimal("91.00"), 2, 1)
    assert (found.at_least_percent, found.data_source) == (None, None), "theirs differ"


def test_nothing_is_divided_by_nothing() -> None:
    one = an_indicator(reports=(a_report("0", "0", "2024-11-02"),), targets=(a_target("0", "2024-11-01"),))

    (found,) = indicators_at([one], AsOf(at("2024-11-20")))

    assert (found.percent, found.is_met, found.agencies_met) == (None, None, 0)


def test_newest_period_that_anybody_reported_on_is_shown() -> None:
    some = [
        an_indicator("A", "2024-09", reports=(a_report("1", "2", "2024-10-02"),)),
        an_indicator("B", "2024-10", reports=(a_report("1", "4", "2024-11-02"),)),
    ]

    (found,) = indicators_at(some, AsOf(at("2024-11-20")))

    assert (found.period, found.percent, found.agencies) == ("2024-10", Decimal("25.00"), 1)


def test_benchmark_is_the_one_in_force_on_the_day() -> None:
    one = an_indicator(reports=(a_report("1", "2", "2024-11-02"),))
    marks = [
        Benchmark("DVC", BenchmarkKind.NATIONAL_AVERAGE, Decimal(percent), date.fromisoformat(day), "")
        for percent, day in (("45.8", "2024-01-01"), ("50", "2025-01-01"), ("30", "2023-01-01"))
    ]

    (found,) = indicators_at([one], AsOf(at("2024-11-20")), marks)

    assert [mark.percent for mark in found.benchmarks] == [Decimal("45.8")]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2024-11", "2024-12"),
        ("2024-12", "2024-Q4"),
        ("2024-Q4", "2024-H2"),
        ("2024-H2", "2024"),
        ("2024", "2025-01"),
        ("2024-W44", "2024-11"),
        ("2024-W44", "2024-W45"),
        ("2024-Q3", "2024-10"),
    ],
)
def test_periods_in_order_of_their_ends(earlier: str, later: str) -> None:
    assert period_end(earlier) < period_end(later)
