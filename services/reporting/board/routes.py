"""The board: which address shows what, and to whom. What the pages show is decided beside this."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import pydantic_core
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.reporting.board.drawing import Drawn, drawing
from services.reporting.board.figure_pages import FigurePages, Ruling
from services.reporting.board.keeping import Keeping
from services.reporting.board.places import Page, Place, RefusedError, menu
from services.reporting.board.registers import Registers
from services.reporting.board.task_pages import TaskPages
from services.reporting.lists import Kept, Lists
from services.reporting.login import BoardLogin, wants_page
from shared.contracts.claims import Credential
from shared.runtime.clock import Clock
from shared.runtime.problems import answer_http_error
from shared.workdays.calendar import local_day


class Board:
    """All pages, the files they need, and `/live`."""

    def __init__(
        self,
        store: Kept,
        lists: Lists,
        rules: Ruling,
        province_names: Mapping[str, str],
        *,
        login: BoardLogin,
        clock: Clock,
        keep_seconds: float,
    ) -> None:
        """`keep_seconds`: see keeping.Keeping."""
        self._store = store
        self._lists = lists
        self._province_names = province_names
        self._login = login
        self._clock = clock
        self._keeping = Keeping(keep_seconds)
        self._registers = Registers(store, lists)
        self._figures = FigurePages(store, lists, rules)
        self._tasks = TaskPages(store, lists, rules, self._registers)
        self._drawing = drawing()

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/", self._page(self._figures.overview)),
            Route("/agencies/{code}", self._page(self._figures.agency)),
            Route("/agencies/{code}/obstacles", self._page(self._figures.obstacles)),
            Route("/agencies/{code}/funded", self._page(self._figures.funded)),
            Route("/directives/{slug}", self._page(self._tasks.directive)),
            Route("/tasks/{task_id:path}", self._page(self._tasks.task)),
            Route("/overdue", self._page(self._tasks.overdue)),
            Route("/upcoming", self._page(self._tasks.upcoming)),
            Route("/heatmap", self._page(self._figures.heat_map)),
            Route("/search", self._page(self._tasks.search)),
            Route("/live", self._login.for_officers(self.live)),
            Route("/static/{name}", self._drawing.static),
        ]

    async def live(self, request: Request, officer: Credential | None) -> Response:
        """`/live?province=`: a word that changes with the province's figures, and how long the login lasts."""
        province = request.query_params.get("province", "")
        if officer is not None:
            province = officer.province
        body = {"version": await self._lists.version(province), "seconds_left": self._login.seconds_left(request)}
        return Response(
            pydantic_core.to_json(body), media_type="application/json", headers={"cache-control": "no-store"}
        )

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def drawn(request: Request, officer: Credential | None) -> Drawn:
            place: Place | None = None
            try:
                place = await self._place(request, officer)
                template, values = await page(request, place)
            except RefusedError as refused:
                values = {"title": refused.title, "text": refused.text, "status": refused.status}
                template = "refused.html"
            base = self._base(place, officer, request.url.path)
            # In a thread: a large page takes a tenth of a second.
            return await asyncio.to_thread(self._drawing.draw, template, base | values, values.get("status", 200))

        async def shown(request: Request, officer: Credential | None) -> Response:
            key = (request.url.path, request.url.query, officer)
            return self._drawing.answer(await self._keeping.page(key, lambda: drawn(request, officer)))

        return self._login.for_officers(shown)

    async def unknown(self, request: Request, error: Exception) -> Response:
        """What no address of the service answers: a page for a person, a problem for a program. Nothing is read."""
        assert isinstance(error, HTTPException), "registered for a status"
        if request.url.path.startswith("/v1/") or not wants_page(request):
            return await answer_http_error(request, error)
        values = {"title": "Không có trang này", "text": "Địa chỉ này không có trên bảng theo dõi.", "status": 404}
        base = self._base(None, None, "")
        return self._drawing.answer(self._drawing.draw("refused.html", base | values, error.status_code))

    @staticmethod
    def _base(place: Place | None, officer: Credential | None, path: str) -> dict[str, Any]:
        agencies = place.names.agencies if place is not None else {}
        return {
            "place": place,
            "officer": officer,
            "agency_name": lambda code: agencies.get(code, code),
            "menu": menu(place, path) if place is not None else (),
            "question": "",
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
