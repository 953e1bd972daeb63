"""Two stories: snapshots come in and are kept; the aggregation turns them into reports and publishes those."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from services.reporting import metrics, wire
from services.reporting.domain.aggregate import Books, Statement
from services.reporting.domain.periods import Regime
from services.reporting.domain.report import PROVINCE_SCOPE, Head, Reason, Report, agency_of, revise, why_revise
from services.reporting.ports import Kept, Message, Share, Store
from shared.contracts.topics import AGENCIES
from shared.runtime.clock import Clock
from shared.runtime.consuming import Received

log = structlog.get_logger()

TASKS_PAGE = 500
REPORTS_PAGE = 200


class Intake:
    """Keeps the latest snapshot of every task and agency."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def on_records(self, records: Sequence[Received]) -> None:
        """Keep what the records show. Told twice, or in another order, the same is kept."""
        agencies = [wire.kept_agency(record) for record in records if record.topic == AGENCIES.name]
        tasks = [wire.kept_task(record) for record in records if record.topic != AGENCIES.name]
        if newest := _newest(agencies):
            _count("agency", len(newest), await self._store.keep_agencies(newest))
        if newest := _newest(tasks):
            _count("task", len(newest), await self._store.keep_tasks(newest))


def _newest(kept: Sequence[Kept | None]) -> list[Kept]:
    return list({one.id: one for one in sorted(filter(None, kept), key=lambda one: one.seq)}.values())


def _count(kind: str, offered: int, newer: int) -> None:
    metrics.FACTS.labels(kind, "kept").inc(newer)
    metrics.FACTS.labels(kind, "stale").inc(offered - newer)


@dataclass(slots=True)
class _Province:
    """What memory holds of a province between two turns; all of it can be read again."""

    heads: dict[str, Head]
    books: Books
    opened: float
    names: Mapping[str, str] = field(default_factory=dict)
    changes: int = -1
    holds_until: datetime | None = None

    def is_settled(self, changes: int, reached: datetime) -> bool:
        """Whether another look would find nothing new: no task changed, and time has passed nothing that matters."""
        return changes == self.changes and self.holds_until is not None and reached < self.holds_until


class Aggregation:
    """Aggregates the provinces of this replica, closes periods, publishes revisions."""

    def __init__(
        self,
        store: Store,
        share: Share,
        publish: Callable[[Sequence[Message]], Awaitable[None]],
        clock: Clock,
        *,
        regime: Regime,
        province_names: Mapping[str, str],
        recheck_seconds: float,
    ) -> None:
        self._store = store
        self._share = share
        self._publish_messages = publish
        self._clock = clock
        self._regime = regime
        self._province_names = province_names
        self._recheck_seconds = recheck_seconds
        self._provinces: dict[str, _Province] = {}

    async def turn(self) -> None:
        """Note how far time has come, then bring each own province's reports up to it."""
        await self._store.note_progress(await self._share.times())
        changes = await self._store.provinces()
        own = [province for province in sorted(changes) if await self._share.owns(province)]
        fresh_since = time.monotonic() - self._recheck_seconds
        self._provinces = {
            code: known for code, known in self._provinces.items() if code in own and known.opened > fresh_since
        }
        for province in own:
            # Leftovers of a crash first: so no revision is overwritten before it was told.
            await self._publish(province)
            if await self._bring_up(province, changes[province]):
                await self._publish(province)

    async def business_time(self) -> datetime | None:
        """What every partition has reached, whoever owns it; None while one is unknown.

        Not the clock: an outage or a backlog must not close a month early.
        """
        count = await self._share.partition_count()
        progress = await self._store.progress()
        if any(partition not in progress for partition in range(count)):
            return None
        reached = min(progress[partition] for partition in range(count))
        metrics.REACHED_SECONDS.set(reached.timestamp())
        return reached

    async def _bring_up(self, province: str, changes: int) -> bool:
        """Write the revisions a province needs. Heads are read before time, and time before facts.

        So whoever writes over a head has read facts no older than those behind it, and two replicas that both take
        the province for theirs cannot put an older truth over a newer one.
        """
        known = self._provinces.get(province)
        if known is None:
            heads = dict(await self._store.heads(province))
            known = self._provinces[province] = _Province(heads, Books(self._regime), time.monotonic())
        reached = await self.business_time()
        if reached is None or known.is_settled(changes, reached):
            return False
        began = time.perf_counter()
        await self._read(province, known)
        # In a thread: thousands of tasks over years of periods must not keep the heartbeats waiting.
        statements = await asyncio.to_thread(known.books.at, reached)
        drafts = self._drafts(province, statements, known.names)
        reasons = {draft.key: why_revise(known.heads.get(draft.key), draft) for draft in drafts}
        revisions = [
            revise(known.heads.get(draft.key), draft) for draft in drafts if reasons[draft.key] is not Reason.UNCHANGED
        ]
        if revisions and not await self._store.save_reports(revisions):
            del self._provinces[province]
            metrics.LOST_RACES.inc()
            return True
        for report in revisions:
            known.heads[report.key] = report.head
            metrics.REVISIONS.labels(reasons[report.key]).inc()
        self._log(revisions, reasons)
        known.changes, known.holds_until = changes, known.books.holds_until(reached)
        metrics.AGGREGATION_SECONDS.observe(time.perf_counter() - began)
        return bool(revisions)

    async def _read(self, province: str, known: _Province) -> None:
        """Bring what changed since the last look into the books."""
        in_books = known.books.seqs()
        seqs = await self._store.task_seqs(province)
        newer = sorted(task_id for task_id, seq in seqs.items() if in_books.get(task_id, -1) < seq)
        for start in range(0, len(newer), TASKS_PAGE):
            for kept in await self._store.tasks(newer[start : start + TASKS_PAGE]):
                known.books.put(wire.task_facts(kept))
        known.names = dict(wire.agency_name(kept) for kept in await self._store.agencies(province))

    def _drafts(self, province: str, statements: Sequence[Statement], names: Mapping[str, str]) -> list[Report]:
        now = self._clock.now()
        return [
            Report(
                province=province,
                period=statement.period.id,
                scope=scope,
                scope_name=self._name(province, scope, names),
                regime=self._regime.id,
                starts_on=statement.period.starts_on,
                cut_off_on=statement.period.cut_off_on,
                final=statement.final,
                figures=figures,
                computed_at=now,
            )
            for statement in statements
            for scope, figures in statement.figures.items()
        ]

    def _name(self, province: str, scope: str, names: Mapping[str, str]) -> str:
        agency = agency_of(scope)
        return self._province_names.get(province, province) if agency is None else names.get(agency, agency)

    @staticmethod
    def _log(revisions: Sequence[Report], reasons: Mapping[str, Reason]) -> None:
        for report in revisions:
            if report.scope == PROVINCE_SCOPE and reasons[report.key] is not Reason.FIGURES:
                log.info("report.revised", key=report.key, revision=report.revision, reason=reasons[report.key].value)

    async def _publish(self, province: str) -> None:
        """Publish what is written and not yet told, then mark it. Cut off in between, it is told again, the same."""
        while reports := await self._store.unpublished(province, REPORTS_PAGE):
            await self._publish_messages([wire.message(report) for report in reports])
            await self._store.mark_published(reports)
