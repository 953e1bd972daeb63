"""Reports: ledgers of all replicas are added up; periods close; what changed is written as a revision and published."""

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

import structlog

from services.reporting import metrics, wire
from services.reporting.counting import Counting, Rules
from services.reporting.domain.aggregate import groups_of
from services.reporting.domain.figures import Figures, unpacked
from services.reporting.domain.indicators import Benchmark, Indicator, IndicatorFigure, indicators_at
from services.reporting.domain.ledger import Sums, added_up, running_sums
from services.reporting.domain.periods import Period, Regime
from services.reporting.domain.report import Head, Reason, Report, amendment, report_key, revise, why_revise
from services.reporting.domain.schedule import AsOf
from services.reporting.domain.scopes import PROVINCE_SCOPE, ScopeKind, agency_scope, kind_of, name_in
from services.reporting.domain.trace import Moment
from services.reporting.ports import LedgerHead, Message, Registry, Share, Store
from shared.runtime.clock import Clock
from shared.workdays.calendar import start_of

log = structlog.get_logger()

REPORTS_PAGE = 200
LOST_WARNING_SECONDS = 60.0
SUMS_KEPT = 10_000
"""Figures of so many sums are remembered, 1 kB each: hundreds of scopes as of the cut-offs that reports compare."""
BACKLOG = 2_000
"""While so many facts wait, a report is old when it is computed: it is computed as seldom as it is told, and the facts
come first."""
LATE_MARGIN = timedelta(minutes=1)
"""A late fact is noted before its sums are written: so much earlier it is still looked for."""
CATEGORY_NAMES = {
    "dated": "Có thời hạn",
    "recurring": "Định kỳ",
    "conditional": "Khi phát sinh",
    "by_reference": "Theo văn bản khác",
    "standing": "Thường xuyên",
    "indicator": "Chỉ tiêu",
}


@dataclass(frozen=True, slots=True)
class Names:
    """What scopes are called, and which groups agencies are in, by the registry as it stands."""

    province: str
    agencies: Mapping[str, str] = field(default_factory=dict)
    directives: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, one: str) -> str:
        """A scope's name; where none is known, what stands in the scope."""
        name = name_in(one)
        match kind_of(one):
            case ScopeKind.PROVINCE:
                return self.province
            case ScopeKind.AGENCY:
                return self.agencies.get(name, name)
            case ScopeKind.DIRECTIVE:
                return self.directives.get(name, name)
            case ScopeKind.CATEGORY:
                return CATEGORY_NAMES.get(name, name)
            case ScopeKind.GROUP:
                return "Chưa phân nhóm" if name == "none" else name


Basis: TypeAlias = tuple[object, ...]
"""What a running report was last computed from: while that is the same, so is the report."""


@dataclass(slots=True)
class _Province:
    """What memory holds of a province between two turns; all of it can be read again."""

    province: str
    heads: dict[str, Head]
    opened: float
    names: Names
    reported: dict[str, set[str]] = field(default_factory=dict)
    """Period → scopes that have a report."""
    indicators: list[Indicator] = field(default_factory=list)
    registry: tuple[tuple[int, int], ...] | None = None
    portions: dict[tuple[int, date], tuple[int, Sums]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    """Ids of periods whose final reports were looked at since `portions` last changed at or before their cut-off."""
    looked: float = -math.inf
    bases: dict[str, Basis] = field(default_factory=dict)
    """Report key → what its last revision was computed from, while its period runs."""
    untold: dict[str, Report] = field(default_factory=dict)
    """Report key → its last revision, while it is written and not yet on the topic."""
    told: float = -math.inf
    stale: bool = True
    """Something came in that no report has been computed from yet."""
    day: date | None = None

    def scopes(self, period: Period, book: "Book", *, final: bool) -> Mapping[str, tuple[str, ...]]:
        """What there is a report on, each with its members where it is a group.

        A closed report on a group keeps the members that it was closed with, whatever the registry says today.
        """
        plain = book.at(period.cut_off_on if final else None)
        groups = dict(groups_of(self.names.groups, plain))
        # A scope that has lost its last task has a report all the same: it says so.
        reported = dict.fromkeys(self.reported.get(period.id, ()), ())
        for one in reported.keys() | groups.keys():
            head = self.heads.get(report_key(self.province, period.id, one))
            if kind_of(one) is ScopeKind.GROUP and head is not None and (head.final or one not in groups):
                groups[one] = head.members
        return reported | dict.fromkeys(plain, ()) | groups

    def note(self, key: str, head: Head) -> None:
        """A report stands so from now on."""
        _, period, one = key.split("/", 2)
        self.heads[key] = head
        self.reported.setdefault(period, set()).add(one)


def in_force(heads: Iterable[LedgerHead], partitions: int) -> list[LedgerHead] | None:
    """The ledgers that hold each partition once, later ones first; None while one partition is in none."""
    chosen: list[LedgerHead] = []
    covered: set[int] = set()
    for head in sorted(heads, key=lambda one: -one.epoch):
        if covered.isdisjoint(head.partitions):
            chosen.append(head)
            covered |= head.partitions
    return chosen if covered >= set(range(partitions)) else None


class Aggregation:
    """Adds up, closes periods, publishes revisions, for the provinces of this replica."""

    def __init__(
        self,
        store: Store,
        share: Share,
        counting: Counting,
        publish: Callable[[Sequence[Message]], Awaitable[None]],
        clock: Clock,
        rules: Rules,
        *,
        province_names: Mapping[str, str],
        recheck_seconds: float,
        compute_every_seconds: float,
        publish_every_seconds: float,
    ) -> None:
        self._store = store
        self._share = share
        self._counting = counting
        self._publish_messages = publish
        self._clock = clock
        self._rules = rules
        self._province_names = province_names
        self._recheck_seconds = recheck_seconds
        self._compute_every_seconds = compute_every_seconds
        self._publish_every_seconds = publish_every_seconds
        self._telling = asyncio.Lock()
        """Held while revisions go to the topic: of one report they go there in their order."""
        self._provinces: dict[str, _Province] = {}
        self._generation: int | None = None
        self._facts = store
        """Of the generation that serves: what is added up is never of two."""
        self._checked = time.monotonic()
        self._warned = -math.inf

    async def turn(self) -> None:
        """Note how far time has come, bring the ledgers up to it, then each own province's reports."""
        if not await self._follow():
            return
        await self._store.note_progress(await self._share.times())
        reached = await self.business_time()
        if time.monotonic() - self._checked > self._recheck_seconds:
            self._checked = time.monotonic()
            await self._counting.check()
        await self._counting.turn(reached)
        if reached is None:
            return
        heads = await self._facts.ledgers()
        chosen = in_force(heads, await self._share.partition_count())
        if chosen is None:
            return
        if passed_over := [head.epoch for head in heads if head not in chosen]:
            await self._facts.drop_ledgers(passed_over)
        found = sorted({province for head in chosen for province in head.portions})
        own = [province for province in found if await self._share.owns(province)]
        fresh_since = time.monotonic() - self._recheck_seconds
        self._provinces = {
            code: known for code, known in self._provinces.items() if code in own and known.opened > fresh_since
        }
        for province in own:
            await self._bring_up(province, chosen)

    async def _follow(self) -> bool:
        """Turn to the generation that serves. False: the database was lost, so that no figure would be right."""
        now = await self._store.generations()
        metrics.GENERATION.set(now.serving)
        metrics.REBUILT_RATIO.set(now.filled if now.filling is not None else math.nan)
        metrics.FACTS_LOST.set(now.lost)
        if now.serving != self._generation:
            self._generation, self._facts = now.serving, self._store.of(now.serving)
            self._provinces.clear()
        if now.lost and time.monotonic() - self._warned > LOST_WARNING_SECONDS:
            self._warned = time.monotonic()
            log.error("facts.lost", advice="the database is not the one whose facts were applied: rebuild it (runbook)")
        return not now.lost

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

    # -- one province ----------------------------------------------------------------------------------------------

    async def _bring_up(self, province: str, chosen: Sequence[LedgerHead]) -> None:
        """Write the revisions a province needs, and tell those of closed periods.

        Revisions are written over the heads read before, so of two replicas that both take the province for theirs,
        the one that read older heads writes nothing.
        """
        known = self._provinces.get(province)
        if known is None:
            names = Names(self._province_names.get(province, province))
            known = self._provinces[province] = _Province(province, {}, time.monotonic(), names)
            await self._tell_leftovers(province)
            for key, head in (await self._store.heads(province)).items():
                known.note(key, head)
        # What could not be told before comes first: so no closed report is overwritten before it was told.
        await self._tell_closed(known)
        as_of = AsOf(_instant(min(head.reached for head in chosen)))
        latest = AsOf(_instant(max(head.reached for head in chosen))).day
        regime = self._rules.regime(province)
        fetched = await self._fetch(province, known, chosen)
        if fetched is None or not known.portions:
            return
        known.stale |= fetched
        first = min(cut_off for _, cut_off in known.portions)
        ended = _ended(regime, first, as_of)
        closes = any(one not in known.closed for one in ended)
        if not closes and time.monotonic() - known.looked < self._pace_seconds():
            return
        known.stale |= await self._read_registry(province, known)
        if not (closes or known.stale or known.day != as_of.day):
            return
        known.looked = time.monotonic()
        began = time.perf_counter()
        computed_at = self._clock.now()
        # In a thread: thousands of scopes over years of periods must not keep the heartbeats waiting.
        deserved, bases = await asyncio.to_thread(self._deserved, province, known, regime, as_of, latest, computed_at)
        revisions = [await self._amended(one, reason) for one, reason in deserved]
        if revisions and not await self._store.save_reports(revisions):
            del self._provinces[province]
            metrics.LOST_RACES.inc()
            return
        for report in revisions:
            known.note(report.key, report.head)
            known.untold[report.key] = report
        known.bases |= bases
        known.closed |= set(ended)
        known.stale, known.day = False, as_of.day
        metrics.AGGREGATION_SECONDS.observe(time.perf_counter() - began)
        await self._tell_closed(known)

    def _pace_seconds(self) -> float:
        behind = self._share.backlog() >= BACKLOG
        return max(self._compute_every_seconds, self._publish_every_seconds if behind else 0.0)

    async def _fetch(self, province: str, known: _Province, chosen: Sequence[LedgerHead]) -> bool | None:
        """Read the portions that are new. Whether any were; None where one was thrown away meanwhile."""
        wanted = {
            (head.epoch, cut_off): version
            for head in chosen
            for cut_off, version in head.portions.get(province, {}).items()
        }
        gone = known.portions.keys() - wanted.keys()
        newer = [key for key, version in wanted.items() if known.portions.get(key, (0,))[0] != version]
        if newer:
            asked = {(epoch, province, cut_off, wanted[epoch, cut_off]) for epoch, cut_off in newer}
            found = await self._facts.portions(asked)
            if found.keys() != asked:
                return None
            known.portions |= {
                (epoch, cut_off): (version, sums) for (epoch, _, cut_off, version), sums in found.items()
            }
        for key in gone:
            del known.portions[key]
        touched = [cut_off for _, cut_off in (*newer, *gone)]
        if touched:
            regime = self._rules.regime(province)
            first = min(touched)
            known.closed = {one for one in known.closed if regime.period(one).cut_off_on < first}
        return bool(touched)

    async def _read_registry(self, province: str, known: _Province) -> bool:
        """Read names, groups and indicators where any changed."""
        tallies = [await self._facts.tally_entries(registry, province) for registry in Registry]
        registry = tuple((one.tasks, one.seqs) for one in tallies)
        if registry == known.registry:
            return False
        agencies = [wire.agency(one) for one in await self._facts.entries(Registry.AGENCIES, province)]
        directives = [wire.directive(one) for one in await self._facts.entries(Registry.DIRECTIVES, province)]
        known.names = Names(
            known.names.province,
            {one.code: one.name for one in agencies},
            {one.directive: one.number or one.title for one in directives},
            {one.code: one.groups for one in agencies},
        )
        known.indicators = [wire.indicator(one) for one in await self._facts.entries(Registry.INDICATORS, province)]
        known.registry = registry
        # A closed report may have gone out under a code, or an indicator may have come in late.
        known.closed.clear()
        return True

    def _deserved(
        self, province: str, known: _Province, regime: Regime, as_of: AsOf, latest: date, computed_at: datetime
    ) -> tuple[list[tuple[Report, Reason]], dict[str, Basis]]:
        """The revisions that are due, and what those of running periods are computed from."""
        book = Book(known.portions, regime.cut_off_after(as_of.day), latest)
        benchmarks = self._rules.benchmarks(province)
        drafts: list[Report] = []
        bases: dict[str, Basis] = {}
        for period in _periods(regime, book.first, as_of):
            final = period.ends_at <= as_of.instant
            if final and period.id in known.closed:
                continue
            seen = period.closing if final else as_of
            indicators = Shown(known.indicators, seen, benchmarks)
            earlier = (regime.before(period), regime.year_before(period))
            for one, members in known.scopes(period, book, final=final).items():
                figures = book.of(one, members, period.cut_off_on if final else None) or Figures()
                before, last_year = (
                    book.of(one, members, other.cut_off_on) if other is not None else None for other in earlier
                )
                name, shown = known.names.of(one), indicators.of(one, members)
                if not final:
                    key = report_key(province, period.id, one)
                    basis = (figures, before, last_year, shown, members, name)
                    if known.bases.get(key) == basis:
                        continue
                    bases[key] = basis
                drafts.append(
                    Report(
                        province=province,
                        period=period.id,
                        kind=period.kind,
                        scope=one,
                        scope_name=name,
                        regime=regime.id,
                        starts_on=period.starts_on,
                        cut_off_on=period.cut_off_on,
                        due_on=period.due_on,
                        final=final,
                        as_of=seen.instant,
                        figures=figures,
                        computed_at=computed_at,
                        previous_period=earlier[0].id if before is not None else None,
                        previous=before,
                        year_before_period=earlier[1].id if earlier[1] is not None and last_year is not None else None,
                        year_before=last_year,
                        indicators=shown,
                        members=members,
                    )
                )
        return list(_revisions(known.heads, drafts)), bases

    async def _amended(self, report: Report, reason: Reason) -> Report:
        """A revision with what it changes in a closed report, and why."""
        metrics.REVISIONS.labels(reason.value).inc()
        if report.scope == PROVINCE_SCOPE and reason is not Reason.FIGURES:
            log.info("report.revised", key=report.key, revision=report.revision, reason=reason.value)
        if reason is not Reason.AMENDED:
            return report
        before = await self._store.report(report.key)
        assert before is not None, "what is amended was there"
        since = before.computed_at - LATE_MARGIN
        # Facts are noted with the agency; a group is its agencies.
        scopes = [agency_scope(code) for code in report.members] or [report.scope]
        facts = [
            fact
            for one in scopes
            for fact in await self._store.late(report.province, one, until=report.cut_off_on, since=since)
        ]
        told = set(before.amendment.because) if before.amendment is not None else set()
        return replace(report, amendment=amendment(before, report, [one for one in facts if one not in told]))

    async def tell(self) -> None:
        """Publish the reports of running periods, only now and then: read they can be before.

        Beside `turn`, which goes on writing: thousands of records must not make what is read older.
        """
        for known in list(self._provinces.values()):
            if known.untold and time.monotonic() - known.told >= self._publish_every_seconds:
                known.told = time.monotonic()
                await self._tell(known, list(known.untold.values()))

    async def _tell_closed(self, known: _Province) -> None:
        await self._tell(known, [report for report in known.untold.values() if report.final])

    async def _tell(self, known: _Province, reports: Sequence[Report]) -> None:
        for place in range(0, len(reports), REPORTS_PAGE):
            async with self._telling:
                if self._provinces.get(known.province) is not known:
                    # Whoever has it now tells what is left.
                    return
                # What was replaced in the meantime is told as its next revision, and never after it.
                page = [one for one in reports[place : place + REPORTS_PAGE] if known.untold.get(one.key) is one]
                if page:
                    await self._publish(page)
                for report in page:
                    if known.untold.get(report.key) is report:
                        del known.untold[report.key]

    async def _tell_leftovers(self, province: str) -> None:
        """Publish what whoever had the province before has written and not told."""
        async with self._telling:
            while reports := await self._store.unpublished(province, REPORTS_PAGE):
                await self._publish(reports)

    async def _publish(self, reports: Sequence[Report]) -> None:
        """Tell, then mark as told. Cut off in between, they are told again, the same."""
        # In a thread: two hundred take a twentieth of a second.
        messages = await asyncio.to_thread(lambda: [wire.message(report) for report in reports])
        await self._publish_messages(messages)
        await self._store.mark_published(reports)


# -- figures -----------------------------------------------------------------------------------------------------------


class Book:
    """The figures of every scope as of any cut-off, and as of now, from the portions of all ledgers."""

    def __init__(self, portions: Mapping[tuple[int, date], tuple[int, Sums]], next_cut_off: date, latest: date) -> None:
        """`next_cut_off`: the one that lies ahead of all ledgers. `latest`: the day that the foremost has come to.

        Ledgers are written a moment apart. As of a cut-off that all have passed they are exact; as of now they are as
        close as those moments, and one that has passed the next cut-off already is not looked at beyond it.
        """
        by_ledger: dict[int, dict[date, Sums]] = {}
        for (epoch, cut_off), (_, sums) in portions.items():
            by_ledger.setdefault(epoch, {})[cut_off] = sums
        self._sums = list(running_sums(added_up(list(by_ledger.values()))))
        self._cut_offs = [cut_off for cut_off, _ in self._sums]
        self._next_cut_off = next_cut_off
        self._day = min(latest, next_cut_off)
        self._figures: dict[date | None, dict[str, Figures]] = {}

    @property
    def first(self) -> date:
        """The first cut-off that anything counts for."""
        return self._cut_offs[0]

    def at(self, cut_off: date | None) -> Mapping[str, Figures]:
        """As of the end of a day; None: as of now. By scope, without groups."""
        if cut_off not in self._figures:
            place = bisect_right(self._cut_offs, self._next_cut_off if cut_off is None else cut_off)
            sums = self._sums[place - 1][1] if place else {}
            day = self._day if cut_off is None else cut_off
            self._figures[cut_off] = {one: _checked(total, day) for one, total in sums.items()}
        return self._figures[cut_off]

    def of(self, one: str, members: Collection[str], cut_off: date | None) -> Figures | None:
        """Of a scope, which for a group is the sum of its agencies; None where it had no task by then."""
        figures = self.at(cut_off)
        if kind_of(one) is not ScopeKind.GROUP:
            return figures.get(one)
        some = [figures[scope] for code in members if (scope := agency_scope(code)) in figures]
        return sum(some[1:], some[0]) if some else None


@lru_cache(maxsize=SUMS_KEPT)
def _checked(total: int, day: date) -> Figures:
    """The figures in a sum. Kept: between two turns most of them stay as they are, those of past cut-offs all."""
    figures = unpacked(total, day)
    figures.check()
    return figures


class Shown:
    """The indicators of scopes that have any: the province, agencies and groups."""

    def __init__(self, indicators: Sequence[Indicator], as_of: AsOf, benchmarks: Sequence[Benchmark]) -> None:
        self._by_agency: dict[str, list[Indicator]] = {}
        for one in indicators:
            self._by_agency.setdefault(one.agency, []).append(one)
        self._as_of = as_of
        self._benchmarks = benchmarks

    def of(self, one: str, members: Collection[str]) -> tuple[IndicatorFigure, ...]:
        """Of the province, an agency or a group; no other scope has indicators of its own."""
        codes: Collection[str] = ()
        match kind_of(one):
            case ScopeKind.PROVINCE:
                codes = self._by_agency
            case ScopeKind.AGENCY:
                codes = (name_in(one),)
            case ScopeKind.GROUP:
                codes = members
        some = [indicator for code in codes for indicator in self._by_agency.get(code, ())]
        return tuple(indicators_at(some, self._as_of, self._benchmarks)) if some else ()


def _periods(regime: Regime, first: date, as_of: AsOf) -> list[Period]:
    """Every period from the one of the first cut-off to those that run."""
    begin = start_of(first)
    return [period for kind in regime.rules for period in regime.between(kind, begin, as_of.instant)]


def _ended(regime: Regime, first: date, as_of: AsOf) -> list[str]:
    """The ids of those that are over."""
    return [period.id for period in _periods(regime, first, as_of) if period.ends_at <= as_of.instant]


def _revisions(heads: Mapping[str, Head], drafts: Iterable[Report]) -> Iterator[tuple[Report, Reason]]:
    """Those that deserve one, and why."""
    for draft in drafts:
        last = heads.get(draft.key)
        reason = why_revise(last, draft, draft.content_hash)
        if reason is not Reason.UNCHANGED:
            yield revise(last, draft), reason


def _instant(at: Moment) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at // 2)
