"""In-memory parts of reporting; tests/contract/test_reporting_store.py vouches for the store."""

import copy
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from services.reporting.domain.ledger import Sums
from services.reporting.domain.report import Head, LateFact, Report
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.ports import (
    Counted,
    Entry,
    Generations,
    KeptTask,
    LedgerHead,
    Message,
    PeriodRow,
    Registry,
    Tally,
)
from shared.contracts.codec import Event, decode
from shared.contracts.report_facts import ReportPublished


@dataclass(slots=True)
class Derived:
    """One generation."""

    tasks: dict[str, KeptTask] = field(default_factory=dict)
    entries: dict[Registry, dict[str, Entry]] = field(default_factory=lambda: {registry: {} for registry in Registry})
    ledgers: dict[int, LedgerHead] = field(default_factory=dict)
    portions: dict[tuple[int, str, date, int], Sums] = field(default_factory=dict)


class MemoryReportStore:
    """Implements ports.Store."""

    def __init__(self) -> None:
        self.derived: defaultdict[int, Derived] = defaultdict(Derived)
        self.state = [Generations()]
        """One, shared by all views."""
        self.generation: int | None = None
        """None: whichever serves."""
        self._progress: dict[int, datetime] = {}
        self._epochs = itertools.count(1)
        self._late: dict[str, tuple[str, date, tuple[str, ...], datetime, LateFact]] = {}
        self._reports: dict[str, Report] = {}
        self._unpublished: set[str] = set()
        self._replaced: dict[tuple[str, int], Report] = {}

    async def generations(self) -> Generations:
        return self.state[0]

    def of(self, generation: int) -> "MemoryReportStore":
        view = copy.copy(self)
        view.generation = generation
        return view

    @property
    def _here(self) -> Derived:
        return self.derived[self.generation or self.state[0].serving]

    @property
    def tasks(self) -> dict[str, KeptTask]:
        return self._here.tasks

    @property
    def _entries(self) -> dict[Registry, dict[str, Entry]]:
        return self._here.entries

    @property
    def _ledgers(self) -> dict[int, LedgerHead]:
        return self._here.ledgers

    @property
    def _portions(self) -> dict[tuple[int, str, date, int], Sums]:
        return self._here.portions

    async def counted(self, ids: Collection[str]) -> Mapping[str, Counted]:
        return {one: _counted(self.tasks[one]) for one in ids if one in self.tasks}

    async def keep_tasks(self, kept: Collection[KeptTask], new: Collection[str] = ()) -> set[str]:
        newer = {one.id: one for one in kept if one.id not in self.tasks or self.tasks[one.id].seq < one.seq}
        self.tasks.update(newer)
        return {one.id for one in kept} - newer.keys()

    async def scan(self, partitions: Collection[int]) -> AsyncIterator[list[Counted]]:
        for one in list(self.tasks.values()):
            if one.partition in partitions:
                yield [_counted(one)]

    async def snapshots(self, ids: Collection[str]) -> Mapping[str, str]:
        return {one: self.tasks[one].snapshot for one in ids if one in self.tasks}

    async def retrace(self, traced: Collection[Counted]) -> None:
        for one in traced:
            if self.tasks[one.id].seq == one.seq:
                self.tasks[one.id] = replace(self.tasks[one.id], trace=one.trace, rules=one.rules)

    async def tally(self, partitions: Collection[int]) -> Mapping[str, Tally]:
        found: dict[str, Tally] = {}
        for one in self.tasks.values():
            if one.partition in partitions:
                before = found.get(one.province, Tally())
                found[one.province] = Tally(before.tasks + 1, before.seqs + one.seq)
        return found

    async def keep_entries(self, registry: Registry, kept: Collection[Entry]) -> int:
        known = self._entries[registry]
        newer = [one for one in kept if one.id not in known or known[one.id].seq < one.seq]
        known.update({one.id: one for one in newer})
        return len(newer)

    async def entries(self, registry: Registry, province: str) -> list[Entry]:
        return [one for one in self._entries[registry].values() if one.province == province]

    async def tally_entries(self, registry: Registry, province: str) -> Tally:
        some = await self.entries(registry, province)
        return Tally(len(some), sum(one.seq for one in some))

    async def note_progress(self, times: Mapping[int, datetime]) -> None:
        for partition, instant in times.items():
            self._progress[partition] = max(instant, self._progress.get(partition, instant))

    async def progress(self) -> Mapping[int, datetime]:
        return dict(self._progress)

    async def next_epoch(self) -> int:
        return next(self._epochs)

    async def write_ledger(self, head: LedgerHead, changed: Mapping[tuple[str, date], Sums]) -> None:
        for (province, cut_off), sums in changed.items():
            self._portions[head.epoch, province, cut_off, head.portions[province][cut_off]] = dict(sums)
        self._ledgers[head.epoch] = head

    async def ledgers(self) -> list[LedgerHead]:
        return list(self._ledgers.values())

    async def drop_ledgers(self, epochs: Collection[int]) -> None:
        for epoch in epochs:
            self._ledgers.pop(epoch, None)
        for key in [one for one in self._portions if one[0] in epochs]:
            del self._portions[key]

    async def portions(
        self, wanted: Collection[tuple[int, str, date, int]]
    ) -> Mapping[tuple[int, str, date, int], Sums]:
        return {one: dict(self._portions[one]) for one in wanted if one in self._portions}

    async def note_late(
        self, province: str, facts: Mapping[LateFact, tuple[date, tuple[str, ...]]], at: datetime
    ) -> None:
        for fact, (cut_off, scopes) in facts.items():
            self._late.setdefault(f"{fact.task_id}:{fact.seq}", (province, cut_off, scopes, at, fact))

    async def late(self, province: str, scope: str, *, until: date, since: datetime) -> list[LateFact]:
        return [
            fact
            for of, cut_off, scopes, at, fact in self._late.values()
            if of == province and scope in scopes and cut_off <= until and at >= since
        ]

    async def heads(self, province: str) -> Mapping[str, Head]:
        return {key: report.head for key, report in self._reports.items() if report.province == province}

    async def save_reports(self, reports: Sequence[Report]) -> bool:
        written = 0
        for report in reports:
            known = self._reports.get(report.key)
            if (known.revision if known else 0) == report.revision - 1:
                if known is not None and known.final:
                    self._replaced[known.key, known.revision] = known
                self._reports[report.key] = report
                self._unpublished.add(report.key)
                written += 1
        return written == len(reports)

    async def revisions(self, keys: Collection[str]) -> Mapping[str, int]:
        return {key: self._reports[key].revision for key in keys if key in self._reports}

    async def some_reports(self, keys: Collection[str]) -> Mapping[str, Report]:
        return {key: self._reports[key] for key in keys if key in self._reports}

    async def restore_reports(self, reports: Collection[Report]) -> set[str]:
        known = await self.revisions([one.key for one in reports])
        newer = {one.key: one for one in reports if known.get(one.key, 0) < one.revision}
        replaced = [self._reports[key] for key in newer if key in self._reports]
        self._replaced |= {(one.key, one.revision): one for one in replaced if one.final}
        self._reports.update(newer)
        self._unpublished -= newer.keys()
        return set(newer)

    async def complete_reports(self, reports: Collection[Report]) -> None:
        for one in reports:
            known = self._reports[one.key]
            if known.revision == one.revision and known.known_hash is not None:
                self._reports[one.key] = one

    async def unpublished(self, province: str, limit: int) -> list[Report]:
        waiting = [self._reports[key] for key in sorted(self._unpublished)]
        return [report for report in waiting if report.province == province][:limit]

    async def mark_published(self, reports: Sequence[Report]) -> None:
        for report in reports:
            if self._reports[report.key].revision == report.revision:
                self._unpublished.discard(report.key)

    async def provinces(self) -> list[str]:
        return sorted({one.province for one in self._reports.values() if one.scope == PROVINCE_SCOPE})

    async def periods(self, province: str) -> list[PeriodRow]:
        found = [one for one in self._reports.values() if one.province == province and one.scope == PROVINCE_SCOPE]
        found.sort(key=lambda one: one.period)
        found.sort(key=lambda one: one.cut_off_on, reverse=True)
        return [PeriodRow(one.period, one.final, one.kind) for one in found]

    async def reports(self, province: str, period: str) -> list[Report]:
        return [one for one in self._reports.values() if one.province == province and one.period == period]

    async def report(self, key: str) -> Report | None:
        return self._reports.get(key)

    async def revision(self, key: str, revision: int) -> Report | None:
        current = self._reports.get(key)
        return current if current and current.revision == revision else self._replaced.get((key, revision))

    async def kept_revisions(self, key: str, limit: int) -> list[Report]:
        found = [one for one in (*self._reports.values(), *self._replaced.values()) if one.key == key]
        return sorted(found, key=lambda one: -one.revision)[:limit]

    async def stood_at(self, province: str, period: str, instant: datetime) -> list[Report]:
        newest: dict[str, Report] = {}
        for one in sorted((*self._replaced.values(), *self._reports.values()), key=lambda one: one.revision):
            if (one.province, one.period) == (province, period) and one.computed_at <= instant:
                newest[one.scope] = one
        return list(newest.values())


def _counted(kept: KeptTask) -> Counted:
    return Counted(kept.id, kept.seq, kept.province, kept.labels, kept.trace, kept.rules)


class MemoryShare:
    """Implements ports.Share: the business time of two partitions is set by the test."""

    def __init__(self, partitions: int = 2) -> None:
        self._partitions = partitions
        self.known: dict[int, datetime] = {}
        self.mine: frozenset[int] | None = None
        """The partitions that this replica owns; None: all."""
        self.provinces: set[str] | None = None
        """What this replica owns; None: everything."""
        self.waiting = 0
        """Facts that wait for it."""

    def reach(self, instant: datetime) -> None:
        """All partitions have come this far."""
        self.known = dict.fromkeys(range(self._partitions), instant)

    def owned(self) -> frozenset[int]:
        return self.mine if self.mine is not None else frozenset(range(self._partitions))

    async def times(self) -> Mapping[int, datetime]:
        return {partition: instant for partition, instant in self.known.items() if partition in self.owned()}

    def backlog(self) -> int:
        return self.waiting

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

    def reports(self, scope: str = PROVINCE_SCOPE, kind: str = "monthly") -> list[ReportPublished]:
        """What was published about a scope, in order."""
        found = [event.data for event in self.events]
        return [one for one in found if isinstance(one, ReportPublished) and (one.scope, one.kind) == (scope, kind)]
