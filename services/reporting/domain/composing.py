"""Puts the report together: figures, lists, indicators, the ranking of agencies, and what is proposed for whom."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from services.reporting.domain.content import (
    AgencyRow,
    Content,
    FigureChanged,
    Heading,
    IndicatorBehind,
    Proposal,
    Ranked,
    Reason,
    ReasonKind,
    Span,
)
from services.reporting.domain.content_rules import CommendationRule, CorrectionRule, Letterhead, Measure, ReportRules
from services.reporting.domain.figures import Figures
from services.reporting.domain.listing import Directory, Lateness, Lists, Window
from services.reporting.domain.periods import Regime
from services.reporting.domain.report import Report
from services.reporting.domain.schedule import AsOf
from services.reporting.domain.scopes import agency_of, name_key
from shared.workdays.calendar import start_of


@dataclass(frozen=True, slots=True)
class Figured:
    """The figures of a period: the province's report, and each agency's."""

    whole: Report
    agencies: Mapping[str, Report]
    """By code."""

    @classmethod
    def of(cls, whole: Report, reports: Sequence[Report]) -> "Figured":
        """Pick the agencies out of all reports of the period."""
        return cls(whole, {code: one for one in reports if (code := agency_of(one.scope)) is not None})

    @property
    def as_of(self) -> AsOf:
        """The instant to look back from: of a closed period, its cut-off."""
        return AsOf(self.whole.as_of, day_ends=self.whole.final)

    @property
    def add_up(self) -> bool:
        """Whether the agencies' figures sum to the province's; not while some of a revision are still being written."""
        return sum((one.figures for one in self.agencies.values()), Figures()) == self.whole.figures


def window(figured: Figured, upcoming_days: int) -> Window:
    """What the lists beside these figures look at."""
    as_of = figured.as_of
    return Window(as_of, start_of(figured.whole.starts_on), as_of.day + timedelta(days=upcoming_days))


def compose(
    figured: Figured,
    lists: Lists,
    directory: Directory,
    *,
    province_name: str,
    regime: Regime,
    rules: ReportRules,
    prepared_on: date,
    is_first: bool = True,
) -> Content:
    """The content. `prepared_on`: today; `is_first`: nothing was prepared for this period before."""
    whole = figured.whole
    as_of = figured.as_of
    rows = agency_rows(figured, lists.lateness, directory)
    ranking = rank(rows)
    # A closed period's first report has one date, whenever it is made; an amendment cannot be older than its reason.
    dated_on = whole.cut_off_on + timedelta(days=1) if whole.final and is_first else prepared_on
    overdue = lists.overdue.total
    return Content(
        province=whole.province,
        province_name=province_name,
        span=Span(
            whole.period, whole.kind, whole.starts_on, whole.cut_off_on, whole.due_on, regime.name, regime.citation
        ),
        provisional=not whole.final,
        as_of=whole.as_of,
        day=as_of.day,
        report_revision=whole.revision,
        heading=heading(rules.letterhead, directory, province_name, regime, dated_on),
        figures=whole.figures,
        previous_period=whole.previous_period,
        previous=whole.previous,
        year_before_period=whole.year_before_period,
        year_before=whole.year_before,
        agencies=rows,
        overdue=lists.overdue.rows,
        overdue_left_out=lists.overdue.left_out,
        upcoming_until=lists.window.upcoming_until,
        upcoming=lists.upcoming.rows,
        upcoming_left_out=lists.upcoming.left_out,
        extensions=lists.extensions.rows,
        extensions_left_out=lists.extensions.left_out,
        funded=lists.funded.rows,
        funded_left_out=lists.funded.left_out,
        funded_at_risk=lists.at_risk,
        at_risk_behind_points=rules.risk.behind_points,
        at_risk_counted_from=rules.risk.counted_from,
        indicators=whole.indicators,
        indicators_behind=indicators_behind(figured, directory),
        ranking=ranking,
        proposals=(
            *corrections(rows, lists.lateness, rules.corrections),
            *commendations(rows, ranking, rules.commendation),
        ),
        amended=_amended(whole),
        late_facts=len(whole.amendment.because) + whole.amendment.more if whole.amendment is not None else 0,
        lists_agree=figured.add_up and overdue == whole.figures.open_overdue,
    )


# -- the heading -------------------------------------------------------------------------------------------------------


def heading(
    letterhead: Letterhead, directory: Directory, province_name: str, regime: Regime, dated_on: date
) -> Heading:
    """Policy first; what it leaves open follows from the registry, the province's name and the regime."""
    standing = directory.standing(dated_on)
    issuer = letterhead.issuer or (standing.name if standing is not None else "Cơ quan thường trực")
    title = letterhead.signer_title or (standing.head_title if standing is not None else None) or "Thủ trưởng cơ quan"
    return Heading(
        parent=letterhead.parent or f"UBND {uncapitalised(province_name)}",
        issuer=issuer,
        symbol=letterhead.symbol or f"BC-{initials(issuer)}",
        place=letterhead.place or province_name.partition(" ")[2] or province_name,
        dated_on=dated_on,
        addressees=letterhead.addressees or regime.recipients or ("Chủ tịch Ủy ban nhân dân tỉnh",),
        recipients=letterhead.recipients or ("Như trên", "Lưu: VT"),
        signer_title=title,
        signer_name=standing.head_name if standing is not None else None,
    )


def uncapitalised(name: str) -> str:
    """`tỉnh Quảng Ngãi`, as it stands inside a sentence."""
    return name[:1].lower() + name[1:]


def initials(name: str) -> str:
    """`Sở Thông tin và Truyền thông` → STTTT, as agencies abbreviate their names in symbols (Decree 30/2020)."""
    words = [word for word in name.replace("-", " ").split() if word.casefold() not in {"và", "các", "của"}]
    return "".join(word if word.isupper() and len(word) > 1 else word[0].upper() for word in words)


# -- agencies ----------------------------------------------------------------------------------------------------------


def agency_rows(figured: Figured, lateness: Mapping[str, Lateness], directory: Directory) -> tuple[AgencyRow, ...]:
    """One row an agency: the most overdue first, then by name."""
    rows = []
    for code, report in figured.agencies.items():
        card, late = directory.agency(code), lateness.get(code, Lateness())
        # The name of its time (see report.revise), not what the registry calls it today.
        rows.append(
            AgencyRow(
                code=code,
                name=report.scope_name,
                head_name=card.head_name,
                head_title=card.head_title,
                figures=report.figures,
                days_late_most=late.days_late_most,
                obstructed=late.obstructed,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.figures.open_overdue, name_key(row.name), row.code)))


def indicators_behind(figured: Figured, directory: Directory) -> tuple[IndicatorBehind, ...]:
    """Agencies that miss a target of theirs, by indicator, the furthest behind first."""
    found = [
        IndicatorBehind(
            one.code, one.title, one.period, code, directory.agency(code).name, one.percent, one.at_least_percent
        )
        for code, report in figured.agencies.items()
        for one in report.indicators
        if one.is_met is False and one.at_least_percent is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.code, one.percent or Decimal(0), one.agency)))


def rank(rows: Sequence[AgencyRow]) -> tuple[Ranked, ...]:
    """By the rate on time of those due, then by fewer overdue, fewer days late, more done; equal ones share a place.

    Exact values decide, not printed ones. Where nothing fell due there is nothing to rank by: last, without a place.
    """
    judged = sorted((row for row in rows if _due(row.figures)), key=lambda row: (_merit(row), name_key(row.name)))
    places: dict[str, int] = {}
    before: tuple[Any, ...] | None = None
    for number, row in enumerate(judged, start=1):
        same = before is not None and _merit(row) == before
        places[row.code] = places[judged[number - 2].code] if same else number
        before = _merit(row)
    others = sorted((row for row in rows if not _due(row.figures)), key=lambda row: name_key(row.name))
    return tuple(_ranked(row, places.get(row.code)) for row in (*judged, *others))


def _due(figures: Figures) -> int:
    """How many fell due, as the rate on time counts them."""
    return _on_time(figures) + figures.late


def _on_time(figures: Figures) -> int:
    return figures.done_on_time - figures.done_without_deadline


def _merit(row: AgencyRow) -> tuple[Any, ...]:
    one = row.figures
    return -Fraction(_on_time(one), _due(one)), one.open_overdue, one.days_late, -Fraction(one.done, one.total)


def _ranked(row: AgencyRow, place: int | None) -> Ranked:
    one = row.figures
    return Ranked(
        place=place,
        agency=row.code,
        agency_name=row.name,
        due=_due(one),
        on_time=_on_time(one),
        on_time_of_due=one.on_time_of_due,
        done_of_all=one.done_of_all,
        overdue=one.open_overdue,
        days_late=one.days_late,
    )


# -- proposals ---------------------------------------------------------------------------------------------------------


def corrections(
    rows: Sequence[AgencyRow], lateness: Mapping[str, Lateness], rules: Sequence[CorrectionRule]
) -> Iterator[Proposal]:
    """For each agency the first rule whose limit it reaches, with every limit of that rule that it reached."""
    found: dict[Measure, list[Proposal]] = {}
    for row in rows:
        for rule in rules:
            if reasons := tuple(_against(row, lateness.get(row.code, Lateness()), rule)):
                found.setdefault(rule.measure, []).append(_proposal(rule.measure, row, reasons))
                break
    for rule in rules:
        yield from found.pop(rule.measure, ())


def _against(row: AgencyRow, late: Lateness, rule: CorrectionRule) -> Iterator[Reason]:
    figures = row.figures
    overdue, due = figures.open_overdue, _due(figures)
    if rule.overdue_at_least is not None and overdue >= rule.overdue_at_least:
        yield Reason(ReasonKind.OVERDUE, Decimal(overdue), Decimal(rule.overdue_at_least))
    below = rule.on_time_below_percent
    if below is not None and due >= rule.due_at_least and _on_time(figures) * 100 < below * due:
        rate = figures.on_time_of_due
        assert rate is not None, "something fell due"
        yield Reason(ReasonKind.ON_TIME_RATE, rate, below, of=due)
    if rule.days_late_over is not None and late.days_late_most > rule.days_late_over:
        yield Reason(
            ReasonKind.DAYS_LATE, Decimal(late.days_late_most), Decimal(rule.days_late_over), task_id=late.latest_task
        )


def commendations(rows: Sequence[AgencyRow], ranking: Sequence[Ranked], rule: CommendationRule) -> Iterator[Proposal]:
    """By rank, as many as the rule allows."""
    by_code = {row.code: row for row in rows}
    left = rule.most
    for ranked in ranking:
        row = by_code[ranked.agency]
        rate = ranked.on_time_of_due
        if left == 0 or rate is None:
            return
        if (
            ranked.due >= rule.due_at_least
            and ranked.on_time * 100 >= rule.on_time_at_least_percent * ranked.due
            and ranked.overdue <= rule.overdue_at_most
        ):
            left -= 1
            yield _proposal(
                Measure.COMMEND,
                row,
                (
                    Reason(ReasonKind.ON_TIME_RATE, rate, rule.on_time_at_least_percent, of=ranked.due),
                    Reason(ReasonKind.NONE_OVERDUE, Decimal(ranked.overdue), Decimal(rule.overdue_at_most)),
                ),
            )


def _proposal(measure: Measure, row: AgencyRow, reasons: tuple[Reason, ...]) -> Proposal:
    return Proposal(
        measure=measure,
        agency=row.code,
        agency_name=row.name,
        head_name=row.head_name,
        head_title=row.head_title,
        reasons=reasons,
        obstructed=row.obstructed if measure is not Measure.COMMEND else 0,
    )


def _amended(whole: Report) -> tuple[FigureChanged, ...]:
    if whole.amendment is None:
        return ()
    return tuple(
        FigureChanged(name, *(Decimal(value) if value is not None else None for value in pair))
        for name, pair in whole.amendment.changed.items()
    )
