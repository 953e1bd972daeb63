"""Counting: snapshots come in, are kept, and go into the ledgers of this replica; ledgers are written for publishing.

A ledger lives in memory and is made from what is kept whenever the share of partitions changes. What it holds is what
the database holds: every batch is kept first and counted then, and versions are tallied against each other before
anything is closed. Whatever goes wrong in between, the ledger is thrown away and made again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Protocol

import structlog

from services.reporting import metrics, wire
from services.reporting.domain.indicators import Benchmark
from services.reporting.domain.ledger import Ledger
from services.reporting.domain.periods import Regime
from services.reporting.domain.report import LateFact
from services.reporting.domain.schedule import AsOf
from services.reporting.domain.trace import Moment, moment
from services.reporting.ports import Counted, Entry, Generations, KeptTask, LedgerHead, Registry, Share, Store, Tally
from shared.contracts.task_facts import TaskSnapshot
from shared.contracts.topics import TASKS
from shared.runtime.clock import Clock
from shared.runtime.consuming import Received, unhurried
from shared.workdays.calendar import WorkingCalendar, local_day

log = structlog.get_logger()


class Rules(Protocol):
    """What holds for a province."""

    def calendar(self, province: str) -> WorkingCalendar:
        """Its working days."""
        ...

    def regime(self, province: str) -> Regime:
        """Its reporting periods."""
        ...

    def benchmarks(self, province: str) -> Sequence[Benchmark]:
        """What its indicators are compared with."""
        ...


@dataclass(slots=True)
class _Count:
    """What memory holds of some partitions. All of it can be made again."""

    epoch: int
    generation: int
    partitions: frozenset[int]
    reached: Moment
    """How far time had come when it was made."""
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    tallies: Counter[str] = field(default_factory=Counter)
    seqs: Counter[str] = field(default_factory=Counter)
    versions: dict[str, dict[date, int]] = field(default_factory=dict)
    closed_until: dict[str, date] = field(default_factory=dict)
    """Province → the last cut-off before which everything was tallied."""
    written: Moment | None = None

    def tally(self) -> dict[str, Tally]:
        """How many tasks of each province, and the sum of their versions."""
        return {province: Tally(count, self.seqs[province]) for province, count in self.tallies.items()}


class Counting:
    """Keeps what comes in and counts it."""

    def __init__(
        self,
        store: Store,
        share: Share,
        clock: Clock,
        rules: Rules,
        *,
        hold: Callable[[], AbstractAsyncContextManager[None]],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`hold`: entered, no batch is applied. `beat`: says that a long reading makes progress."""
        self._store = store
        self._share = share
        self._clock = clock
        self._rules = rules
        self._hold = hold
        self._beat = beat
        self._count: _Count | None = None

    # -- records ---------------------------------------------------------------------------------------------------

    async def on_records(self, records: Sequence[Received]) -> None:
        """Keep what the records show, then count it. Told twice, or in another order, the same is kept."""
        # Asked for each batch, after its records were read: a rebuild reads for itself what came before it began, and
        # relies on everything later being kept in both places (ADR 0025).
        now = await self._generations()
        await self._keep_entries(
            [found for one in records if one.topic != TASKS.name and (found := wire.entry(one))], now
        )
        await self._keep_tasks([one for one in records if one.topic == TASKS.name], now)

    async def _generations(self) -> Generations:
        now = await self._store.generations()
        if self._count is not None and (self._count.generation != now.serving or now.lost):
            self.forget("generation")
        return now

    async def _keep_entries(self, entries: Sequence[tuple[Registry, Entry]], now: Generations) -> None:
        for registry in Registry:
            newest = {
                entry.id: entry
                for entry in sorted((one for which, one in entries if which is registry), key=lambda one: one.seq)
            }
            if newest:
                if now.filling is not None:
                    await self._store.of(now.filling).keep_entries(registry, newest.values())
                newer = await self._store.of(now.serving).keep_entries(registry, newest.values())
                _tell(registry.value, len(newest), newer)

    async def _keep_tasks(self, records: Sequence[Received], now: Generations) -> None:
        newest = wire.newest_snapshots(records)
        if not newest:
            return
        made: dict[str, KeptTask] = {}
        if now.filling is not None:
            # First there, and all of it: what serves is never ahead of what is filled, and may be wrong.
            made = {task_id: self._kept(*pair) for task_id, pair in newest.items()}
            await self._store.of(now.filling).keep_tasks(made.values())
        count, store = self._count, self._store.of(now.serving)
        known = await store.counted(list(newest)) if count is not None else {}
        newer: dict[str, tuple[Received, KeptTask]] = {}
        async for task_id, (record, task) in unhurried(newest.items()):
            if task_id not in known or known[task_id].seq < task.seq:
                newer[task_id] = (record, made.get(task_id) or self._kept(record, task))
        _tell("task", len(newest), len(newer))
        try:
            # Without a ledger nothing was looked up.
            new = newer.keys() - known.keys() if count is not None else ()
            refused = await store.keep_tasks([kept for _, kept in newer.values()], new) if newer else set()
        except BaseException:
            # Some may be written. The batch comes again, and what is counted is made from what is kept.
            self.forget("not_known")
            raise
        if count is None or count is not self._count:
            return
        if refused or any(kept.partition not in count.partitions for _, kept in newer.values()):
            self.forget("others_write")
            return
        late: dict[str, dict[LateFact, tuple[date, tuple[str, ...]]]] = {}
        for record, kept in newer.values():
            before = known.get(kept.id)
            first = self._add(count, before, kept)
            closed = self._is_closed(count, kept.province, first)
            if closed is not None:
                fact = wire.late_fact(record, kept)
                late.setdefault(kept.province, {})[fact] = (closed, kept.labels.scopes())
        for province, facts in late.items():
            await self._store.note_late(province, facts, self._clock.now())

    def _kept(self, record: Received, task: TaskSnapshot) -> KeptTask:
        return wire.kept_task(record, task, self._rules.calendar(task.province))

    def _add(self, count: _Count, before: Counted | None, after: Counted | KeptTask) -> Moment | None:
        """Count a task anew. Returns the first moment at which it makes a difference."""
        ledger = count.ledgers.get(after.province)
        if ledger is None:
            ledger = count.ledgers[after.province] = Ledger(self._rules.regime(after.province), count.reached)
        counted = (before.labels, before.trace) if before is not None else None
        count.tallies[after.province] += before is None
        count.seqs[after.province] += after.seq - (before.seq if before is not None else 0)
        return ledger.put(counted, (after.labels, after.trace))

    def _is_closed(self, count: _Count, province: str, first: Moment | None) -> date | None:
        """The first closed cut-off that a change touches; None: it touches none."""
        closed_until = count.closed_until.get(province)
        if first is None or closed_until is None:
            return None
        cut_off = count.ledgers[province].cut_off(first)
        return cut_off if cut_off <= closed_until else None

    def forget(self, why: str) -> None:
        """What memory holds is not what is kept, or will not be: make it again."""
        if self._count is not None:
            log.info("ledger.forgotten", reason=why, epoch=self._count.epoch)
            metrics.LEDGERS_FORGOTTEN.labels(why).inc()
        self._count = None

    # -- ledgers ---------------------------------------------------------------------------------------------------

    async def turn(self, reached: datetime | None) -> None:
        """Bring the ledgers up to a business time that all partitions have reached, and write what changed."""
        now = await self._generations()
        if now.lost:
            return
        owned = self._share.owned()
        if self._count is not None and self._count.partitions != owned:
            self.forget("share")
        if not owned or reached is None:
            # Until it is known how far time has come, all that was ever received would have to wait by its moment.
            return
        if self._count is None:
            async with self._hold():
                await self._make(self._share.owned(), moment(AsOf(reached)), now.serving)
        await self._advance(reached)

    async def _make(self, partitions: frozenset[int], reached: Moment, generation: int) -> None:
        count = _Count(await self._store.next_epoch(), generation, partitions, reached)
        store = self._store.of(generation)
        async for some in store.scan(partitions):
            self._beat()
            for one in await self._by_rules_of_today(some, store):
                self._add(count, None, one)
            await asyncio.sleep(0)
        self._count = count
        log.info(
            "ledger.made",
            epoch=count.epoch,
            generation=generation,
            partitions=len(partitions),
            tasks=count.tallies.total(),
        )
        metrics.LEDGERS_MADE.inc()

    async def _by_rules_of_today(self, some: Sequence[Counted], store: Store) -> Sequence[Counted]:
        """A changed calendar changes which days are near a deadline: such traces are made anew, and kept."""
        calendars = {one.province: self._rules.calendar(one.province) for one in some}
        rules = {province: wire.trace_rules(calendar) for province, calendar in calendars.items()}
        old = {one.id for one in some if one.rules != rules[one.province]}
        if not old:
            return some
        snapshots = await store.snapshots(old)
        traced = {
            one.id: replace(
                one, trace=wire.retraced(snapshots[one.id], calendars[one.province]), rules=rules[one.province]
            )
            for one in some
            if one.id in old
        }
        await store.retrace(traced.values())
        return [traced.get(one.id, one) for one in some]

    async def _advance(self, reached: datetime) -> None:
        count = self._count
        if count is None:
            return
        to = moment(AsOf(reached))
        day = local_day(reached)
        closes = {
            province: last
            for province, ledger in count.ledgers.items()
            if (last := ledger.last_cut_off_before(day)) != count.closed_until.get(province)
        }
        if closes and not await self.check():
            return
        for ledger in count.ledgers.values():
            ledger.advance(to)
        count.closed_until |= closes
        changed = {
            (province, cut_off) for province, ledger in count.ledgers.items() for cut_off in ledger.take_changed()
        }
        if not changed and count.written is not None and not closes and to - count.written < _QUIET:
            return
        for province, cut_off in changed:
            versions = count.versions.setdefault(province, {})
            versions[cut_off] = versions.get(cut_off, 0) + 1
        head = LedgerHead(count.epoch, count.partitions, to, {one: dict(some) for one, some in count.versions.items()})
        portions = {
            (province, cut_off): dict(count.ledgers[province].portions().get(cut_off, {}))
            for province, cut_off in changed
        }
        try:
            await self._store.of(count.generation).write_ledger(head, portions)
        except BaseException:
            self.forget("not_known")
            raise
        count.written = to

    async def check(self) -> bool:
        """Compare versions with what is kept; where they differ, forget. Nothing is applied meanwhile."""
        async with self._hold():
            count = self._count
            if count is None:
                return False
            found = await self._store.of(count.generation).tally(count.partitions)
            kept = {one: tally for one, tally in found.items() if tally.tasks}
            if kept != count.tally():
                self.forget("tally")
                return False
            return True


_QUIET: Moment = 2 * 60 * 1_000_000
"""Without a change, how far time has come is written again only after so much of it (a minute)."""


def _tell(kind: str, offered: int, newer: int) -> None:
    metrics.FACTS.labels(kind, "kept").inc(newer)
    metrics.FACTS.labels(kind, "stale").inc(offered - newer)
