"""Reporting with in-memory parts: records in, reports out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from services.reporting.app import build
from services.reporting.counting import Counting
from services.reporting.handlers import Aggregation
from services.reporting.rules import Rulebook, read_rulebook
from services.reporting.settings import Settings
from shared.runtime.consuming import Received
from tests.flow.reporting.memory import MemoryReportStore, MemoryShare, MemoryTopic
from tests.flow.reporting.memory_content import MemoryContentStore
from tests.flow.reporting.memory_lists import MemoryLists
from tests.unit.reporting.builders import at


def rulebook() -> Rulebook:
    """The rules where nothing else is said."""
    fields = Settings.model_fields
    return read_rulebook(fields["calendar_file"].default, fields["reporting_policy_file"].default)


@dataclass(slots=True)
class FixedClock:
    """Stands still."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def at(self, real: float) -> datetime:
        return self.instant


@asynccontextmanager
async def _hold() -> AsyncIterator[None]:
    """One task runs at a time here."""
    yield


@dataclass(slots=True)
class Replica:
    """One replica; several may share a store and a topic."""

    store: MemoryReportStore = field(default_factory=MemoryReportStore)
    topic: MemoryTopic = field(default_factory=MemoryTopic)
    share: MemoryShare = field(default_factory=MemoryShare)
    clock: FixedClock = field(default_factory=lambda: FixedClock(at("2024-10-11")))
    recheck_seconds: float = 60.0
    compute_every_seconds: float = 0.0
    publish_every_seconds: float = 0.0
    rules: Rulebook = field(default_factory=rulebook)
    counting: Counting = field(init=False)
    aggregation: Aggregation = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what memory held."""
        self.counting = Counting(self.store, self.share, self.clock, self.rules, hold=_hold)
        self.aggregation = Aggregation(
            self.store,
            self.share,
            self.counting,
            self.topic,
            self.clock,
            self.rules,
            province_names={"H48": "Tỉnh Quảng Ngãi"},
            recheck_seconds=self.recheck_seconds,
            compute_every_seconds=self.compute_every_seconds,
            publish_every_seconds=self.publish_every_seconds,
        )

    @property
    def lists(self) -> MemoryLists:
        """What the board asks of the same store."""
        return MemoryLists(self.store)

    @property
    def contents(self) -> MemoryContentStore:
        """What reports are prepared from, of the same store."""
        return MemoryContentStore(self.store)

    async def receive(self, *records: Received) -> None:
        """A batch of records."""
        await self.counting.on_records(records)

    async def at(self, text: str) -> None:
        """Business time comes to a local instant, and the aggregation looks once."""
        self.clock.instant = at(text)
        self.share.reach(at(text))
        await self.aggregation.turn()
        await self.aggregation.tell()

    def revisions(self, scope: str = "province") -> Sequence[tuple[str, int, bool]]:
        """(period, revision, final) as published, in order."""
        return [(one.period, one.revision, one.final) for one in self.topic.reports(scope)]


def client_of(replica: Replica) -> httpx.AsyncClient:
    """Reads the service on what a replica holds; everybody may."""
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", reading_needs_token=False, keep_pages_seconds=0)
    app = build(settings, store=replica.store, lists=replica.lists, contents=replica.contents, clock=replica.clock)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://reporting")
