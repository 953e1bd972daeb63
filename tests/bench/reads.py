"""What the sweep's own reads examine: they are overheard on their way to MongoDB, and explained there."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias, cast

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from services.tasks.mongo import MongoTaskStore
from services.tasks.sweep import PAGE, Sweep
from shared.contracts.topics import Topic
from shared.runtime.consuming import LANES, Consumption
from shared.runtime.mongodb import Database, Document
from tests.bench.population import wired

LetIn: TypeAlias = Callable[[int], Awaitable[None]]

READS: Final = ("find", "distinct", "count", "aggregate")


class Overheard(CommandListener):
    """Keeps the reads that a client sends."""

    def __init__(self) -> None:
        self._reads: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in READS:
            self._reads.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        return

    def failed(self, event: CommandFailedEvent) -> None:
        return

    def taken(self) -> list[Document]:
        """Those since the last call, without what the driver adds to them."""
        taken, self._reads = self._reads, []
        return [{name: value for name, value in read.items() if name[0] != "$" and name != "lsid"} for read in taken]


@dataclass(frozen=True, slots=True)
class Examined:
    """What MongoDB says of one read."""

    collection: str
    keys: int
    documents: int
    returned: int
    stages: tuple[str, ...]
    """Of the plan, from the top, `IXSCAN` with the index's name."""

    @property
    def is_bounded(self) -> bool:
        """Whether it neither reads a collection through nor sorts what it has read."""
        return not {"COLLSCAN", "SORT"} & set(self.stages)


@dataclass(frozen=True, slots=True)
class Reads:
    """The tasks of a database, and what their product reads of them."""

    store: MongoTaskStore
    sweep: Sweep
    database: Database
    overheard: Overheard = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def of(cls, uri: str, database: str) -> AsyncIterator["Reads"]:
        """Connect with somebody listening."""
        overheard = Overheard()
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(uri, tz_aware=True, event_listeners=[overheard])
        try:
            store = MongoTaskStore(client[database])
            yield cls(store, wired(store).sweep, client[database], overheard)
        finally:
            client.close()

    async def due(self, times: Mapping[int, datetime]) -> list[Examined]:
        """The read for due tasks, once a lane, as the sweep makes it."""
        self.overheard.taken()
        for lane in range(LANES):
            await self.store.due({one: now for one, now in times.items() if one % LANES == lane}, PAGE)
        return await self._explained()

    async def turn(self, times: Mapping[int, datetime], *, let_in: LetIn | None = None) -> list[Examined]:
        """Everything a whole turn of the sweep reads while these are the partitions' times. It writes what is due.

        `let_in` is called with a lane whenever it is let go: its records would come in now.
        """
        self.overheard.taken()
        await self.sweep.turn(cast(Consumption, _AtRest(times, let_in)))
        return await self._explained()

    async def _explained(self) -> list[Examined]:
        found = []
        for read in self.overheard.taken():
            said = await self.database.command("explain", read, verbosity="executionStats")
            statistics = said["executionStats"]
            found.append(
                Examined(
                    str(next(iter(read.values()))),
                    statistics["totalKeysExamined"],
                    statistics["totalDocsExamined"],
                    statistics["nReturned"],
                    tuple(_stages(statistics["executionStages"])),
                )
            )
        self.overheard.taken()
        return found


def _stages(stage: Mapping[str, Any]) -> Iterator[str]:
    yield f"{stage['stage']} {stage['indexName']}" if "indexName" in stage else str(stage["stage"])
    below: Sequence[Mapping[str, Any]] = stage.get(
        "inputStages", [stage["inputStage"]] if "inputStage" in stage else []
    )
    for one in below:
        yield from _stages(one)


@dataclass(frozen=True, slots=True)
class _AtRest:
    """As much of a Consumption as the sweep sees, with no record anywhere."""

    times: Mapping[int, datetime]
    let_in: LetIn | None

    @asynccontextmanager
    async def holding(self, lane: int) -> AsyncIterator[None]:
        yield
        if self.let_in is not None:
            await self.let_in(lane)

    def owned(self, _: Topic, lane: int | None = None) -> list[int]:
        return [one for one in self.times if lane in {None, one % LANES}]

    async def partition_times(self, topic: Topic, lane: int | None = None) -> dict[int, datetime]:
        return {one: self.times[one] for one in self.owned(topic, lane)}
