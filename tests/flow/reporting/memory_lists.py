"""The board's questions answered from memory; tests/contract/test_reporting_lists.py vouches for it."""

from collections.abc import Collection, Mapping
from datetime import datetime

from services.reporting.domain.report import Report
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.lists import AGENCIES_MAX, After, TaskRow, Where, Window
from services.reporting.ports import Entry, KeptTask, Registry
from tests.flow.reporting.memory import MemoryReportStore


class MemoryLists:
    """Implements lists.Lists on what a MemoryReportStore holds."""

    def __init__(self, store: MemoryReportStore) -> None:
        self._store = store

    async def reports(self, keys: Collection[str]) -> Mapping[str, Report]:
        found = {key: await self._store.report(key) for key in keys}
        return {key: report for key, report in found.items() if report is not None}

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
