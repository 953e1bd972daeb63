"""A published report read back: nothing that was told is lost, and what was not told is known to be missing."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.reporting import report_wire, wire
from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import Benchmark, BenchmarkKind, IndicatorFigure
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import Amendment, LateFact, Report
from services.reporting.restoring import completed_by
from shared.contracts.codec import decode
from shared.contracts.report_facts import ReportPublished

INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1))
PERCENT = st.decimals(0, 100, places=2)
AMOUNTS = st.decimals(0, 10**12, places=4)
NAMES = st.text(min_size=1, max_size=20)


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    """Any counts; money larger than the database's integers."""
    return Figures(**{one.name: draw(st.integers(0, 2**70)) for one in fields(Figures)})


@st.composite
def indicators(draw: st.DrawFn) -> IndicatorFigure:
    code = draw(st.sampled_from(["CDS-CHI", "DVCTT"]))
    return IndicatorFigure(
        code=code,
        title=draw(NAMES),
        period=draw(st.sampled_from(["2024", "2024-Q3"])),
        numerator=draw(AMOUNTS),
        denominator=draw(AMOUNTS),
        at_least_percent=draw(st.none() | PERCENT),
        target_document=draw(st.none() | NAMES),
        data_source=draw(st.none() | NAMES),
        agencies=draw(st.integers(0, 50)),
        agencies_met=draw(st.integers(0, 50)),
        benchmarks=tuple(
            Benchmark(code, kind, draw(PERCENT), draw(DAYS), draw(NAMES))
            for kind in draw(st.sets(st.sampled_from(BenchmarkKind)))
        ),
    )


@st.composite
def late_facts(draw: st.DrawFn) -> LateFact:
    return LateFact("H48/TB/I.1/H48.07", draw(st.integers(1, 99)), draw(NAMES), draw(INSTANTS), draw(INSTANTS))


@st.composite
def amendments(draw: st.DrawFn) -> Amendment:
    counts = st.none() | st.integers(0, 2**70)
    changed: dict[str, tuple[Any, Any]] = {}
    for name in draw(st.sets(st.sampled_from(["done_late", "previous.extended", "year_before.days_late"]))):
        changed[name] = (draw(counts), draw(counts))
    if draw(st.booleans()):
        changed["indicators.CDS-CHI"] = (draw(st.none() | PERCENT), draw(st.none() | PERCENT))
    return Amendment(changed, tuple(draw(st.lists(late_facts(), max_size=2))), draw(st.integers(0, 9)))


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """A report with nothing beside it."""
    return Report(
        province="H48",
        period="2024-11",
        kind=draw(st.sampled_from(Kind)),
        scope=draw(st.sampled_from(["province", "agency:H48.07", "group:@all", "directive:TB/1", "category:dated"])),
        scope_name=draw(NAMES),
        regime=draw(NAMES),
        starts_on=draw(DAYS),
        cut_off_on=draw(DAYS),
        due_on=draw(DAYS),
        final=draw(st.booleans()),
        as_of=draw(INSTANTS),
        figures=draw(figures()),
        computed_at=draw(INSTANTS),
        indicators=tuple(draw(st.lists(indicators(), max_size=2))),
        members=tuple(draw(st.lists(st.sampled_from(["H48.01", "H48.07"]), max_size=2))),
        revision=draw(st.integers(1, 10**6)),
        amendment=draw(st.none() | amendments()),
    )


def read_back(report: Report) -> Report:
    """Over the bytes of the topic."""
    message = wire.message(report)
    data = decode(message.topic, message.value).data
    assert isinstance(data, ReportPublished)
    return report_wire.report(data)


@given(reports())
def test_report_comes_back_as_it_was(report: Report) -> None:
    """INVARIANT: every field of a report is told, or stands in test_what_is_told_in_short."""
    assert read_back(report) == report


@given(reports(), figures(), figures())
def test_what_is_told_in_short(report: Report, previous: Figures, year_before: Figures) -> None:
    """Of the figures beside it causes, extensions and obstacles are not told: the hash stays the one published."""
    full = replace(
        report, previous_period="2024-10", previous=previous, year_before_period="2023-11", year_before=year_before
    )
    back = read_back(full)

    assert back.content_hash == full.content_hash
    assert replace(back, known_hash=None) == replace(
        full, previous=report_wire.shortened(previous), year_before=report_wire.shortened(year_before)
    )
    assert read_back(back) == back


@given(reports(), figures(), figures())
def test_it_is_completed_from_the_reports_on_those_periods(
    report: Report, previous: Figures, year_before: Figures
) -> None:
    full = replace(
        report, previous_period="2024-10", previous=previous, year_before_period="2023-11", year_before=year_before
    )
    known = {f"H48/2024-10/{report.scope}": previous, f"H48/2023-11/{report.scope}": year_before}

    assert completed_by(read_back(full), known) == full


def test_it_is_not_completed_by_figures_that_it_was_not_published_with() -> None:
    previous = Figures(done_late=1, late_money=1)
    report = replace(PLAIN, previous_period="2024-10", previous=previous)
    key = f"H48/2024-10/{report.scope}"
    for others in ({}, {key: Figures(done_late=2, late_money=2)}, {key: Figures(done_late=1, late_other=1)}):
        back = completed_by(read_back(report), others)

        assert back.content_hash == report.content_hash
        assert back.previous == Figures(done_late=1)


PLAIN = Report(
    province="H48",
    period="2024-11",
    kind=Kind.MONTHLY,
    scope="province",
    scope_name="Tỉnh Quảng Ngãi",
    regime="nd-09-2019",
    starts_on=date(2024, 10, 15),
    cut_off_on=date(2024, 11, 14),
    due_on=date(2024, 11, 19),
    final=True,
    as_of=datetime(2024, 11, 14, 17, tzinfo=UTC),
    figures=Figures(done_on_time=3),
    computed_at=datetime(2024, 11, 14, 17, 0, 1, tzinfo=UTC),
)


def test_number_that_was_told_with_other_zeroes_is_the_same_number() -> None:
    indicator = IndicatorFigure("CDS-CHI", "Chi", "2024", Decimal("45.80"), Decimal(100), None, None, None, 1, 0)
    report = replace(PLAIN, indicators=(indicator,))

    assert read_back(report) == report
