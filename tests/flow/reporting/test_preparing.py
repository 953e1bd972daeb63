"""From records to the prepared report, and what every store of contents must do: in memory, and on a real MongoDB."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.reporting import content_documents, preparing
from services.reporting.domain.content import Content, Prepared, PreparedHead
from services.reporting.domain.listing import Window
from services.reporting.domain.periods import Kind
from services.reporting.domain.schedule import AsOf
from services.reporting.preparing import Closed
from shared.workdays.calendar import start_of
from tests.flow.reporting.content_harness import Prepares, prepares, with_rules
from tests.flow.reporting.snapshots import a_cause, a_snapshot, changed, directive, registered
from tests.unit.reporting.builders import DECREE_09, at
from tests.unit.reporting.content_builders import a_content, a_month, a_report, figured

MONTHLY_ONLY = with_rules(prepares=frozenset({Kind.MONTHLY}))
NOVEMBER = DECREE_09.period("2024-11")


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.connected)])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the stores are; None: in memory, and no server is started."""
    return str(request.getfixturevalue("mongo_uri")) if request.param == "mongo" else None


@pytest.fixture
async def service(address: str | None) -> AsyncIterator[Prepares]:
    async with prepares(address, rulings=MONTHLY_ONLY) as made:
        yield made


def extended(seq: int, until: str, received: str, **more: Any) -> dict[str, Any]:
    """A task whose day was moved by a document."""
    task = a_snapshot(seq, **more)
    first = task["deadlines"][0]
    legal = date.fromisoformat(until)
    task["deadlines"].append(
        {
            **first,
            "version": 2,
            "nominal": legal,
            "legal": legal,
            "operational": legal,
            "due_at": at(f"{until} 00:00") + timedelta(days=1),
            "given_by": "extension",
            "document": {"number": "5233/UBND-KGVX", "issued_on": "2024-10-01"},
            "cause": a_cause(received),
        }
    )
    return task


def money(amount: int, paid: int) -> dict[str, Any]:
    """What was given and what was paid out of it."""
    return {
        "allocations": [
            {
                "allocation_id": "von-1",
                "fiscal_year": 2024,
                "amount_vnd": amount,
                "document": {"number": "QĐ 371", "issued_on": "2024-10-01"},
                "cause": a_cause("2024-10-12"),
            }
        ],
        "disbursements": [{"as_of": date(2024, 10, 31), "cumulative_vnd": paid, "cause": a_cause("2024-11-01")}],
    }


async def a_november(service: Prepares) -> None:
    """Tasks of every list, and two agencies."""
    await service.receive(
        registered("H48.07", "Sở Thông tin và Truyền thông", role="standing"),
        registered("H48.21", "UBND huyện Bình Sơn"),
        directive("TB-UBND-2024", number="512/TB-UBND"),
        changed(a_snapshot()),
        changed(a_snapshot(agency="H48.21", clause="II.1.h", result="2024-10-18", accepted="2024-10-19")),
        changed(a_snapshot(agency="H48.21", clause="II.1.k", due="2024-11-20")),
        changed(extended(2, "2024-11-30", "2024-10-18", clause="II.2.d")),
        changed(a_snapshot(agency="H48.21", clause="II.1.đ", due=None, **money(1_000, 300))),
    )


# -- preparing ---------------------------------------------------------------------------------------------------------


async def test_report_is_prepared_and_told_once_its_period_has_closed(service: Prepares) -> None:
    await a_november(service)
    await service.at("2024-11-14 23:59")
    assert service.told() == [("2024-10", 1)]

    await service.at("2024-11-15 00:00")

    assert service.told() == [("2024-10", 1), ("2024-11", 1)]
    (_, event) = service.prepared_events()
    prepared = await service.content.prepared("H48", "2024-11")
    assert prepared is not None
    assert (event.content_hash, event.cut_off_on, event.due_on, event.path) == (
        prepared.content.content_hash,
        date(2024, 11, 14),
        date(2024, 11, 19),
        "/v1/reports/2024-11",
    )
    content = prepared.content
    assert [row.task.clause for row in content.overdue] == ["II.2.g"]
    assert [row.task.clause for row in content.upcoming] == ["II.1.k"]
    assert [(row.old_day, row.new_day, row.document_number) for row in content.extensions] == [
        (date(2024, 10, 19), date(2024, 11, 30), "5233/UBND-KGVX")
    ]
    assert [(row.allocated_vnd, row.disbursed_vnd, row.at_risk) for row in content.funded] == [(1_000, 300, True)]
    assert content.overdue[0].task.directive_number == "512/TB-UBND"
    assert (content.heading.issuer, content.provisional, content.lists_agree) == (
        "Sở Thông tin và Truyền thông",
        False,
        True,
    )


async def test_event_has_a_key_and_an_id_of_its_own_on_the_topic_of_its_kind(service: Prepares) -> None:
    await a_november(service)
    await service.at("2024-11-15 00:00")

    (event,) = [one for one in service.events() if one.envelope.id == "H48/2024-11/prepared:1"]

    assert (event.envelope.type, event.envelope.subject) == ("dondoc.report.prepared.v1", "H48/2024-11/prepared")


async def test_nothing_is_told_twice(service: Prepares) -> None:
    await a_november(service)
    for moment in ("2024-11-15 00:00", "2024-11-15 00:01", "2024-11-16 08:00"):
        await service.at(moment)
    service.restart()
    await service.at("2024-11-17")

    assert service.told() == [("2024-10", 1), ("2024-11", 1)]


async def test_crash_between_keeping_and_telling_leaves_nothing_untold(service: Prepares) -> None:
    """INVARIANT: a report that was prepared is told, whatever happens between the two.

    The officers would wait for a report that is there.
    """
    await a_november(service)
    await service.replica.at("2024-11-15 00:00")
    service.replica.topic.broken = True
    with pytest.raises(ConnectionError):
        await service.preparing.turn()
    service.replica.topic.broken = False

    service.restart()
    await service.preparing.turn()

    assert service.told() == [("2024-10", 1), ("2024-11", 1)]


async def test_crash_between_telling_and_marking_tells_the_same_again(
    service: Prepares, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_november(service)
    await service.replica.at("2024-11-15 00:00")

    async def lost(_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(service.content, "mark_told", lost)
        with pytest.raises(ConnectionError):
            await service.preparing.turn()
    service.restart()
    await service.preparing.turn()

    ids = [event.envelope.id for event in service.events() if event.envelope.type == "dondoc.report.prepared.v1"]
    assert ids.count("H48/2024-10/prepared:1") == 2, "what came again has its id, so that consumers drop it"
    assert set(ids) == {"H48/2024-10/prepared:1", "H48/2024-11/prepared:1"}


async def test_amendment_prepares_a_revision_and_the_old_one_stays(service: Prepares) -> None:
    await a_november(service)
    await service.at("2024-11-15 00:00")
    before = await service.content.prepared("H48", "2024-11")

    # Received before the cut-off, applied after it: what an outage does.
    await service.receive(changed(a_snapshot(3, result="2024-11-14", accepted="2024-11-14 09:00")))
    await service.at("2024-11-16")

    assert service.told() == [("2024-10", 1), ("2024-11", 1), ("2024-11", 2)]
    after = await service.content.prepared("H48", "2024-11")
    assert before is not None
    assert after is not None
    assert await service.content.prepared("H48", "2024-11", 1) == before
    assert ([row.task.clause for row in before.content.overdue], list(after.content.overdue)) == (["II.2.g"], [])
    assert {one.figure for one in after.content.amended} >= {"done_late", "open_overdue"}
    assert (after.content.heading.dated_on, before.content.heading.dated_on) == (date(2024, 11, 16), date(2024, 11, 15))


async def test_what_happened_after_the_cut_off_changes_nothing(service: Prepares) -> None:
    """INVARIANT: prepared late, a report says what it would have said in time."""
    await a_november(service)
    await service.at("2024-11-15 00:00")
    in_time = await service.gathering.content("H48", "2024-11")

    await service.receive(
        changed(a_snapshot(3, result="2024-11-15", accepted="2024-11-16")),
        changed(extended(3, "2024-12-31", "2024-11-16", agency="H48.21", clause="II.1.k", due="2024-11-20")),
        changed(a_snapshot(3, agency="H48.21", clause="II.1.đ", due=None, **money(1_000, 300), result="2024-11-18")),
        changed(a_snapshot(agency="H48.07", clause="V.1", assigned="2024-11-15")),
    )
    await service.replica.at("2024-12-03")

    late = await service.gathering.content("H48", "2024-11")
    assert in_time is not None
    assert late == replace(in_time, report_revision=late.report_revision) if late is not None else False
    assert service.told() == [("2024-10", 1), ("2024-11", 1)]


async def test_other_kinds_of_periods_are_prepared_alike(address: str | None) -> None:
    async with prepares(address) as service:
        await a_november(service)
        await service.at("2024-12-16")
        for _ in range(3):
            await service.preparing.turn()

        kinds = dict(service.told())
        assert {"2024-10", "2024-11", "2024-12", "2024-Q4", "2024-H2", "2024", "2024-W45"} <= kinds.keys()
        assert set(kinds.values()) == {1}


async def test_no_more_than_a_few_are_prepared_in_a_turn_the_oldest_first(address: str | None) -> None:
    async with prepares(address) as service:
        await a_november(service)
        await service.at("2024-12-16")

        assert [period for period, _ in service.told()] == ["2024-W41", "2024-10", "2024-W42", "2024-W43", "2024-W44"]


async def test_kind_that_the_policy_leaves_out_is_not_prepared(address: str | None) -> None:
    async with prepares(address, rulings=MONTHLY_ONLY) as service:
        await a_november(service)
        await service.at("2024-12-16")

        assert [period for period, _ in service.told()] == ["2024-10", "2024-11", "2024-12"]


async def test_replica_that_does_not_own_the_province_prepares_nothing(service: Prepares) -> None:
    await a_november(service)
    await service.replica.at("2024-11-15 00:00")
    service.replica.share.provinces = set()

    await service.preparing.turn()

    assert service.told() == []


async def test_replica_that_was_slower_writes_nothing(service: Prepares) -> None:
    await a_november(service)
    await service.at("2024-11-15 00:00")
    kept = await service.content.prepared("H48", "2024-11")
    assert kept is not None

    assert not await service.content.save_prepared(replace(kept, content_hash="another"))

    assert await service.content.prepared("H48", "2024-11") == kept


async def test_lists_that_disagree_are_waited_for_and_told_in_the_end(
    service: Prepares, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fact may be kept and not yet counted; but no report waits for ever."""
    await a_november(service)
    await service.replica.at("2024-11-15 00:00")
    listed = service.content.listed

    async def short(province: str, window: Window) -> AsyncIterator[list[str]]:
        async for page in listed(province, window):
            yield [one for one in page if '"II.2.g"' not in one]

    monkeypatch.setattr(service.content, "listed", short)
    monkeypatch.setattr(preparing, "WAITS_MAX", 3)
    for _ in range(3):
        await service.preparing.turn()
    assert ("2024-11", 1) not in service.told()

    await service.preparing.turn()

    prepared = await service.content.prepared("H48", "2024-11")
    assert prepared is not None
    assert not prepared.content.lists_agree


async def test_revision_that_changes_nothing_said_is_noted_and_not_told(service: Prepares) -> None:
    await a_november(service)
    await service.at("2024-11-15 00:00")
    await service.content.note_seen("H48", "2024-11", 1, 99)
    await service.preparing.turn()

    assert (await service.content.prepared_heads("H48"))["2024-11"].report_revision == 99
    assert service.told() == [("2024-10", 1), ("2024-11", 1)]


async def test_running_period_has_a_provisional_content_as_of_now(service: Prepares) -> None:
    await a_november(service)
    await service.at("2024-11-10 10:00")

    content = await service.gathering.content("H48", "2024-11")

    assert content is not None
    assert (content.provisional, content.day, content.as_of) == (True, date(2024, 11, 10), at("2024-11-10 10:00"))
    assert [(row.task.clause, row.days_late) for row in content.overdue] == [("II.2.g", 22)]
    assert [row.task.clause for row in content.upcoming] == ["II.1.k"]
    assert await service.gathering.content("H48", "2025-01") is None
    assert await service.gathering.content("H49", "2024-11") is None


# -- what every store of contents must do ------------------------------------------------------------------------------


def a_window(day: str = "2024-11-14", until: str = "2024-11-29") -> Window:
    ends = start_of(date.fromisoformat(day) + timedelta(days=1))
    return Window(AsOf(ends, day_ends=True), at("2024-10-15 00:00"), date.fromisoformat(until))


async def found(service: Prepares, window: Window, province: str = "H48") -> list[str]:
    """Clauses of the tasks found."""
    pages = [page async for page in service.content.listed(province, window)]
    ids = [id_in(one) for page in pages for one in page]
    assert len(ids) == len(set(ids)), "each once"
    return sorted(one.split("/")[2] for one in ids)


def id_in(snapshot: str) -> str:
    return snapshot.partition('"task_id":"')[2].partition('"')[0]


async def test_tasks_are_found_by_what_puts_them_into_a_list(service: Prepares) -> None:
    await service.receive(
        changed(a_snapshot(clause="I.1")),
        changed(a_snapshot(clause="I.2", result="2024-11-14 10:00", accepted="2024-11-15 10:00")),
        changed(a_snapshot(clause="I.3", result="2024-10-25", accepted="2024-10-26")),
        changed(a_snapshot(clause="I.4", due="2024-11-29")),
        changed(a_snapshot(clause="I.5", due="2024-11-30")),
        changed(extended(2, "2025-03-01", "2024-10-15 00:00", clause="I.6")),
        changed(extended(2, "2025-03-01", "2024-10-14 23:59", clause="I.7")),
        changed(a_snapshot(clause="I.8", due=None)),
        changed(a_snapshot(clause="I.9", due=None, **money(10, 0))),
        changed(a_snapshot(clause="I.10", province="H49", agency="H49.01")),
    )

    assert await found(service, a_window()) == ["I.1", "I.2", "I.4", "I.6", "I.9"]
    assert await found(service, a_window(), "H49") == ["I.10"]
    assert await found(service, a_window("2024-11-15")) == ["I.1", "I.4", "I.6", "I.9"], "since then it was done"


async def test_pages_are_bounded(service: Prepares) -> None:
    await service.receive(*(changed(a_snapshot(agency=f"H48.{number}")) for number in range(1_201)))

    pages = [len(page) async for page in service.content.listed("H48", a_window())]

    assert (sum(pages), max(pages) <= 500) == (1_201, True)


async def test_closed_periods_come_the_earliest_first(service: Prepares) -> None:
    one = figured(a_month()).whole
    november, october = replace(one), a_report(one.figures, period=DECREE_09.period("2024-10"))
    december = a_report(one.figures, period=DECREE_09.period("2024-12"), final=False)
    await service.replica.store.save_reports([november, december, october])

    assert await service.content.closed("H48") == [
        Closed("2024-10", Kind.MONTHLY, 1),
        Closed("2024-11", Kind.MONTHLY, 1),
    ]
    assert await service.content.closed("H49") == []


def a_prepared(revision: int = 1, content: Content | None = None) -> Prepared:
    content = content or a_content(*a_month())
    return Prepared(revision, content, content.content_hash, at("2024-11-15 00:05") + timedelta(microseconds=1))


async def test_every_revision_is_kept_and_the_last_is_the_default(service: Prepares) -> None:
    other = a_content()
    first, second, october = a_prepared(), a_prepared(2, other), a_prepared(1, a_october())
    for one in (first, second, october):
        assert await service.content.save_prepared(one)

    assert await service.content.prepared("H48", "2024-11") == second
    assert await service.content.prepared("H48", "2024-11", 1) == first
    assert await service.content.prepared("H48", "2024-11", 3) is None
    assert await service.content.prepared("H49", "2024-11") is None
    assert await service.content.prepared_heads("H48") == {
        "2024-11": PreparedHead(2, 1, second.content_hash),
        "2024-10": PreparedHead(1, 1, october.content_hash),
    }


def a_october() -> Content:
    return a_content(period=DECREE_09.period("2024-10"))


async def test_untold_ones_come_in_order_until_they_are_told(service: Prepares) -> None:
    first, second, october = a_prepared(), a_prepared(2, a_content()), a_prepared(1, a_october())
    for one in (second, first, october):
        await service.content.save_prepared(one)

    assert await service.content.untold("H48", 10) == [october, first, second]
    assert await service.content.untold("H48", 1) == [october]
    assert await service.content.untold("H49", 10) == []
    await service.content.mark_told([october, first])
    await service.content.mark_told([])
    assert await service.content.untold("H48", 10) == [second]


async def test_revision_that_is_lost_is_followed_by_the_next_number(service: Prepares) -> None:
    await service.content.save_prepared(a_prepared())
    await service.content.mark_told([a_prepared()])
    await service.content.restore_revisions({("H48", "2024-11"): 1, ("H48", "2024-10"): 3})
    await service.content.restore_revisions({("H48", "2024-10"): 2})

    assert await service.content.prepared_heads("H48") == {
        "2024-11": PreparedHead(1, 1, a_prepared().content_hash),
        "2024-10": PreparedHead(3, 0, ""),
    }
    assert await service.content.prepared("H48", "2024-10") is None
    assert await service.content.prepared("H48", "2024-10", 3) is None
    assert await service.content.prepared("H48", "2024-11") == a_prepared()
    assert await service.content.untold("H48", 10) == []


async def test_what_was_seen_never_goes_back(service: Prepares) -> None:
    await service.content.save_prepared(a_prepared())
    await service.content.note_seen("H48", "2024-11", 1, 7)
    await service.content.note_seen("H48", "2024-11", 1, 3)

    assert (await service.content.prepared_heads("H48"))["2024-11"].report_revision == 7


# -- the database alone ------------------------------------------------------------------------------------------------


@pytest.mark.connected
async def test_tasks_are_found_by_indexes_that_hold_only_them(mongo_uri: str) -> None:
    """A province has a million tasks; the report looks at those that its lists may have."""
    async with prepares(mongo_uri) as service:
        await service.receive(
            *(changed(a_snapshot(agency=f"H48.{number}", clause="I.1", due=None)) for number in range(200)),
            *(
                changed(a_snapshot(agency=f"H48.{number}", clause="I.2", result="2024-10-16", accepted="2024-10-17"))
                for number in range(200)
            ),
            *(changed(a_snapshot(agency=f"H48.{number}", clause="I.3", due="2025-06-01")) for number in range(200)),
            changed(a_snapshot(clause="IV.1")),
        )
        assert service.database is not None
        tasks = service.database["task_facts"]
        query = {"$or": content_documents.listed_filters("H48", a_window())}

        plan = await tasks.find(query).explain()

        names = set(stages(plan["queryPlanner"]["winningPlan"]))
        assert names == {"listed_overdue", "listed_upcoming", "listed_extended", "listed_funded"}
        seen = plan["executionStats"]
        assert (seen["nReturned"], seen["totalDocsExamined"]) == (1, 1)
        assert seen["totalKeysExamined"] < 20


def stages(plan: Any) -> list[str]:
    """The indexes of a plan; a scan of the whole collection is named too."""
    if isinstance(plan, list):
        return [name for one in plan for name in stages(one)]
    if not isinstance(plan, dict):
        return []
    own = [plan["indexName"]] if "indexName" in plan else []
    own += ["COLLSCAN"] if plan.get("stage") == "COLLSCAN" else []
    return own + [name for value in plan.values() for name in stages(value)]
