"""What every reporting store must do: the one in memory that flow tests use, and the one on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import Benchmark, BenchmarkKind, IndicatorFigure
from services.reporting.domain.occasions import Occasions
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import Amendment, LateFact, Report
from services.reporting.domain.scopes import PROVINCE_SCOPE, Labels
from services.reporting.domain.trace import Step, Trace
from services.reporting.mongo import MongoReportStore
from services.reporting.ports import Counted, Entry, KeptTask, LedgerHead, Listed, PeriodRow, Registry, Store, Tally
from tests.flow.reporting.memory import MemoryReportStore
from tests.support.database import fresh_database
from tests.unit.reporting.builders import at

ALL = frozenset(range(12))
LARGE = 3 << 400
"""No integer of the database's holds it."""


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


def a_kept(number: int = 1, seq: int = 1, province: str = "H48", partition: int = 3) -> KeptTask:
    return KeptTask(
        id=f"{province}/TB/I.{number}/H48.07",
        seq=seq,
        province=province,
        partition=partition,
        labels=Labels("H48.07", "TB", "dated"),
        trace=Trace((Step(2 * 10**15, 1), Step(2 * 10**15 + 1, LARGE + seq))),
        rules="1/abc",
        listed=Listed("I.1", None, "Đề án", "assigned", True, date(2024, 10, 19), at("2024-10-20 00:00")),
        occasions=Occasions(None, (), (), funded=False),
        snapshot=f'{{"seq":{seq},"title":"Đề án"}}',
    )


def counted(kept: KeptTask) -> Counted:
    return Counted(kept.id, kept.seq, kept.province, kept.labels, kept.trace, kept.rules)


def an_entry(number: int = 1, seq: int = 1, province: str = "H48") -> Entry:
    return Entry(f"{province}/H48.{number:02d}", seq, province, f'{{"seq":{seq},"name":"Sở"}}')


def a_report(scope: str = PROVINCE_SCOPE, revision: int = 1, **different: object) -> Report:
    report = Report(
        province="H48",
        period="2024-11",
        kind=Kind.MONTHLY,
        scope=scope,
        scope_name="Tỉnh Quảng Ngãi",
        regime="nd-09-2019",
        starts_on=date(2024, 10, 15),
        cut_off_on=date(2024, 11, 14),
        due_on=date(2024, 11, 19),
        final=False,
        as_of=at("2024-11-10"),
        figures=Figures(done_on_time=3, open_overdue=1, days_late=27, allocated_vnd=10**15),
        computed_at=at("2024-11-10") + timedelta(microseconds=1),
        revision=revision,
    )
    return replace(report, **different)  # type: ignore[arg-type]


FACT = LateFact("H48/TB/I.1/H48.07", 4, "applied", at("2024-11-01"), at("2024-11-20"))


# -- facts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thought_new", [set[str](), {a_kept(1).id}, {a_kept(1).id, a_kept(2).id}])
async def test_only_a_newer_snapshot_replaces(store: Store, thought_new: set[str]) -> None:
    """Whatever is thought to be new, and is not."""
    assert await store.keep_tasks([a_kept(1, 5), a_kept(2, 1)], thought_new) == set()
    assert await store.keep_tasks([a_kept(1, 4), a_kept(2, 2)], thought_new) == {a_kept(1).id}
    assert await store.keep_tasks([a_kept(1, 5)], thought_new) == {a_kept(1).id}

    found = await store.counted([a_kept(1).id, a_kept(2).id, "another"])
    assert found == {one.id: counted(one) for one in (a_kept(1, 5), a_kept(2, 2))}
    assert await store.snapshots([a_kept(1).id, "another"]) == {a_kept(1).id: a_kept(1, 5).snapshot}


@pytest.mark.parametrize("thought_new", [False, True])
async def test_racing_writers_leave_the_newest(store: Store, thought_new: bool) -> None:
    for number in range(20):
        new = {a_kept(number).id} if thought_new else ()
        await asyncio.gather(*(store.keep_tasks([a_kept(number, seq)], new) for seq in (3, 1, 4, 2)))

    found = await store.counted([a_kept(number).id for number in range(20)])
    assert {one.seq for one in found.values()} == {4}


async def test_partitions_are_scanned_and_tallied(store: Store) -> None:
    await store.keep_tasks([a_kept(1, 5), a_kept(2, 7), a_kept(3, 1, partition=4), a_kept(1, 2, province="H49")])

    scanned = [one async for some in store.scan({3}) for one in some]
    assert {one.id: one for one in scanned} == {
        one.id: counted(one) for one in (a_kept(1, 5), a_kept(2, 7), a_kept(1, 2, province="H49"))
    }
    assert await store.tally({3}) == {"H48": Tally(2, 12), "H49": Tally(1, 2)}
    assert await store.tally(ALL) == {"H48": Tally(3, 13), "H49": Tally(1, 2)}
    assert await store.tally({9}) == {}


async def test_trace_of_other_rules_is_replaced_where_no_newer_version_is_kept(store: Store) -> None:
    await store.keep_tasks([a_kept(1, 5), a_kept(2, 7)])
    other = [replace(counted(one), trace=Trace((Step(7, 8),)), rules="2/x") for one in (a_kept(1, 5), a_kept(2, 6))]
    await store.retrace(other)

    found = await store.counted([a_kept(1).id, a_kept(2).id])
    assert found == {a_kept(1).id: other[0], a_kept(2).id: counted(a_kept(2, 7))}


@pytest.mark.parametrize("registry", Registry)
async def test_entries_are_kept_by_version_and_province(store: Store, registry: Registry) -> None:
    assert await store.keep_entries(registry, [an_entry(1, 2), an_entry(2, 1), an_entry(1, 1, "H49")]) == 3
    assert await store.keep_entries(registry, [an_entry(1, 1), an_entry(2, 4)]) == 1

    found = await store.entries(registry, "H48")
    assert sorted(found, key=lambda one: one.id) == [an_entry(1, 2), an_entry(2, 4)]
    assert await store.tally_entries(registry, "H48") == Tally(2, 6)
    assert await store.tally_entries(registry, "H50") == Tally()
    others = set(Registry) - {registry}
    assert [await store.entries(one, "H48") for one in others] == [[], []]


async def test_progress_never_goes_back_and_keeps_microseconds(store: Store) -> None:
    later = at("2024-11-14 23:59:59.999999")
    await store.note_progress({0: later, 11: at("2024-10-11")})
    await store.note_progress({0: at("2024-11-14 23:59:59.999998")})
    await store.note_progress({})

    assert await store.progress() == {0: later, 11: at("2024-10-11")}


# -- ledgers -----------------------------------------------------------------------------------------------------------


async def test_epochs_grow_whoever_asks(store: Store) -> None:
    found = await asyncio.gather(*(store.next_epoch() for _ in range(10)))

    assert len(set(found)) == 10
    assert await store.next_epoch() > max(found)


async def test_ledger_comes_back_as_it_was_written(store: Store) -> None:
    day, other = date(2024, 11, 14), date(2024, 12, 14)
    first = LedgerHead(7, frozenset({1, 2}), 2 * 10**15, {"H48": {day: 1, other: 1}})
    sums = {"province": -LARGE, "agency:H48.07": 5}
    await store.write_ledger(first, {("H48", day): sums, ("H48", other): {}})
    second = replace(first, reached=2 * 10**15 + 9, portions={"H48": {day: 2, other: 1}})
    await store.write_ledger(second, {("H48", day): {"province": 1}})

    assert await store.ledgers() == [second]
    new, same, old, never = (7, "H48", day, 2), (7, "H48", other, 1), (7, "H48", day, 1), (7, "H48", day, 3)
    # Who read the head before the last write can still read what it names.
    assert await store.portions({new, same, old, never}) == {new: {"province": 1}, same: {}, old: sums}


async def test_dropped_ledgers_are_gone_with_all_they_hold(store: Store) -> None:
    day = date(2024, 11, 14)
    for epoch in (1, 2):
        head = LedgerHead(epoch, ALL, 5, {"H48": {day: 1}})
        await store.write_ledger(head, {("H48", day): {"province": epoch}})
    await store.drop_ledgers([1])
    await store.drop_ledgers([])

    assert [one.epoch for one in await store.ledgers()] == [2]
    assert set(await store.portions({(1, "H48", day, 1), (2, "H48", day, 1)})) == {(2, "H48", day, 1)}


async def test_late_facts_are_found_by_scope_cut_off_and_time(store: Store) -> None:
    scopes = (PROVINCE_SCOPE, "agency:H48.07")
    for _ in range(2):
        await store.note_late("H48", {FACT: (date(2024, 11, 14), scopes)}, at("2024-11-20"))

    async def found(province: str = "H48", scope: str = "province", until: str = "2024-11-14") -> list[LateFact]:
        return await store.late(province, scope, until=date.fromisoformat(until), since=at("2024-11-19"))

    assert await found() == await found(scope="agency:H48.07") == await found(until="2024-12-14") == [FACT]
    assert await found("H49") == await found(scope="agency:H48.08") == await found(until="2024-10-14") == []
    assert await store.late("H48", "province", until=date(2024, 12, 14), since=at("2024-11-21")) == []


# -- reports -----------------------------------------------------------------------------------------------------------


async def test_report_comes_back_as_it_was_written(store: Store) -> None:
    benchmark = Benchmark("CDS", BenchmarkKind.MINIMUM, Decimal("0.5"), date(2023, 1, 1), "QĐ 1557")
    indicator = IndicatorFigure(
        "CDS", "Chi", "2024", Decimal("1.50"), Decimal(300), Decimal("0.5"), None, "KBNN", 1, 1, (benchmark,)
    )
    full = a_report(
        "group:@all",
        final=True,
        previous_period="2024-10",
        previous=Figures(done_late=1),
        year_before_period="2023-11",
        year_before=Figures(),
        indicators=(indicator,),
        members=("H48.01", "H48.07"),
        amendment=Amendment(
            {"done_late": (1, 2), "previous.total": (None, 3), "indicators.CDS": (Decimal("0.50"), None)}, (FACT,), 7
        ),
    )
    assert await store.save_reports([a_report(), full])

    found = await store.reports("H48", "2024-11")
    assert {one.scope: one for one in found} == {PROVINCE_SCOPE: a_report(), "group:@all": full}
    assert await store.heads("H48") == {one.key: one.head for one in found}
    assert await store.report(full.key) == full
    assert await store.report("another") is None
    assert await store.heads("H49") == {}
    assert await store.reports("H48", "2024-12") == []
    assert await store.provinces() == ["H48"]


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


async def test_final_revisions_that_were_replaced_can_be_read_ever_after(store: Store) -> None:
    """INVARIANT: what a closed period once said can be shown again, whatever came later."""
    running, other = a_report(), a_report("agency:A", final=True)
    closed = a_report(revision=2, final=True, computed_at=at("2024-11-15"))
    amended = a_report(
        revision=3,
        final=True,
        computed_at=at("2024-11-20"),
        figures=Figures(done_on_time=4),
        amendment=Amendment({"done_on_time": (3, 4)}, (FACT,)),
    )
    named = replace(amended, revision=4, scope_name="Tỉnh", amendment=None, computed_at=at("2024-11-21"))
    for reports in ([running, other], [closed], [amended], [named]):
        assert await store.save_reports(reports)
        await store.mark_published(reports)

    assert await store.kept_revisions(closed.key, 10) == [named, amended, closed]
    assert await store.kept_revisions(closed.key, 2) == [named, amended]
    assert [await store.revision(closed.key, number) for number in (4, 3, 2)] == [named, amended, closed]
    assert await store.revision(closed.key, 1) is None, "what a running period said is not kept"
    assert await store.revision(closed.key, 5) is None
    assert await store.kept_revisions(other.key, 10) == [other]
    assert await store.kept_revisions("H48/2024-11/agency:B", 10) == []


async def test_what_stood_at_an_instant_is_found_for_every_scope(store: Store) -> None:
    closed = [
        a_report(one, final=True, computed_at=at("2024-11-15 00:05"))
        for one in (PROVINCE_SCOPE, "agency:A", "agency:B")
    ]
    amended = [replace(one, revision=2, computed_at=at("2024-11-20")) for one in closed[:2]]
    twice = replace(amended[0], revision=3, computed_at=at("2024-11-21"))
    later = a_report("agency:C", final=True, computed_at=at("2024-11-21"))
    elsewhere = a_report(period="2024-12", final=True, computed_at=at("2024-11-15"))
    for reports in (closed, amended, [twice, later, elsewhere]):
        assert await store.save_reports(reports)

    async def stood(text: str, period: str = "2024-11") -> dict[str, Report]:
        return {one.scope: one for one in await store.stood_at("H48", period, at(text))}

    def by_scope(*reports: Report) -> dict[str, Report]:
        return {one.scope: one for one in reports}

    assert await stood("2024-11-15 00:04") == {}
    assert await stood("2024-11-15 00:05") == by_scope(*closed)
    assert await stood("2024-11-20") == by_scope(*closed, *amended)
    assert await stood("2025-01-01") == by_scope(*closed, *amended, twice, later)
    assert await stood("2025-01-01", "2024-10") == {}


@pytest.mark.connected
async def test_revision_is_kept_before_it_is_replaced_and_once(mongo_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies between the two writes, or whose write is refused, leaves every final revision readable."""
    async with fresh_database(mongo_uri) as database:
        store = MongoReportStore(database)
        await store.prepare()
        closed = a_report(final=True)
        amended = replace(closed, revision=2, figures=Figures(done_on_time=9))
        await store.save_reports([closed])

        async def dies(*_: object, **__: object) -> None:
            raise ConnectionError("the process is gone")

        with monkeypatch.context() as cut_off:
            cut_off.setattr(store, "_reports", _Dying(database["reports"], dies))
            with pytest.raises(ConnectionError):
                await store.save_reports([amended])
        assert await store.kept_revisions(closed.key, 10) == [closed]

        assert await store.save_reports([amended])
        assert not await store.save_reports([amended]), "another was faster"

        assert await store.kept_revisions(closed.key, 10) == [amended, closed]
        assert await database["revisions"].count_documents({}) == 1


class _Dying:
    """A collection that is read, and written no more."""

    def __init__(self, collection: Any, bulk_write: Any) -> None:
        self.find, self.find_one, self.bulk_write = collection.find, collection.find_one, bulk_write


@pytest.mark.connected
async def test_revision_that_came_in_between_is_not_replaced_unkept(mongo_uri: str) -> None:
    """Whoever looked for what to keep before another closed the period must not write over what that one wrote."""
    async with fresh_database(mongo_uri) as database:
        store = MongoReportStore(database)
        await store.prepare()
        await store.save_reports([a_report()])
        slow = replace(a_report(), revision=3, final=True, figures=Figures(done_on_time=9))
        looked = asyncio.Event()
        goes_on = asyncio.Event()

        async def keep_slowly(below: Mapping[str, int]) -> Mapping[str, int]:
            found = await MongoReportStore._keep_finals(store, below)
            looked.set()
            await goes_on.wait()
            return found

        slow_store = MongoReportStore(database)
        slow_store._keep_finals = keep_slowly  # type: ignore[method-assign]
        writing = asyncio.create_task(slow_store.save_reports([slow]))
        await looked.wait()
        closed = a_report(revision=2, final=True)
        assert await store.save_reports([closed])
        goes_on.set()

        assert not await writing
        assert await store.kept_revisions(closed.key, 10) == [closed]


@pytest.mark.connected
async def test_wording_that_is_there_is_not_written_again(mongo_uri: str) -> None:
    async with fresh_database(mongo_uri) as database:
        store, later = MongoReportStore(database), MongoReportStore(database)
        await store.prepare()
        await store.of(1).keep_tasks([a_kept()])
        assert await database["wordings"].count_documents({}) == 1
        await database["wordings"].delete_many({})  # so that a second write would be seen

        await store.of(1).keep_tasks([a_kept(seq=2)])
        await store.of(2).keep_tasks([a_kept()])
        # Another process has not written it, and learns from the task that it is there.
        await later.of(1).counted([a_kept().id])
        await later.of(1).keep_tasks([a_kept(seq=3)])

        assert await database["wordings"].count_documents({}) == 0


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


async def test_periods_are_listed_latest_cut_off_first(store: Store) -> None:
    await store.save_reports(
        [
            a_report(period="2024-Q4", kind=Kind.QUARTERLY, cut_off_on=date(2024, 12, 14)),
            a_report(period="2024-12", cut_off_on=date(2024, 12, 14)),
            a_report(period="2025-01", cut_off_on=date(2025, 1, 14)),
            a_report(period="2024-11", final=True),
            a_report("agency:A", period="2024-11"),
        ]
    )

    assert await store.periods("H48") == [
        PeriodRow("2025-01", False, Kind.MONTHLY),
        PeriodRow("2024-12", False, Kind.MONTHLY),
        PeriodRow("2024-Q4", False, Kind.QUARTERLY),
        PeriodRow("2024-11", True, Kind.MONTHLY),
    ]
    assert await store.periods("H49") == []
