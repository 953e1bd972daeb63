"""One table as CSV (RFC 4180), for Excel: UTF-8 with a byte order mark, and no cell that Excel would calculate."""

import csv
import io
from typing import Final

from services.reporting.domain.content import Content
from services.reporting.files import tables, words
from services.reporting.files.table import Column, Table, Value

_ACTIVE: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection), its wide forms included."""


def render(content: Content, table: str = "agencies") -> bytes:
    """A table by its name in tables.TABLES. One heading row, then rows: nothing else, so that programs read it too."""
    return written(tables.TABLES[table](content))


def written(table: Table) -> bytes:
    """The table's cells, as programs write them: 1234, 98.63, 2024-11-14; what is not known is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow([neutral(_label(column)) for column in table.columns])
    for row in table.rows:
        writer.writerow([_cell(value) for value in row.values])
    return text.getvalue().encode("utf-8-sig")


def _label(column: Column) -> str:
    return f"{column.group}: {column.label}" if column.group else column.label


def _cell(value: Value) -> str | int:
    match value:
        case None:
            return ""
        case str():
            return neutral(words.clean(value))
        case int():
            return value
    # Decimals keep their two places; days are ISO 8601.
    return str(value)


def neutral(text: str) -> str:
    """Text that is no formula: an apostrophe before what could be one."""
    return f"'{text}" if text.startswith(_ACTIVE) else text
