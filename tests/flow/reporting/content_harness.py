"""Reporting up to the prepared report, in memory or on a real MongoDB: records in, reports prepared and told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from services.reporting.domain.content_rules import ReportRules
from services.reporting.domain.periods import Regime
from services.reporting.mongo import MongoReportStore
from services.reporting.mongo_content import MongoContentStore
from services.reporting.ports import Store
from services.reporting.preparing import ContentStore, Gathering, Preparing
from services.reporting.rules import Rulebook
from shared.contracts.codec import Event
from shared.contracts.report_facts import ReportPrepared
from shared.runtime.consuming import Received
from shared.runtime.mongodb import Database
from shared.workdays.calendar import WorkingCalendar
from tests.flow.reporting.harness import Replica, rulebook
from tests.flow.reporting.memory import MemoryReportStore
from tests.flow.reporting.memory_content import MemoryContentStore
from tests.support.database import fresh_database
from tests.unit.reporting.content_builders import RULES


@dataclass(slots=True)
class Rulings:
    """Implements preparing.ReportRuling: the usual rules, and how the report is written."""

    book: Rulebook = field(default_factory=rulebook)
    rules: ReportRules = RULES

    def calendar(self, province: str) -> WorkingCalendar:
        return self.book.calendar(province)

    def regime(self, province: str) -> Regime:
        return self.book.regime(province)

    def report(self, province: str) -> ReportRules:
        return self.rules


@dataclass(slots=True)
class Prepares:
    """One replica with what prepares reports; several may share stores and topic."""

    replica: Replica
    content: ContentStore
    database: Database | None = None
    rulings: Rulings = field(default_factory=Rulings)
    preparing: Preparing = field(init=False)
    gathering: Gathering = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what memory held."""
        replica = self.replica
        self.gathering = Gathering(
            replica.store, self.content, replica.clock, self.rulings, province_names={"H48": "Tỉnh Quảng Ngãi"}
        )
        self.preparing = Preparing(
            replica.store, self.content, self.gathering, replica.share, replica.topic, replica.clock, self.rulings
        )

    async def receive(self, *records: Received) -> None:
        """A batch of records."""
        await self.replica.receive(*records)

    async def at(self, text: str) -> None:
        """Business time comes to a local instant; figures first, then what is prepared of them."""
        await self.replica.at(text)
        await self.preparing.turn()

    def told(self) -> Sequence[tuple[str, int]]:
        """(period, revision) of what was told as prepared, in order."""
        return [(one.period, one.revision) for one in self.prepared_events()]

    def prepared_events(self) -> list[ReportPrepared]:
        """What was told as prepared."""
        return [event.data for event in self.events() if isinstance(event.data, ReportPrepared)]

    def events(self) -> list[Event]:
        """Everything told."""
        return self.replica.topic.events


@asynccontextmanager
async def prepares(address: str | None, **more: Any) -> AsyncIterator[Prepares]:
    """In memory, or on the real mongod at an address."""
    if address is None:
        store = MemoryReportStore()
        yield Prepares(replace_store(store), MemoryContentStore(store), **more)
        return
    async with fresh_database(address) as database:
        mongo, content = MongoReportStore(database), MongoContentStore(database)
        await mongo.prepare()
        await content.prepare()
        await content.prepare()
        yield Prepares(replace_store(mongo), content, database, **more)


def replace_store(store: Store) -> Replica:
    """A replica on this store; its questions for the board are none of these tests'."""
    return Replica(store=cast(MemoryReportStore, store))


def with_rules(**different: Any) -> Rulings:
    """Other rules for the report."""
    return Rulings(rules=replace(RULES, **different))
