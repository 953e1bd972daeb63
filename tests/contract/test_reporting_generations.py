"""What leases, marks and generations must do: those in memory that flow tests use, and those on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from services.reporting import rebuilding
from services.reporting.domain.trace import NOTHING
from services.reporting.loading import Marks
from services.reporting.mongo import MongoReportStore
from services.reporting.mongo_generations import (
    STATE,
    DatabaseGoneError,
    MongoGenerations,
    MongoMarks,
    begin_database,
    collection_name,
    generation_of,
    is_begun,
)
from services.reporting.ports import Generations, LedgerHead, Registry, Store, Tally
from services.reporting.rebuilding import Filler, Leasing, Phase, Progress
from tests.contract.test_reporting_store import a_kept, a_report, an_entry, counted
from tests.flow.reporting.memory import MemoryReportStore
from tests.flow.reporting.memory_generations import MemoryGenerations, MemoryMarks
from tests.support.database import fresh_database

HALF = Progress(Phase.READING, read=1, total=2)


@dataclass(slots=True)
class Parts:
    """A store, its leases, and the marks of its generations."""

    store: Store
    leasing: Leasing
    marks: Callable[[int], Marks]
    memory: MemoryGenerations | None = None

    async def pass_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who was heard of is taken for dead."""
        if self.memory is not None:
            self.memory.now += timedelta(seconds=rebuilding.LEASE_SECONDS + 1)
        else:
            monkeypatch.setattr("services.reporting.mongo_generations.LEASE_SECONDS", 0.0)
            await asyncio.sleep(0.05)


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.connected)])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the store is; None: in memory, and no server is started."""
    return str(request.getfixturevalue("mongo_uri")) if request.param == "mongo" else None


@pytest.fixture
async def parts(address: str | None) -> AsyncIterator[Parts]:
    if address is None:
        store = MemoryReportStore()
        memory = MemoryGenerations(store)
        yield Parts(store, memory, lambda generation: MemoryMarks(store, generation), memory)
        return
    async with fresh_database(address) as database:
        mongo = MongoReportStore(database)
        await mongo.prepare()
        # As a rebuild leaves it before it switches.
        await mongo.of(2).prepare()
        yield Parts(mongo, MongoGenerations(database), lambda generation: MongoMarks(database, generation))


# -- generations -------------------------------------------------------------------------------------------------------


async def test_generations_share_no_fact_entry_ledger_or_portion(parts: Parts) -> None:
    first, second = parts.store.of(1), parts.store.of(2)
    head = LedgerHead(1, frozenset({3}), 5)
    await first.keep_tasks([a_kept(1, 5)])
    await second.keep_tasks([a_kept(1, 4), a_kept(2)])
    await first.keep_entries(Registry.AGENCIES, [an_entry(1)])
    await first.write_ledger(head, {})

    assert await first.counted([a_kept(1).id, a_kept(2).id]) == {a_kept(1).id: counted(a_kept(1, 5))}
    assert await second.tally({3}) == {"H48": Tally(2, 5)}
    assert (await first.entries(Registry.AGENCIES, "H48"), await second.entries(Registry.AGENCIES, "H48")) == (
        [an_entry(1)],
        [],
    )
    assert (await first.ledgers(), await second.ledgers()) == ([head], [])


async def test_reports_progress_and_epochs_are_of_no_generation(parts: Parts) -> None:
    await parts.store.of(1).save_reports([a_report()])

    assert await parts.store.of(2).report(a_report().key) == a_report()
    assert await parts.store.of(2).next_epoch() < await parts.store.of(1).next_epoch()


async def test_store_reads_what_serves_as_soon_as_it_has_heard(parts: Parts) -> None:
    await parts.store.keep_tasks([a_kept(1, 5)])
    assert await parts.store.generations() == Generations(1)
    assert await parts.leasing.begin("one") == 2
    await parts.store.of(2).keep_tasks([a_kept(1, 6)])

    assert await parts.store.generations() == Generations(1, filling=2)
    assert await parts.store.tally({3}) == {"H48": Tally(1, 5)}

    assert await parts.leasing.switch("one")

    assert await parts.store.generations() == Generations(2)
    assert await parts.store.tally({3}) == {"H48": Tally(1, 6)}


async def test_new_ids_are_kept_like_all_others_where_they_are_not_new(parts: Parts) -> None:
    await parts.store.keep_tasks([a_kept(1, 5), a_kept(2, 1)])
    ids = [a_kept(number).id for number in (1, 2, 3)]

    assert await parts.store.keep_tasks([a_kept(1, 4), a_kept(2, 2), a_kept(3, 7)], ids) == {ids[0]}
    assert {one.seq for one in (await parts.store.counted(ids)).values()} == {5, 2, 7}


# -- leases ------------------------------------------------------------------------------------------------------------


async def test_one_fills_at_a_time(parts: Parts) -> None:
    found = await asyncio.gather(*(parts.leasing.begin(f"r{number}") for number in range(5)))

    (generation,) = [one for one in found if isinstance(one, int)]
    assert generation == 2
    running = await parts.leasing.filler()
    assert running is not None
    assert {one for one in found if isinstance(one, Filler)} == {running}


async def test_number_is_never_given_twice(parts: Parts) -> None:
    assert await parts.leasing.begin("one") == 2
    assert await parts.leasing.abandon("one")
    assert await parts.leasing.begin("two") == 3
    assert await parts.leasing.switch("two")
    assert await parts.leasing.begin("three") == 4


async def test_how_far_it_is_can_be_read_by_all(parts: Parts) -> None:
    await parts.leasing.begin("one")
    assert await parts.leasing.beat("one", HALF)

    assert await parts.store.generations() == Generations(1, 2, 0.5)
    running = await parts.leasing.filler()
    assert running is not None
    assert (running.id, running.generation, running.filled) == ("one", 2, 0.5)


async def test_dead_one_is_followed_by_another_and_can_do_nothing_more(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parts.leasing.begin("one")
    await parts.pass_time(monkeypatch)
    assert await parts.leasing.begin("two") == 3

    assert not await parts.leasing.beat("one", HALF)
    assert not await parts.leasing.switch("one")
    assert not await parts.leasing.abandon("one")
    assert await parts.leasing.generations() == Generations(1, filling=3)


async def test_beating_keeps_others_away(parts: Parts) -> None:
    await parts.leasing.begin("one")
    if parts.memory is not None:
        parts.memory.now += timedelta(seconds=rebuilding.LEASE_SECONDS + 1)
    await parts.leasing.beat("one", HALF)

    assert isinstance(await parts.leasing.begin("two"), Filler)


async def test_aborted_one_can_do_nothing_more(parts: Parts) -> None:
    await parts.leasing.begin("one")
    assert await parts.leasing.abandon(None)
    assert not await parts.leasing.abandon(None)

    assert await parts.leasing.filler() is None
    assert not await parts.leasing.beat("one", HALF)
    assert not await parts.leasing.switch("one")
    assert await parts.leasing.generations() == Generations(1)


async def test_switching_ends_the_lease(parts: Parts) -> None:
    await parts.leasing.begin("one")
    assert await parts.leasing.switch("one")

    assert await parts.leasing.filler() is None
    assert not await parts.leasing.switch("one")


async def test_what_neither_serves_nor_is_filled_is_left_over_until_it_is_dropped(parts: Parts) -> None:
    await parts.store.of(1).keep_tasks([a_kept()])
    for number in (2, 3):
        await parts.leasing.begin("one")
        await parts.store.of(number).keep_entries(Registry.DIRECTIVES, [an_entry()])
        if number == 2:
            await parts.leasing.switch("one")
    assert await parts.leasing.leftovers() == [1]
    await parts.leasing.abandon("one")
    assert await parts.leasing.leftovers() == [1, 3]

    await parts.leasing.drop(1)
    await parts.leasing.drop(1)
    await parts.leasing.drop(3)

    assert await parts.leasing.leftovers() == []
    assert await parts.store.of(1).tally({3}) == {}


# -- marks -------------------------------------------------------------------------------------------------------------


async def test_marks_are_read_as_they_were_told(parts: Parts) -> None:
    marks = parts.marks(2)
    kept = [a_kept(1, 5), a_kept(2), a_kept(3, 2**40)]
    entries = [an_entry(1), an_entry(2, 7)]
    await parts.store.of(2).keep_tasks([*kept, a_kept(4, partition=5)])
    await parts.store.of(2).keep_entries(Registry.DIRECTIVES, entries)

    assert {one async for page in marks.tasks(3) for one in page} == {marks.of_task(one) for one in kept}
    assert {one async for page in marks.entries(Registry.DIRECTIVES) for one in page} == {
        marks.of_entry(one) for one in entries
    }
    assert [one async for page in marks.entries(Registry.AGENCIES) for one in page] == []
    assert await marks.versions(None, [kept[0].id, "another"]) == {kept[0].id: 5}
    assert await marks.versions(Registry.DIRECTIVES, [one.id for one in entries]) == {
        entries[0].id: 1,
        entries[1].id: 7,
    }


async def test_mark_tells_whatever_is_counted(parts: Parts) -> None:
    marks, kept = parts.marks(1), a_kept()
    others = [
        replace(kept, trace=NOTHING),
        replace(kept, labels=replace(kept.labels, category="recurring")),
        replace(kept, labels=replace(kept.labels, agency="H48.08")),
        replace(kept, labels=replace(kept.labels, directive="QD")),
        replace(kept, partition=4),
        replace(kept, province="H49"),
    ]

    assert len({marks.of_task(one).digest for one in (kept, *others)}) == 7
    assert marks.of_entry(an_entry()).digest != marks.of_entry(replace(an_entry(), snapshot="{}")).digest


# -- reports -----------------------------------------------------------------------------------------------------------


async def test_only_newer_reports_are_restored_and_as_published(parts: Parts) -> None:
    store = parts.store
    await store.save_reports([a_report(), a_report("agency:A")])
    await store.save_reports([a_report(revision=2)])
    restored = [a_report(revision=2), a_report("agency:A", revision=7), a_report("agency:B", revision=3, final=True)]

    assert await store.restore_reports(restored) == {restored[1].key, restored[2].key}
    assert await store.revisions([*(one.key for one in restored), "x"]) == {one.key: one.revision for one in restored}
    assert await store.some_reports([restored[2].key, "x"]) == {restored[2].key: restored[2]}
    assert await store.unpublished("H48", 10) == [a_report(revision=2)]
    assert await store.save_reports([a_report("agency:B", revision=4, final=True)])


async def test_restored_report_keeps_its_hash_until_it_is_completed(parts: Parts) -> None:
    store = parts.store
    short = a_report(revision=3, known_hash="abc")
    await store.restore_reports([short])
    assert (await store.heads("H48"))[short.key].content_hash == "abc"
    assert await store.report(short.key) == short

    whole = replace(short, known_hash=None)
    await store.complete_reports([replace(whole, revision=2)])
    assert await store.report(short.key) == short
    await store.complete_reports([whole])

    assert await store.report(short.key) == whole
    assert await store.unpublished("H48", 10) == []
    assert (await store.heads("H48"))[short.key].content_hash == whole.content_hash


# -- the database alone ------------------------------------------------------------------------------------------------


@pytest.mark.connected
async def test_database_of_an_earlier_build_serves_its_collections_under_their_names(mongo_uri: str) -> None:
    async with fresh_database(mongo_uri) as database:
        store = MongoReportStore(database)
        await store.prepare()
        await database["task_facts"].insert_one({"_id": "H48/TB/I.1/H48.07", "seq": 1, "p": 3, "province": "H48"})
        await database.drop_collection(STATE)
        await begin_database(database, applied_before=True)

        assert await store.generations() == Generations(1)
        assert await store.tally({3}) == {"H48": Tally(1, 1)}


@pytest.mark.connected
async def test_empty_database_is_lost_only_where_facts_were_applied_before(mongo_uri: str) -> None:
    for applied_before in (True, False):
        async with fresh_database(mongo_uri) as database:
            assert not await is_begun(database)
            # A batch that was on its way when the database was dropped.
            await database["task_facts"].insert_one({"_id": "H48/TB/I.1/H48.07", "seq": 1, "p": 3, "province": "H48"})
            await begin_database(database, applied_before=applied_before)
            await begin_database(database, applied_before=not applied_before)

            assert await is_begun(database)
            assert (await MongoReportStore(database).generations()).lost is applied_before
            await MongoGenerations(database).begin("one")
            await MongoGenerations(database).switch("one")
            assert await MongoReportStore(database).generations() == Generations(2)


@pytest.mark.connected
async def test_database_that_vanishes_under_a_service_is_no_empty_one(mongo_uri: str) -> None:
    """INVARIANT: a replica whose database was dropped applies and publishes nothing until somebody begins another."""
    async with fresh_database(mongo_uri) as database:
        store = MongoReportStore(database)
        await store.prepare()
        await database.drop_collection(STATE)

        with pytest.raises(DatabaseGoneError, match="rebuild"):
            await store.generations()


def test_names_of_the_first_generation_are_those_of_before() -> None:
    assert [collection_name("task_facts", one) for one in (1, 2)] == ["task_facts", "task_facts_g2"]
    names = ["task_facts", "agencies_g12", "portions_g3", "reports", "reports_g2", "late_facts", "generations"]
    assert [generation_of(one) for one in names] == [1, 12, 3, None, None, None, None]
