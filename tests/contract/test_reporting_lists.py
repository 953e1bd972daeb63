"""What the board's lists must do: those in memory that flow tests use, and those on a real MongoDB."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from services.reporting.domain.occasions import Occasions
from services.reporting.domain.report import Report
from services.reporting.domain.scopes import Labels, ScopeKind
from services.reporting.domain.trace import Trace
from services.reporting.lists import Lists, Sought, State, TaskRow, Where, Window
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
    title: str | None = None,
    cooperating: tuple[str, ...] = (),
    is_obstructed: bool = False,
    funded: bool = False,
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
            title if title is not None else f"Đề án {clause}",
            "assigned" if is_open else "completed",
            is_open,
            (late_from - DAY).date() if late_from is not None else None,
            late_from,
            (agency, *cooperating),
            is_obstructed,
        ),
        occasions=Occasions(None, (), (), funded=funded),
        snapshot=f'{{"task_id":"{clause}"}}',
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

    found = await both.store.some_reports([whole.key, earlier.key, "H48/2024-09/province"])

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


def overdue_report(scope: str, count: int, period: str = "2024-11") -> Report:
    return replace(a_report(scope), period=period, figures=replace(a_report().figures, open_overdue=count))


async def test_what_is_overdue_is_totalled_by_scope_the_most_first(both: Both) -> None:
    await both.store.save_reports(
        [
            overdue_report("agency:H48.07", 3),
            overdue_report("agency:H48.21", 9),
            overdue_report("agency:H48.22", 3),
            overdue_report("agency:H48.23", 0),
            overdue_report("directive:TB", 5),
            overdue_report("agency:H48.07", 7, "2024-10"),
            overdue_report("province", 15),
        ]
    )

    async def totals(kind: ScopeKind, limit: int = 9) -> list[tuple[str, int]]:
        return await both.lists.overdue_totals("H48", "2024-11", kind, limit)

    assert await totals(ScopeKind.AGENCY) == [("H48.21", 9), ("H48.07", 3), ("H48.22", 3)]
    assert await totals(ScopeKind.AGENCY, 2) == [("H48.21", 9), ("H48.07", 3)]
    assert await totals(ScopeKind.DIRECTIVE) == [("TB", 5)]
    assert await both.lists.overdue_totals("H49", "2024-11", ScopeKind.AGENCY, 9) == []


async def test_cells_count_open_tasks_that_are_overdue_now(both: Both) -> None:
    await keep(
        both,
        a_kept("I.1", late_in_days=-1),
        a_kept("I.2", late_in_days=0),
        a_kept("I.3", late_in_days=1),
        a_kept("I.4"),
        a_kept("I.5", is_open=False),
        a_kept("I.1", "H48.21", late_in_days=-1, directive="KH"),
        a_kept("I.1", "H48.21", late_in_days=-1, directive="QD"),
        a_kept("I.1", "H49.21", late_in_days=-1, province="H49"),
    )

    found = await both.lists.overdue_cells("H48", ["TB", "KH", "CT"], NOW)

    assert found == {("H48.07", "TB"): 2, ("H48.21", "KH"): 1}


async def test_an_agencys_obstacles_and_money_come_by_id(both: Both) -> None:
    await keep(
        both,
        a_kept("I.3", is_obstructed=True),
        a_kept("I.1", is_obstructed=True, funded=True),
        a_kept("I.2", funded=True, is_open=False),
        a_kept("I.4"),
        a_kept("I.1", "H48.21", is_obstructed=True, funded=True),
    )

    def clauses(found: list[str]) -> list[str]:
        return [json.loads(one)["task_id"] for one in found]

    assert clauses(await both.lists.obstructed("H48", "H48.07", after=None, limit=9)) == ["I.1", "I.3"]
    assert clauses(await both.lists.obstructed("H48", "H48.07", after="H48/TB/I.1/H48.07", limit=9)) == ["I.3"]
    assert clauses(await both.lists.funded("H48", "H48.07", after=None, limit=9)) == ["I.1", "I.2"]
    assert clauses(await both.lists.funded("H48", "H48.07", after=None, limit=1)) == ["I.1"]
    # A later version without obstacle takes the place of the earlier.
    await keep(both, replace(a_kept("I.3"), seq=2))
    assert clauses(await both.lists.obstructed("H48", "H48.07", after=None, limit=9)) == ["I.1"]


SOUGHT = Sought("H48", (), NOW)
TASKS = (
    a_kept("I.1", title="Giải ngân vốn đầu tư công", late_in_days=-2),
    a_kept("I.2", title="Báo cáo giải ngân, Thông báo 558/TB-UBND", is_open=False),
    a_kept("I.3", "H48.21", title="Báo cáo chuyển đổi số", cooperating=("H48.07",), late_in_days=2),
    a_kept("II.1", "H48.21", title="Đề án @H48.07 giai đoạn 2021-2025", directive="KH-1"),
    a_kept("I.1", "H49.07", title="Giải ngân", province="H49"),
)


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        (replace(SOUGHT, words=("giai", "ngan")), ["TB/I.1/H48.07", "TB/I.2/H48.07"]),
        (replace(SOUGHT, words=("ngan", "bao")), ["TB/I.2/H48.07"]),
        (replace(SOUGHT, words=("558/tb-ubnd",)), ["TB/I.2/H48.07"]),
        (replace(SOUGHT, words=("558",)), ["TB/I.2/H48.07"]),
        (replace(SOUGHT, words=("2025", "giai")), ["KH-1/II.1/H48.21"]),
        (replace(SOUGHT, words=("i.3",)), ["TB/I.3/H48.21"]),
        (replace(SOUGHT, words=("kh-1",)), ["KH-1/II.1/H48.21"]),
        (replace(SOUGHT, words=("nga",)), []),
        (replace(SOUGHT, words=(".*",)), []),
        (replace(SOUGHT, words=("bao",), agency="H48.21"), ["TB/I.3/H48.21"]),
        (replace(SOUGHT, words=("giai",), directive="KH-1"), ["KH-1/II.1/H48.21"]),
        # Whom it concerns is not what its title says.
        (replace(SOUGHT, words=("giai",), concerns=("H48.07",)), ["TB/I.1/H48.07", "TB/I.2/H48.07"]),
        (replace(SOUGHT, words=("bao",), concerns=("H48.07",)), ["TB/I.2/H48.07", "TB/I.3/H48.21"]),
        (replace(SOUGHT, words=("bao",), concerns=("H48.07",), agency="H48.21"), ["TB/I.3/H48.21"]),
        (replace(SOUGHT, words=("bao",), concerns=("H48.07", "H48.21")), ["TB/I.3/H48.21"]),
        (replace(SOUGHT, words=("giai",), state=State.OPEN), ["KH-1/II.1/H48.21", "TB/I.1/H48.07"]),
        (replace(SOUGHT, words=("giai",), state=State.OVERDUE), ["TB/I.1/H48.07"]),
        (replace(SOUGHT, words=("giai",), state=State.DONE), ["TB/I.2/H48.07"]),
    ],
)
async def test_a_search_finds_what_has_all_that_is_asked_for(both: Both, sought: Sought, found: list[str]) -> None:
    await keep(both, *TASKS)

    assert names(await both.lists.search(sought, after=None, limit=9)) == found


async def test_a_search_goes_on_where_its_page_ended(both: Both) -> None:
    await keep(
        both,
        *(a_kept(f"I.{n}", title="Báo cáo quý") for n in range(1, 8)),
        *(a_kept("I.2", f"H48.0{n}", title="Báo cáo quý") for n in range(1, 4)),
    )

    sought = replace(SOUGHT, words=("bao", "quy"))
    first = await both.lists.search(sought, after=None, limit=3)
    await keep(both, a_kept("A.1", title="Báo cáo quý"))
    rest = await both.lists.search(sought, after=first[-1].id, limit=9)

    second = [f"TB/I.2/H48.{n}" for n in ("01", "02", "03", "07")]
    assert names(first + rest) == ["TB/I.1/H48.07", *second, *(f"TB/I.{n}/H48.07" for n in range(3, 8))]


async def test_a_search_follows_a_title_that_changed(both: Both) -> None:
    await keep(both, a_kept("I.1", title="Báo cáo quý"), a_kept("I.1", "H48.21", title="Báo cáo quý"))
    await keep(both, replace(a_kept("I.1", title="Báo cáo năm"), seq=2))

    assert names(await both.lists.search(replace(SOUGHT, words=("quy",)), after=None, limit=9)) == ["TB/I.1/H48.21"]
    assert names(await both.lists.search(replace(SOUGHT, words=("nam",)), after=None, limit=9)) == ["TB/I.1/H48.07"]


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
        await lists.obstructed("H48", "H48.07", after=None, limit=20)
        await lists.funded("H48", "H48.07", after=None, limit=20)
        await lists.overdue_totals("H48", "2024-11", ScopeKind.AGENCY, 20)
        # Counted without looking at one task.
        cells = await lists.overdue_cells("H48", ["TB"], NOW)
        sought = Sought("H48", ("de", "i.7"), NOW, agency="H48.07")
        assert names(await lists.search(sought, after=None, limit=20)) == ["TB/I.7/H48.07"]
        await store.some_reports(["H48/2024-11/province"])
        await lists.agency_reports("H48", "2024-11")
        await lists.version("H48")
        await lists.entry(Registry.DIRECTIVES, "H48/TB")
        await database.command("profile", 0)

        asked = [one async for one in database["system.profile"].find({"ns": {"$not": {"$regex": r"system\."}}})]

    assert sum(cells.values()) > 500
    assert len(asked) >= 22
    for one in asked:
        assert "COLLSCAN" not in one.get("planSummary", ""), one["command"]
        # Of one period's reports, the few numbers that are left are sorted.
        assert not one.get("hasSortStage", False) or one["command"].get("aggregate") == "reports", one["command"]
        assert one.get("docsExamined", 0) <= 45, (one["docsExamined"], one["command"])
