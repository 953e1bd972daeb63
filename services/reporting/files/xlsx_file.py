"""The report as a workbook: a sheet a table, numbers as numbers, ready to print."""

import io
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from services.reporting.domain.content import Content
from services.reporting.files import tables, words
from services.reporting.files.table import CellKind, Table, Value, left_out

_FORMATS: Final[Mapping[CellKind, Mapping[str, Any]]] = {
    CellKind.TEXT: {"text_wrap": True},
    CellKind.PLACE: {"num_format": "0", "align": "center"},
    CellKind.COUNT: {"num_format": "#,##0"},
    CellKind.CHANGE: {"num_format": "+#,##0;-#,##0;0"},
    CellKind.MONEY: {"num_format": "#,##0"},
    CellKind.MONEY_CHANGE: {"num_format": "+#,##0;-#,##0;0"},
    # A share of one, as spreadsheets calculate.
    CellKind.PERCENT: {"num_format": "0.00%"},
    CellKind.POINTS: {"num_format": '+0.00" điểm %";-0.00" điểm %";0'},
    CellKind.DECIMAL: {"num_format": "#,##0.##"},
    CellKind.DAY: {"num_format": "dd/mm/yyyy", "align": "center"},
}
_BASE: Final[Mapping[str, Any]] = {"font_name": "Times New Roman", "font_size": 11, "valign": "top", "border": 1}
_FIRST_ROW: Final = 3
"""Of the heading: above it are the title, what the figures are on, and a line left free."""
_MM_PER_CHARACTER: Final = 1.9
_WIDTH_MIN: Final = 7.0
FIXED: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - a workbook's dates have no zone
"""The workbook says nothing of when it was written: the same content is the same file."""


class _Formats:
    """Each combination once, as the library wants it."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._made: dict[tuple[CellKind, bool], Format] = {}
        self.title = book.add_format({"font_name": "Times New Roman", "font_size": 14, "bold": True})
        self.said = book.add_format({"font_name": "Times New Roman", "font_size": 11, "italic": True})
        self.head = book.add_format(
            {**_BASE, "bold": True, "text_wrap": True, "align": "center", "valign": "vcenter", "bg_color": "#EDEDED"}
        )

    def of(self, kind: CellKind, *, is_bold: bool) -> Format:
        """For cells of a kind."""
        key = (kind, is_bold)
        if key not in self._made:
            self._made[key] = self._book.add_format({**_BASE, **_FORMATS[kind], "bold": is_bold})
        return self._made[key]


def render(content: Content) -> bytes:
    """The whole workbook."""
    file = io.BytesIO()
    # Text is written as text, whatever it begins with: no formula, no link, no number is made of it.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with Workbook(file, options) as book:
        book.set_properties(
            {
                "title": words.title(content),
                "author": words.clean(content.heading.issuer),
                "created": FIXED,
                "comments": f"{content.province}/{content.span.id}; {content.content_hash}",
            }
        )
        formats = _Formats(book)
        said = words.data_days(content)
        said = f"{words.PROVISIONAL}: {said}" if content.provisional else f"Số liệu {said}"
        for make in tables.TABLES.values():
            table = make(content)
            _sheet(book.add_worksheet(table.name), table, f"{table.title} – {words.title(content)}", said, formats)
    return file.getvalue()


def _sheet(sheet: Worksheet, table: Table, title: str, said: str, formats: _Formats) -> None:
    sheet.write_string(0, 0, title, formats.title)
    sheet.write_string(1, 0, said[:1].upper() + said[1:], formats.said)
    first = _head(sheet, table, formats)
    for number, row in enumerate(table.rows, start=first):
        for place, (kind, value) in enumerate(zip(table.kinds(row), row.values, strict=True)):
            _cell(sheet, number, place, kind, value, formats.of(kind, is_bold=row.is_bold))
    after = first + len(table.rows)
    if not table.rows:
        sheet.write_string(after, 0, table.nothing, formats.said)
    elif table.left_out:
        sheet.write_string(after, 0, left_out(table), formats.said)
    for place, column in enumerate(table.columns):
        sheet.set_column(place, place, max(_WIDTH_MIN, column.width_mm / _MM_PER_CHARACTER))
    if table.rows:
        sheet.autofilter(first - 1, 0, after - 1, len(table.columns) - 1)
    sheet.freeze_panes(first, 0)
    sheet.repeat_rows(_FIRST_ROW, first - 1)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.set_margins(left=0.6, right=0.6, top=0.8, bottom=0.8)
    sheet.set_footer("&C&P/&N")


def _head(sheet: Worksheet, table: Table, formats: _Formats) -> int:
    """Writes the heading; returns the row after it."""
    if not table.has_groups:
        for place, column in enumerate(table.columns):
            sheet.write_string(_FIRST_ROW, place, column.label, formats.head)
        return _FIRST_ROW + 1
    for label, first, last in table.groups():
        if not label:
            sheet.merge_range(_FIRST_ROW, first, _FIRST_ROW + 1, first, table.columns[first].label, formats.head)
            continue
        if last > first:
            sheet.merge_range(_FIRST_ROW, first, _FIRST_ROW, last, label, formats.head)
        else:
            sheet.write_string(_FIRST_ROW, first, label, formats.head)
        for place in range(first, last + 1):
            sheet.write_string(_FIRST_ROW + 1, place, table.columns[place].label, formats.head)
    return _FIRST_ROW + 2


def _cell(sheet: Worksheet, row: int, place: int, kind: CellKind, value: Value, shape: Format) -> None:
    match value:
        case None:
            sheet.write_string(row, place, words.NOTHING, shape)
        case str():
            sheet.write_string(row, place, words.clean(value), shape)
        case date():
            sheet.write_datetime(row, place, value, shape)
        case _:
            sheet.write_number(row, place, float(value / 100) if _is_share(kind, value) else value, shape)


def _is_share(kind: CellKind, value: Decimal | int) -> bool:
    return kind is CellKind.PERCENT and isinstance(value, Decimal)
