"""In-memory parts of reporting; tests/contract/test_reporting_store.py vouches for the store."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from services.reporting.domain.report import PROVINCE_SCOPE, Head, Report
from services.reporting.ports import Kept, Message, PeriodRow
from shared.contracts.codec import Event, decode
from shared.contracts.report_facts import ReportPublished


class MemoryReportStore:
    """Implements ports.Store."""

    def __init__(self) -> None:
        self._tasks: dict[str, Kept] = {}
        self._agencies: dict[str, Kept] = {}
        self._changes: dict[str, int] = {}
        self._progress: dict[int, datetime] = {}
        self._reports: dict[str, Report] = {}
        self._unpublished: set[str] = set()

    async def keep_tasks(self, kept: Collection[Kept]) -> int:
        return self._keep(self._tasks, kept)

    async def keep_agencies(self, kept: Collection[Kept]) -> int:
        return self._keep(self._agencies, kept)

    def _keep(self, known: dict[str, Kept], kept: Collection[Kept]) -> int:
        newer = [one for one in kept if one.id not in known or known[one.id].seq < one.seq]
        known.update({one.id: one for one in newer})
        for province in {one.province for one in kept}:
            self._changes[province] = self._changes.get(province, 0) + 1
        return len(newer)

    async def provinces(self) -> Mapping[str, int]:
        return dict(self._changes)

    async def task_seqs(self, province: str) -> Mapping[str, int]:
        return {one.id: one.seq for one in self._tasks.values() if one.province == province}

    async def tasks(self, ids: Collection[str]) -> list[Kept]:
        return [self._tasks[one] for one in ids if one in self._tasks]

    async def agencies(self, province: str) -> list[Kept]:
        return [one for one in self._agencies.values() if one.province == province]

    async def note_progress(self, times: Mapping[int, datetime]) -> None:
        for partition, instant in times.items():
            self._progress[partition] = max(instant, self._progress.get(partition, instant))

    async def progress(self) -> Mapping[int, datetime]:
        return dict(self._progress)

    async def heads(self, province: str) -> Mapping[str, Head]:
        return {key: report.head for key, report in self._reports.items() if report.province == province}

    async def save_reports(self, reports: Sequence[Report]) -> bool:
        written = 0
        for report in reports:
            known = self._reports.get(report.key)
            if (known.revision if known else 0) == report.revision - 1:
                self._reports[report.key] = report
                self._unpublished.add(report.key)
                written += 1
        return written == len(reports)

    async def unpublished(self, province: str, limit: int) -> list[Report]:
        waiting = [self._reports[key] for key in sorted(self._unpublished)]
        return [report for report in waiting if report.province == province][:limit]

    async def mark_published(self, reports: Sequence[Report]) -> None:
        for report in reports:
            if self._reports[report.key].revision == report.revision:
                self._unpublished.discard(report.key)

    async def periods(self, province: str) -> list[PeriodRow]:
        found = [
            PeriodRow(report.period, report.final)
            for report in self._reports.values()
            if report.province == province and report.scope == PROVINCE_SCOPE
        ]
        return sorted(found, key=lambda row: row.id, reverse=True)

    async def reports(self, province: str, period: str) -> list[Report]:
        return [one for one in self._reports.values() if one.province == province and one.period == period]


class MemoryShare:
    """Implements ports.Share: the business time of two partitions is set by the test."""

    def __init__(self, partitions: int = 2) -> None:
        self._partitions = partitions
        self.known: dict[int, datetime] = {}
        self.provinces: set[str] | None = None
        """What this replica owns; None: everything."""

    def reach(self, instant: datetime) -> None:
        """All partitions have come this far."""
        self.known = dict.fromkeys(range(self._partitions), instant)

    async def times(self) -> Mapping[int, datetime]:
        return dict(self.known)

    async def partition_count(self) -> int:
        return self._partitions

    async def owns(self, province: str) -> bool:
        return self.provinces is None or province in self.provinces


class MemoryTopic:
    """Takes what is published; decodes it, so that nothing goes out which consumers cannot read."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    async def __call__(self, messages: Sequence[Message]) -> None:
        if self.broken:
            raise ConnectionError("the broker is away")
        self.events.extend(decode(one.topic, one.value) for one in messages)

    def reports(self, scope: str = PROVINCE_SCOPE) -> list[ReportPublished]:
        """What was published about a scope, in order."""
        found = [event.data for event in self.events]
        return [one for one in found if isinstance(one, ReportPublished) and one.scope == scope]
