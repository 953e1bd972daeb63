"""A rebuild's parts in memory; tests/contract/test_reporting_generations.py vouches for leases and marks."""

import zlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from services.reporting.loading import Ends, Loaded, Loading, Mark, Tell, What
from services.reporting.ports import Entry, Generations, KeptTask, Message, Registry
from services.reporting.rebuilding import LEASE_SECONDS, Filler, Progress
from services.reporting.restoring import restore
from services.reporting.wire import CONSUMED, TOPICS
from shared.contracts.topics import TASKS
from shared.runtime.consuming import Received
from tests.flow.reporting.memory import MemoryReportStore
from tests.flow.reporting.memory_content import MemoryContentStore
from tests.flow.reporting.snapshots import encoded
from tests.unit.reporting.builders import at


class MemoryGenerations:
    """Implements rebuilding.Leasing on the generations of a MemoryReportStore."""

    def __init__(self, store: MemoryReportStore) -> None:
        self._store = store
        self._last = 1
        self._filler: tuple[str, datetime, datetime] | None = None
        self.now = at("2024-10-11")

    def _set(self, **different: object) -> None:
        self._store.state[0] = replace(self._store.state[0], **different)  # type: ignore[arg-type]

    async def begin(self, filler: str) -> int | Filler:
        running = await self.filler()
        if running is not None:
            assert self._filler is not None
            if self.now - self._filler[2] <= timedelta(seconds=LEASE_SECONDS):
                return running
        self._last += 1
        self._set(filling=self._last, filled=0.0)
        self._filler = (filler, self.now, self.now)
        return self._last

    async def filler(self) -> Filler | None:
        filling = self._store.state[0].filling
        if filling is None:
            return None
        assert self._filler is not None
        return Filler(self._filler[0], filling, self._filler[1], self._store.state[0].filled)

    def _holds(self, filler: str) -> bool:
        return self._store.state[0].filling is not None and self._filler is not None and self._filler[0] == filler

    async def beat(self, filler: str, progress: Progress) -> bool:
        if not self._holds(filler):
            return False
        assert self._filler is not None
        self._filler = (filler, self._filler[1], self.now)
        self._set(filled=progress.filled)
        return True

    async def switch(self, filler: str) -> bool:
        if not self._holds(filler):
            return False
        self._set(serving=self._store.state[0].filling, filling=None, filled=0.0, lost=False)
        return True

    async def abandon(self, filler: str | None) -> bool:
        if self._store.state[0].filling is None or (filler is not None and not self._holds(filler)):
            return False
        self._set(filling=None, filled=0.0)
        return True

    async def generations(self) -> Generations:
        return self._store.state[0]

    async def leftovers(self) -> list[int]:
        now = self._store.state[0]
        return sorted(one for one in self._store.derived if one not in {now.serving, now.filling})

    async def drop(self, generation: int) -> None:
        self._store.derived.pop(generation, None)


class MemoryMarks:
    """Implements loading.Marks."""

    def __init__(self, store: MemoryReportStore, generation: int) -> None:
        self._store = store.of(generation)

    def of_task(self, kept: KeptTask) -> Mark:
        counted = (kept.province, kept.partition, kept.labels, kept.trace)
        return Mark(kept.id, kept.seq, zlib.crc32(repr(counted).encode()))

    def of_entry(self, kept: Entry) -> Mark:
        return Mark(kept.id, kept.seq, zlib.crc32(repr(kept).encode()))

    async def tasks(self, partition: int) -> AsyncIterator[list[Mark]]:
        yield [self.of_task(one) for one in self._store.tasks.values() if one.partition == partition]

    async def entries(self, registry: Registry) -> AsyncIterator[list[Mark]]:
        yield [self.of_entry(one) for one in self._store._entries[registry].values()]

    async def versions(self, what: What, ids: Collection[str]) -> Mapping[str, int]:
        kept: Mapping[str, KeptTask | Entry] = self._store.tasks if what is None else self._store._entries[what]
        return {one: kept[one].seq for one in ids if one in kept}


class MemoryRecord(NamedTuple):
    """A record in a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class MemoryLog:
    """Implements loading.Source: topics of two partitions, nothing compacted."""

    records: list[MemoryRecord] = field(default_factory=list)
    together: int = 3

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> MemoryRecord:
        offset = sum(1 for one in self.records if (one.topic, one.partition) == (topic, partition))
        self.records.append(MemoryRecord(topic, partition, offset, key, value))
        return self.records[-1]

    def told(self, *records: Received) -> None:
        """Facts that `tasks` published."""
        for one in records:
            self.append(one.topic, one.partition, one.key, encoded(one))

    def reports(self, messages: Sequence[Message]) -> None:
        """Reports that reporting published."""
        for one in messages:
            self.append(one.topic, zlib.crc32(one.key.encode()) % 2, one.key.encode(), one.value)

    def ends(self, topics: Collection[str]) -> Ends:
        return {
            (topic, partition): sum(1 for one in self.records if (one.topic, one.partition) == (topic, partition))
            for topic in topics
            for partition in (0, 1)
        }

    async def read(self, ends: Ends) -> AsyncIterator[tuple[Sequence[MemoryRecord], int]]:
        found = [one for one in self.records if one.offset < ends.get((one.topic, one.partition), 0)]
        for start in range(0, len(found), self.together):
            some = found[start : start + self.together]
            yield some, len(some)


@dataclass(slots=True)
class MemoryWork:
    """Implements rebuilding.Work in this process. What a test wants to come in between, it says by `before`."""

    store: MemoryReportStore
    log: MemoryLog
    calendars: object
    contents: MemoryContentStore
    before: Callable[[str], object] = lambda _: None
    indexed: list[int] = field(default_factory=list)

    async def _step(self, name: str) -> None:
        found = self.before(name)
        if hasattr(found, "__await__"):
            await found

    async def ends(self, topics: Collection[str]) -> Ends:
        await self._step("ends")
        assert {TASKS.name, *(one.name for one in TOPICS.values())} <= set(topics)
        ends = self.log.ends(topics)
        await self._step("after ends")
        return ends

    async def load(self, parts: Sequence[Ends], filling: int, serving: int, tell: Tell) -> list[Loaded]:
        loaded = []
        for number, ends in enumerate(parts):
            await self._step(f"part {number}")
            topics = {topic for topic, _ in ends}
            store = self.store.of(filling)
            if not topics & {one.name for one in CONSUMED}:
                loaded.append(await restore(self.log, store, self.contents, ends, tell))
                continue
            marks = MemoryMarks(self.store, filling), MemoryMarks(self.store, serving)
            loading = Loading(self.log, store, *marks, self.calendars, tell)  # type: ignore[arg-type]
            loaded.append(await (loading.tasks(ends) if topics == {TASKS.name} else loading.registries(ends)))
        return loaded

    async def index(self, generation: int) -> None:
        await self._step("index")
        self.indexed.append(generation)
