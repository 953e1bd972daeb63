"""The tables of how agencies stand: against targets, among each other, and what is proposed for whom."""

from services.reporting.domain.content import Content
from services.reporting.domain.content_rules import Measure
from services.reporting.files import words
from services.reporting.files.table import NUMBER, CellKind, Column, Row, Table


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
            NUMBER,
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
