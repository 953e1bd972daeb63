"""The board's questions answered from memory; tests/contract/test_reporting_lists.py vouches for it."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from services.reporting.domain.report import Report
from services.reporting.domain.scopes import PROVINCE_SCOPE, ScopeKind, name_in
from services.reporting.domain.search import search_words, wording_id
from services.reporting.lists import AGENCIES_MAX, After, Sought, State, TaskRow, Where, Window
from services.reporting.ports import Entry, KeptTask, Registry
from tests.flow.reporting.memory import MemoryReportStore


class MemoryLists:
    """Implements lists.Lists on what a MemoryReportStore holds."""

    def __init__(self, store: MemoryReportStore) -> None:
        self._store = store

    async def agency_reports(self, province: str, period: str) -> list[Report]:
        found = await self._store.reports(province, period)
        return [one for one in found if one.scope.startswith("agency:")][:AGENCIES_MAX]

    async def entry(self, registry: Registry, entry_id: str) -> Entry | None:
        found = await self._store.entries(registry, entry_id.partition("/")[0])
        return next((one for one in found if one.id == entry_id), None)

    async def version(self, province: str) -> str:
        heads = await self._store.heads(province)
        seen = [f"{key}:{head.revision}" for key, head in heads.items() if key.endswith(f"/{PROVINCE_SCOPE}")]
        return " ".join(sorted(seen))

    async def open_dated(self, where: Where, window: Window, *, after: After | None, limit: int) -> list[TaskRow]:
        found = [
            (row.late_from, row)
            for row in self._rows(where)
            if row.is_open and row.late_from is not None and _within(row.late_from, window)
        ]
        found.sort(key=lambda pair: (pair[0], pair[1].id))
        if after is not None and after.late_from is not None:
            found = [pair for pair in found if (pair[0], pair[1].id) > (after.late_from, after.id)]
        return [row for _, row in found[:limit]]

    async def open_undated(self, where: Where, *, after: After | None, limit: int) -> list[TaskRow]:
        found = [row for row in self._rows(where) if row.is_open and row.late_from is None]
        return _page(found, after, limit)

    async def of_clause(
        self, where: Where, directive: str, clause: str | None, *, after: After | None, limit: int
    ) -> list[TaskRow]:
        found = [row for row in self._rows(where) if row.directive == directive and clause in {None, row.clause}]
        return _page(found, after, limit)

    async def obstructed(self, province: str, agency: str, *, after: str | None, limit: int) -> list[str]:
        return self._snapshots(province, agency, lambda one: one.listed.is_obstructed, after, limit)

    async def funded(self, province: str, agency: str, *, after: str | None, limit: int) -> list[str]:
        return self._snapshots(province, agency, lambda one: one.occasions.funded, after, limit)

    def _snapshots(
        self, province: str, agency: str, holds: Callable[[KeptTask], bool], after: str | None, limit: int
    ) -> list[str]:
        found = [
            (one.id, one.snapshot)
            for one in self._store.tasks.values()
            if (one.province, one.labels.agency) == (province, agency) and holds(one) and one.id > (after or "")
        ]
        return [snapshot for _, snapshot in sorted(found)[:limit]]

    async def search(self, sought: Sought, *, after: str | None, limit: int) -> list[TaskRow]:
        def place(task_id: str) -> tuple[str, str]:
            kept = self._store.tasks[task_id]
            return wording_id(kept.province, kept.labels.directive, kept.listed.clause, kept.listed.title), task_id

        where = Where(sought.province, agency=sought.agency, directive=sought.directive)
        found = [row for row in self._rows(where) if self._is_sought(self._store.tasks[row.id], sought)]
        begin = place(after) if after is not None and after in self._store.tasks else ("", "")
        return sorted((one for one in found if place(one.id) > begin), key=lambda one: place(one.id))[:limit]

    @staticmethod
    def _is_sought(kept: KeptTask, sought: Sought) -> bool:
        listed = kept.listed
        words = search_words(listed.title, listed.clause, kept.labels.directive)
        if not {*sought.words} <= {*words} or not {*sought.concerns} <= {*listed.concerns}:
            return False
        is_late = listed.late_from is not None and listed.late_from <= sought.now
        match sought.state:
            case State.OPEN:
                return listed.is_open
            case State.OVERDUE:
                return listed.is_open and is_late
            case State.DONE:
                return listed.result == "completed"
        return True

    async def overdue_totals(self, province: str, period: str, kind: ScopeKind, limit: int) -> list[tuple[str, int]]:
        found = [
            (-one.figures.open_overdue, name_in(one.scope))
            for one in await self._store.reports(province, period)
            if one.scope.startswith(f"{kind}:") and one.figures.open_overdue
        ]
        return [(name, -minus) for minus, name in sorted(found)[:limit]]

    async def overdue_cells(
        self, province: str, directives: Collection[str], now: datetime
    ) -> Mapping[tuple[str, str], int]:
        rows = await self.open_dated(Where(province), Window(None, now), after=None, limit=1_000_000)
        return Counter((one.agency, one.directive) for one in rows if one.directive in directives)

    def _rows(self, where: Where) -> list[TaskRow]:
        return [
            _row(one)
            for one in self._store.tasks.values()
            if one.province == where.province
            and where.agency in {None, one.labels.agency}
            and where.directive in {None, one.labels.directive}
        ]


def _within(instant: datetime, window: Window) -> bool:
    return (window.since is None or instant > window.since) and (window.until is None or instant <= window.until)


def _page(rows: list[TaskRow], after: After | None, limit: int) -> list[TaskRow]:
    rows.sort(key=lambda one: one.id)
    return [one for one in rows if after is None or one.id > after.id][:limit]


def _row(kept: KeptTask) -> TaskRow:
    listed = kept.listed
    return TaskRow(
        kept.id,
        kept.labels.directive,
        listed.clause,
        listed.period,
        kept.labels.agency,
        listed.title,
        listed.result,
        listed.is_open,
        listed.legal,
        listed.late_from,
    )
