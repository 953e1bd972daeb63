"""Indicators as of an instant: numerators and denominators added up, against targets and dated benchmarks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from services.reporting.domain.figures import percent
from services.reporting.domain.schedule import AsOf


@dataclass(frozen=True, slots=True)
class IndicatorReport:
    """A value that an agency reported."""

    numerator: Decimal
    denominator: Decimal
    data_source: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class IndicatorTarget:
    """What the value must reach, and by which document."""

    at_least_percent: Decimal
    document: str | None
    general: bool
    """For every agency; a target of the agency's own wins."""
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Indicator:
    """One agency's indicator for one period, with all that was ever said of it."""

    agency: str
    code: str
    period: str
    title: str
    reports: tuple[IndicatorReport, ...] = ()
    targets: tuple[IndicatorTarget, ...] = ()


class BenchmarkKind(StrEnum):
    """What a benchmark is."""

    NATIONAL_AVERAGE = "national_average"
    MINIMUM = "minimum"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What the country reaches, or the law demands, from a day on."""

    code: str
    kind: BenchmarkKind
    percent: Decimal
    valid_from: date
    source: str


@dataclass(frozen=True, slots=True)
class IndicatorFigure:
    """An indicator in a report. Percentages have two decimals, halves up; None of nothing."""

    code: str
    title: str
    period: str
    numerator: Decimal
    denominator: Decimal
    at_least_percent: Decimal | None
    """The target; of several agencies only where all have the same."""
    target_document: str | None
    data_source: str | None
    """Of one agency."""
    agencies: int
    """How many reported."""
    agencies_met: int
    """How many of those reached their target."""
    benchmarks: tuple[Benchmark, ...] = ()
    """In force on the day of the report, one of each kind."""

    @property
    def percent(self) -> Decimal | None:
        """The value."""
        return percent(self.numerator, self.denominator)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None where there is none, or no value."""
        if self.at_least_percent is None or self.denominator == 0:
            return None
        return _reaches(self.numerator, self.denominator, self.at_least_percent)


def _reaches(numerator: Decimal, denominator: Decimal, at_least_percent: Decimal) -> bool:
    """The exact value decides: 99.996 % is printed as 100.00 and does not reach 100."""
    return numerator * 100 >= at_least_percent * denominator


def indicators_at(
    indicators: Iterable[Indicator], as_of: AsOf, benchmarks: Iterable[Benchmark] = ()
) -> list[IndicatorFigure]:
    """One line a code: of the newest of its periods that anybody had reported on by then. Ordered by code."""
    known = [(one, report) for one in indicators if (report := _last_report(one, as_of)) is not None]
    newest: dict[str, str] = {}
    for one, _ in known:
        newest[one.code] = max(one.period, newest.get(one.code, ""), key=period_end)
    in_force = _in_force(benchmarks, as_of.day)
    return [
        _added_up([pair for pair in known if (pair[0].code, pair[0].period) == (code, period)], as_of, in_force)
        for code, period in sorted(newest.items())
    ]


def _added_up(
    pairs: list[tuple[Indicator, IndicatorReport]], as_of: AsOf, in_force: Mapping[str, tuple[Benchmark, ...]]
) -> IndicatorFigure:
    first = pairs[0][0]
    targets = [_target(one, as_of) for one, _ in pairs]
    met = sum(
        target is not None
        and report.denominator > 0
        and _reaches(report.numerator, report.denominator, target.at_least_percent)
        for (_, report), target in zip(pairs, targets, strict=True)
    )
    asked = {target.at_least_percent if target is not None else None for target in targets}
    common = targets[0] if len(asked) == 1 else None
    return IndicatorFigure(
        code=first.code,
        title=first.title,
        period=first.period,
        numerator=sum((report.numerator for _, report in pairs), Decimal(0)),
        denominator=sum((report.denominator for _, report in pairs), Decimal(0)),
        at_least_percent=common.at_least_percent if common is not None else None,
        target_document=common.document if common is not None else None,
        data_source=pairs[0][1].data_source if len(pairs) == 1 else None,
        agencies=len(pairs),
        agencies_met=met,
        benchmarks=in_force.get(first.code, ()),
    )


def _last_report(one: Indicator, as_of: AsOf) -> IndicatorReport | None:
    # Of two received at the same instant the later in the list counts; max takes the first that it meets.
    known = (report for report in reversed(one.reports) if as_of.knows(report.received_at))
    return max(known, key=lambda report: report.received_at, default=None)


def _target(one: Indicator, as_of: AsOf) -> IndicatorTarget | None:
    known = [target for target in reversed(one.targets) if as_of.knows(target.received_at)]
    own = [target for target in known if not target.general]
    return max(own or known, key=lambda target: target.received_at, default=None)


def _in_force(benchmarks: Iterable[Benchmark], day: date) -> Mapping[str, tuple[Benchmark, ...]]:
    found: dict[tuple[str, BenchmarkKind], Benchmark] = {}
    for one in sorted(benchmarks, key=lambda one: one.valid_from):
        if one.valid_from <= day:
            found[one.code, one.kind] = one
    by_code: dict[str, tuple[Benchmark, ...]] = {}
    for (code, _), one in sorted(found.items()):
        by_code[code] = (*by_code.get(code, ()), one)
    return by_code


def period_end(period: str) -> tuple[str, str]:
    """Sorts ids of calendar periods by the day they end, shorter ones first: 2024-11 before 2024-Q4 before 2024."""
    year, _, rest = period.partition("-")
    if not rest:
        return f"{year}-12", "4"
    if rest.startswith("Q"):
        return f"{year}-{int(rest[1:]) * 3:02d}", "2"
    if rest.startswith("H"):
        return f"{year}-{int(rest[1:]) * 6:02d}", "3"
    if rest.startswith("W"):
        last = date.fromisocalendar(int(year), int(rest[1:]), 7)
        return f"{last:%Y-%m}", f"0{last:%d}"
    return f"{year}-{rest[:2]}", f"1{rest[3:]}"
