"""Prepares the report to the chairman when a period has closed: gather, compose, keep, tell. Nothing is sent.

What can be downloaded is a draft for the standing agency's officers: nothing leaves but the event that says it is
there. The same gathering gives the provisional report of a period that runs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from services.reporting import content_wire
from services.reporting.domain.composing import Figured, compose, window
from services.reporting.domain.content import Content, Prepared, PreparedHead
from services.reporting.domain.content_rules import ReportRules
from services.reporting.domain.listing import Directory, Lists, Window
from services.reporting.domain.periods import Kind, Regime
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.ports import Entry, Message, Reading, Registry, Share
from shared.runtime.clock import Clock
from shared.workdays.calendar import WorkingCalendar, local_day

log = structlog.get_logger()

A_TURN_MAX: Final = 5
"""So many reports are prepared in one turn, the oldest first: an old history does not keep the newest waiting long."""
WAITS_MAX: Final = 60
"""So many turns lists and figures may disagree before a report is prepared all the same, and says so."""
TELL_PAGE: Final = 10
"""So many whole reports are held at once."""


class Figures(Reading, Protocol):
    """What is read of ports.Store."""

    async def entries(self, registry: Registry, province: str) -> list[Entry]:
        """All of a province."""
        ...


@dataclass(frozen=True, slots=True)
class Closed:
    """A period whose province report is final."""

    period: str
    kind: Kind
    revision: int


class ContentStore(Protocol):
    """What is remembered of contents. tests/flow/reporting/test_preparing.py says what each implementation must do."""

    def listed(self, province: str, window: Window) -> AsyncIterator[list[str]]:
        """Snapshots of the tasks that may be in a list (Occasions.may_be_listed), each once, some at a time."""
        ...

    async def closed(self, province: str) -> list[Closed]:
        """Periods whose province report is final, the earliest cut-off first."""
        ...

    async def prepared_heads(self, province: str) -> Mapping[str, PreparedHead]:
        """Period → its last prepared revision in short."""
        ...

    async def prepared(self, province: str, period: str, revision: int | None = None) -> Prepared | None:
        """One revision; None: the last."""
        ...

    async def save_prepared(self, prepared: Prepared) -> bool:
        """Keep a revision, untold. False: another replica was faster with it."""
        ...

    async def restore_revisions(self, told: Mapping[tuple[str, str], int]) -> None:
        """(province, period) → the last revision that was told. Where it is not kept, its content is lost for good, and
        the next one gets the number after it.
        """
        ...

    async def note_seen(self, province: str, period: str, revision: int, report_revision: int) -> None:
        """A prepared revision holds for this revision of the figures as well: they made no difference."""
        ...

    async def untold(self, province: str, limit: int) -> list[Prepared]:
        """Revisions kept and not yet told, the earliest first."""
        ...

    async def mark_told(self, prepared: Sequence[Prepared]) -> None:
        """These are on the topic."""
        ...


class ReportRuling(Protocol):
    """What holds for a province."""

    def calendar(self, province: str) -> WorkingCalendar:
        """Its working days."""
        ...

    def regime(self, province: str) -> Regime:
        """Its reporting periods."""
        ...

    def report(self, province: str) -> ReportRules:
        """How its report is written."""
        ...


class Gathering:
    """Gathers the content of one report from what is kept. Writes nothing."""

    def __init__(
        self,
        reading: Figures,
        store: ContentStore,
        clock: Clock,
        rules: ReportRuling,
        *,
        province_names: Mapping[str, str],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`beat`: says that a long reading makes progress."""
        self._reading = reading
        self._store = store
        self._clock = clock
        self._rules = rules
        self._province_names = province_names
        self._beat = beat

    async def content(self, province: str, period: str, *, is_first: bool = True) -> Content | None:
        """The content of a period as of its cut-off, or as far as time has come; None where it has no report."""
        reports = await self._reading.reports(province, period)
        whole = next((one for one in reports if one.scope == PROVINCE_SCOPE), None)
        if whole is None:
            return None
        # Of a closed period nothing provisional is taken along, should a revision be half written.
        figured = Figured.of(whole, [one for one in reports if one.final == whole.final])
        rules = self._rules.report(province)
        directory = await self._directory(province)
        lists = Lists(
            window(figured, rules.upcoming_days),
            directory,
            risk=rules.risk,
            rows_max=rules.rows_max,
            calendar=self._rules.calendar(province),
        )
        async for snapshots in self._store.listed(province, lists.window):
            self._beat()
            # In threads, this and what follows: a tenth of a second each and more, and neither heartbeats nor whoever
            # reads must wait for it.
            await asyncio.to_thread(_take, lists, snapshots)
        return await asyncio.to_thread(
            compose,
            figured,
            lists,
            directory,
            province_name=self._province_names.get(province, province),
            regime=self._rules.regime(province),
            rules=rules,
            prepared_on=local_day(self._clock.now()),
            is_first=is_first,
        )

    async def _directory(self, province: str) -> Directory:
        cards = [content_wire.agency_card(one) for one in await self._reading.entries(Registry.AGENCIES, province)]
        names = await self._reading.entries(Registry.DIRECTIVES, province)
        return Directory({one.code: one for one in cards}, dict(content_wire.directive_name(one) for one in names))


def _take(lists: Lists, snapshots: Sequence[str]) -> None:
    for one in snapshots:
        lists.add(content_wire.task_text(one))


class Preparing:
    """Prepares what has closed, and what was amended since, for the provinces of this replica."""

    def __init__(
        self,
        reading: Figures,
        store: ContentStore,
        gathering: Gathering,
        share: Share,
        publish: Callable[[Sequence[Message]], Awaitable[None]],
        clock: Clock,
        rules: ReportRuling,
    ) -> None:
        self._reading = reading
        self._store = store
        self._gathering = gathering
        self._share = share
        self._publish = publish
        self._clock = clock
        self._rules = rules
        self._waits: dict[tuple[str, str, int], int] = {}

    async def turn(self) -> None:
        """For each own province: tell what is untold, then prepare what closed or changed, and tell it."""
        for province in await self._reading.provinces():
            if not await self._share.owns(province):
                continue
            await self._tell(province)
            if await self._prepare(province):
                await self._tell(province)

    async def _prepare(self, province: str) -> bool:
        heads = await self._store.prepared_heads(province)
        kinds = self._rules.report(province).prepares
        due = [
            one
            for one in await self._store.closed(province)
            if one.kind in kinds and ((head := heads.get(one.period)) is None or head.report_revision < one.revision)
        ]
        kept = False
        for one in due[:A_TURN_MAX]:
            kept |= await self._prepare_one(province, one, heads.get(one.period))
        return kept

    async def _prepare_one(self, province: str, closed: Closed, last: PreparedHead | None) -> bool:
        """Whether a revision was written."""
        content = await self._gathering.content(province, closed.period, is_first=last is None)
        if content is None or content.provisional:
            return False
        waited = (province, closed.period, content.report_revision)
        if not content.lists_agree and self._waits.get(waited, 0) < WAITS_MAX:
            # Facts came in between two readings, or a revision is half written: the next turn sees both sides.
            self._waits[waited] = self._waits.get(waited, 0) + 1
            return False
        self._waits.pop(waited, None)
        content_hash = await asyncio.to_thread(lambda: content.content_hash)
        if last is not None and content_hash == last.content_hash:
            await self._store.note_seen(province, closed.period, last.revision, content.report_revision)
            return False
        if not content.lists_agree:
            log.error("report.lists_disagree", province=province, period=closed.period)
        prepared = Prepared(
            revision=last.revision + 1 if last is not None else 1,
            content=content,
            content_hash=content_hash,
            prepared_at=self._clock.now(),
        )
        written = await self._store.save_prepared(prepared)
        if written:
            log.info("report.prepared", key=prepared.key, revision=prepared.revision, overdue=len(content.overdue))
        return written

    async def _tell(self, province: str) -> None:
        """Publish what is kept and not yet told, then mark it. Cut off in between, it is told again, the same."""
        while prepared := await self._store.untold(province, TELL_PAGE):
            await self._publish([content_wire.message(one) for one in prepared])
            await self._store.mark_told(prepared)
