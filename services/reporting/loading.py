"""Loading for a rebuild: partitions are read to a known end into a new generation, and compared with what serves.

A record becomes what is kept by the same functions as in the service, and what the service buries is passed over. One
partition of tasks is held at a time, as versions only: that bounds the memory, and says what was not there before.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

import structlog

from services.reporting import wire
from services.reporting.ports import Entry, KeptTask, Registry, Store, Tally
from shared.contracts.codec import UndecodableError, decode
from shared.contracts.task_facts import TaskSnapshot
from shared.contracts.topics import TASKS
from shared.runtime.consuming import Received
from shared.workdays.calendar import WorkingCalendar

log = structlog.get_logger()

FIRST_MAX: Final = 10
"""So many are named; the others are counted."""
WRITES_MAX: Final = 2
"""Batches on their way to the database while the next one is made."""

Ends: TypeAlias = Mapping[tuple[str, int], int]
"""(topic, partition) → the first offset that is not read."""
What: TypeAlias = Registry | None
"""A registry; None: tasks."""


class Place(Protocol):
    """Where a record lies."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Raw(Place, Protocol):
    """A record as it lies in its topic."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Source(Protocol):
    """The topics, read without a group."""

    def read(self, ends: Ends) -> AsyncIterator[tuple[Sequence[Raw], int]]:
        """All records before the ends, some at a time and in order per partition, and how many offsets that makes."""
        ...


class Mark(NamedTuple):
    """What two generations are compared by."""

    id: str
    seq: int
    digest: int
    """Of all that is counted."""


class Marks(Protocol):
    """The marks of one generation."""

    def of_task(self, kept: KeptTask) -> Mark:
        """As it would be read once it is kept."""
        ...

    def of_entry(self, kept: Entry) -> Mark:
        """As it would be read once it is kept."""
        ...

    def tasks(self, partition: int) -> AsyncIterator[list[Mark]]:
        """Of all tasks of a partition, some at a time."""
        ...

    def entries(self, registry: Registry) -> AsyncIterator[list[Mark]]:
        """Of all entries, some at a time."""
        ...

    async def versions(self, what: What, ids: Collection[str]) -> Mapping[str, int]:
        """Id → the version that is kept."""
        ...


class Calendars(Protocol):
    """What holds for a province."""

    def calendar(self, province: str) -> WorkingCalendar:
        """Its working days."""
        ...


@dataclass(frozen=True, slots=True)
class Some:
    """How many, and the first of them."""

    count: int = 0
    first: tuple[str, ...] = ()

    def __add__(self, other: "Some") -> "Some":
        return Some(self.count + other.count, (self.first + other.first)[:FIRST_MAX])

    @classmethod
    def of(cls, names: Collection[str]) -> "Some":
        """Of names in order."""
        return cls(len(names), tuple(sorted(names)[:FIRST_MAX]))


@dataclass(frozen=True, slots=True)
class Compared:
    """The generation that serves against what the topics say. Only `missing` is nothing that a rebuild mends."""

    same: int = 0
    differ: Some = Some()
    """The same version with another content."""
    behind: Some = Some()
    """An older version serves, or none: it was lost, or the service has not come so far."""
    missing: Some = Some()
    """Serves, and the topics do not know it, or not that version."""

    def __add__(self, other: "Compared") -> "Compared":
        return Compared(
            self.same + other.same,
            self.differ + other.differ,
            self.behind + other.behind,
            self.missing + other.missing,
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a part came to."""

    records: int = 0
    dead: Some = Some()
    """Records that the service buries, by place."""
    tallies: Mapping[tuple[What, int | None, str], Tally] = field(default_factory=dict)
    """What, partition and province → what must be kept now."""
    compared: Mapping[What, Compared] = field(default_factory=dict)
    restored: int = 0
    """Reports that the database lacked."""


Tell: TypeAlias = Callable[[int, int], None]
"""Told of progress: so many offsets further, and so many records."""


class Loading:
    """Loads parts into one generation."""

    def __init__(
        self, source: Source, store: Store, filling: Marks, serving: Marks, calendars: Calendars, tell: Tell
    ) -> None:
        """`store`: of the generation that is filled."""
        self._source = source
        self._store = store
        self._filling = filling
        self._serving = serving
        self._calendars = calendars
        self._tell = tell

    async def tasks(self, ends: Ends) -> Loaded:
        """Load one partition of the tasks topic."""
        ((topic, partition),) = ends
        assert topic == TASKS.name, "registries have no partitions of their own"
        account = _Account()
        async with _Writes() as writes:
            async for records, offsets in self._source.read(ends):
                kept = self._newest(account.decoded(records), account)
                new = {one.id for one in kept if one.id not in account.seen}
                for one in kept:
                    account.note(one.province, self._filling.of_task(one))
                if kept:
                    await writes.start(self._store.keep_tasks(kept, new))
                self._tell(offsets, len(records))
        tallies: dict[tuple[What, int | None, str], Tally] = {
            (None, partition, province): tally for province, tally in account.tallies().items()
        }
        compared = await self._compare(None, account.seen, self._serving.tasks(partition))
        return Loaded(account.records, account.dead, tallies, {None: compared})

    def _newest(self, found: Iterable[Received], account: "_Account") -> list[KeptTask]:
        """Each task's newest version that can be made into what is kept, where it is newer than what was seen."""
        by_id: dict[str, list[tuple[Received, TaskSnapshot]]] = {}
        for received in found:
            if (task := wire.snapshot_of(received)) is not None:
                by_id.setdefault(task.task_id, []).append((received, task))
        kept = []
        for task_id, versions in by_id.items():
            # Told twice, the first telling is kept, as in the service.
            for received, task in sorted(versions, key=lambda one: -one[1].seq):
                if task.seq <= account.version(task_id):
                    break
                try:
                    kept.append(wire.kept_task(received, task, self._calendars.calendar(task.province)))
                # Whatever it is: the service buries the record.
                except Exception as error:
                    account.bury(received, f"{type(error).__name__}: {error}")
                else:
                    break
        return kept

    async def registries(self, ends: Ends) -> Loaded:
        """Load the smaller topics."""
        accounts = {registry: _Account() for registry in Registry}
        whole = _Account()
        async for records, offsets in self._source.read(ends):
            newest: dict[Registry, dict[str, Entry]] = {registry: {} for registry in Registry}
            for received in whole.decoded(records):
                if (found := wire.entry(received)) is None:
                    continue
                registry, entry = found
                if entry.seq > accounts[registry].version(entry.id):
                    newest[registry][entry.id] = entry
                    accounts[registry].note(entry.province, self._filling.of_entry(entry))
            for registry, entries in newest.items():
                if entries:
                    await self._store.keep_entries(registry, entries.values())
            self._tell(offsets, len(records))
        tallies: dict[tuple[What, int | None, str], Tally] = {}
        compared: dict[What, Compared] = {}
        for registry, account in accounts.items():
            tallies |= {(registry, None, province): tally for province, tally in account.tallies().items()}
            compared[registry] = await self._compare(registry, account.seen, self._serving.entries(registry))
        return Loaded(whole.records, whole.dead, tallies, compared)

    async def _compare(
        self, what: What, seen: dict[str, tuple[int, int]], serving: AsyncIterator[list[Mark]]
    ) -> Compared:
        """What serves against what was read. Empties `seen`."""
        total = Compared()
        async for page in serving:
            ahead: dict[str, int] = {}
            differ, behind, same = [], [], 0
            for one in page:
                seq, digest = seen.pop(one.id, (-1, 0))
                if seq < one.seq:
                    ahead[one.id] = one.seq
                elif seq > one.seq:
                    behind.append(one.id)
                elif digest != one.digest:
                    differ.append(one.id)
                else:
                    same += 1
            missing = []
            if ahead:
                # The service keeps what is new in both, and here first: so it is known there by now, or never.
                kept = await self._filling.versions(what, ahead)
                missing = [one for one, seq in ahead.items() if kept.get(one, -1) < seq]
                same += len(ahead) - len(missing)
            total += Compared(same, Some.of(differ), Some.of(behind), Some.of(missing))
        return total + Compared(behind=Some.of(seen))


@dataclass(slots=True)
class _Account:
    """What was read so far."""

    records: int = 0
    dead: Some = Some()
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Id → version and digest."""
    _counts: Counter[str] = field(default_factory=Counter)
    _seqs: Counter[str] = field(default_factory=Counter)

    def decoded(self, records: Sequence[Raw]) -> list[Received]:
        """Those that can be read."""
        self.records += len(records)
        found = []
        for one in records:
            try:
                event = decode(one.topic, one.value)
            except UndecodableError as error:
                self.bury(one, error.reason)
            else:
                found.append(Received(event, one.topic, one.partition, one.offset, one.key))
        return found

    def bury(self, record: Place, why: str) -> None:
        """The service has put it to the dead letters, or will."""
        place = f"{record.topic}/{record.partition}@{record.offset}"
        if self.dead.count < FIRST_MAX:
            log.warning("rebuild.passed_over", record=place, reason=why[:200])
        self.dead += Some(1, (place,))

    def version(self, one: str) -> int:
        """The newest that was read; below all where there is none."""
        return self.seen.get(one, (-1, 0))[0]

    def note(self, province: str, mark: Mark) -> None:
        """This version is kept."""
        before = self.seen.get(mark.id)
        self._counts[province] += before is None
        self._seqs[province] += mark.seq - (before[0] if before is not None else 0)
        self.seen[mark.id] = (mark.seq, mark.digest)

    def tallies(self) -> dict[str, Tally]:
        """By province."""
        return {province: Tally(count, self._seqs[province]) for province, count in self._counts.items()}


class _Writes:
    """Writes that go on while the next records are read; leaving waits for all."""

    def __init__(self) -> None:
        self._under_way: list[asyncio.Task[object]] = []

    async def __aenter__(self) -> "_Writes":
        return self

    async def start(self, write: Coroutine[object, object, object]) -> None:
        """Start one as soon as there is room. Raises what an earlier one raised."""
        while len(self._under_way) >= WRITES_MAX:
            await self._under_way.pop(0)
        self._under_way.append(asyncio.create_task(write))
        # It begins now, not when the next records are made.
        await asyncio.sleep(0)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for one in self._under_way:
                one.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            return
        for one in self._under_way:
            await one
