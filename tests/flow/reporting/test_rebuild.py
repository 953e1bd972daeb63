"""A rebuild while reporting serves: facts go on coming in, anything may die, and no report shows that it was."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting import wire
from services.reporting.domain.trace import NOTHING
from services.reporting.loading import Some
from services.reporting.ports import Generations, KeptTask, Message, Registry
from services.reporting.rebuilding import (
    LEASE_SECONDS,
    MissingError,
    NotKeptError,
    Phase,
    Progress,
    Rebuild,
    RebuildRunsError,
    Rebuilt,
    TakenOverError,
    drop_unfinished,
    parts_of,
)
from shared.contracts.report_facts import ReportPublished
from shared.contracts.topics import TASKS
from shared.runtime.consuming import Received
from tests.flow.reporting.content_harness import Prepares
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.memory import Derived, MemoryReportStore, MemoryTopic
from tests.flow.reporting.memory_content import MemoryContentStore
from tests.flow.reporting.memory_generations import MemoryGenerations, MemoryLog, MemoryWork
from tests.flow.reporting.snapshots import a_snapshot, changed, directive, indicator, registered, rejected
from tests.flow.reporting.test_ledgers import DAYS, LAST, MOVES, latest, on, plainly, some_tasks, version

NOVEMBER = "2024-11-20"


class Killed(BaseException):
    """Nothing is cleaned up after it, as after SIGKILL."""


class LoggedTopic(MemoryTopic):
    """The report topics, which a rebuild can read."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__()
        self.log = log

    async def __call__(self, messages: Sequence[Message]) -> None:
        await super().__call__(messages)
        self.log.reports(messages)


@dataclass(slots=True)
class World:
    """Two replicas, the topics, and whoever rebuilds."""

    log: MemoryLog = field(default_factory=MemoryLog)
    store: MemoryReportStore = field(default_factory=MemoryReportStore)
    day: str = "2024-10-12"
    told: list[Received] = field(default_factory=list)
    first: Replica = field(init=False)
    second: Replica = field(init=False)
    leasing: MemoryGenerations = field(init=False)
    contents: MemoryContentStore = field(init=False)

    def __post_init__(self) -> None:
        self.leasing = MemoryGenerations(self.store)
        self.contents = MemoryContentStore(self.store)
        self.first = Replica(store=self.store, topic=LoggedTopic(self.log))
        self.second = Replica(store=self.store, topic=self.first.topic, clock=self.first.clock)
        self.first.share.mine, self.second.share.mine = frozenset({0}), frozenset({1})
        self.second.share.provinces = set()

    async def tell(self, *records: Received) -> None:
        """Facts are published and applied."""
        for one in records:
            self.log.told(one)
            if one.topic == TASKS.name:
                self.told.append(one)
            await self.owner(one.partition).receive(one)

    def owner(self, partition: int) -> Replica:
        return self.first if partition in self.first.share.owned() else self.second

    async def tick(self, day: str | None = None) -> None:
        """Business time comes there, and each replica looks."""
        self.day = day or self.day
        for replica in (self.second, self.first):
            await replica.at(self.day)

    def work(self, before: Callable[[str], Any] = lambda _: None) -> MemoryWork:
        return MemoryWork(self.store, self.log, self.first.rules, self.contents, before)

    def rebuild(self, filler: str = "one", work: MemoryWork | None = None, **more: Any) -> Rebuild:
        often = {"follow_seconds": 5.0, "grace_seconds": 0.0, "look_seconds": 0.0, "beat_seconds": 0.0}
        return Rebuild(self.leasing, self.store, work or self.work(), filler, **(often | more))

    async def rebuilt(self, *args: Any, **more: Any) -> Rebuilt:
        """Rebuild while both replicas go on."""
        async with self.serving():
            return await self.rebuild(*args, **more).run()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async def go_on() -> None:
            while True:
                await self.tick()
                await asyncio.sleep(0)

        ticking = asyncio.create_task(go_on())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    def alone(self) -> dict[str, KeptTask]:
        """What must be kept by all that was told, each record looked at alone."""
        found: dict[str, KeptTask] = {}
        for one in self.told:
            task = wire.snapshot_of(one)
            if task is not None and (task.task_id not in found or found[task.task_id].seq < task.seq):
                found[task.task_id] = wire.kept_task(one, task, self.first.rules.calendar(task.province))
        return found

    def said(self) -> list[tuple[str, str, int, str]]:
        """Every revision that was published."""
        return [
            (one.period, one.scope, one.revision, one.content_hash)
            for event in self.first.topic.events
            if isinstance(one := event.data, ReportPublished)
        ]


async def a_province() -> World:
    """Tasks on two partitions, a registry, and reports of closed and running periods."""
    world = World()
    await world.tell(
        registered("H48.01", "Sở Nội vụ", groups=["@departments"]),
        registered("H48.02", "Sở Tài chính", groups=["@departments"]),
        directive("TB-UBND-2024", number="5566/TB-UBND"),
        indicator("H48.01", "CDS-CHI", "2024", 6, 1000, received="2024-10-12", target="0.5"),
        *some_tasks(),
    )
    await world.tick("2024-10-20")
    await world.tick(NOVEMBER)
    await world.tick()
    return world


# -- the way it should go ----------------------------------------------------------------------------------------------


async def test_rebuilt_generation_is_what_was_and_no_report_changes() -> None:
    """INVARIANT: a rebuild of what is right publishes nothing.

    If it broke, every rebuild would put amendments into reports that the chairman has signed.
    """
    world = await a_province()
    before = Derived(dict(world.store.tasks), {one: dict(some) for one, some in world.store._entries.items()})
    said = world.said()

    rebuilt = await world.rebuilt()

    assert await world.store.generations() == Generations(2)
    assert world.store.tasks == before.tasks == world.alone()
    assert world.store._entries == before.entries
    assert list(world.store.derived) == [2]
    assert world.said() == said
    assert rebuilt.loaded.compared[None].same == len(before.tasks)
    assert {one.differ.count + one.behind.count + one.missing.count for one in rebuilt.loaded.compared.values()} == {0}
    assert rebuilt.kept == ()


async def test_facts_that_come_in_all_the_while_are_in_the_new_generation() -> None:
    """INVARIANT: a fact that is published at any moment of a rebuild is in what serves afterwards.

    If it broke, the rebuild that was to mend the figures would lose some.
    """
    world = await a_province()
    number = 0

    async def come_in(_: str) -> None:
        nonlocal number
        number += 1
        for partition in (0, 1):
            await world.tell(
                on(partition, changed(a_snapshot(1, agency=f"H48.{partition:02d}", clause=f"V.{number}"))),
                version(partition + 2, 4 + number % 2),
            )
        await world.tell(registered("H48.01", f"Sở {number}", seq=1 + number))

    await world.rebuilt(work=world.work(come_in))
    await world.tick(LAST)
    await world.tick()
    await world.tick()

    assert number >= 6
    assert world.store.tasks == world.alone()
    assert world.store._entries[Registry.AGENCIES]["H48/H48.01"].seq == 1 + number
    assert latest(world.first) == plainly(world.told, LAST, world.first)


async def test_fact_between_the_ends_and_the_switch_is_kept_by_the_service_itself() -> None:
    world = await a_province()
    late = on(1, changed(a_snapshot(1, agency="H48.03", clause="IX.1")))

    async def come_in(step: str) -> None:
        if step == "index":
            await world.tell(late)

    await world.rebuilt(work=world.work(come_in))

    assert late.event.data.task.task_id in world.store.tasks  # type: ignore[attr-defined]


async def test_batch_that_began_before_the_rebuild_is_read_by_it() -> None:
    """A replica asked what is filled, was held up, and writes to the old generation alone."""
    world = await a_province()
    slow = on(0, changed(a_snapshot(7, agency="H48.00", clause="I.1", due=None)))
    world.log.told(slow)
    world.told.append(slow)
    stale = Generations(1)

    async def write(step: str) -> None:
        if step == "index":
            await world.first.counting._keep_tasks([slow], stale)

    await world.rebuilt(work=world.work(write))

    assert world.store.tasks == world.alone()


async def test_no_figure_is_made_of_two_generations() -> None:
    """INVARIANT: while one replica counts from the new generation and another from the old, nothing is published.

    If it broke, tasks of one partition would be counted twice over, or not at all, in the reports of that moment.
    """
    world = await a_province()
    work = world.work()
    ends = work.log.ends([one.name for one in (*wire.CONSUMED, *wire.TOPICS.values())])
    await world.leasing.begin("one")
    await world.tell(on(1, changed(a_snapshot(1, agency="H48.03", clause="IX.1"))))
    await work.load(parts_of(ends), 2, 1, lambda *_: None)
    await world.leasing.switch("one")
    said = world.said()
    await world.first.at(NOVEMBER)
    await world.first.at(NOVEMBER)
    between = world.said()
    await world.tick()
    await world.tick()

    assert between == said
    assert latest(world.first) == plainly(world.told, NOVEMBER, world.first)


async def test_altered_task_is_mended_and_its_closed_report_amended() -> None:
    world = await a_province()
    (altered, *_) = sorted(one for one in world.store.tasks if "/I.1/" in one)
    world.store.tasks[altered] = replace(world.store.tasks[altered], trace=NOTHING)
    for replica in (world.first, world.second):
        replica.restart()
    await world.tick()
    await world.tick()
    assert latest(world.first) != plainly(world.told, NOVEMBER, world.first)

    rebuilt = await world.rebuilt()
    await world.tick()

    assert rebuilt.loaded.compared[None].differ == Some(1, (altered,))
    assert latest(world.first) == plainly(world.told, NOVEMBER, world.first)
    october = [one for one in world.first.topic.reports() if one.period == "2024-11" and one.final]
    assert [one.revision for one in october] == [october[0].revision + number for number in range(3)]
    assert october[-1].amendment is not None
    assert october[-1].totals == october[0].totals


async def test_task_that_got_lost_is_found_again() -> None:
    world = await a_province()
    (lost, *_) = sorted(world.store.tasks)
    del world.store.tasks[lost]
    rebuilt = await world.rebuilt()

    assert rebuilt.loaded.compared[None].behind == Some(1, (lost,))
    assert world.store.tasks == world.alone()


async def test_records_that_the_service_buries_are_passed_over() -> None:
    world = await a_province()
    task = next(iter(world.told))
    world.log.append(TASKS.name, 0, task.key, None)
    world.log.append(TASKS.name, 1, b"key", b"{")
    world.log.told(rejected(None))

    rebuilt = await world.rebuilt()

    assert rebuilt.loaded.dead.count == 2
    assert world.store.tasks == world.alone()


async def test_record_that_cannot_be_kept_leaves_the_version_before(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_province()
    newer = on(0, changed(a_snapshot(2, agency="H48.00", clause="I.1", due=None)))
    world.log.told(newer)
    plain = wire.kept_task

    def breaks(received: Received, task: Any, calendar: Any) -> KeptTask:
        if task.seq == 2:
            raise ValueError("a bug of ours")
        return plain(received, task, calendar)

    monkeypatch.setattr(wire, "kept_task", breaks)
    world.log.together = 1_000
    rebuilt = await world.rebuilt()

    assert rebuilt.loaded.dead.count == 1
    assert world.store.tasks["H48/TB-UBND-2024/I.1/H48.00"].seq == 1


async def test_how_far_it_is_goes_up_to_the_whole() -> None:
    world = await a_province()
    seen: list[Progress] = []
    shown: list[float] = []

    def look(progress: Progress) -> None:
        seen.append(progress)
        shown.append(world.store.state[0].filled)

    await world.rebuilt(say=look)

    phases = list(dict.fromkeys(one.phase for one in seen))
    assert phases == list(Phase)
    filled = [one.filled for one in seen]
    assert filled == sorted(filled)
    assert filled[-1] == 1.0
    assert seen[-1].records == len(world.log.records)


# -- what is missing ---------------------------------------------------------------------------------------------------


async def test_task_that_is_in_no_topic_is_said_before_it_is_gone() -> None:
    world = await a_province()
    kept = next(iter(world.store.tasks.values()))
    world.store.tasks["H48/X/I.1/H48.01"] = replace(kept, id="H48/X/I.1/H48.01")
    with pytest.raises(MissingError) as refused:
        await world.rebuilt()

    assert refused.value.missing == {None: Some(1, ("H48/X/I.1/H48.01",))}
    assert (await world.store.generations(), list(world.store.derived)) == (Generations(1), [1])

    rebuilt = await world.rebuilt(allow_missing=True)

    assert rebuilt.loaded.compared[None].missing.count == 1
    assert world.store.tasks == world.alone()


async def test_version_that_is_in_no_topic_is_missing_too() -> None:
    world = await a_province()
    one = next(iter(world.store.tasks))
    world.store.tasks[one] = replace(world.store.tasks[one], seq=9)
    with pytest.raises(MissingError):
        await world.rebuilt()


async def test_entry_that_is_in_no_topic_is_missing() -> None:
    world = await a_province()
    entries = world.store._entries[Registry.AGENCIES]
    entries["H48/H48.99"] = replace(next(iter(entries.values())), id="H48/H48.99")
    with pytest.raises(MissingError) as refused:
        await world.rebuilt()

    assert list(refused.value.missing) == [Registry.AGENCIES]


async def test_nothing_is_switched_where_the_new_generation_does_not_hold_what_was_read() -> None:
    world = await a_province()

    def lose(step: str) -> None:
        if step == "index":
            world.store.derived[2].tasks.popitem()

    with pytest.raises(NotKeptError):
        await world.rebuilt(work=world.work(lose))

    assert await world.store.generations() == Generations(1)


# -- one at a time, and what dies --------------------------------------------------------------------------------------


async def test_second_rebuild_is_refused_while_one_is_alive() -> None:
    world = await a_province()

    async def another(step: str) -> None:
        if step == "index":
            with pytest.raises(RebuildRunsError, match="one fills generation 2"):
                await world.rebuild("another").run()

    assert (await world.rebuilt(work=world.work(another))).generation == 2


async def test_aborted_rebuild_stops_and_switches_nothing() -> None:
    world = await a_province()

    async def abort(step: str) -> None:
        if step == "index":
            await world.leasing.abandon(None)

    with pytest.raises(TakenOverError):
        await world.rebuilt(work=world.work(abort))

    assert (await world.store.generations(), list(world.store.derived)) == (Generations(1), [1])


async def test_rebuild_that_was_taken_for_dead_cannot_switch() -> None:
    world = await a_province()

    async def sleep(step: str) -> None:
        if step == "index":
            world.leasing.now += timedelta(seconds=LEASE_SECONDS + 1)
            assert (await world.rebuild("another").run()).generation == 3

    with pytest.raises(TakenOverError):
        await world.rebuilt(work=world.work(sleep), beat_seconds=60)

    assert await world.store.generations() == Generations(3)
    assert world.store.tasks == world.alone()


STEPS = ["ends", "after ends", *(f"part {number}" for number in range(4)), "index", *(one.value for one in Phase)]


@pytest.mark.parametrize("step", STEPS)
async def test_whatever_step_it_is_killed_at_the_service_is_right_and_the_next_one_tidies(step: str) -> None:
    """INVARIANT: a rebuild that dies leaves what serves as it was, and nothing that the next one does not clear."""
    world = await a_province()
    kills = True

    def kill(at: str) -> None:
        if at == step and kills:
            raise Killed

    with pytest.raises(Killed):
        await world.rebuilt(work=world.work(kill), say=lambda progress: kill(progress.phase.value))
    kills = False
    await world.tell(*(version(number, 4) for number in range(6)))
    await world.tick(LAST)
    await world.tick()
    await world.tick()
    assert latest(world.first) == plainly(world.told, LAST, world.first)
    said = world.said()

    world.leasing.now += timedelta(seconds=LEASE_SECONDS + 1)
    await world.rebuilt("another")

    now = await world.store.generations()
    assert now.filling is None
    assert list(world.store.derived) == [now.serving]
    assert world.store.tasks == world.alone()
    assert world.said() == said


async def test_rebuild_begins_by_clearing_away_what_dead_ones_left() -> None:
    """Half a province of facts a try would fill the disk."""
    world = await a_province()
    for name in ("one", "two", "three"):
        with pytest.raises(Killed):
            await world.rebuilt(name, work=world.work(_kill_at("index")))
        world.leasing.now += timedelta(seconds=LEASE_SECONDS + 1)

    assert sorted(world.store.derived) == [1, 4]


def _kill_at(step: str) -> Callable[[str], None]:
    def kill(at: str) -> None:
        if at == step:
            raise Killed

    return kill


async def test_what_a_dead_rebuild_left_can_be_dropped_without_another() -> None:
    world = await a_province()
    with pytest.raises(Killed):
        await world.rebuilt(work=world.work(_kill_at("index")))
    await world.leasing.abandon(None)

    assert await drop_unfinished(world.leasing) == [2]
    assert list(world.store.derived) == [1]


async def test_database_that_goes_away_after_the_switch_changes_nothing_about_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await a_province()

    async def away() -> list[int]:
        raise ConnectionError

    def switch(progress: Progress) -> None:
        if progress.phase is Phase.FOLLOWING:
            monkeypatch.setattr(world.leasing, "leftovers", away)

    rebuilt = await world.rebuilt(say=switch)

    assert rebuilt.kept == (1,)
    assert await world.store.generations() == Generations(2)


async def test_old_generation_stays_while_a_replica_counts_from_it() -> None:
    world = await a_province()
    rebuilt = await world.rebuild(follow_seconds=0.0).run()

    assert rebuilt.kept == (1,)
    assert sorted(world.store.derived) == [1, 2]
    assert await world.leasing.leftovers() == [1]


# -- a lost database ---------------------------------------------------------------------------------------------------


def lose_all(world: World) -> None:
    """The database is empty; the replicas start anew on it and know that it was not."""
    world.store.derived.clear()
    world.store._reports.clear()
    world.store._unpublished.clear()
    world.store._late.clear()
    world.store._progress.clear()
    world.store.state[0] = Generations(1, lost=True)
    for replica in (world.first, world.second):
        replica.restart()


async def test_lost_database_publishes_nothing_until_it_is_rebuilt() -> None:
    """INVARIANT: out of a part of the facts no report is made.

    If it broke, a lost database would amend every closed report to nearly nothing.
    """
    world = await a_province()
    said = world.said()
    lose_all(world)
    await world.tell(on(0, changed(a_snapshot(1, agency="H48.00", clause="VII.1"))))
    await world.tick()
    await world.tick("2024-12-20")

    assert world.said() == said


async def test_lost_database_is_made_again_and_revisions_go_on_where_they_were() -> None:
    """INVARIANT: no revision of a report is published twice with another content, and none is below the last."""
    world = await a_province()
    await world.tell(on(0, changed(a_snapshot(2, agency="H48.00", clause="I.1", result="2024-11-09"))))
    await world.tick()
    said = world.said()
    reports = dict(world.store._reports)
    lose_all(world)
    await world.tell(on(1, changed(a_snapshot(1, agency="H48.03", clause="VII.1", assigned="2024-11-19"))))

    rebuilt = await world.rebuilt()

    assert rebuilt.loaded.restored == len(reports)
    assert world.store.tasks == world.alone()
    await world.tick()
    fresh = world.said()[len(said) :]
    assert fresh, "the running periods have one task more"
    assert {period for period, *_ in fresh} == {"2024-12", "2024-W47", "2024-Q4", "2024-H2", "2024"}
    last = {(period, scope): revision for period, scope, revision, _ in said}
    for period, scope, revision, _ in fresh:
        assert revision == last.get((period, scope), 0) + 1
        last[period, scope] = revision
    closed = {key for key, one in reports.items() if one.final}
    assert {key: world.store._reports[key] for key in closed} == {key: reports[key] for key in closed}


async def test_nothing_is_restored_where_nothing_is_lacking() -> None:
    world = await a_province()
    reports = dict(world.store._reports)

    assert (await world.rebuilt()).loaded.restored == 0
    assert world.store._reports == reports


async def test_reports_alone_are_restored_too() -> None:
    world = await a_province()
    reports = dict(world.store._reports)
    for key in sorted(reports)[::2]:
        del world.store._reports[key]
    for replica in (world.first, world.second):
        replica.restart()

    rebuilt = await world.rebuild(follow_seconds=0.0).run()

    assert rebuilt.loaded.restored == len(sorted(reports)[::2])
    assert world.store._reports == reports


async def test_prepared_reports_go_on_with_the_number_after_the_last_that_was_told() -> None:
    """INVARIANT: a prepared report is never told under a number that was told with another content."""
    world = await a_province()
    prepared = Prepares(world.first, world.contents)
    for _ in range(3):
        await prepared.preparing.turn()
    told = prepared.told()
    assert ("2024-10", 1) in told
    lose_all(world)
    world.contents = MemoryContentStore(world.store)
    await world.rebuilt()
    again = Prepares(world.first, world.contents)
    assert await world.contents.prepared("H48", "2024-10") is None
    for _ in range(3):
        await again.preparing.turn()

    assert prepared.told() == [*told, *((period, revision + 1) for period, revision in told)]
    found = await world.contents.prepared("H48", "2024-10")
    assert found is not None
    assert found.revision == 2


# -- any course --------------------------------------------------------------------------------------------------------

_moves = st.one_of(
    *MOVES,
    st.tuples(st.just("step"), st.integers(1, 4), st.just(0)),
    st.tuples(st.just("kill"), st.just(0), st.just(0)),
    st.tuples(st.just("abort"), st.just(0), st.just(0)),
)


class Stepped:
    """A rebuild that goes on only when it is let."""

    def __init__(self, world: World, name: str) -> None:
        self._gate = asyncio.Semaphore(0)
        self.killed = False
        self._task = asyncio.create_task(
            world.rebuild(name, world.work(self._wait), follow_seconds=0.0, beat_seconds=1_000).run()
        )

    async def _wait(self, _: str) -> None:
        await self._gate.acquire()
        if self.killed:
            raise Killed

    async def step(self) -> None:
        self._gate.release()
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self, *, kill: bool) -> None:
        self.killed |= kill
        while not self._task.done():
            await self.step()
        with contextlib.suppress(Killed, TakenOverError, RebuildRunsError):
            self._task.result()


@given(st.lists(_moves, min_size=3, max_size=30))
@settings(deadline=None, max_examples=60)
def test_any_course_with_rebuilds_ends_with_what_all_facts_together_give(
    moves: Sequence[tuple[str, int, int]],
) -> None:
    """INVARIANT: wherever a rebuild is begun, aborted or killed between facts, rebalances and restarts: all is right.

    If it broke, the figures would depend on when the operator pressed the key.
    """
    asyncio.run(_play(moves))


async def _play(moves: Sequence[tuple[str, int, int]]) -> None:
    world = World()
    running: Stepped | None = None
    day = 0
    for number, (kind, which, other) in enumerate(moves):
        match kind:
            case "tell":
                await world.tell(version(which, other))
            case "time":
                day = max(day, which)
                await world.tick(DAYS[day])
            case "restart":
                (world.first, world.second)[which].restart()
            case "share":
                world.first.share.mine = [frozenset({0, 1}), frozenset({0}), frozenset({1}), frozenset()][which]
                world.second.share.mine = frozenset({0, 1}) - world.first.share.mine
            case "step":
                running = running or Stepped(world, f"r{number}")
                for _ in range(which):
                    await running.step()
                if running._task.done():
                    await running.end(kill=False)
                    running = None
            case "abort":
                await world.leasing.abandon(None)
            case _ if running is not None:
                await running.end(kill=True)
                running = None
                world.leasing.now += timedelta(seconds=LEASE_SECONDS + 1)
    if running is not None:
        await running.end(kill=False)
    if not world.told:
        return
    world.day = DAYS[day]
    for _ in range(3):
        await world.tick()

    assert world.store.tasks == world.alone()
    assert latest(world.first) == plainly(world.told, DAYS[day], world.first)
