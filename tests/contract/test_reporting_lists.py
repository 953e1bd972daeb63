"""What the board's lists must do: those in memory that flow tests use, and those on a real MongoDB."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from services.reporting.domain.occasions import Occasions
from services.reporting.domain.scopes import Labels
from services.reporting.domain.trace import Trace
from services.reporting.lists import Lists, TaskRow, Where, Window
from services.reporting.mongo import MongoReportStore
from services.reporting.mongo_lists import MongoLists
from services.reporting.ports import Entry, KeptTask, Listed, Registry, Store
from shared.runtime.mongodb import Database
from tests.contract.test_reporting_store import a_report
from tests.flow.reporting.memory import MemoryReportStore
from tests.flow.reporting.memory_lists import MemoryLists
from tests.support.database import fresh_database
from tests.unit.reporting.builders import at

NOW = at("2024-11-20 09:00")
DAY = timedelta(days=1)
ALWAYS = Window(None, None)
PROVINCE = Where("H48")


@dataclass(slots=True)
class Both:
    """The store that is written to, and the lists that read it."""

    store: Store
    lists: Lists
    database: Database | None = None


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.connected)])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the store is; None: in memory, and no server is started."""
    return str(request.getfixturevalue("mongo_uri")) if request.param == "mongo" else None


@pytest.fixture
async def both(address: str | None) -> AsyncIterator[Both]:
    if address is None:
        store = MemoryReportStore()
        yield Both(store, MemoryLists(store))
        return
    async with fresh_database(address) as database:
        mongo, lists = MongoReportStore(database), MongoLists(database)
        for one in (mongo, lists, mongo, lists):
            await one.prepare()
        yield Both(mongo, lists, database)


def a_kept(
    clause: str,
    agency: str = "H48.07",
    *,
    late_in_days: int | None = None,
    directive: str = "TB",
    province: str = "H48",
    is_open: bool = True,
) -> KeptTask:
    late_from = NOW + late_in_days * DAY if late_in_days is not None else None
    return KeptTask(
        id=f"{province}/{directive}/{clause}/{agency}",
        seq=1,
        province=province,
        partition=1,
        labels=Labels(agency, directive, "dated"),
        trace=Trace(()),
        rules="1/abc",
        listed=Listed(
            clause,
            None,
            f"Đề án {clause}",
            "assigned" if is_open else "completed",
            is_open,
            (late_from - DAY).date() if late_from is not None else None,
            late_from,
        ),
        occasions=Occasions(None, (), (), funded=False),
        snapshot="{}",
    )


async def keep(both: Both, *kept: KeptTask) -> None:
    assert await both.store.keep_tasks(kept) == set()


def names(rows: list[TaskRow]) -> list[str]:
    return [row.id.partition("/")[2] for row in rows]


async def test_open_dated_tasks_come_by_instant_then_by_id(both: Both) -> None:
    await keep(
        both,
        a_kept("I.3", late_in_days=2),
        a_kept("I.2", late_in_days=-1),
        a_kept("I.1", late_in_days=2),
        a_kept("I.4"),
        a_kept("I.5", is_open=False),
        a_kept("I.6", "H48.21", late_in_days=-30),
        a_kept("I.7", late_in_days=-30, province="H49"),
    )

    found = await both.lists.open_dated(PROVINCE, ALWAYS, after=None, limit=10)

    assert names(found) == ["TB/I.6/H48.21", "TB/I.2/H48.07", "TB/I.1/H48.07", "TB/I.3/H48.07"]
    row = found[1]
    assert (row.title, row.result, row.is_open, row.late_from) == ("Đề án I.2", "assigned", True, NOW - DAY)
    assert (row.legal, row.directive, row.clause, row.agency) == ((NOW - 2 * DAY).date(), "TB", "I.2", "H48.07")


async def test_a_window_begins_after_its_first_instant_and_holds_its_last(both: Both) -> None:
    await keep(both, *(a_kept(f"I.{days + 5}", late_in_days=days) for days in range(-2, 3)))

    overdue = await both.lists.open_dated(PROVINCE, Window(None, NOW), after=None, limit=10)
    upcoming = await both.lists.open_dated(PROVINCE, Window(NOW, NOW + DAY), after=None, limit=10)

    assert names(overdue) == ["TB/I.3/H48.07", "TB/I.4/H48.07", "TB/I.5/H48.07"]
    assert names(upcoming) == ["TB/I.6/H48.07"]


@pytest.mark.parametrize(
    "where",
    [
        PROVINCE,
        Where("H48", agency="H48.07"),
        Where("H48", directive="TB"),
        Where("H48", agency="H48.07", directive="TB"),
    ],
)
async def test_pages_go_on_where_the_last_one_ended_whatever_came_in_between(both: Both, where: Where) -> None:
    tasks = [a_kept(f"I.{n}", late_in_days=n // 5) for n in range(1, 24)]
    await keep(both, *tasks, a_kept("I.2", "H48.21", late_in_days=1, directive="KH"))
    expected = [one.id for one in sorted(tasks, key=lambda one: (one.listed.late_from, one.id))]
    if where == PROVINCE:
        expected.insert(
            sum((one.listed.late_from, one.id) < (NOW + DAY, "H48/KH/I.2/H48.21") for one in tasks),
            "H48/KH/I.2/H48.21",
        )

    seen: list[str] = []
    page = await both.lists.open_dated(where, ALWAYS, after=None, limit=4)
    while page:
        seen += [row.id for row in page]
        if len(seen) == 8:
            await keep(both, a_kept("II.1", late_in_days=-9))
        page = await both.lists.open_dated(where, ALWAYS, after=page[-1].after, limit=4)

    assert seen == expected


async def test_open_tasks_that_cannot_become_overdue_come_by_id(both: Both) -> None:
    await keep(
        both,
        a_kept("I.3"),
        a_kept("I.1"),
        a_kept("I.2", late_in_days=1),
        a_kept("I.4", is_open=False),
        a_kept("I.5", "H48.21"),
    )

    where = Where("H48", agency="H48.07")
    first = await both.lists.open_undated(where, after=None, limit=1)
    rest = await both.lists.open_undated(where, after=first[-1].after, limit=5)

    assert names(first + rest) == ["TB/I.1/H48.07", "TB/I.3/H48.07"]
    assert len(await both.lists.open_undated(PROVINCE, after=None, limit=5)) == 3
    assert len(await both.lists.open_undated(Where("H48", directive="TB"), after=None, limit=5)) == 3


async def test_a_clause_holds_its_tasks_and_no_other_clauses(both: Both) -> None:
    await keep(
        both,
        a_kept("I.1"),
        a_kept("I.1", "H48.21", is_open=False),
        a_kept("I.1-2"),
        a_kept("I.10"),
        a_kept("I.1.a"),
        a_kept("I.1", directive="TB-2"),
        a_kept("I.1", directive="TB.2"),
    )

    assert names(await both.lists.of_clause(PROVINCE, "TB", "I.1", after=None, limit=9)) == [
        "TB/I.1/H48.07",
        "TB/I.1/H48.21",
    ]
    own = await both.lists.of_clause(Where("H48", agency="H48.21"), "TB", "I.1", after=None, limit=9)
    assert names(own) == ["TB/I.1/H48.21"]
    whole = await both.lists.of_clause(PROVINCE, "TB", None, after=None, limit=9)
    assert len(whole) == 5
    assert (await both.lists.of_clause(PROVINCE, "TB", None, after=whole[3].after, limit=9)) == whole[4:]
    assert await both.lists.of_clause(PROVINCE, ".*", ".*", after=None, limit=9) == []


async def test_reports_are_found_by_key_and_agencies_by_period(both: Both) -> None:
    whole, sttt = a_report(), a_report("agency:H48.07")
    earlier = replace(a_report(), period="2024-10")
    await both.store.save_reports([whole, sttt, earlier, a_report("directive:TB"), a_report("group:@all")])

    found = await both.lists.reports([whole.key, earlier.key, "H48/2024-09/province"])

    assert set(found) == {whole.key, earlier.key}
    assert await both.lists.agency_reports("H48", "2024-11") == [sttt]
    assert await both.lists.agency_reports("H48", "2024-10") == []


async def test_the_version_changes_with_a_provinces_reports_alone(both: Both) -> None:
    await both.store.save_reports([a_report()])
    first = await both.lists.version("H48")
    await both.store.save_reports([a_report("agency:H48.07")])
    assert await both.lists.version("H48") == first
    assert await both.lists.version("H49") != first

    await both.store.save_reports([a_report(revision=2)])

    assert await both.lists.version("H48") != first


async def test_one_record_is_found_by_its_id(both: Both) -> None:
    kept = Entry("H48/TB", 1, "H48", '{"seq":1}')
    await both.store.keep_entries(Registry.DIRECTIVES, [kept])

    assert await both.lists.entry(Registry.DIRECTIVES, "H48/TB") == kept
    assert await both.lists.entry(Registry.AGENCIES, "H48/TB") is None


@pytest.mark.connected
async def test_no_question_reads_all_tasks(mongo_uri: str) -> None:
    """INVARIANT: every question is answered off an index, in its order, and reads little more than it answers.

    If it broke, a page would take seconds once a province has a million tasks.
    """
    async with fresh_database(mongo_uri) as database:
        store, lists = MongoReportStore(database), MongoLists(database)
        await store.prepare()
        await lists.prepare()
        for agency in range(20):
            await store.keep_tasks(
                [a_kept(f"I.{n}", f"H48.{agency:02d}", late_in_days=n % 60 - 30) for n in range(1, 100)]
            )
        await database.command("profile", 2)
        overdue, upcoming = Window(None, NOW), Window(NOW, NOW + 7 * DAY)
        for where in (
            PROVINCE,
            Where("H48", agency="H48.07"),
            Where("H48", directive="TB"),
        ):
            page = await lists.open_dated(where, overdue, after=None, limit=20)
            await lists.open_dated(where, overdue, after=page[-1].after, limit=20)
            await lists.open_dated(where, upcoming, after=None, limit=20)
            await lists.open_undated(where, after=page[-1].after, limit=20)
        await lists.of_clause(PROVINCE, "TB", "I.7", after=None, limit=20)
        await lists.reports(["H48/2024-11/province"])
        await lists.agency_reports("H48", "2024-11")
        await lists.version("H48")
        await lists.entry(Registry.DIRECTIVES, "H48/TB")
        await database.command("profile", 0)

        asked = [one async for one in database["system.profile"].find({"ns": {"$not": {"$regex": r"system\."}}})]

    assert len(asked) >= 17
    for one in asked:
        assert "COLLSCAN" not in one.get("planSummary", ""), one["command"]
        assert not one.get("hasSortStage", False), one["command"]
        assert one.get("docsExamined", 0) <= 45, (one["docsExamined"], one["command"])
