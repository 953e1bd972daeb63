"""What every reporting store must do: the one in memory that flow tests use, and the one on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from services.reporting.domain.report import PROVINCE_SCOPE, Figures, Report
from services.reporting.mongo import MongoReportStore
from services.reporting.ports import Kept, PeriodRow, Store
from tests.flow.reporting.memory import MemoryReportStore
from tests.support.database import fresh_database
from tests.unit.reporting.builders import at


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.connected)])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the store is; None: in memory, and no server is started."""
    return str(request.getfixturevalue("mongo_uri")) if request.param == "mongo" else None


@pytest.fixture
async def store(address: str | None) -> AsyncIterator[Store]:
    if address is None:
        yield MemoryReportStore()
        return
    async with fresh_database(address) as database:
        mongo = MongoReportStore(database)
        await mongo.prepare()
        await mongo.prepare()
        yield mongo


def a_kept(number: int = 1, seq: int = 1, province: str = "H48") -> Kept:
    return Kept(f"{province}/TB/I.{number}/H48.07", seq, province, 3, f'{{"seq":{seq},"title":"Đề án"}}')


def a_report(scope: str = PROVINCE_SCOPE, revision: int = 1, **different: object) -> Report:
    report = Report(
        province="H48",
        period="2024-11",
        scope=scope,
        scope_name="Tỉnh Quảng Ngãi",
        regime="nd-09-2019-monthly",
        starts_on=date(2024, 10, 15),
        cut_off_on=date(2024, 11, 14),
        final=False,
        figures=Figures(done_on_time=3, open_overdue=1, days_late=27, allocated_vnd=10**15),
        computed_at=at("2024-11-10") + timedelta(microseconds=1),
        revision=revision,
    )
    return replace(report, **different)  # type: ignore[arg-type]


async def test_only_a_newer_snapshot_replaces(store: Store) -> None:
    assert await store.keep_tasks([a_kept(1, 5), a_kept(2, 1)]) == 2
    assert await store.keep_tasks([a_kept(1, 4), a_kept(2, 2)]) == 1
    assert await store.keep_tasks([a_kept(1, 5)]) == 0

    assert await store.task_seqs("H48") == {a_kept(1).id: 5, a_kept(2).id: 2}
    found = await store.tasks([a_kept(1).id, a_kept(2).id, "another"])
    assert sorted(found, key=lambda one: one.id) == [a_kept(1, 5), a_kept(2, 2)]


async def test_racing_writers_leave_the_newest(store: Store) -> None:
    for number in range(20):
        await asyncio.gather(*(store.keep_tasks([a_kept(number, seq)]) for seq in (3, 1, 4, 2)))

    assert set((await store.task_seqs("H48")).values()) == {4}


async def test_every_batch_counts_as_a_change_even_when_nothing_was_newer(store: Store) -> None:
    await store.keep_tasks([a_kept(1), a_kept(2)])
    first = await store.provinces()
    await store.keep_tasks([a_kept(1)])
    await store.keep_agencies([a_kept(1, province="H49")])
    second = await store.provinces()

    assert set(first) == {"H48"}
    assert set(second) == {"H48", "H49"}
    assert second["H48"] > first["H48"]


async def test_provinces_are_kept_apart(store: Store) -> None:
    await store.keep_tasks([a_kept(1), a_kept(1, province="H49")])
    await store.keep_agencies([a_kept(7, 2), a_kept(8, province="H49")])

    assert list(await store.task_seqs("H49")) == [a_kept(1, province="H49").id]
    assert await store.agencies("H48") == [a_kept(7, 2)]


async def test_progress_never_goes_back_and_keeps_microseconds(store: Store) -> None:
    later = at("2024-11-14 23:59:59.999999")
    await store.note_progress({0: later, 11: at("2024-10-11")})
    await store.note_progress({0: at("2024-11-14 23:59:59.999998")})
    await store.note_progress({})

    assert await store.progress() == {0: later, 11: at("2024-10-11")}


async def test_report_comes_back_as_it_was_written(store: Store) -> None:
    assert await store.save_reports([a_report(), a_report("agency:H48.07", final=True)])

    found = await store.reports("H48", "2024-11")
    assert {one.scope: one for one in found} == {
        PROVINCE_SCOPE: a_report(),
        "agency:H48.07": a_report("agency:H48.07", final=True),
    }
    assert await store.heads("H48") == {one.key: one.head for one in found}
    assert await store.heads("H49") == {}
    assert await store.reports("H48", "2024-12") == []


async def test_revision_follows_the_one_before(store: Store) -> None:
    assert await store.save_reports([a_report(), a_report("agency:A")])
    assert await store.save_reports([a_report(revision=2, final=True), a_report("agency:A", revision=2)])

    heads = await store.heads("H48")
    assert {(head.revision, head.final) for head in heads.values()} == {(2, True), (2, False)}


@pytest.mark.parametrize("revision", [1, 2, 4])
async def test_revision_that_does_not_follow_is_refused_and_others_are_written(store: Store, revision: int) -> None:
    await store.save_reports([a_report()])
    await store.save_reports([a_report(revision=2)])

    assert not await store.save_reports([a_report(revision=revision, final=True), a_report("agency:B")])

    heads = await store.heads("H48")
    assert heads[a_report().key] == a_report(revision=2).head
    assert heads[a_report("agency:B").key].revision == 1


async def test_report_stays_unpublished_until_that_revision_is_marked(store: Store) -> None:
    await store.save_reports([a_report(), a_report("agency:A")])
    await store.save_reports([a_report(revision=2)])
    await store.mark_published([a_report(), a_report("agency:A")])
    assert await store.unpublished("H48", 10) == [a_report(revision=2)]
    assert await store.unpublished("H49", 10) == []

    await store.mark_published([a_report(revision=2)])

    assert await store.unpublished("H48", 10) == []


async def test_unpublished_reports_come_in_bounded_portions(store: Store) -> None:
    await store.save_reports([a_report(f"agency:A{number}") for number in range(5)])

    assert len(await store.unpublished("H48", 3)) == 3


async def test_periods_are_listed_latest_first(store: Store) -> None:
    await store.save_reports(
        [
            a_report(period="2024-12"),
            a_report(period="2025-01"),
            a_report(period="2024-11", final=True),
            a_report("agency:A", period="2024-11"),
        ]
    )

    assert await store.periods("H48") == [
        PeriodRow("2025-01", False),
        PeriodRow("2024-12", False),
        PeriodRow("2024-11", True),
    ]
    assert await store.periods("H49") == []
