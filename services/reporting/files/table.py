"""A table of the report: columns, rows, and what each cell holds, whichever file it goes into."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

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


NUMBER: Final = Column("STT", CellKind.PLACE, 9)
"""Which row it is."""
MONEY: Final = "Kinh phí (đồng)"
"""Over columns of money."""
