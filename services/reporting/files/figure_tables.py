"""The tables of figures: the province in all, by cause of delay, by agency, and what an amendment changed."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from services.reporting.domain.content import AgencyRow, Content
from services.reporting.domain.figures import DELAY_CAUSES, Figures, percent
from services.reporting.files import words
from services.reporting.files.table import MONEY, NUMBER, CellKind, Column, Row, Table

# -- the province ------------------------------------------------------------------------------------------------------

_COUNTS: Final = (
    "total",
    "done",
    "done_on_time",
    "done_late",
    "open",
    "open_in_time",
    "open_due_soon",
    "open_overdue",
    "open_no_deadline",
)
_OTHER_COUNTS: Final = (
    "done_without_deadline",
    "ended_without_result",
    "days_late",
    "extended",
    "extensions_granted",
    "extensions_refused",
    "extensions_pending",
    "obstacles_raised",
    "obstacles_answered",
    "obstacles_forwarded",
    "obstacles_cleared",
    "obstacles_open",
    "funded",
)
TOTALS: Final[Mapping[str, CellKind]] = {
    **dict.fromkeys(_COUNTS, CellKind.COUNT),
    "on_time_of_due": CellKind.PERCENT,
    "done_of_all": CellKind.PERCENT,
    **dict.fromkeys(_OTHER_COUNTS, CellKind.COUNT),
    "allocated_vnd": CellKind.MONEY,
    "assigned_vnd": CellKind.MONEY,
    "disbursed_vnd": CellKind.MONEY,
    "disbursed_percent": CellKind.PERCENT,
    "disbursed_of_assigned_percent": CellKind.PERCENT,
}
"""Figure → what it is, in the order of the table."""
_CHANGES: Final = {
    CellKind.COUNT: CellKind.CHANGE,
    CellKind.MONEY: CellKind.MONEY_CHANGE,
    CellKind.PERCENT: CellKind.POINTS,
}
_BOLD: Final = frozenset({"total", "done", "open", "on_time_of_due", "done_of_all"})


def totals(content: Content) -> Table:
    """All figures of the province beside those of the period before and of the same period of last year."""

    def earlier(label: str, period: str | None) -> str:
        return f"{label} ({words.short_period(period)})" if period is not None else label

    return Table(
        name="Tổng hợp",
        title="Tổng hợp kết quả thực hiện nhiệm vụ",
        columns=(
            Column("Nội dung", CellKind.TEXT, 52),
            Column("Kỳ này", CellKind.COUNT, 29),
            Column(earlier("Kỳ trước", content.previous_period), CellKind.COUNT, 28),
            Column("Tăng (+), giảm (-) so với kỳ trước", CellKind.CHANGE, 28),
            Column(earlier("Cùng kỳ năm trước", content.year_before_period), CellKind.COUNT, 28),
        ),
        rows=tuple(_total(name, kind, content) for name, kind in TOTALS.items()),
    )


def _total(name: str, kind: CellKind, content: Content) -> Row:
    now, before, last_year = (_figure(one, name) for one in (content.figures, content.previous, content.year_before))
    change = now - before if now is not None and before is not None else None
    return Row(
        (words.FIGURES[name], now, before, change, last_year),
        is_bold=name in _BOLD,
        kinds=(CellKind.TEXT, kind, kind, _CHANGES[kind], kind),
    )


def _figure(figures: Figures | None, name: str) -> Decimal | int | None:
    value: Decimal | int | None = getattr(figures, name) if figures is not None else None
    return value


def causes(content: Content) -> Table:
    """Why tasks are late, done and open ones together."""
    late = content.figures.late
    return Table(
        name="Nguyên nhân chậm",
        title="Nguyên nhân chậm (nhiệm vụ hoàn thành quá hạn và nhiệm vụ quá hạn chưa hoàn thành)",
        columns=(
            Column("Nguyên nhân", CellKind.TEXT, 95),
            Column("Số nhiệm vụ", CellKind.COUNT, 35),
            Column("Tỷ lệ", CellKind.PERCENT, 35),
        ),
        rows=(
            *(
                Row((words.DELAY_CAUSES[code], count, percent(count, late)))
                for code in DELAY_CAUSES
                if (count := content.figures.causes[code])
            ),
            *([Row(("Cộng", late, percent(late, late)), is_bold=True)] if late else []),
        ),
        nothing="Không có nhiệm vụ chậm.",
    )


def amended(content: Content) -> Table:
    """What the last amendment changed."""
    return Table(
        name="Điều chỉnh",
        title="Số liệu được điều chỉnh so với bản trước",
        columns=(
            Column("Số liệu", CellKind.TEXT, 95),
            Column("Trước", CellKind.DECIMAL, 35),
            Column("Sau", CellKind.DECIMAL, 35),
        ),
        rows=tuple(Row((_figure_name(one.figure), one.before, one.after)) for one in content.amended),
    )


_BESIDE: Final = {"previous": "Kỳ trước: ", "year_before": "Cùng kỳ năm trước: ", "indicators": "Chỉ tiêu "}


def _figure_name(figure: str) -> str:
    part, dot, name = figure.partition(".")
    if not dot:
        return words.FIGURES.get(figure, figure)
    return f"{_BESIDE.get(part, '')}{words.FIGURES.get(name, name)}"


# -- agencies ----------------------------------------------------------------------------------------------------------

_DONE, _OPEN, _RATES = "Đã hoàn thành", "Chưa hoàn thành", "Tỷ lệ"
AGENCY_TASKS: Final = {
    "total": Column("Tổng số", CellKind.COUNT, 15),
    "done_on_time": Column("Đúng hạn", CellKind.COUNT, 15, _DONE),
    "done_late": Column("Quá hạn", CellKind.COUNT, 15, _DONE),
    "open_in_time": Column("Trong hạn", CellKind.COUNT, 15, _OPEN),
    "open_due_soon": Column("Sắp đến hạn", CellKind.COUNT, 15, _OPEN),
    "open_overdue": Column("Quá hạn", CellKind.COUNT, 15, _OPEN),
    "open_no_deadline": Column("Chưa có hạn", CellKind.COUNT, 15, _OPEN),
    "on_time_of_due": Column("Đúng hạn trên số đến hạn", CellKind.PERCENT, 19, _RATES),
    "done_of_all": Column("Hoàn thành trên tổng số", CellKind.PERCENT, 19, _RATES),
    "days_late": Column("Số ngày chậm", CellKind.COUNT, 15),
    "extensions_granted": Column("Gia hạn", CellKind.COUNT, 14),
    "obstacles_open": Column("Vướng mắc", CellKind.COUNT, 14),
}
AGENCY_MONEY: Final = {
    "funded": Column("Số nhiệm vụ có kinh phí", CellKind.COUNT, 22),
    "allocated_vnd": Column("Được phân bổ", CellKind.MONEY, 36, MONEY),
    "assigned_vnd": Column("Kế hoạch vốn được giao", CellKind.MONEY, 36, MONEY),
    "disbursed_vnd": Column("Đã giải ngân", CellKind.MONEY, 36, MONEY),
    "disbursed_percent": Column("Trên kinh phí được phân bổ", CellKind.PERCENT, 27, "Tỷ lệ giải ngân"),
    "disbursed_of_assigned_percent": Column("Trên kế hoạch vốn được giao", CellKind.PERCENT, 27, "Tỷ lệ giải ngân"),
}


def agencies(content: Content) -> Table:
    """Tasks and rates by agency, the province last."""
    return _by_agency(content, "Theo cơ quan", "Kết quả thực hiện theo cơ quan", AGENCY_TASKS, 57, content.agencies)


def agencies_money(content: Content) -> Table:
    """Money by agency, of those that have any."""
    rows = tuple(row for row in content.agencies if row.figures.funded or row.figures.disbursed_vnd)
    title = "Giải ngân theo cơ quan"
    return _by_agency(content, "Giải ngân theo cơ quan", title, AGENCY_MONEY, 59, rows)


def agencies_whole(content: Content) -> Table:
    """Everything by agency in one table, wider than a page."""
    figures = AGENCY_TASKS | AGENCY_MONEY
    return _by_agency(content, "Theo cơ quan", "Kết quả thực hiện theo cơ quan", figures, 57, content.agencies)


def _by_agency(
    content: Content,
    name: str,
    title: str,
    figures: Mapping[str, Column],
    width_mm: float,
    rows: tuple[AgencyRow, ...],
) -> Table:
    whole = Row(
        ("", content.province_name, *(getattr(content.figures, one) for one in figures)),
        is_bold=True,
        kinds=(CellKind.TEXT, CellKind.TEXT, *(column.kind for column in figures.values())),
    )
    listed = (
        Row((number, row.name, *(getattr(row.figures, one) for one in figures)))
        for number, row in enumerate(rows, start=1)
    )
    return Table(
        name=name,
        title=title,
        columns=(NUMBER, Column("Cơ quan", CellKind.TEXT, width_mm), *figures.values()),
        rows=(*listed, whole) if rows else (),
    )
