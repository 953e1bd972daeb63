"""The board's pages: which address shows what, and to whom. What they show is decided in pages and history."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.reporting import wire
from services.reporting.board import history, pages, words
from services.reporting.board.drawing import Drawing
from services.reporting.board.registers import Names, Registers
from services.reporting.counting import Rules
from services.reporting.domain.facts import TaskFacts
from services.reporting.domain.periods import Kind
from services.reporting.domain.reading import Reader
from services.reporting.domain.report import Report
from services.reporting.domain.schedule import AsOf, schedule_at
from services.reporting.domain.scopes import PROVINCE_SCOPE, agency_scope, name_key
from services.reporting.lists import After, Kept, Lists, TaskRow, Where, Window
from services.reporting.login import BoardLogin
from services.reporting.ports import PeriodRow
from shared.contracts.claims import Credential
from shared.runtime.clock import Clock
from shared.workdays.calendar import local_day

ROWS_MAX: Final = 50
CLAUSES_MAX: Final = 25
CLAUSE_ROWS_MAX: Final = 20
UPCOMING_DAYS: Final = 14
UPCOMING_DAYS_MAX: Final = 366
CHOICES_MAX: Final = 300
"""Directives offered as a filter; others by a link from their tasks."""
CODE_CHARS_MAX: Final = 40
ALWAYS: Final = Window(None, None)
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


class Board:
    """All pages, the files they need, and `/live`."""

    def __init__(
        self,
        store: Kept,
        lists: Lists,
        rules: Rules,
        province_names: Mapping[str, str],
        *,
        login: BoardLogin,
        clock: Clock,
    ) -> None:
        self._store = store
        self._lists = lists
        self._rules = rules
        self._province_names = province_names
        self._login = login
        self._clock = clock
        self._registers = Registers(store, lists)
        self._drawing = Drawing()

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/", self._page(self.overview)),
            Route("/agencies/{code}", self._page(self.agency)),
            Route("/directives/{slug}", self._page(self.directive)),
            Route("/tasks/{task_id:path}", self._page(self.task)),
            Route("/overdue", self._page(self.overdue)),
            Route("/upcoming", self._page(self.upcoming)),
            Route("/live", self._login.for_officers(self.live)),
            Route("/static/{name}", self._drawing.static),
        ]

    # -- pages -----------------------------------------------------------------------------------------------------

    async def overview(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/`: the province in a period; without one, in the month that runs."""
        rows = await self._store.periods(place.province)
        report, trend = await self._report(place, rows, request.query_params.get("period"), PROVINCE_SCOPE)
        agencies = await self._lists.agency_reports(place.province, report.period)
        return "province.html", {
            **self._figures(place, rows, report, trend, "/"),
            "agencies": pages.ranking(agencies),
            "downloads": pages.downloads(report, sees_all=place.reader.sees_all, by_cookie=place.by_cookie),
        }

    async def agency(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/agencies/{code}`: an agency's figures in a period, and its open tasks now."""
        code = request.path_params["code"]
        if not place.reader.sees_agency(code):
            raise RefusedError(403, "Không có quyền xem cơ quan này", NOT_YOURS)
        if code not in place.names.agencies and len(code) > CODE_CHARS_MAX:
            raise RefusedError(404, "Không có cơ quan này", "Không có cơ quan nào mang mã này.")
        where, path = Where(place.province, agency=code), f"/agencies/{code}"
        rows = await self._store.periods(place.province)
        values: dict[str, Any] = {"report": None, "code": code, "name": place.names.agencies.get(code, code)}
        try:
            report, trend = await self._report(place, rows, request.query_params.get("period"), agency_scope(code))
            values |= self._figures(place, rows, report, trend, path)
        except RefusedError as refused:
            if code not in place.names.agencies or refused.status == 400:
                raise
        after = self._after(request)
        urgent: list[TaskRow] = []
        if after is None or after.late_from is not None:
            urgent = await self._lists.open_dated(where, ALWAYS, after=after, limit=ROWS_MAX + 1)
        if len(urgent) <= ROWS_MAX:
            rest = after if after is not None and after.late_from is None else None
            urgent += await self._lists.open_undated(where, after=rest, limit=ROWS_MAX + 1 - len(urgent))
        values["tasks"] = self._listing(place, urgent, path, {"period": request.query_params.get("period")})
        values["is_first"] = after is None
        return "agency.html", values

    async def directive(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/directives/{slug}`: a document clause by clause, with the tasks that each gave."""
        slug = request.path_params["slug"]
        record = await self._registers.directive(place.province, slug)
        if not place.reader.sees_tasks:
            raise RefusedError(403, "Không có quyền xem văn bản này", NOT_YOURS)
        where, path = Where(place.province, agency=place.reader.agency), f"/directives/{slug}"
        one, after = request.query_params.get("clause"), self._after(request)
        begin = _whole(request.query_params.get("from"))
        # Without its record, what is known of a directive is its tasks.
        obligations = record.obligations if record is not None else ()
        chosen = [pages.clause(item, place.names.agencies) for item in obligations if one in {None, item.clause}]
        chosen = chosen or [pages.without_record(one)]
        limit = ROWS_MAX if len(chosen) == 1 else CLAUSE_ROWS_MAX
        shown = chosen[begin : begin + CLAUSES_MAX]
        found = await asyncio.gather(
            *(self._lists.of_clause(where, slug, item.clause, after=after, limit=limit + 1) for item in shown)
        )
        clauses = [
            (item, self._listing(place, rows, path, {"clause": item.clause}, limit=limit))
            for item, rows in zip(shown, found, strict=True)
            if rows or (item.is_known and place.reader.agency is None)
        ]
        if not clauses and place.reader.agency is not None:
            raise RefusedError(403, "Không có quyền xem văn bản này", NOT_YOURS)
        if not clauses:
            raise RefusedError(404, "Không có văn bản này", "Không có văn bản hoặc khoản này, hoặc chưa tiếp nhận.")
        more = begin + CLAUSES_MAX if begin + CLAUSES_MAX < len(chosen) else None
        return "directive.html", {
            "record": record,
            "slug": slug,
            "clauses": clauses,
            "only": one,
            "more": pages.address(path, province=place.province, **{"from": str(more)}) if more is not None else None,
            "cited": history.cited,
        }

    async def overdue(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/overdue`: open tasks whose last day has passed, the longest first."""
        where = self._where(request, place)
        rows = await self._lists.open_dated(
            where, Window(None, place.now), after=self._after(request), limit=ROWS_MAX + 1
        )
        return "list.html", self._list(request, place, where, rows, "/overdue", "Nhiệm vụ quá hạn")

    async def upcoming(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/upcoming`: open tasks whose last day comes within some days."""
        where, days = self._where(request, place), _whole(request.query_params.get("days")) or UPCOMING_DAYS
        days = min(days, UPCOMING_DAYS_MAX)
        window = Window(place.now, place.now + timedelta(days=days))
        rows = await self._lists.open_dated(where, window, after=self._after(request), limit=ROWS_MAX + 1)
        title = f"Nhiệm vụ đến hạn trong {days} ngày tới"
        return "list.html", self._list(request, place, where, rows, "/upcoming", title, days=str(days))

    async def task(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/tasks/{task_id}`: all that is known of a task. Letters link here."""
        task_id = request.path_params["task_id"]
        text = (await self._store.snapshots([task_id])).get(task_id)
        task = wire.read_snapshot(text) if text is not None else None
        concerns = {task.agency, *task.cooperating, task.reviewer} if task is not None else set()
        if task is None or not place.reader.sees_task(task.province, concerns):
            if not place.reader.sees_all:
                # The same for what there is and what there is not: ids can be guessed.
                raise RefusedError(403, "Không có quyền xem nhiệm vụ này", NOT_YOURS)
            raise RefusedError(
                404, "Không có nhiệm vụ này", "Không có nhiệm vụ nào mang mã này, hoặc nó chưa được tiếp nhận."
            )
        facts = wire.task_facts(task)
        return "task.html", {
            "task": task,
            "schedule": self._schedule(facts, place),
            "history": history.history(task),
            "cited": history.cited,
            "clock": history.CLOCK,
            "today": local_day(place.now),
        }

    async def live(self, request: Request, officer: Credential | None) -> Response:
        """`/live?province=`: a word that changes with the province's figures, and how long the login lasts."""
        province = request.query_params.get("province", "")
        if officer is not None:
            province = officer.province
        body = {"version": await self._lists.version(province), "seconds_left": self._login.seconds_left(request)}
        return Response(
            pydantic_core.to_json(body), media_type="application/json", headers={"cache-control": "no-store"}
        )

    # -- what pages share ------------------------------------------------------------------------------------------

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def shown(request: Request, officer: Credential | None) -> Response:
            place: Place | None = None
            try:
                place = await self._place(request, officer)
                template, values = await page(request, place)
            except RefusedError as refused:
                values = {"title": refused.title, "text": refused.text}
                return self._drawing.page(
                    "refused.html", self._base(place, officer, request.url.path) | values, refused.status
                )
            return self._drawing.page(template, self._base(place, officer, request.url.path) | values)

        return self._login.for_officers(shown)

    @staticmethod
    def _base(place: Place | None, officer: Credential | None, path: str) -> dict[str, Any]:
        agencies = place.names.agencies if place is not None else {}
        return {
            "place": place,
            "officer": officer,
            "agency_name": lambda code: agencies.get(code, code),
            "menu": _menu(place, path) if place is not None else (),
        }

    async def _place(self, request: Request, officer: Credential | None) -> Place:
        known = sorted(one for one in await self._store.provinces() if officer is None or one == officer.province)
        asked = request.query_params.get("province")
        if asked is None and "task_id" in request.path_params:
            asked = request.path_params["task_id"].partition("/")[0]
            if asked not in known:
                asked = None
        code = asked if asked is not None else next(iter(known), None)
        if code is None:
            raise RefusedError(
                200, "Chưa có số liệu", "Chưa có số liệu. Bảng tổng hợp xuất hiện khi nhiệm vụ đầu tiên được giao."
            )
        if code not in known:
            raise RefusedError(404, "Không có số liệu", "Không có số liệu của đơn vị này.")
        named = tuple((one, self._province_names.get(one, one)) for one in known)
        now = await self._now()
        return Place(
            province=code,
            name=dict(named)[code],
            provinces=named,
            reader=await self._registers.reader(officer, local_day(now)),
            names=await self._registers.names(code),
            now=now,
            version=await self._lists.version(code),
            by_cookie=officer is not None,
        )

    async def _now(self) -> datetime:
        """How far all partitions have come: what an outage holds up makes nothing late."""
        times = await self._store.progress()
        return min(times.values(), default=self._clock.now())

    async def _report(
        self, place: Place, rows: list[PeriodRow], asked: str | None, scope: str
    ) -> tuple[Report, list[Report]]:
        """The report on a scope for a period, and those of the periods before it."""
        regime = self._rules.regime(place.province)
        if asked is None:
            asked = next((row.id for row in rows if row.kind is Kind.MONTHLY), rows[0].id if rows else None)
        if asked is None:
            raise RefusedError(200, "Chưa có số liệu", "Chưa có số liệu của kỳ báo cáo nào.")
        try:
            period = regime.period(asked)
        except ValueError as error:
            raise RefusedError(
                400, "Kỳ báo cáo không đúng dạng", "Kỳ báo cáo không đúng dạng; ví dụ đúng: 2024-11, 2024-Q4, 2024-W45."
            ) from error
        keys = [f"{place.province}/{one.id}/{scope}" for one in pages.trend_periods(regime, period)]
        found = await self._lists.reports(keys)
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

    def _list(
        self, request: Request, place: Place, where: Where, rows: list[TaskRow], path: str, title: str, **more: str
    ) -> dict[str, Any]:
        filters = {"agency": where.agency, "directive": where.directive, **more}
        return {
            "title": title,
            "path": path,
            "tasks": self._listing(place, rows, path, filters),
            "where": where,
            "days": more.get("days"),
            "agencies": sorted(place.names.agencies.items(), key=lambda one: name_key(one[1])),
            "directives": sorted(place.names.directives.items(), key=lambda one: one[1])[:CHOICES_MAX],
            "is_first": "after" not in request.query_params,
        }

    def _listing(
        self, place: Place, rows: list[TaskRow], path: str, query: Mapping[str, str | None], *, limit: int = ROWS_MAX
    ) -> pages.Listing:
        """`rows`: one more than are shown, where there are more."""
        calendar = self._rules.calendar(place.province)
        lines = tuple(
            pages.task_line(
                row,
                now=place.now,
                calendar=calendar,
                agencies=place.names.agencies,
                directives=place.names.directives,
                province=place.province,
            )
            for row in rows[:limit]
        )
        more = None
        if len(rows) > limit:
            after = pages.cursor(rows[limit - 1].after)
            more = pages.address(path, province=place.province, **query, after=after)
        return pages.Listing(lines, more)

    @staticmethod
    def _where(request: Request, place: Place) -> Where:
        """Whose tasks a list shows: a filter takes away and never adds."""
        agency, directive = (request.query_params.get(name) or None for name in ("agency", "directive"))
        if not place.reader.sees_tasks or (agency is not None and not place.reader.sees_agency(agency)):
            raise RefusedError(403, "Không có quyền xem danh sách này", NOT_YOURS)
        return Where(place.province, agency=place.reader.agency or agency, directive=directive)

    @staticmethod
    def _after(request: Request) -> After | None:
        text = request.query_params.get("after")
        if not text:
            return None
        try:
            return pages.read_cursor(text)
        except ValueError as error:
            raise RefusedError(
                400, "Địa chỉ không đúng dạng", "Không đọc được vị trí trong danh sách. Xin mở lại danh sách từ đầu."
            ) from error

    def _schedule(self, facts: TaskFacts, place: Place) -> tuple[str, str]:
        """The column a task stands in now, and in words."""
        judged = schedule_at(facts, AsOf(place.now), calendar=self._rules.calendar(place.province))
        if judged is None:
            return "", ""
        told = words.COLUMNS[judged.column]
        if judged.days_late:
            told += f", {words.number(judged.days_late)} ngày"
        return judged.column.value, told


def _whole(text: str | None) -> int:
    """A small whole number of an address; 0 for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else 0


_MENU: Final = (("Tổng quan", "/"), ("Quá hạn", "/overdue"), ("Sắp đến hạn", "/upcoming"))


def _menu(place: Place, path: str) -> tuple[tuple[str, str, bool], ...]:
    return tuple((name, pages.address(href, province=place.province), href == path) for name, href in _MENU)
