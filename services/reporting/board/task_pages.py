"""Pages of tasks: a directive clause by clause, lists, the search, and one task."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request

from services.reporting import wire
from services.reporting.board import history, pages, searching, words
from services.reporting.board.places import (
    NOT_YOURS,
    ROWS_MAX,
    Place,
    RefusedError,
    after_asked,
    choices,
    listing_of,
    where_asked,
    whole,
)
from services.reporting.board.registers import Registers
from services.reporting.counting import Rules
from services.reporting.domain.facts import TaskFacts
from services.reporting.domain.schedule import AsOf, schedule_at
from services.reporting.domain.search import terms_of
from services.reporting.lists import Kept, Lists, State, TaskRow, TooBroadError, Where, Window
from shared.workdays.calendar import local_day

CLAUSES_MAX: Final = 25
CLAUSE_ROWS_MAX: Final = 20
UPCOMING_DAYS: Final = 14
UPCOMING_DAYS_MAX: Final = 366


class TaskPages:
    """What is shown of tasks."""

    def __init__(self, store: Kept, lists: Lists, rules: Rules, registers: Registers) -> None:
        self._store = store
        self._lists = lists
        self._rules = rules
        self._registers = registers

    async def directive(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/directives/{slug}`: a document clause by clause, with the tasks that each gave."""
        slug = request.path_params["slug"]
        record = await self._registers.directive(place.province, slug)
        if not place.reader.sees_tasks:
            raise RefusedError(403, "Không có quyền xem văn bản này", NOT_YOURS)
        where, path = Where(place.province, agency=place.reader.agency), f"/directives/{slug}"
        one, after = request.query_params.get("clause"), after_asked(request)
        begin = whole(request.query_params.get("from"))
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
            (
                item,
                listing_of(
                    place, self._rules.calendar(place.province), rows, path, {"clause": item.clause}, limit=limit
                ),
            )
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
        where = where_asked(request, place)
        rows = await self._lists.open_dated(
            where, Window(None, place.now), after=after_asked(request), limit=ROWS_MAX + 1
        )
        return "list.html", self._list(request, place, where, rows, "/overdue", "Nhiệm vụ quá hạn")

    async def upcoming(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/upcoming`: open tasks whose last day comes within some days."""
        where, days = where_asked(request, place), whole(request.query_params.get("days")) or UPCOMING_DAYS
        days = min(days, UPCOMING_DAYS_MAX)
        window = Window(place.now, place.now + timedelta(days=days))
        rows = await self._lists.open_dated(where, window, after=after_asked(request), limit=ROWS_MAX + 1)
        title = f"Nhiệm vụ đến hạn trong {days} ngày tới"
        return "list.html", self._list(request, place, where, rows, "/upcoming", title, days=str(days))

    async def search(self, request: Request, place: Place) -> tuple[str, dict[str, Any]]:
        """`/search?q=`: tasks by words of their title, by clause, number of the directive, agency or id."""
        where, after = where_asked(request, place), after_asked(request)
        question = request.query_params.get("q", "")[: searching.QUESTION_CHARS_MAX]
        state = request.query_params.get("state", "")
        filters = searching.Filters(
            # Whose tasks an officer of an agency finds is decided by whom they concern, not by who leads.
            agency=request.query_params.get("agency") or None,
            directive=where.directive,
            state=State(state) if state in searching.STATES else None,
        )
        reader, names = place.reader, place.names
        sought = searching.sought(question, filters, names, reader, province=place.province, now=place.now)
        rows: list[TaskRow] = []
        is_too_broad = False
        if sought is not None:
            try:
                rows = await self._lists.search(
                    sought, after=after.id if after is not None else None, limit=ROWS_MAX + 1
                )
            except TooBroadError:
                is_too_broad = True
        asked = {"q": question, "agency": filters.agency, "directive": filters.directive, "state": filters.state}
        is_first = after is None
        return "search.html", {
            "status": 503 if is_too_broad else 200,
            "question": question,
            "filters": filters,
            "is_asked": sought is not None,
            "too_broad": searching.TOO_BROAD if is_too_broad else "",
            "tasks": listing_of(
                place,
                self._rules.calendar(place.province),
                rows,
                "/search",
                asked,
                terms=terms_of(question),
                by_id=True,
            ),
            "named_agencies": searching.agencies_named(question, names, reader, place.province) if is_first else (),
            "named_directives": searching.directives_named(question, names, reader, place.province) if is_first else (),
            "states": searching.STATES,
            "is_first": is_first,
            **choices(place),
        }

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

    def _list(
        self, request: Request, place: Place, where: Where, rows: list[TaskRow], path: str, title: str, **more: str
    ) -> dict[str, Any]:
        filters = {"agency": where.agency, "directive": where.directive, **more}
        return {
            "title": title,
            "path": path,
            "tasks": listing_of(place, self._rules.calendar(place.province), rows, path, filters),
            "where": where,
            "days": more.get("days"),
            "is_first": "after" not in request.query_params,
            **choices(place),
        }

    def _schedule(self, facts: TaskFacts, place: Place) -> tuple[str, str]:
        """The column a task stands in now, and in words."""
        judged = schedule_at(facts, AsOf(place.now), calendar=self._rules.calendar(place.province))
        if judged is None:
            return "", ""
        told = words.COLUMNS[judged.column]
        if judged.days_late:
            told += f", {words.number(judged.days_late)} ngày"
        return judged.column.value, told
