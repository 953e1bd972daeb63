"""A published report read back into the domain (wire.published the other way round)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import Benchmark, BenchmarkKind, IndicatorFigure
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import Amendment, LateFact, Report
from shared.contracts import report_facts as shown

_TOLD_IN_SHORT: Final = (
    "done_on_time",
    "done_late",
    "open_in_time",
    "open_due_soon",
    "open_overdue",
    "open_no_deadline",
    "done_without_deadline",
    "ended_without_result",
    "days_late",
    "funded",
    "allocated_vnd",
    "assigned_vnd",
    "disbursed_vnd",
)
"""What is told of the figures of another period; causes, extensions and obstacles are not."""


def report(data: shown.ReportPublished) -> Report:
    """The report that was published. What its hash does not agree with any more, it says by `known_hash`."""
    found = Report(
        province=data.province,
        period=data.period,
        kind=Kind(data.kind),
        scope=data.scope,
        scope_name=data.scope_name,
        regime=data.regime,
        starts_on=data.starts_on,
        cut_off_on=data.cut_off_on,
        # The first builds did not tell these two.
        due_on=data.due_on or data.cut_off_on,
        as_of=data.as_of or data.computed_at,
        final=data.final,
        figures=_figures(data),
        computed_at=data.computed_at,
        previous_period=data.previous.period if data.previous is not None else None,
        previous=_earlier(data.previous),
        year_before_period=data.year_before.period if data.year_before is not None else None,
        year_before=_earlier(data.year_before),
        indicators=tuple(_indicator(one) for one in data.indicators),
        members=data.members,
        revision=data.revision,
        amendment=_amendment(data.amendment) if data.amendment is not None else None,
        known_hash=data.content_hash,
    )
    whole = replace(found, known_hash=None)
    return whole if whole.content_hash == data.content_hash else found


def shortened(figures: Figures) -> Figures:
    """What is told of them beside another period's."""
    return Figures(**{name: getattr(figures, name) for name in _TOLD_IN_SHORT})


def _figures(data: shown.ReportPublished) -> Figures:
    totals, causes, extensions, obstacles = data.totals, data.causes, data.extensions, data.obstacles
    return Figures(
        **_short(totals, data.days_late, data.money),
        late_administrative=causes.administrative,
        late_disagreement=causes.disagreement,
        late_money=causes.money,
        late_dependency=causes.dependency,
        late_external=causes.external,
        late_other=causes.other,
        late_unstated=causes.unstated,
        extended=data.extended,
        extensions_granted=extensions.granted,
        extensions_refused=extensions.refused,
        extensions_pending=extensions.pending,
        obstacles_open=data.obstacles_open,
        obstacles_raised=obstacles.raised,
        obstacles_answered=obstacles.answered,
        obstacles_forwarded=obstacles.forwarded,
        obstacles_cleared=obstacles.cleared,
    )


def _short(totals: shown.Totals, days_late: int, money: shown.Money) -> dict[str, int]:
    told: dict[str, Any] = {**totals.model_dump(), **money.model_dump(), "days_late": days_late}
    return {name: told[name] for name in _TOLD_IN_SHORT}


def _earlier(one: shown.Earlier | None) -> Figures | None:
    return Figures(**_short(one.totals, one.days_late, one.money)) if one is not None else None


def _indicator(one: shown.IndicatorShown) -> IndicatorFigure:
    return IndicatorFigure(
        code=one.code,
        title=one.title,
        period=one.period,
        numerator=one.numerator,
        denominator=one.denominator,
        at_least_percent=one.at_least_percent,
        target_document=one.target_document,
        data_source=one.data_source,
        agencies=one.agencies,
        agencies_met=one.agencies_met,
        benchmarks=tuple(
            # In force are those of the indicator's own code.
            Benchmark(one.code, BenchmarkKind(shown_.kind), shown_.percent, shown_.valid_from, shown_.source)
            for shown_ in one.benchmarks
        ),
    )


def _amendment(one: shown.AmendmentShown) -> Amendment:
    return Amendment(
        changed={
            change.figure: (_value(change.figure, change.before), _value(change.figure, change.after))
            for change in one.changed
        },
        because=tuple(
            LateFact(fact.task_id, fact.seq, fact.reason, fact.received_at, fact.recorded_at) for fact in one.because
        ),
        more=one.more,
    )


def _value(figure: str, value: Decimal | None) -> Decimal | int | None:
    """Indicators are percentages, all others are counts."""
    return value if value is None or figure.startswith("indicators.") else int(value)
