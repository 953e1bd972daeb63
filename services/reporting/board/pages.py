"""What the pages show: pure functions from what is kept to what a template prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from urllib.parse import quote, urlencode

from markupsafe import Markup

from services.reporting import charts
from services.reporting.board import words
from services.reporting.domain.figures import Figures
from services.reporting.domain.periods import Kind, Period, Regime
from services.reporting.domain.report import Amendment, Report
from services.reporting.domain.schedule import DUE_SOON_WORKING_DAYS
from services.reporting.domain.scopes import agency_of, name_key
from services.reporting.domain.search import matched
from services.reporting.lists import After, TaskRow
from services.reporting.ports import PeriodRow
from shared.contracts.registry_facts import DirectiveObligation
from shared.workdays.calendar import WorkingCalendar, local_day

FILES: Final = ("csv", "xlsx", "docx", "pdf")
"""Files of a period that `/v1/reports/{period}.{file}` gives."""
TREND_PERIODS: Final = 12
PICKED_MAX: Final = 60
"""So many periods of a kind are offered; older ones by their address."""
CURSOR_CHARS_MAX: Final = 400
STACKED: Final = ("done_on_time", "done_late", "open_in_time", "open_due_soon", "open_overdue", "open_no_deadline")
"""The official columns, from the bottom of a stack up."""

Names = Mapping[str, str]


# -- addresses ---------------------------------------------------------------------------------------------------------


def address(path: str, **query: str | None) -> str:
    """A path with those parameters that say something. `/` stays in ids: notify's letters link like this."""
    said = {name: value for name, value in query.items() if value}
    return f"{quote(path)}?{urlencode(said)}" if said else quote(path)


def task_address(task_id: str) -> str:
    """A task's page."""
    return address(f"/tasks/{task_id}")


# -- where one is ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several to choose from."""

    name: str
    href: str
    is_chosen: bool = False
    value: str = ""


@dataclass(frozen=True, slots=True)
class Picker:
    """Which period one looks at, and which others there are."""

    kinds: tuple[Choice, ...]
    periods: tuple[Choice, ...]
    older: Choice | None
    newer: Choice | None


def picker(path: str, province: str, chosen: str | None, rows: Sequence[PeriodRow]) -> Picker:
    """`rows`: the latest first. A kind leads to its latest period."""
    kind = next((row.kind for row in rows if row.id == chosen), Kind.MONTHLY)
    first = {row.kind: row for row in reversed(rows)}
    kinds = tuple(
        Choice(words.KINDS[one], address(path, province=province, period=first[one].id), one is kind)
        for one in Kind
        if one in first
    )
    same = [row for row in rows if row.kind is kind]
    choices = [
        Choice(
            words.period(row.id) + ("" if row.final else " (tạm tính)"),
            address(path, province=province, period=row.id),
            row.id == chosen,
            row.id,
        )
        for row in same
    ]
    place = next((place for place, one in enumerate(choices) if one.is_chosen), None)
    older = choices[place + 1] if place is not None and place + 1 < len(choices) else None
    newer = choices[place - 1] if place else None
    begin = max(0, (place or 0) - PICKED_MAX // 2)
    return Picker(kinds, tuple(choices[begin : begin + PICKED_MAX]), older, newer)


def downloads(report: Report, *, sees_all: bool, by_cookie: bool) -> tuple[Choice, ...]:
    """What a reader may take along of a period: the files name agencies and heads, so whoever supervises (ADR 0023).

    The aggregates' JSON is for programs and takes no cookie.
    """
    files = (*(() if by_cookie else ("json",)), *(FILES if sees_all else ()))
    return tuple(
        Choice(one.upper(), address(f"/v1/reports/{report.period}.{one}", province=report.province)) for one in files
    )


# -- figures -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure beside that of the period before."""

    name: str
    now: str
    before: str
    change: str
    kind: str = ""
    level: int = 1


_ROWS: Final = (
    ("total", "Tổng số nhiệm vụ", 1),
    ("done", "Đã hoàn thành", 1),
    ("done_on_time", "Đúng hạn", 2),
    ("done_late", "Quá hạn", 2),
    ("open", "Chưa hoàn thành", 1),
    ("open_in_time", "Trong hạn", 2),
    ("open_due_soon", "Sắp đến hạn", 2),
    ("open_overdue", "Quá hạn", 2),
    ("open_no_deadline", "Chưa có hạn", 2),
    ("days_late", "Tổng số ngày quá hạn", 1),
    ("extended", "Nhiệm vụ được gia hạn", 1),
    ("obstacles_open", "Khó khăn, vướng mắc đang chờ xử lý", 1),
    ("ended_without_result", "Kết thúc không có kết quả (ngoài tổng số)", 1),
)


def figure_rows(now: Figures, before: Figures | None) -> tuple[FigureRow, ...]:
    """The official columns, and what else is counted."""
    rows = []
    for name, label, level in _ROWS:
        value, earlier = getattr(now, name), getattr(before, name) if before is not None else None
        rows.append(
            FigureRow(
                label,
                words.number(value),
                words.NOTHING if earlier is None else words.number(earlier),
                words.NOTHING if earlier is None else words.signed(value - earlier),
                name if name in STACKED else "",
                level,
            )
        )
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Rate:
    """An official rate, with what it is a rate of."""

    name: str
    note: str
    now: str
    before: str
    change: str


def rates(now: Figures, before: Figures | None) -> tuple[Rate, ...]:
    """Both of them: they answer different questions, and reports have mixed them up (domain §2.5)."""
    told = (
        (
            "on_time_of_due",
            "Tỷ lệ đúng hạn trên số đã đến hạn",
            "Không tính nhiệm vụ chưa đến hạn và chưa có hạn.",
        ),
        ("done_of_all", "Tỷ lệ hoàn thành trên tổng số", "Gồm cả nhiệm vụ hoàn thành quá hạn."),
    )
    found = []
    for name, label, note in told:
        value: Decimal | None = getattr(now, name)
        earlier: Decimal | None = getattr(before, name) if before is not None else None
        found.append(Rate(label, note, words.percent(value), words.percent(earlier), words.points(value, earlier)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class MoneyShown:
    """Money against both denominators."""

    allocated: str
    assigned: str
    disbursed: str
    of_allocated: str
    of_assigned: str
    tasks: str


def money(now: Figures) -> MoneyShown | None:
    """None where none was given."""
    if not now.allocated_vnd and not now.disbursed_vnd:
        return None
    return MoneyShown(
        words.number(now.allocated_vnd),
        words.number(now.assigned_vnd),
        words.number(now.disbursed_vnd),
        words.percent(now.disbursed_percent),
        words.percent(now.disbursed_of_assigned_percent),
        words.number(now.funded),
    )


def share(figures: Figures, ident: str) -> Markup:
    """The official columns as one bar."""
    return charts.share_bar(charts.Bar("", _parts(figures)), ident=ident)


def _parts(figures: Figures) -> tuple[tuple[str, int], ...]:
    return tuple((kind, getattr(figures, kind)) for kind in STACKED)


# -- trend -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrendRow:
    """A period of the trend, as the table says it."""

    period: str
    href: str
    is_final: bool
    counts: tuple[str, ...]
    total: str
    on_time_of_due: str
    done_of_all: str


@dataclass(frozen=True, slots=True)
class Trend:
    """How the figures came along: two charts, and the same as a table."""

    columns: Markup
    rates: Markup
    rows: tuple[TrendRow, ...]


def trend_periods(regime: Regime, period: Period) -> list[Period]:
    """A period and those before it, the oldest first."""
    found = [period]
    while len(found) < TREND_PERIODS:
        found.append(regime.before(found[-1]))
    return found[::-1]


def trend(reports: Sequence[Report], path: str) -> Trend | None:
    """`reports`: the oldest first; None where there are fewer than two to compare."""
    if len(reports) < 2:
        return None
    labels = [words.period_short(one.period) for one in reports]
    bars = [charts.Bar(label, _parts(one.figures), _told(one)) for label, one in zip(labels, reports, strict=True)]
    first, last = reports[0], reports[-1]
    span = f"từ {words.period(first.period)} đến {words.period(last.period)}"
    columns = charts.stacked_columns(
        bars,
        ident="xu-huong",
        title=f"Số nhiệm vụ theo tình trạng, {span}",
        desc=f"{_told(last)} Kỳ đầu: {_told(first)} Các số liệu có trong bảng bên dưới.",
    )
    drawn = [
        charts.Line("first", "Đúng hạn trên số đã đến hạn", tuple(one.figures.on_time_of_due for one in reports)),
        charts.Line("second", "Hoàn thành trên tổng số", tuple(one.figures.done_of_all for one in reports)),
    ]
    lines = charts.lines(
        labels,
        drawn,
        ident="xu-huong-ty-le",
        title=f"Hai tỷ lệ, {span}",
        desc="; ".join(f"{line.name}: {words.percent(line.values[-1])} ở kỳ cuối" for line in drawn) + ".",
    )
    rows = tuple(
        TrendRow(
            words.period(one.period),
            address(path, province=one.province, period=one.period),
            one.final,
            tuple(words.number(getattr(one.figures, kind)) for kind in STACKED),
            words.number(one.figures.total),
            words.percent(one.figures.on_time_of_due),
            words.percent(one.figures.done_of_all),
        )
        for one in reversed(reports)
    )
    return Trend(columns, lines, rows)


def _told(report: Report) -> str:
    """Ends with a full stop."""
    figures = report.figures
    counts = ", ".join(
        f"{words.COLUMNS[kind].lower()} {words.number(getattr(figures, kind))}"
        for kind in STACKED
        if getattr(figures, kind)
    )
    return (
        f"{words.period(report.period).capitalize()}: {words.number(figures.total)} nhiệm vụ; {counts or 'không có'}."
    )


# -- agencies ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RankRow:
    """An agency in the ranking."""

    code: str
    name: str
    href: str
    figures: Figures
    bar: Markup


def ranking(reports: Sequence[Report]) -> tuple[RankRow, ...]:
    """Agencies by how many of their open tasks are overdue, then by name."""
    ordered = sorted(reports, key=lambda one: (-one.figures.open_overdue, name_key(one.scope_name)))
    rows = []
    for place, one in enumerate(ordered):
        code = agency_of(one.scope)
        if code is None:
            continue
        href = address(f"/agencies/{code}", province=one.province, period=one.period)
        rows.append(RankRow(code, one.scope_name, href, one.figures, share(one.figures, f"thanh-{place}")))
    return tuple(rows)


# -- amendments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AmendmentRow:
    """A figure that changed after the close."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class AmendmentShown:
    """What a revision changed, and why."""

    rows: tuple[AmendmentRow, ...]
    because: tuple[tuple[str, str, str], ...]
    """(task, its page, when it was received)."""
    more: int


def amended(amendment: Amendment | None, *, may_link: bool) -> AmendmentShown | None:
    """None where nothing was. `may_link`: late facts name tasks, which not everybody may see."""
    if amendment is None:
        return None
    rows = tuple(
        AmendmentRow(words.figure(name), words.value(before), words.value(after))
        for name, (before, after) in amendment.changed.items()
    )
    facts = amendment.because if may_link else ()
    because = tuple((one.task_id, task_address(one.task_id), words.moment(one.received_at)) for one in facts)
    return AmendmentShown(rows, because, amendment.more + len(amendment.because) - len(because))


# -- tasks in a list ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in a list."""

    href: str
    title: tuple[tuple[str, bool], ...]
    """In pieces, and whether each was searched for."""
    clause: str
    directive: str
    directive_href: str
    agency: str
    agency_href: str
    period: str
    last_day: str
    when: str
    kind: str
    """A class of the stylesheet; `state` says the same in words."""
    state: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows, and the way to the next ones."""

    rows: tuple[TaskLine, ...]
    more: str | None = None


def column_of(row: TaskRow, now: datetime, calendar: WorkingCalendar) -> str:
    """Which column of the report an open task stands in now, as far as its row says; its result once it ended."""
    if not row.is_open:
        return row.result
    if row.late_from is None:
        return "open_no_deadline" if row.legal is None else "open_in_time"
    if row.late_from <= now:
        return "open_overdue"
    assert row.legal is not None, "what becomes overdue has a day"
    near = calendar.shift(row.legal, -DUE_SOON_WORKING_DAYS)
    return "open_due_soon" if local_day(now) >= near else "open_in_time"


def task_line(
    row: TaskRow,
    *,
    now: datetime,
    calendar: WorkingCalendar,
    agencies: Names,
    directives: Names,
    province: str,
    terms: Sequence[str] = (),
) -> TaskLine:
    """A task as a list shows it."""
    kind = column_of(row, now, calendar)
    return TaskLine(
        href=task_address(row.id),
        title=tuple(matched(row.title, terms)),
        clause=row.clause,
        directive=directives.get(row.directive, row.directive),
        directive_href=address(f"/directives/{row.directive}", province=province),
        agency=agencies.get(row.agency, row.agency),
        agency_href=address(f"/agencies/{row.agency}", province=province),
        period=words.period(row.period) if row.period is not None else "",
        last_day=words.day(row.legal),
        when=_when(row, now),
        kind=kind,
        state=_state(row, kind),
    )


def _when(row: TaskRow, now: datetime) -> str:
    """How far its last day is; the days of what was handed in late ended with that, which a row does not tell."""
    if not row.is_open or row.late_from is None or row.legal is None:
        return ""
    return "nộp sau hạn" if row.result == "submitted" else words.days_between(row.legal, local_day(now))


def _state(row: TaskRow, kind: str) -> str:
    if row.result in {"submitted", "suspended"} or not row.is_open:
        return words.RESULTS.get(row.result, row.result)
    return words.COLUMNS[kind]


# -- pages of a list ---------------------------------------------------------------------------------------------------


def cursor(after: After) -> str:
    """The end of a page, for an address: it stays right whatever comes or goes meanwhile."""
    return f"{after.late_from.isoformat() if after.late_from is not None else ''}~{after.id}"


def read_cursor(text: str) -> After:
    """ValueError for what cursor never wrote."""
    instant, tilde, task_id = text.partition("~")
    if not tilde or not task_id or len(text) > CURSOR_CHARS_MAX:
        raise ValueError("no cursor")
    late_from = datetime.fromisoformat(instant) if instant else None
    if late_from is not None and late_from.tzinfo is None:
        raise ValueError("an instant has a zone")
    return After(late_from, task_id)


# -- a directive -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClauseShown:
    """A clause in its own words."""

    clause: str | None
    """None: all of the directive."""
    title: str
    phrase: str = ""
    category: str = ""
    leads: str = ""
    cooperating: str = ""
    bases: tuple[str, ...] = ()
    is_known: bool = True
    """Whether the directive's record has it: a task may be older than the revision that dropped its clause."""


def clause(one: DirectiveObligation, agencies: Names) -> ClauseShown:
    """A clause of a directive's record."""
    return ClauseShown(
        clause=one.clause,
        title=one.title,
        phrase=one.phrase,
        category=words.CATEGORIES.get(one.category.value, one.category.value),
        leads=_called(one.leads, agencies),
        cooperating=_called(one.cooperating, agencies),
        bases=one.bases,
    )


def without_record(clause: str | None) -> ClauseShown:
    """What stands over tasks whose clause no record has."""
    return ClauseShown(clause, "Các nhiệm vụ đã tiếp nhận", is_known=False)


def _called(codes: Sequence[str], agencies: Names) -> str:
    """Agencies by name, groups as the directive names them."""
    return "; ".join(words.GROUPS.get(code, agencies.get(code, code)) for code in codes)
