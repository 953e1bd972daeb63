"""The tables of tasks: overdue, near their day, extended, and those with money."""

from typing import Final

from services.reporting.domain.content import Content
from services.reporting.files import words
from services.reporting.files.table import MONEY, NUMBER, CellKind, Column, Row, Table

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
            NUMBER,
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
            NUMBER,
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
            NUMBER,
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
            NUMBER,
            Column("Mã nhiệm vụ", CellKind.TEXT, 27),
            Column("Nội dung nhiệm vụ", CellKind.TEXT, 39),
            Column("Cơ quan chủ trì", CellKind.TEXT, 26),
            Column("Năm", CellKind.TEXT, 10),
            Column("Được phân bổ", CellKind.MONEY, 24, MONEY),
            Column("Kế hoạch vốn được giao", CellKind.MONEY, 24, MONEY),
            Column("Đã giải ngân", CellKind.MONEY, 24, MONEY),
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
