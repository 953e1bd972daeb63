"""Ledgers: what replicas count in memory is what is kept, whoever owns which partition, and whatever goes wrong."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.domain.aggregate import aggregate
from services.reporting.domain.facts import TaskFacts
from services.reporting.domain.periods import Kind
from services.reporting.domain.schedule import AsOf
from services.reporting.handlers import BACKLOG
from services.reporting.ports import KeptTask, Message
from services.reporting.rules import Rulebook
from services.reporting.wire import snapshot_of, task_facts, totals
from shared.contracts.report_facts import ReportPublished, Totals
from shared.runtime.consuming import Received
from shared.workdays.calendar import WorkingCalendar
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.memory import MemoryReportStore, MemoryTopic
from tests.flow.reporting.snapshots import a_snapshot, changed, directive, indicator, registered
from tests.unit.reporting.builders import DECREE_09, at

LAST = "2025-02-20"


def on(partition: int, record: Received) -> Received:
    """The same record on another partition."""
    return record._replace(partition=partition)


def plainly(records: Collection[Received], reached: str, replica: Replica) -> dict[str, tuple[bool, Totals, int]]:
    """Report key → final, totals and days late, from all facts at once. Groups are left out."""
    tasks: dict[str, TaskFacts] = {}
    for record in records:
        task = snapshot_of(record)
        assert task is not None
        if task.task_id not in tasks or tasks[task.task_id].seq < task.seq:
            tasks[task.task_id] = task_facts(task)
    calendar = replica.rules.calendar("H48")
    first = min(task.assigned_at for task in tasks.values())
    found: dict[str, tuple[bool, Totals, int]] = {}
    for kind in Kind:
        for period in DECREE_09.between(kind, first, at(reached)):
            final = period.ends_at <= at(reached)
            figures = aggregate(tasks.values(), period.closing if final else AsOf(at(reached)), calendar=calendar)
            found |= {f"H48/{period.id}/{scope}": (final, totals(one), one.days_late) for scope, one in figures.items()}
    return found


def latest(replica: Replica) -> dict[str, tuple[bool, Totals, int]]:
    """The last word on each report, without groups, and without scopes that say that they lost their last task."""
    found: dict[str, tuple[bool, Totals, int]] = {}
    for event in replica.topic.events:
        one = event.data
        if isinstance(one, ReportPublished) and not one.scope.startswith("group:"):
            found[f"{one.province}/{one.period}/{one.scope}"] = (one.final, one.totals, one.days_late)
    return {key: one for key, one in found.items() if one[1].total or one[1].ended_without_result}


def some_tasks(count: int = 12) -> list[Received]:
    """Tasks of four agencies on two partitions."""
    return [
        on(
            number % 2,
            changed(
                a_snapshot(
                    1,
                    agency=f"H48.{number % 4:02d}",
                    clause=f"I.{number + 1}",
                    due=f"2024-11-{number + 10}",
                    result="2024-11-12" if number % 3 == 0 else None,
                )
            ),
        )
        for number in range(count)
    ]


async def test_replicas_that_share_the_partitions_publish_what_one_alone_would() -> None:
    records = some_tasks()
    first = Replica()
    second = Replica(store=first.store, topic=first.topic, clock=first.clock)
    first.share.mine, second.share.mine = frozenset({0}), frozenset({1})
    second.share.provinces = set()
    for replica, partition in ((first, 0), (second, 1)):
        await replica.receive(*(one for one in records if one.partition == partition))
    for _ in range(2):
        for replica in (second, first):
            await replica.at(LAST)

    assert latest(first) == plainly(records, LAST, first)


async def test_nothing_is_published_while_a_partition_is_in_no_ledger() -> None:
    records = some_tasks()
    first = Replica()
    first.share.mine = frozenset({0})
    first.share.reach(at("2024-10-20"))
    await first.store.note_progress({1: at("2024-10-20")})
    await first.receive(*(one for one in records if one.partition == 0))
    await first.at("2024-10-20")

    assert first.topic.events == []


async def test_replica_that_gets_the_other_partition_counts_its_tasks() -> None:
    records = some_tasks()
    first = Replica()
    await first.receive(*records)
    await first.at("2024-11-20")
    second = Replica(store=first.store, topic=first.topic, clock=first.clock)
    first.share.mine, second.share.mine = frozenset({0}), frozenset({1})
    second.share.provinces = set()
    more = [on(1, changed(a_snapshot(2, agency="H48.01", clause="I.2", result="2024-11-19", accepted="2024-11-19")))]
    await second.receive(*more)
    for _ in range(2):
        for replica in (second, first):
            await replica.at(LAST)

    assert latest(first) == plainly([*records, *more], LAST, first)


async def test_what_another_wrote_meanwhile_is_found_before_anything_is_closed() -> None:
    """INVARIANT: no period closes on a ledger that does not tally with what is kept.

    If it broke, a replica that slept through a rebalance would close the month without what its successor had taken.
    """
    replica = Replica()
    records = some_tasks()
    await replica.receive(*records)
    await replica.at("2024-11-14 20:00")
    zombie = Replica(store=replica.store)
    late = on(0, changed(a_snapshot(5, agency="H48.00", clause="I.1", due=None)))
    await zombie.receive(late)
    await replica.at("2024-11-15 00:00")
    await replica.at("2024-11-15 00:00")

    assert latest(replica) == plainly([*records, late], "2024-11-15 00:00", replica)
    november = [one for one in replica.topic.reports() if one.period == "2024-11" and one.final]
    assert len(november) == 1


class _LostAnswer(MemoryReportStore):
    """Writes, and then the connection breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.breaking: list[bool] = []
        """Once for each, whichever view of the store is asked."""

    @property
    def breaks(self) -> bool:
        return bool(self.breaking)

    @breaks.setter
    def breaks(self, does: bool) -> None:
        self.breaking[:] = [True] if does else []

    async def keep_tasks(self, kept: Collection[KeptTask], new: Collection[str] = ()) -> set[str]:
        found = await super().keep_tasks(kept, new)
        if self.breaks:
            self.breaks = False
            raise ConnectionError("the answer is lost")
        return found


async def test_batch_whose_outcome_is_not_known_is_counted_once() -> None:
    store = _LostAnswer()
    replica = Replica(store=store)
    records = some_tasks()
    await replica.receive(*records[:6])
    await replica.at("2024-11-12")
    store.breaks = True
    with pytest.raises(ConnectionError):
        await replica.receive(*records[6:])
    await replica.receive(*records[6:])
    await replica.at(LAST)

    assert latest(replica) == plainly(records, LAST, replica)


async def test_changed_calendar_moves_the_days_that_are_near() -> None:
    replica = Replica()
    await replica.receive(changed(a_snapshot(due="2024-12-16")))
    await replica.at("2024-12-05")
    common = replica.rules.common
    off = WorkingCalendar.of([date(2024, 12, day) for day in range(9, 14)], (), "off")
    other = Replica(
        store=replica.store,
        topic=replica.topic,
        rules=Rulebook(replace(common, calendar=off), {}),
    )
    await other.at("2024-12-05 09:00")

    near = [one.totals.open_due_soon for one in replica.topic.reports() if one.period == "2024-12"]
    assert near == [0, 1]


async def test_amendment_says_what_changed_and_why() -> None:
    replica = Replica()
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-11-20")
    await replica.receive(changed(a_snapshot(2, result="2024-11-10", accepted="2024-11-12")))
    await replica.at("2024-11-20 09:00")

    (amended,) = [one for one in replica.topic.reports() if one.period == "2024-11" and one.revision == 2]
    assert amended.amendment is not None
    figures = [(one.figure, int(one.before or 0), int(one.after or 0)) for one in amended.amendment.changed]
    assert figures == [("days_late", 26, 22), ("done_late", 0, 1), ("open_overdue", 1, 0)]
    assert [(one.task_id, one.seq) for one in amended.amendment.because] == [("H48/TB-UBND-2024/II.2.g/H48.07", 2)]
    first = next(one for one in replica.topic.reports() if one.period == "2024-11" and one.revision == 1)
    assert first.amendment is None


async def test_amendment_of_a_group_names_the_facts_of_its_agencies() -> None:
    replica = Replica()
    await replica.receive(changed(a_snapshot(1)), registered("H48.07", "Sở TT&TT", groups=["@departments"]))
    await replica.at("2024-11-20")
    await replica.receive(changed(a_snapshot(2, result="2024-11-10", accepted="2024-11-12")))
    await replica.at("2024-11-20 09:00")

    (amended,) = [one for one in replica.topic.reports("group:@departments") if one.amendment is not None]
    assert amended.amendment is not None
    assert [one.seq for one in amended.amendment.because] == [2]


async def test_ledgers_of_replicas_gone_are_thrown_away() -> None:
    replica = Replica()
    await replica.receive(*some_tasks())
    for day in ("2024-10-20", "2024-10-21", "2024-10-22"):
        replica.restart()
        await replica.at(day)

    assert [head.epoch for head in await replica.store.ledgers()] == [3]


async def test_change_within_the_interval_is_published_once_it_is_over() -> None:
    """INVARIANT: the last change is published, although nothing comes after it."""
    replica = Replica(publish_every_seconds=0.3)
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-10-12")
    await replica.receive(changed(a_snapshot(2, result="2024-10-12", accepted="2024-10-12")))
    await replica.at("2024-10-12 09:00")
    before = len(replica.topic.reports())
    read = await replica.store.report("H48/2024-10/province")
    await asyncio.sleep(0.35)
    await replica.at("2024-10-12 09:00")

    assert [one.totals.done_on_time for one in replica.topic.reports()] == [0, 1]
    assert before == 1
    # Who reads does not wait for it.
    assert read is not None
    assert read.figures.done_on_time == 1
    assert not await replica.store.unpublished("H48", 10)


async def test_running_report_is_revised_where_only_the_period_before_it_changed() -> None:
    """A result that came in late counts for the month before; as of now the task was done all the same."""
    replica = Replica()
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-10-12")
    await replica.receive(changed(a_snapshot(2, result="2024-10-16", accepted="2024-10-16")))
    await replica.at("2024-10-17")
    before = await replica.store.report("H48/2024-11/province")
    await replica.receive(changed(a_snapshot(3, result="2024-10-13", accepted="2024-10-13")))
    await replica.at("2024-10-17 09:00")
    after = await replica.store.report("H48/2024-11/province")

    assert before is not None
    assert after is not None
    assert before.previous is not None
    assert after.previous is not None
    assert (before.figures.done_on_time, before.previous.done_on_time) == (1, 0)
    assert (after.figures.done_on_time, after.previous.done_on_time) == (1, 1)


async def test_in_a_backlog_reports_are_computed_as_seldom_as_they_are_told() -> None:
    replica = Replica(publish_every_seconds=0.3)
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-10-12")
    await replica.receive(changed(a_snapshot(2, result="2024-10-12", accepted="2024-10-12")))
    replica.share.waiting = BACKLOG
    await replica.at("2024-10-12 09:00")
    behind = await replica.store.report("H48/2024-10/province")
    await asyncio.sleep(0.35)
    await replica.at("2024-10-12 09:00")
    later = await replica.store.report("H48/2024-10/province")

    assert behind is not None
    assert later is not None
    assert (behind.figures.done_on_time, later.figures.done_on_time) == (0, 1)


class _SlowTopic(MemoryTopic):
    """Takes its time, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, messages: Sequence[Message]) -> None:
        await self.open.wait()
        await super().__call__(messages)


async def _second_revision_untold() -> tuple[_SlowTopic, Replica]:
    """October's first revision is told, its second is written, and the topic takes nothing until it is opened."""
    topic = _SlowTopic()
    replica = Replica(topic=topic)
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-10-12")
    await replica.receive(changed(a_snapshot(2, result="2024-10-12", accepted="2024-10-12")))
    replica.clock.instant = at("2024-10-12 09:00")
    replica.share.reach(at("2024-10-12 09:00"))
    await replica.aggregation.turn()
    topic.open.clear()
    return topic, replica


async def test_revisions_of_a_report_reach_the_topic_in_their_order() -> None:
    """INVARIANT: what is told last of a report is its last revision.

    The topic is compacted: were the running month's told after the closed one's, that is what would stay.
    """
    topic, replica = await _second_revision_untold()
    telling = asyncio.create_task(replica.aggregation.tell())
    closing = asyncio.create_task(replica.at("2024-10-15"))
    await asyncio.sleep(0.2)
    topic.open.set()
    await asyncio.gather(telling, closing)

    month = [(one.revision, one.final) for one in topic.reports() if one.period == "2024-10"]
    assert month == [(1, False), (2, False), (3, True)]


async def test_what_was_replaced_before_its_turn_came_is_not_told() -> None:
    topic, replica = await _second_revision_untold()
    closing = asyncio.create_task(replica.at("2024-10-15"))
    await asyncio.sleep(0.2)
    telling = asyncio.create_task(replica.aggregation.tell())
    await asyncio.sleep(0)
    topic.open.set()
    await asyncio.gather(telling, closing)

    month = [(one.revision, one.final) for one in topic.reports() if one.period == "2024-10"]
    assert month == [(1, False), (3, True)]


async def test_what_closes_is_published_within_the_interval() -> None:
    replica = Replica(publish_every_seconds=60)
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-10-12")
    await replica.receive(changed(a_snapshot(2, result="2024-10-12", accepted="2024-10-12")))
    await replica.at("2024-10-12 09:00")
    await replica.at("2024-10-15")

    month = [(one.revision, one.final) for one in replica.topic.reports() if one.period == "2024-10"]
    assert month == [(1, False), (3, True)]


async def test_ledger_that_is_ahead_is_not_looked_at_beyond_the_next_cut_off() -> None:
    """Of two replicas one has passed the month's end; the running report is on the month that runs for both."""
    first = Replica()
    second = Replica(store=first.store, topic=first.topic, clock=first.clock)
    first.share.mine, second.share.mine = frozenset({0}), frozenset({1})
    second.share.provinces = set()
    ahead = on(1, changed(a_snapshot(1, clause="I.1", assigned="2024-11-16")))
    here = on(0, changed(a_snapshot(1, clause="I.2", due="2024-11-20")))
    await first.receive(here)
    await second.receive(ahead)
    for replica in (second, first):
        await replica.at("2024-11-10")
    await first.store.note_progress({0: at("2024-12-20"), 1: at("2024-12-20")})
    await second.counting.turn(at("2024-12-20"))
    first.share.known = {}
    await first.counting.turn(None)
    await first.aggregation.turn()

    running = [one for one in first.topic.reports() if not one.final]
    assert {one.period for one in running} <= {"2024-11", "2025-01"}
    assert all(one.totals.total == 1 for one in running if one.period == "2024-11")


async def test_year_ago_and_the_period_before_stand_beside_each_figure() -> None:
    replica = Replica()
    await replica.receive(changed(a_snapshot(1, assigned="2023-09-01", due="2024-10-19")))
    await replica.at("2024-11-20")

    (november,) = [one for one in replica.topic.reports() if one.period == "2024-11"]
    assert november.previous is not None
    assert november.year_before is not None
    assert (november.previous.period, november.year_before.period) == ("2024-10", "2023-11")
    assert (november.totals.open_overdue, november.previous.totals.open_overdue) == (1, 0)


async def test_group_of_a_closed_period_keeps_its_members() -> None:
    replica = Replica()
    await replica.receive(
        registered("H48.07", "Sở TT&TT", groups=["@departments"]),
        registered("H48.21", "UBND huyện Bình Sơn", groups=["@districts"]),
        changed(a_snapshot(1)),
        changed(a_snapshot(1, agency="H48.21")),
    )
    await replica.at("2024-10-20")
    await replica.receive(registered("H48.21", "UBND huyện Bình Sơn", seq=2, groups=["@departments"]))
    await replica.at("2024-10-20 09:00")

    said = {(one.period, one.revision): one.members for one in replica.topic.reports("group:@departments")}
    assert said == {
        ("2024-10", 1): ("H48.07",),
        ("2024-11", 1): ("H48.07",),
        ("2024-11", 2): ("H48.07", "H48.21"),
    }


async def test_directive_goes_by_its_number_and_a_category_by_its_name() -> None:
    replica = Replica()
    await replica.receive(changed(a_snapshot(1)), directive("TB-UBND-2024", number="5566/TB-UBND"))
    await replica.at("2024-10-20")

    names = {
        scope: replica.topic.reports(scope)[-1].scope_name for scope in ("directive:TB-UBND-2024", "category:dated")
    }
    assert names == {"directive:TB-UBND-2024": "5566/TB-UBND", "category:dated": "Có thời hạn"}


async def test_indicators_stand_with_agency_group_and_province() -> None:
    replica = Replica()
    await replica.receive(
        registered("H48.07", "Sở TT&TT", groups=["@all"]),
        registered("H48.21", "UBND huyện Bình Sơn", groups=["@all"]),
        changed(a_snapshot(1)),
        changed(a_snapshot(1, agency="H48.21")),
        indicator("H48.07", "CDS-CHI", "2024", 6, 1000, received="2024-10-12", target="0.5"),
        indicator("H48.21", "CDS-CHI", "2024", 2, 1000, received="2024-10-16", target="0.5"),
    )
    await replica.at("2024-10-20")

    def shown(scope: str, period: str) -> list[tuple[str, str, int, int, object]]:
        (found,) = [one for one in replica.topic.reports(scope) if one.period == period]
        return [(one.code, str(one.percent), one.agencies, one.agencies_met, one.met) for one in found.indicators]

    assert shown("province", "2024-10") == [("CDS-CHI", "0.60", 1, 1, True)]
    assert shown("province", "2024-11") == shown("group:@all", "2024-11") == [("CDS-CHI", "0.40", 2, 1, False)]
    assert shown("agency:H48.21", "2024-11") == [("CDS-CHI", "0.20", 1, 0, False)]
    (province,) = [one for one in replica.topic.reports() if one.period == "2024-11"]
    assert [one.kind for one in province.indicators[0].benchmarks] == ["minimum"]


# -- any course --------------------------------------------------------------------------------------------------------

DAYS = [f"2024-{month}-{day}" for month in (10, 11, 12) for day in (12, 14, 15, 20, 28)]
MOVES = (
    st.tuples(st.just("tell"), st.integers(0, 5), st.integers(1, 6)),
    st.tuples(st.just("time"), st.integers(0, 14), st.just(0)),
    st.tuples(st.just("restart"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("share"), st.integers(0, 3), st.just(0)),
)
"""What may happen to any reporting."""
_moves = st.one_of(*MOVES, st.tuples(st.just("lose"), st.integers(0, 5), st.integers(1, 6)))


def version(number: int, seq: int) -> Received:
    """A task's course, the same whenever it is told: assigned, handed in, accepted, and corrected to no deadline."""
    result = "2024-10-30" if seq >= 3 else None
    accepted = "2024-11-20" if seq >= 4 else None
    due = None if seq == 6 else f"2024-11-{10 + number}"
    category = "standing" if seq == 6 else "dated"
    task = a_snapshot(
        seq, agency=f"H48.{number % 3:02d}", clause=f"I.{number + 1}", due=due, result=result, accepted=accepted
    )
    return on(number % 2, changed({**task, "category": category}))


@given(st.lists(_moves, min_size=1, max_size=25))
@settings(deadline=None, max_examples=60)
def test_any_course_ends_with_what_all_facts_together_give(moves: Sequence[tuple[str, int, int]]) -> None:
    """INVARIANT: told twice, late, in any order, to replicas that come, go and lose answers: the reports end the same.

    If it broke, a restart or a rebalance would decide what the chairman reads.
    """
    asyncio.run(_play(moves))


async def _play(moves: Sequence[tuple[str, int, int]]) -> None:
    store = _LostAnswer()
    first = Replica(store=store)
    second = Replica(store=store, topic=first.topic, clock=first.clock)
    second.share.provinces = set()
    second.share.mine = frozenset()
    told: list[Received] = []
    day = 0

    async def tell(record: Received) -> None:
        owner = first if record.partition in first.share.owned() else second
        await owner.receive(record)

    async def tick() -> None:
        for replica in (second, first):
            await replica.at(DAYS[day])

    for kind, number, other in moves:
        match kind:
            case "tell":
                told.append(version(number, other))
                await tell(told[-1])
            case "lose":
                told.append(version(number, other))
                store.breaks = True
                with suppress(ConnectionError):
                    await tell(told[-1])
                store.breaks = False
                await tell(told[-1])
            case "time":
                day = max(day, number)
                await tick()
            case "restart":
                (first, second)[number].restart()
            case _:
                first.share.mine = [frozenset({0, 1}), frozenset({0}), frozenset({1}), frozenset()][number]
                second.share.mine = frozenset({0, 1}) - first.share.mine
    if not told:
        return
    for _ in range(3):
        await tick()

    assert latest(first) == plainly(told, DAYS[day], first)
