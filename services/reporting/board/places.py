"""Where on the board one is, and what its addresses say."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request

from services.reporting.board import pages
from services.reporting.board.registers import Names
from services.reporting.domain.periods import Kind
from services.reporting.domain.reading import Reader
from services.reporting.domain.scopes import name_key
from services.reporting.lists import After, TaskRow, Where
from services.reporting.ports import PeriodRow
from shared.workdays.calendar import WorkingCalendar

ROWS_MAX: Final = 50
CHOICES_MAX: Final = 300
"""Directives offered as a filter; others by a link from their tasks."""
CODE_CHARS_MAX: Final = 40
NOT_YOURS: Final = "Tài khoản này không có quyền xem nội dung đó, hoặc nội dung đó không tồn tại."


class RefusedError(Exception):
    """A question that has no page: a status, and what to tell a person."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.status, self.title, self.text = status, title, text


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the board one is, and as whom."""

    province: str
    name: str
    provinces: tuple[tuple[str, str], ...]
    reader: Reader
    names: Names
    now: datetime
    version: str
    by_cookie: bool
    """Whether one logged in; not so where everybody may read."""


Page = Callable[[Request, Place], Awaitable[tuple[str, dict[str, Any]]]]


def where_asked(request: Request, place: Place) -> Where:
    """Whose tasks a list shows: a filter takes away and never adds."""
    agency, directive = (request.query_params.get(name) or None for name in ("agency", "directive"))
    if not place.reader.sees_tasks or (agency is not None and not place.reader.sees_agency(agency)):
        raise RefusedError(403, "Không có quyền xem danh sách này", NOT_YOURS)
    return Where(place.province, agency=place.reader.agency or agency, directive=directive)


def agency_asked(request: Request, place: Place) -> str:
    """Whose page it is."""
    code: str = request.path_params["code"]
    if not place.reader.sees_agency(code):
        raise RefusedError(403, "Không có quyền xem cơ quan này", NOT_YOURS)
    if code not in place.names.agencies and len(code) > CODE_CHARS_MAX:
        raise RefusedError(404, "Không có cơ quan này", "Không có cơ quan nào mang mã này.")
    return code


def after_asked(request: Request) -> After | None:
    """Where a page of a list begins."""
    text = request.query_params.get("after")
    if not text:
        return None
    try:
        return pages.read_cursor(text)
    except ValueError as error:
        raise RefusedError(
            400, "Địa chỉ không đúng dạng", "Không đọc được vị trí trong danh sách. Xin mở lại danh sách từ đầu."
        ) from error


def whole(text: str | None) -> int:
    """A small whole number of an address; 0 for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else 0


def running(rows: Sequence[PeriodRow]) -> str | None:
    """The month that runs; where a province has no months, the latest period of any kind."""
    return next((row.id for row in rows if row.kind is Kind.MONTHLY), rows[0].id if rows else None)


def choices(place: Place) -> dict[str, Any]:
    """What a list can be filtered by."""
    return {
        "agencies": sorted(place.names.agencies.items(), key=lambda one: name_key(one[1])),
        "directives": sorted(place.names.directives.items(), key=lambda one: one[1])[:CHOICES_MAX],
    }


def listing_of(
    place: Place,
    calendar: WorkingCalendar,
    rows: list[TaskRow],
    path: str,
    query: Mapping[str, str | None],
    *,
    limit: int = ROWS_MAX,
    terms: tuple[str, ...] = (),
    by_id: bool = False,
    goes_on: bool = True,
) -> pages.Listing:
    """`rows`: one more than are shown, where there are more. `terms`: words to mark.

    `by_id`: the list is in the order of ids alone. `goes_on`: its next page begins after the last row shown;
    otherwise `path` has the whole list, from its beginning.
    """
    lines = tuple(
        pages.task_line(
            row,
            now=place.now,
            calendar=calendar,
            agencies=place.names.agencies,
            directives=place.names.directives,
            province=place.province,
            terms=terms,
        )
        for row in rows[:limit]
    )
    more = None
    if len(rows) > limit:
        last = rows[limit - 1]
        after = pages.cursor(After(None, last.id) if by_id else last.after) if goes_on else None
        more = pages.address(path, province=place.province, **query, after=after)
    return pages.Listing(lines, more)


_MENU: Final = (("Tổng quan", "/"), ("Quá hạn", "/overdue"), ("Sắp đến hạn", "/upcoming"))
_MENU_OF_ALL: Final = (*_MENU, ("Bản đồ nhiệt", "/heatmap"))


def menu(place: Place, path: str) -> tuple[tuple[str, str, bool], ...]:
    """Name, address, whether one is there."""
    shown = _MENU_OF_ALL if place.reader.sees_all else _MENU
    return tuple((name, pages.address(href, province=place.province), href == path) for name, href in shown)
