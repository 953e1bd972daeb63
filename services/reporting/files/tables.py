"""The tables of the report, from its content: the same cells whichever file they go into."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

from services.reporting.domain.content import AgencyRow, Content
from services.reporting.domain.content_rules import Measure
from services.reporting.domain.figures import DELAY_CAUSES, Figures, percent
from services.reporting.files import words

Value: TypeAlias = str | int | Decimal | date | None


class CellKind(StrEnum):
    """What a cell holds, and so how it is written."""

    TEXT = "text"
    PLACE = "place"
    """A number that tells an order; in the middle."""
    COUNT = "count"
    CHANGE = "change"
    """A count with its sign."""
    MONEY = "money"
    """đồng."""
    MONEY_CHANGE = "money_change"
    PERCENT = "percent"
    """Two decimals; None prints as a dash."""
    POINTS = "points"
    """A difference of percentages, with its sign."""
    DECIMAL = "decimal"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what its cells hold, and how wide it is on paper."""

    label: str
    kind: CellKind
    width_mm: float
    group: str = ""
    """What stands over it and its neighbours of the same group."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `kinds` where its cells hold something else than their columns say."""

    values: tuple[Value, ...]
    is_bold: bool = False
    kinds: tuple[CellKind, ...] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One table. Its rows are in order."""

    name: str
    """Short, for a sheet: at most 31 characters."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    nothing: str = "Không có."
    """What is said where there is no row."""
    left_out: int = 0
    note: str = ""

    @property
    def width_mm(self) -> float:
        """Of all columns."""
        return sum(column.width_mm for column in self.columns)

    def kinds(self, row: Row) -> tuple[CellKind, ...]:
        """What the cells of a row hold."""
        return row.kinds or tuple(column.kind for column in self.columns)

    def groups(self) -> Iterator[tuple[str, int, int]]:
        """Each group over columns, and each column without one: label, first column, last column."""
        first = 0
        while first < len(self.columns):
            label, last = self.columns[first].group, first
            while label and last + 1 < len(self.columns) and self.columns[last + 1].group == label:
                last += 1
            yield label, first, last
            first = last + 1

    @property
    def has_groups(self) -> bool:
        """Whether its heading has two rows."""
        return any(column.group for column in self.columns)


def text_of(kind: CellKind, value: Value) -> str:
    """A cell as people read it."""
    match value:
        case None:
            return words.NOTHING
        case str():
            return words.clean(value)
        case date():
            return words.day(value)
    if kind is CellKind.PERCENT:
        return words.percent(Decimal(value))
    if kind in {CellKind.CHANGE, CellKind.MONEY_CHANGE, CellKind.POINTS}:
        shown = words.number(value)
        return f"+{shown}" if value > 0 else shown
    return words.number(words.plain(value) if isinstance(value, Decimal) else value)


def left_out(table: Table) -> str:
    """Says that a list is longer than what is shown of it."""
    return f"Danh sách còn {words.number(table.left_out)} dòng không thể hiện ở đây."


def is_number(kind: CellKind) -> bool:
    """Whether a cell is written to the right, as numbers are."""
    return kind not in {CellKind.TEXT, CellKind.DAY, CellKind.PLACE}


_NUMBER: Final = Column("STT", CellKind.PLACE, 9)


# -- totals ------------------------------------------------------------------------------------------------------------

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


# -- agencies ----------------------------------------------------------------------------------------------------------

_DONE, _OPEN, _RATES, _MONEY = "Đã hoàn thành", "Chưa hoàn thành", "Tỷ lệ", "Kinh phí (đồng)"
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
    "allocated_vnd": Column("Được phân bổ", CellKind.MONEY, 36, _MONEY),
    "assigned_vnd": Column("Kế hoạch vốn được giao", CellKind.MONEY, 36, _MONEY),
    "disbursed_vnd": Column("Đã giải ngân", CellKind.MONEY, 36, _MONEY),
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
        columns=(_NUMBER, Column("Cơ quan", CellKind.TEXT, width_mm), *figures.values()),
        rows=(*listed, whole) if rows else (),
    )


# -- lists of tasks ----------------------------------------------------------------------------------------------------

_ID: Final = Column("Mã nhiệm vụ", CellKind.TEXT, 30)
_CLAUSE: Final = Column("Mục", CellKind.TEXT, 14)
_DIRECTIVE: Final = Column("Văn bản giao", CellKind.TEXT, 27)
_AGENCY: Final = Column("Cơ quan chủ trì", CellKind.TEXT, 30)


def overdue(content: Content) -> Table:
    """Tasks that are open and overdue, the latest first."""
    return Table(
        name="Quá hạn",
        title="Nhiệm vụ quá hạn chưa hoàn thành",
        columns=(
            _NUMBER,
            _ID,
            _CLAUSE,
            Column("Nội dung nhiệm vụ", CellKind.TEXT, 45),
            _DIRECTIVE,
            _AGENCY,
            Column("Người đứng đầu", CellKind.TEXT, 24),
            Column("Thời hạn", CellKind.DAY, 19),
            Column("Số ngày chậm", CellKind.COUNT, 13),
            Column("Nguyên nhân, khó khăn, vướng mắc", CellKind.TEXT, 41),
        ),
        rows=tuple(
            Row(
                (
                    number,
                    row.task.task_id,
                    row.task.clause,
                    row.task.title,
                    row.task.directive_number,
                    row.task.agency_name,
                    words.head(row.head_title, row.head_name) or None,
                    row.legal,
                    row.days_late,
                    words.why(row),
                )
            )
            for number, row in enumerate(content.overdue, start=1)
        ),
        nothing="Không có nhiệm vụ quá hạn chưa hoàn thành.",
        left_out=content.overdue_left_out,
    )


def upcoming(content: Content) -> Table:
    """Tasks whose day comes near, the nearest first."""
    until = words.day(content.upcoming_until)
    return Table(
        name="Sắp đến hạn",
        title=f"Nhiệm vụ đến hạn trong {(content.upcoming_until - content.day).days} ngày tới, đến ngày {until}",
        columns=(
            _NUMBER,
            _ID,
            _CLAUSE,
            Column("Nội dung nhiệm vụ", CellKind.TEXT, 62),
            _DIRECTIVE,
            Column("Cơ quan chủ trì", CellKind.TEXT, 35),
            Column("Thời hạn", CellKind.DAY, 20),
            Column("Số ngày còn lại", CellKind.COUNT, 15),
            Column("Ghi chú", CellKind.TEXT, 40),
        ),
        rows=tuple(
            Row(
                (
                    number,
                    row.task.task_id,
                    row.task.clause,
                    row.task.title,
                    row.task.directive_number,
                    row.task.agency_name,
                    row.legal,
                    row.days_left,
                    words.sentences(
                        (
                            words.STATES[row.state],
                            f"{row.obstacles} khó khăn, vướng mắc chưa giải quyết" if row.obstacles else "",
                        )
                    ),
                )
            )
            for number, row in enumerate(content.upcoming, start=1)
        ),
        nothing=f"Không có nhiệm vụ đến hạn đến ngày {until}.",
        left_out=content.upcoming_left_out,
    )


def extensions(content: Content) -> Table:
    """Extensions of the period, in the order they were granted."""
    return Table(
        name="Gia hạn",
        title="Nhiệm vụ được gia hạn trong kỳ",
        columns=(
            _NUMBER,
            _ID,
            _CLAUSE,
            Column("Nội dung nhiệm vụ", CellKind.TEXT, 54),
            Column("Cơ quan chủ trì", CellKind.TEXT, 33),
            Column("Thời hạn ban đầu", CellKind.DAY, 20, "Thời hạn"),
            Column("Trước gia hạn", CellKind.DAY, 20, "Thời hạn"),
            Column("Sau gia hạn", CellKind.DAY, 20, "Thời hạn"),
            Column("Số, ký hiệu", CellKind.TEXT, 32, "Văn bản gia hạn"),
            Column("Ngày", CellKind.DAY, 20, "Văn bản gia hạn"),
        ),
        rows=tuple(
            Row(
                (
                    number,
                    row.task.task_id,
                    row.task.clause,
                    row.task.title,
                    row.task.agency_name,
                    row.original_day,
                    row.old_day,
                    row.new_day,
                    row.document_number,
                    row.document_issued_on,
                )
            )
            for number, row in enumerate(content.extensions, start=1)
        ),
        nothing="Không có nhiệm vụ được gia hạn trong kỳ.",
        left_out=content.extensions_left_out,
    )


AT_RISK: Final = "Có nguy cơ không giải ngân hết"


def funded(content: Content) -> Table:
    """Tasks with money, those at risk first."""
    return Table(
        name="Giải ngân",
        title="Tình hình giải ngân các nhiệm vụ được bố trí kinh phí",
        columns=(
            _NUMBER,
            Column("Mã nhiệm vụ", CellKind.TEXT, 27),
            Column("Nội dung nhiệm vụ", CellKind.TEXT, 39),
            Column("Cơ quan chủ trì", CellKind.TEXT, 26),
            Column("Năm", CellKind.TEXT, 10),
            Column("Được phân bổ", CellKind.MONEY, 24, _MONEY),
            Column("Kế hoạch vốn được giao", CellKind.MONEY, 24, _MONEY),
            Column("Đã giải ngân", CellKind.MONEY, 24, _MONEY),
            Column("Trên kinh phí phân bổ", CellKind.PERCENT, 16, "Tỷ lệ giải ngân"),
            Column("Trên kế hoạch vốn", CellKind.PERCENT, 16, "Tỷ lệ giải ngân"),
            Column("Thời gian đã qua", CellKind.PERCENT, 16),
            Column("Đánh giá", CellKind.TEXT, 21),
        ),
        rows=tuple(
            Row(
                (
                    number,
                    row.task.task_id,
                    row.task.title,
                    row.task.agency_name,
                    str(row.fiscal_year),
                    row.allocated_vnd,
                    row.assigned_vnd,
                    row.disbursed_vnd,
                    row.disbursed_percent,
                    row.disbursed_of_assigned_percent,
                    row.elapsed_percent,
                    AT_RISK if row.at_risk else "",
                )
            )
            for number, row in enumerate(content.funded, start=1)
        ),
        nothing="Không có nhiệm vụ được bố trí kinh phí.",
        left_out=content.funded_left_out,
    )


# -- indicators --------------------------------------------------------------------------------------------------------


def indicators(content: Content) -> Table:
    """The province's indicators against targets and benchmarks."""
    return Table(
        name="Chỉ tiêu",
        title="Kết quả thực hiện các chỉ tiêu",
        columns=(
            Column("Mã", CellKind.TEXT, 20),
            Column("Chỉ tiêu", CellKind.TEXT, 38),
            Column("Kỳ số liệu", CellKind.TEXT, 16),
            Column("Kết quả", CellKind.PERCENT, 18),
            Column("Mục tiêu", CellKind.PERCENT, 18),
            Column("Số cơ quan báo cáo", CellKind.COUNT, 15),
            Column("Số cơ quan đạt", CellKind.COUNT, 13),
            Column("So sánh", CellKind.TEXT, 27),
        ),
        rows=tuple(
            Row(
                (
                    one.code,
                    one.title,
                    words.short_period(one.period),
                    one.percent,
                    one.at_least_percent,
                    one.agencies,
                    one.agencies_met,
                    words.sentences(
                        (
                            {True: "Đạt mục tiêu", False: "Chưa đạt mục tiêu", None: ""}[one.is_met],
                            *(
                                f"{words.BENCHMARKS[each.kind]}: {words.percent(each.percent)}"
                                for each in one.benchmarks
                            ),
                        )
                    ),
                )
            )
            for one in content.indicators
        ),
        nothing="Chưa có cơ quan báo cáo chỉ tiêu.",
    )


def indicators_behind(content: Content) -> Table:
    """Agencies that miss a target."""
    return Table(
        name="Chưa đạt chỉ tiêu",
        title="Cơ quan chưa đạt mục tiêu",
        columns=(
            Column("Mã", CellKind.TEXT, 25),
            Column("Chỉ tiêu", CellKind.TEXT, 50),
            Column("Kỳ số liệu", CellKind.TEXT, 18),
            Column("Cơ quan", CellKind.TEXT, 40),
            Column("Kết quả", CellKind.PERCENT, 16),
            Column("Mục tiêu", CellKind.PERCENT, 16),
        ),
        rows=tuple(
            Row(
                (
                    one.code,
                    one.title,
                    words.short_period(one.period),
                    one.agency_name,
                    one.percent,
                    one.at_least_percent,
                )
            )
            for one in content.indicators_behind
        ),
        nothing="Không có cơ quan chưa đạt mục tiêu.",
    )


# -- ranking and proposals ---------------------------------------------------------------------------------------------


def ranking(content: Content) -> Table:
    """Agencies by how they kept their days."""
    return Table(
        name="Xếp hạng",
        title="Xếp hạng các cơ quan theo tỷ lệ hoàn thành đúng hạn",
        columns=(
            Column("Xếp hạng", CellKind.PLACE, 16),
            Column("Cơ quan", CellKind.TEXT, 57),
            Column("Số đến hạn", CellKind.COUNT, 15),
            Column("Đúng hạn", CellKind.COUNT, 15),
            Column("Tỷ lệ đúng hạn", CellKind.PERCENT, 17),
            Column("Tỷ lệ hoàn thành", CellKind.PERCENT, 17),
            Column("Đang quá hạn", CellKind.COUNT, 14),
            Column("Số ngày chậm", CellKind.COUNT, 14),
        ),
        rows=tuple(
            Row(
                (
                    one.place,
                    one.agency_name,
                    one.due,
                    one.on_time,
                    one.on_time_of_due,
                    one.done_of_all,
                    one.overdue,
                    one.days_late,
                )
            )
            for one in content.ranking
        ),
    )


def proposals(content: Content) -> Table:
    """What is proposed for whom, and why, in numbers."""
    return Table(
        name="Đề xuất",
        title="Đề xuất khen thưởng, chấn chỉnh, phê bình",
        columns=(
            _NUMBER,
            Column("Cơ quan", CellKind.TEXT, 38),
            Column("Người đứng đầu", CellKind.TEXT, 32),
            Column("Đề nghị", CellKind.TEXT, 22),
            Column("Căn cứ", CellKind.TEXT, 64),
        ),
        rows=tuple(
            Row(
                (
                    number,
                    one.agency_name,
                    words.head(one.head_title, one.head_name) or None,
                    words.MEASURES[one.measure],
                    words.reasons(one),
                )
            )
            for number, one in enumerate(content.proposals, start=1)
        ),
        nothing="Không có đề xuất.",
    )


def corrections(content: Content) -> Table:
    """Of the proposals those that ask an agency to mend its ways."""
    return _some_proposals(content, Measure.CRITICISE, Measure.CORRECT)


def commendations(content: Content) -> Table:
    """Of the proposals those for commendation."""
    return _some_proposals(content, Measure.COMMEND)


def _some_proposals(content: Content, *measures: Measure) -> Table:
    whole = proposals(content)
    kept = [row.values for row, one in zip(whole.rows, content.proposals, strict=True) if one.measure in measures]
    return Table(
        name=whole.name,
        title=whole.title,
        columns=whole.columns,
        rows=tuple(Row((number, *values[1:])) for number, values in enumerate(kept, start=1)),
        nothing=whole.nothing,
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


TABLES: Final[Mapping[str, Callable[[Content], Table]]] = {
    "totals": totals,
    "causes": causes,
    "agencies": agencies_whole,
    "overdue": overdue,
    "upcoming": upcoming,
    "extensions": extensions,
    "funded": funded,
    "indicators": indicators,
    "indicators_behind": indicators_behind,
    "ranking": ranking,
    "proposals": proposals,
}
"""Every table by the name that programs ask for."""
