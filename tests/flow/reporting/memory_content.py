"""What preparing remembers, in memory; tests/flow/reporting/test_preparing.py holds it against the real one."""

from collections.abc import AsyncIterator, Mapping, Sequence

from services.reporting import wire
from services.reporting.domain.content import Prepared, PreparedHead
from services.reporting.domain.listing import Window
from services.reporting.domain.occasions import occasions
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.preparing import Closed
from tests.flow.reporting.memory import MemoryReportStore


class MemoryContentStore:
    """Implements preparing.ContentStore on what a MemoryReportStore holds."""

    def __init__(self, store: MemoryReportStore) -> None:
        self._store = store
        self._prepared: dict[tuple[str, str, int], Prepared] = {}
        self._seen: dict[tuple[str, str, int], int] = {}
        self._untold: set[tuple[str, str, int]] = set()
        self._lost: set[tuple[str, str, int]] = set()

    async def listed(self, province: str, window: Window) -> AsyncIterator[list[str]]:
        for kept in list(self._store.tasks.values()):
            facts = wire.task_facts(wire.read_snapshot(kept.snapshot))
            if kept.province == province and occasions(facts, kept.trace).may_be_listed(window):
                yield [kept.snapshot]

    async def closed(self, province: str) -> list[Closed]:
        periods = [row.id for row in await self._store.periods(province) if row.final]
        found = [await self._store.report(f"{province}/{one}/{PROVINCE_SCOPE}") for one in periods]
        reports = sorted((one for one in found if one is not None), key=lambda one: (one.cut_off_on, one.period))
        return [Closed(one.period, one.kind, one.revision) for one in reports]

    async def prepared_heads(self, province: str) -> Mapping[str, PreparedHead]:
        kept = {key: one.content_hash for key, one in self._prepared.items()} | dict.fromkeys(self._lost, "")
        return {
            period: PreparedHead(revision, self._seen.get((of, period, revision), 0), content_hash)
            for (of, period, revision), content_hash in sorted(kept.items())
            if of == province
        }

    async def prepared(self, province: str, period: str, revision: int | None = None) -> Prepared | None:
        asked = [key[2] for key in self._prepared if key[:2] == (province, period)]
        wanted = max(asked, default=0) if revision is None else revision
        return self._prepared.get((province, period, wanted))

    async def save_prepared(self, prepared: Prepared) -> bool:
        key = _key(prepared)
        if key in self._prepared:
            return False
        self._prepared[key] = prepared
        self._seen[key] = prepared.content.report_revision
        self._untold.add(key)
        return True

    async def restore_revisions(self, told: Mapping[tuple[str, str], int]) -> None:
        for (province, period), revision in told.items():
            head = (await self.prepared_heads(province)).get(period)
            if head is None or head.revision < revision:
                self._lost.add((province, period, revision))

    async def note_seen(self, province: str, period: str, revision: int, report_revision: int) -> None:
        key = (province, period, revision)
        self._seen[key] = max(self._seen[key], report_revision)

    async def untold(self, province: str, limit: int) -> list[Prepared]:
        waiting = [self._prepared[key] for key in self._untold if key[0] == province]
        return sorted(waiting, key=_order)[:limit]

    async def mark_told(self, prepared: Sequence[Prepared]) -> None:
        self._untold -= set(map(_key, prepared))


def _key(prepared: Prepared) -> tuple[str, str, int]:
    return prepared.content.province, prepared.content.span.id, prepared.revision


def _order(prepared: Prepared) -> tuple[object, ...]:
    span = prepared.content.span
    return span.cut_off_on, span.id, prepared.revision
