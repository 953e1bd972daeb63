"""Pages of figures: the province, the heat map, an agency with what is late, stuck or paid for."""

import asyncio
from typing import Any, Final, Protocol

from starlette.requests import Request

from services.reporting import wire
from services.reporting.board import heat, pages, troubles
from services.reporting.board.heat import HeatMaps
from services.reporting.board.places import (
    NOT_YOURS,
    ROWS_MAX,
    Place,
    RefusedError,
    after_asked,
    agency_asked,
    listing_of,
    running,
    whole,
)
from services.reporting.counting import Rules
from services.reporting.domain.content import FundedRow
from services.reporting.domain.content_rules import ReportRules
from services.reporting.domain.report import Report, report_key
from services.reporting.domain.scopes import PROVINCE_SCOPE, agency_scope
from services.reporting.lists import After, Kept, Lists, TaskRow, Where, Window
from services.reporting.ports import PeriodRow

FIRST_MAX: Final = 5
"""So many of each list stand on an agency's first page; the others behind a link."""


class Ruling(Rules, Protocol):
    """What holds for a province."""

    def report(self, province: str) -> ReportRules:
        """How its report is written: which money is at risk."""
        ...


class FigurePages:
    """What is shown of reports, and of an agency."""

    def __init__(self, store: Kept, lists: Lists, rules: Ruling) -> None:
        self._store = store
        self._lists = lists
        self._rules = rules
        self._heat = HeatMaps(lists)

    async def overview(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/`: the province in a period; without one, in the month that runs."""
        rows = await self._store.periods(place.province)
        report, trend = await self._report(place, rows, request.query_params.get("period"), PROVINCE_SCOPE)
        agencies = await self._lists.agency_reports(place.province, report.period)
        latest, shown = running(rows), None
        if latest is not None and place.reader.sees_all:
            shown = await self._heat.at(place, latest, heat.SMALL, chosen=report.period)
        return "province.html", {
            "heat": shown,
            **self._figures(place, rows, report, trend, "/"),
            "agencies": pages.ranking(agencies),
            "downloads": pages.downloads(report, sees_all=place.reader.sees_all, by_cookie=place.by_cookie),
        }

    async def heat_map(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/heatmap`: agencies × directives by what is overdue now, a part at a time."""
        if not place.reader.sees_all:
            raise RefusedError(403, "Không có quyền xem bản đồ nhiệt", NOT_YOURS)
        latest = running(await self._store.periods(place.province))
        if latest is None:
            raise RefusedError(200, "Chưa có số liệu", "Chưa có số liệu của kỳ báo cáo nào.")
        row, column = (whole(request.query_params.get(name)) for name in ("row", "column"))
        return "heatmap.html", {"heat": await self._heat.at(place, latest, heat.LARGE, row=row, column=column)}

    async def agency(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/agencies/{code}`: an agency's figures in a period, and what it has open now."""
        code = agency_asked(request, place)
        where, path = Where(place.province, agency=code), f"/agencies/{code}"
        rows = await self._store.periods(place.province)
        period, after = request.query_params.get("period"), after_asked(request)
        values: dict[str, Any] = {"report": None, "code": code, "name": place.names.agencies.get(code, code)}
        try:
            report, trend = await self._report(place, rows, period, agency_scope(code))
            values |= self._figures(place, rows, report, trend, path)
        except RefusedError as refused:
            if code not in place.names.agencies or refused.status == 400:
                raise
        if after is None:
            values |= await self._first_of(where, code, place)
        ahead: list[TaskRow] = []
        if after is None or after.late_from is not None:
            ahead = await self._lists.open_dated(where, Window(place.now, None), after=after, limit=ROWS_MAX + 1)
        if len(ahead) <= ROWS_MAX:
            rest = after if after is not None and after.late_from is None else None
            ahead += await self._lists.open_undated(where, after=rest, limit=ROWS_MAX + 1 - len(ahead))
        values["tasks"] = listing_of(place, self._rules.calendar(place.province), ahead, path, {"period": period})
        values["is_first"] = after is None
        return "agency.html", values

    async def _first_of(self, where: Where, code: str, place: Place) -> dict[str, Any]:
        """What stands before the list of an agency's open tasks: what is late, what is stuck, what costs money."""
        late, stuck, paid = await asyncio.gather(
            self._lists.open_dated(where, Window(None, place.now), after=None, limit=FIRST_MAX * 2 + 1),
            self._lists.obstructed(place.province, code, after=None, limit=FIRST_MAX + 1),
            self._lists.funded(place.province, code, after=None, limit=FIRST_MAX + 1),
        )
        listed = listing_of(
            place,
            self._rules.calendar(place.province),
            late,
            "/overdue",
            {"agency": code},
            limit=FIRST_MAX * 2,
            goes_on=False,
        )
        return {
            "late": listed,
            "obstructed": troubles.obstructed(stuck[:FIRST_MAX], place.names.directives),
            "obstructed_more": _more(place, f"/agencies/{code}/obstacles", stuck),
            "funded": self._funded(place, paid[:FIRST_MAX]),
            "funded_more": _more(place, f"/agencies/{code}/funded", paid),
        }

    async def obstacles(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/agencies/{code}/obstacles`: all that holds its open tasks up."""
        code, after = agency_asked(request, place), after_asked(request)
        found = await self._lists.obstructed(
            place.province, code, after=after.id if after is not None else None, limit=ROWS_MAX + 1
        )
        shown = troubles.obstructed(found[:ROWS_MAX], place.names.directives)
        more = _goes_on(place, request, found)
        return "obstacles.html", {"code": code, "obstructed": shown, "more": more}

    async def funded(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/agencies/{code}/funded`: its tasks with money, what was paid out against the time that has passed."""
        code, after = agency_asked(request, place), after_asked(request)
        found = await self._lists.funded(
            place.province, code, after=after.id if after is not None else None, limit=ROWS_MAX + 1
        )
        shown = self._funded(place, found[:ROWS_MAX])
        more = _goes_on(place, request, found)
        return "funded.html", {"code": code, "funded": shown, "more": more}

    def _funded(self, place: Place, snapshots: list[str]) -> tuple[FundedRow, ...]:
        rules, calendar = self._rules.report(place.province), self._rules.calendar(place.province)
        return troubles.funded(snapshots, place.names.directives, now=place.now, risk=rules.risk, calendar=calendar)

    async def _report(
        self, place: Place, rows: list[PeriodRow], asked: str | None, scope: str
    ) -> tuple[Report, list[Report]]:
        """The report on a scope for a period, and those of the periods before it."""
        regime = self._rules.regime(place.province)
        if asked is None:
            asked = running(rows)
        if asked is None:
            raise RefusedError(200, "Chưa có số liệu", "Chưa có số liệu của kỳ báo cáo nào.")
        try:
            period = regime.period(asked)
        except ValueError as error:
            raise RefusedError(
                400, "Kỳ báo cáo không đúng dạng", "Kỳ báo cáo không đúng dạng; ví dụ đúng: 2024-11, 2024-Q4, 2024-W45."
            ) from error
        keys = [report_key(place.province, one.id, scope) for one in pages.trend_periods(regime, period)]
        found = await self._store.some_reports(keys)
        report = found.get(keys[-1])
        if report is None:
            raise RefusedError(404, "Không có số liệu", "Không có số liệu của kỳ báo cáo này.")
        return report, [found[key] for key in keys if key in found]

    def _figures(
        self, place: Place, rows: list[PeriodRow], report: Report, trend: list[Report], path: str
    ) -> dict[str, Any]:
        return {
            "report": report,
            "regime": self._rules.regime(place.province),
            "picker": pages.picker(path, place.province, report.period, rows),
            "path": path,
            "figures": pages.figure_rows(report.figures, report.previous),
            "rates": pages.rates(report.figures, report.previous),
            "money": pages.money(report.figures),
            "share": pages.share(report.figures, "thanh-chung"),
            "trend": pages.trend(trend, path),
            "amendment": pages.amended(report.amendment, may_link=place.reader.sees_all),
        }


def _more(place: Place, path: str, found: list[str]) -> str | None:
    """To the whole list, where it is longer than what is shown of it."""
    return pages.address(path, province=place.province) if len(found) > FIRST_MAX else None


def _goes_on(place: Place, request: Request, found: list[str]) -> str | None:
    """To the next page of a list by id."""
    if len(found) <= ROWS_MAX:
        return None
    last = wire.read_snapshot(found[ROWS_MAX - 1]).task_id
    return pages.address(request.url.path, province=place.province, after=pages.cursor(After(None, last)))
