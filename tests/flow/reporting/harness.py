"""Reporting with in-memory parts: records in, reports out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.reporting.domain.periods import MONTHLY
from services.reporting.handlers import Aggregation, Intake
from shared.runtime.consuming import Received
from tests.flow.reporting.memory import MemoryReportStore, MemoryShare, MemoryTopic
from tests.unit.reporting.builders import at


@dataclass(slots=True)
class FixedClock:
    """Stands still."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def at(self, real: float) -> datetime:
        return self.instant


@dataclass(slots=True)
class Replica:
    """One replica; several may share a store and a topic."""

    store: MemoryReportStore = field(default_factory=MemoryReportStore)
    topic: MemoryTopic = field(default_factory=MemoryTopic)
    share: MemoryShare = field(default_factory=MemoryShare)
    clock: FixedClock = field(default_factory=lambda: FixedClock(at("2024-10-11")))
    recheck_seconds: float = 60.0
    intake: Intake = field(init=False)
    aggregation: Aggregation = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self.store)
        self.restart()

    def restart(self) -> None:
        """Forget what memory held."""
        self.aggregation = Aggregation(
            self.store,
            self.share,
            self.topic,
            self.clock,
            regime=MONTHLY,
            province_names={"H48": "Tỉnh Quảng Ngãi"},
            recheck_seconds=self.recheck_seconds,
        )

    async def receive(self, *records: Received) -> None:
        """A batch of records."""
        await self.intake.on_records(records)

    async def at(self, text: str) -> None:
        """Business time comes to a local instant, and the aggregation looks once."""
        self.clock.instant = at(text)
        self.share.reach(at(text))
        await self.aggregation.turn()

    def revisions(self, scope: str = "province") -> Sequence[tuple[str, int, bool]]:
        """(period, revision, final) as published, in order."""
        return [(one.period, one.revision, one.final) for one in self.topic.reports(scope)]
