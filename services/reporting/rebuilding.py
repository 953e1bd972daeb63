"""Rebuilding: all that is derived from the topics is read anew into a generation of its own, checked, and served.

The order is what makes it right (ADR 0025): first it is said which generation is filled, so that the service keeps
every new fact there too; only then it is asked where the topics end. Whatever happens before the switch, the service
goes on with what it had.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

import structlog

from services.reporting.handlers import in_force
from services.reporting.loading import Compared, Ends, Loaded, Some, Tell, What
from services.reporting.ports import Generations, Store, Tally
from services.reporting.wire import CONSUMED, TOPICS
from shared.contracts.topics import TASKS
from shared.runtime.errors import is_transient

log = structlog.get_logger()

LEASE_SECONDS: Final = 30.0
"""A rebuild that has not been heard of for so long is dead; another may begin."""
BEAT_SECONDS: Final = 2.0
FOLLOW_SECONDS_MAX: Final = 120.0
"""So long the last step waits for the replicas to follow."""
GRACE_SECONDS: Final = 10.0
"""So long after all ledgers are of the new generation somebody may still read the old one."""
LOOK_SECONDS: Final = 0.5


class Phase(StrEnum):
    """Where a rebuild is."""

    BEGINNING = "beginning"
    READING = "reading"
    INDEXING = "indexing"
    CHECKING = "checking"
    SWITCHING = "switching"
    FOLLOWING = "following"
    DROPPING = "dropping"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild has come."""

    phase: Phase = Phase.BEGINNING
    read: int = 0
    """Offsets."""
    total: int = 0
    records: int = 0

    @property
    def filled(self) -> float:
        """From 0 to 1."""
        if self.phase is Phase.BEGINNING:
            return 0.0
        return min(1.0, self.read / self.total) if self.total else 1.0


@dataclass(frozen=True, slots=True)
class Filler:
    """Whose rebuild runs."""

    id: str
    generation: int
    started_at: datetime
    filled: float


class RebuildRunsError(Exception):
    """Another rebuild runs."""

    def __init__(self, filler: Filler) -> None:
        super().__init__(f"{filler.id} fills generation {filler.generation} since {filler.started_at:%Y-%m-%d %H:%M}Z")
        self.filler = filler


class TakenOverError(Exception):
    """Somebody aborted this rebuild, or took it for dead and began another."""


class MissingError(Exception):
    """What serves knows what the topics do not."""

    def __init__(self, missing: Mapping[What, Some]) -> None:
        super().__init__(f"{sum(one.count for one in missing.values())} are in no topic")
        self.missing = missing


class NotKeptError(Exception):
    """The new generation does not hold what was read: a fault of ours or of the database."""


class Leasing(Protocol):
    """Who fills which generation, and which one serves. Each step happens as a whole or not at all."""

    async def begin(self, filler: str) -> int | Filler:
        """Fill a generation that never was, unless another rebuild is alive: then whose it is."""
        ...

    async def filler(self) -> Filler | None:
        """Whose rebuild runs, dead or alive."""
        ...

    async def beat(self, filler: str, progress: Progress) -> bool:
        """Say that it is alive. False: it is not the one that fills any more; likewise of the others below."""
        ...

    async def switch(self, filler: str) -> bool:
        """What was filled serves from now on."""
        ...

    async def abandon(self, filler: str | None) -> bool:
        """Nothing is filled any more. None: whoever fills."""
        ...

    async def generations(self) -> Generations:
        """What serves and what is filled."""
        ...

    async def leftovers(self) -> list[int]:
        """Generations that are there, and neither serve nor are filled."""
        ...

    async def drop(self, generation: int) -> None:
        """Throw a generation away. Safe to repeat."""
        ...


class Work(Protocol):
    """What is done outside this process, or by other connections."""

    async def ends(self, topics: Collection[str]) -> Ends:
        """Where the topics end now; every partition is there, also the empty ones."""
        ...

    async def load(self, parts: Sequence[Ends], filling: int, serving: int, tell: Tell) -> list[Loaded]:
        """Load parts, each of one partition of tasks, of the registries, or of reports."""
        ...

    async def index(self, generation: int) -> None:
        """Make all indexes that a serving generation needs."""
        ...


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to."""

    generation: int
    loaded: Loaded
    seconds: float
    kept: tuple[int, ...] = ()
    """Generations that no longer serve and are still there."""


class Rebuild:
    """One rebuild, from the lease to the last collection dropped."""

    def __init__(
        self,
        leasing: Leasing,
        store: Store,
        work: Work,
        filler: str,
        *,
        say: Callable[[Progress], None] = lambda _: None,
        allow_missing: bool = False,
        follow_seconds: float = FOLLOW_SECONDS_MAX,
        grace_seconds: float = GRACE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        """`say`: called as often as there is something new."""
        self._leasing = leasing
        self._store = store
        self._work = work
        self._filler = filler
        self._say = say
        self._allow_missing = allow_missing
        self._follow_seconds = follow_seconds
        self._grace_seconds = grace_seconds
        self._look_seconds = look_seconds
        self._beat_seconds = beat_seconds
        self._progress = Progress()
        self._partitions = 0
        self._served = 0
        self.switched = False
        """Whether the new generation serves; from then on nothing is taken back."""

    async def run(self) -> Rebuilt:
        """Rebuild. Raises RebuildRunsError, TakenOverError, MissingError, NotKeptError, and what the world raises."""
        began = time.monotonic()
        self._enter(Phase.BEGINNING)
        filling = await self._leasing.begin(self._filler)
        if isinstance(filling, Filler):
            raise RebuildRunsError(filling)
        log.info("rebuild.began", generation=filling, filler=self._filler)
        try:
            loaded = await self._while_held(filling)
        except (Exception, asyncio.CancelledError) as error:
            held = await self._undo(filling)
            if isinstance(error, NotKeptError | MissingError) and not held:
                # Whoever took over has dropped it, and the service does not fill it any more.
                raise TakenOverError from error
            raise
        self.switched = True
        log.info("rebuild.switched", generation=filling)
        try:
            kept = await self._tidy()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("rebuild.not_tidied", cause=type(error).__name__)
            kept = (self._served,)
        self._enter(Phase.DONE)
        return Rebuilt(filling, loaded, time.monotonic() - began, kept)

    async def _while_held(self, filling: int) -> Loaded:
        """Fill and switch, beating all the while."""
        work = asyncio.create_task(self._fill(filling))
        beats = asyncio.create_task(self._beat())
        try:
            await asyncio.wait({work, beats}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            beats.result()
            raise TakenOverError
        finally:
            for one in (work, beats):
                one.cancel()
            await asyncio.gather(work, beats, return_exceptions=True)

    async def _beat(self) -> None:
        """Until it is not ours any more. A database that is away may come back before anybody takes over."""
        while True:
            await asyncio.sleep(self._beat_seconds)
            try:
                if not await self._leasing.beat(self._filler, self._progress):
                    return
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("rebuild.not_heard", cause=type(error).__name__)

    async def _fill(self, filling: int) -> Loaded:
        await drop_unfinished(self._leasing)
        serving = self._served = (await self._leasing.generations()).serving
        # Not before the lease: a batch that did not see it yet holds records from before these ends.
        ends = await self._work.ends([topic.name for topic in (*CONSUMED, *TOPICS.values())])
        self._partitions = sum(1 for topic, _ in ends if topic == TASKS.name)
        self._progress = replace(self._progress, total=sum(ends.values()))
        self._enter(Phase.READING)
        loaded = summed(await self._work.load(parts_of(ends), filling, serving, self._tell))
        self._enter(Phase.INDEXING)
        await self._work.index(filling)
        self._enter(Phase.CHECKING)
        await self._check(self._store.of(filling), loaded.tallies)
        missing = {what: one.missing for what, one in loaded.compared.items() if one.missing.count}
        if missing and not self._allow_missing:
            raise MissingError(missing)
        self._enter(Phase.SWITCHING)
        # Asked again, since the answer to a first try may have been lost.
        if not await self._leasing.switch(self._filler) and (await self._leasing.generations()).serving != filling:
            raise TakenOverError
        return loaded

    def _tell(self, offsets: int, records: int) -> None:
        self._progress = replace(
            self._progress, read=self._progress.read + offsets, records=self._progress.records + records
        )
        self._say(self._progress)

    def _enter(self, phase: Phase) -> None:
        self._progress = replace(self._progress, phase=phase)
        self._say(self._progress)

    async def _check(self, store: Store, tallies: Mapping[tuple[What, int | None, str], Tally]) -> None:
        """Count and sum of versions are at least those of the topics; what came in meanwhile makes them larger."""
        by_partition: dict[int, Mapping[str, Tally]] = {}
        for (what, partition, province), read in tallies.items():
            if what is not None:
                kept = await store.tally_entries(what, province)
            else:
                assert partition is not None, "tasks are read by partition"
                if partition not in by_partition:
                    by_partition[partition] = await store.tally({partition})
                kept = by_partition[partition].get(province, Tally())
            if kept.tasks < read.tasks or kept.seqs < read.seqs:
                raise NotKeptError(f"{what or 'tasks'} of {province}, partition {partition}: {read} read, {kept} kept")

    async def _undo(self, filling: int) -> bool:
        """Leave nothing behind, if the database lets us; else the next rebuild does it. Whether the lease was ours."""
        held = True
        try:
            held = await self._leasing.abandon(self._filler)
            # Whose answer to the switch was lost must not drop what serves.
            if (await self._leasing.generations()).serving != filling:
                await self._leasing.drop(filling)
        except Exception as error:
            log.warning("rebuild.left_behind", generation=filling, cause=type(error).__name__)
        return held

    async def _tidy(self) -> tuple[int, ...]:
        """Drop the generations before, once nobody reads them. Returns those that had to stay."""
        self._enter(Phase.FOLLOWING)
        until = time.monotonic() + self._follow_seconds
        while not await is_followed(self._leasing, self._store, self._partitions):
            if time.monotonic() > until:
                return tuple(await self._leasing.leftovers())
            await asyncio.sleep(self._look_seconds)
        await asyncio.sleep(self._grace_seconds)
        self._enter(Phase.DROPPING)
        await drop_unfinished(self._leasing)
        for one in await old_generations(self._leasing):
            await self._leasing.drop(one)
        return ()


def parts_of(ends: Ends) -> list[Ends]:
    """What is loaded as one: the largest partitions of tasks first, then the registries, then the reports."""
    tasks = [{place: end} for place, end in ends.items() if place[0] == TASKS.name]
    tasks.sort(key=lambda one: -sum(one.values()))
    consumed = {topic.name for topic in CONSUMED}
    registries = {place: end for place, end in ends.items() if place[0] in consumed and place[0] != TASKS.name}
    reports = {place: end for place, end in ends.items() if place[0] not in consumed}
    return [*tasks, registries, *([reports] if reports else [])]


def summed(some: Sequence[Loaded]) -> Loaded:
    """The parts together."""
    compared: dict[What, Compared] = {}
    for one in some:
        for what, found in one.compared.items():
            compared[what] = compared.get(what, Compared()) + found
    return Loaded(
        sum(one.records for one in some),
        sum((one.dead for one in some), Some()),
        {key: tally for one in some for key, tally in one.tallies.items()},
        compared,
        sum(one.restored for one in some),
    )


async def drop_unfinished(leasing: Leasing) -> list[int]:
    """Drop what rebuilds left that never switched: nobody ever read it. Returns which."""
    serving = (await leasing.generations()).serving
    found = [one for one in await leasing.leftovers() if one > serving]
    for one in found:
        await leasing.drop(one)
    return found


async def old_generations(leasing: Leasing) -> list[int]:
    """Those that served before."""
    serving = (await leasing.generations()).serving
    return [one for one in await leasing.leftovers() if one < serving]


async def is_followed(leasing: Leasing, store: Store, partitions: int) -> bool:
    """Whether the ledgers of the generation that serves hold every partition: no replica counts from another."""
    serving = (await leasing.generations()).serving
    return in_force(await store.of(serving).ledgers(), partitions) is not None
