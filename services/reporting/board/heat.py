"""The heat map agency × directive: how many open tasks are overdue now, the worst of both first.

What it costs: which agencies and directives are worst is read off the reports of the running month (one per scope, the
numbers alone leave the server); the cells of the directives shown are counted off one index, an entry for each of their
overdue tasks and no document. Both are asked once for each version of the province's figures, which changes every few
seconds at most, and not by every reader.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.reporting import charts
from services.reporting.board import pages
from services.reporting.board.places import Place
from services.reporting.domain.scopes import ScopeKind
from services.reporting.lists import Lists

AGENCIES_MAX: Final = 500
DIRECTIVES_MAX: Final = 300
"""So many rows and columns can be reached; what is overdue beyond them is in the lists."""
PATH: Final = "/heatmap"


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows and columns at once."""

    agencies: int
    directives: int


SMALL: Final = Size(12, 8)
"""On the overview."""
LARGE: Final = Size(40, 15)


@dataclass(frozen=True, slots=True)
class Cell:
    """How many, how dark, and where they are listed."""

    count: int
    shade: int
    href: str
    told: str


@dataclass(frozen=True, slots=True)
class Head:
    """An agency or a directive."""

    name: str
    href: str
    total: int
    all_href: str
    """All its overdue tasks."""


@dataclass(frozen=True, slots=True)
class Shade:
    """A line of the legend: from, to."""

    shade: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A way to other rows or columns."""

    name: str
    href: str
    rel: str


@dataclass(frozen=True, slots=True)
class Heat:
    """What a page prints."""

    columns: tuple[Head, ...]
    rows: tuple[tuple[Head, tuple[Cell, ...]], ...]
    legend: tuple[Shade, ...]
    as_of: datetime
    agencies: int
    """How many agencies have overdue tasks, and how many directives."""
    directives: int
    turns: tuple[Turn, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return len(self.rows) == self.agencies and len(self.columns) == self.directives


@dataclass(slots=True)
class _Counted:
    """What was counted for one version of a province's figures."""

    version: str
    as_of: datetime
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    agencies: Sequence[tuple[str, int]] | None = None
    directives: Sequence[tuple[str, int]] = ()
    cells: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """Directive → agency → how many; of the directives that somebody looked at."""


class HeatMaps:
    """By province. Whoever asks while somebody else's question is under way waits for the same answer."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._counted: dict[str, _Counted] = {}

    async def at(
        self, place: Place, period: str, size: Size, *, row: int = 0, column: int = 0, chosen: str | None = None
    ) -> Heat:
        """A part of the map, from these rows and columns on. `period`: the month that runs.

        `chosen`: the period that one looks at, for the pages of agencies.
        """
        counted = self._counted.get(place.province)
        if counted is None or counted.version != place.version:
            counted = self._counted[place.province] = _Counted(place.version, place.now)
        async with counted.lock:
            if counted.agencies is None:
                counted.directives = await self._lists.overdue_totals(
                    place.province, period, ScopeKind.DIRECTIVE, DIRECTIVES_MAX
                )
                counted.agencies = await self._lists.overdue_totals(
                    place.province, period, ScopeKind.AGENCY, AGENCIES_MAX
                )
            shown = [slug for slug, _ in counted.directives[column : column + size.directives]]
            if missing := [slug for slug in shown if slug not in counted.cells]:
                found = await self._lists.overdue_cells(place.province, missing, counted.as_of)
                for slug in missing:
                    counted.cells[slug] = {agency: n for (agency, of), n in found.items() if of == slug}
        return heat_map(
            place,
            counted.agencies,
            counted.directives,
            counted.cells,
            as_of=counted.as_of,
            size=size,
            row=row,
            column=column,
            chosen=chosen,
        )


def heat_map(
    place: Place,
    agencies: Sequence[tuple[str, int]],
    directives: Sequence[tuple[str, int]],
    cells: Mapping[str, Mapping[str, int]],
    *,
    as_of: datetime,
    size: Size,
    row: int,
    column: int,
    chosen: str | None = None,
) -> Heat:
    """The part from these rows and columns on, as a page prints it."""
    shown = agencies[row : row + size.agencies]
    columns = directives[column : column + size.directives]
    names = place.names
    steps = charts.heat_steps(max((cells[slug].get(code, 0) for slug, _ in columns for code, _ in shown), default=0))

    def cell(code: str, slug: str) -> Cell:
        count = cells[slug].get(code, 0)
        told = f"{names.agencies.get(code, code)}, {names.directives.get(slug, slug)}: {count} nhiệm vụ quá hạn"
        href = pages.address("/overdue", province=place.province, agency=code, directive=slug)
        return Cell(count, charts.heat(count, steps), href, told)

    def head(path: str, kind: str, code: str, name: str, total: int) -> Head:
        everything = pages.address("/overdue", province=place.province, **{kind: code})
        period = chosen if kind == "agency" else None
        return Head(name, pages.address(f"{path}/{code}", province=place.province, period=period), total, everything)

    return Heat(
        columns=tuple(
            head("/directives", "directive", slug, names.directives.get(slug, slug), n) for slug, n in columns
        ),
        rows=tuple(
            (
                head("/agencies", "agency", code, names.agencies.get(code, code), n),
                tuple(cell(code, slug) for slug, _ in columns),
            )
            for code, n in shown
        ),
        legend=tuple(Shade(place + 1, steps[place - 1] + 1 if place else 1, most) for place, most in enumerate(steps)),
        as_of=as_of,
        agencies=len(agencies),
        directives=len(directives),
        turns=tuple(_turns(place, size, row, column, len(agencies), len(directives))),
    )


def _turns(place: Place, size: Size, row: int, column: int, rows: int, columns: int) -> list[Turn]:
    def to(name: str, rel: str, row: int, column: int) -> Turn:
        at = {name: str(begin) for name, begin in (("row", row), ("column", column)) if begin > 0}
        return Turn(name, pages.address(PATH, province=place.province, **at), rel)

    found = []
    if row > 0:
        found.append(to("↑ Cơ quan phía trước", "prev", row - size.agencies, column))
    if row + size.agencies < rows:
        found.append(to("↓ Cơ quan tiếp theo", "next", row + size.agencies, column))
    if column > 0:
        found.append(to("← Văn bản phía trước", "prev", row, column - size.directives))
    if column + size.directives < columns:
        found.append(to("→ Văn bản tiếp theo", "next", row, column + size.directives))
    return found
