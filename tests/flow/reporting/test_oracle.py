"""Published reports against an independent count: the same snapshots, in SQL (tests/support/duckdb_oracle.py)."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.domain.figures import Figures
from shared.contracts.report_facts import Money, ReportPublished, Totals
from shared.runtime.consuming import Received
from shared.workdays.calendar import local_day
from tests.flow.reporting.harness import Replica, rulebook
from tests.flow.reporting.snapshots import a_cause, a_snapshot, changed
from tests.support.duckdb_oracle import CAUSES, Counted, Look, Oracle
from tests.unit.reporting.builders import at

FIRST, LAST = date(2024, 9, 20), date(2025, 1, 20)
END = f"{LAST} 09:00"
CALENDAR = rulebook().calendar("H48")


# -- histories ---------------------------------------------------------------------------------------------------------

# Half of them around cut-offs, so that results, deadlines and cut-offs meet at one instant.
_days = st.integers(0, (LAST - FIRST).days).map(lambda count: FIRST + timedelta(days=count)) | st.sampled_from(
    [date(2024, 10, 20), *(date(2024, month, day) for month in (11, 12) for day in (14, 15, 19))]
)
_hours = st.sampled_from(["00:00", "00:00", "08:00", "16:30", "23:59"])
_instants = st.builds(lambda day, hour: f"{day} {hour}", _days, _hours)
_causes = st.sampled_from([None, "administrative", "disagreement", "money", "dependency", "external", "other"])


def a_deadline(version: int, legal: date, received: str, given_by: str, **more: Any) -> dict[str, Any]:
    """One version; its operational day is the last working day up to the legal one."""
    return {
        "version": version,
        "nominal": legal,
        "legal": legal,
        "operational": CALENDAR.on_or_before(legal),
        "due_at": at(f"{legal} 00:00") + timedelta(days=1),
        "policy": "before-named-day",
        "citation": "",
        "document": None,
        "cause": a_cause(received),
        "given_by": given_by,
        **more,
    }


@dataclass(frozen=True)
class Fact:
    """One entry of a snapshot's list, and from which version of the snapshot on it is told, however old it is."""

    told: int
    field: str
    entry: dict[str, Any]
    later: Mapping[str, tuple[int, Any]]
    """Field of the entry → from which version on it is told, and what. Before that, nothing."""


@st.composite
def histories(draw: st.DrawFn, number: int, recorded: Sequence[datetime] = ()) -> list[Received]:
    """All versions of one task's snapshot, on the task's partition. Old facts may be told by late versions.

    `recorded`: when each version was made, and so when its facts were recorded; else as soon as they were received.
    """
    versions = draw(st.integers(1, 3))
    told = st.integers(1, versions)
    assigned = draw(_instants)
    since = _instants.map(lambda one: max(one, assigned))
    facts: list[Fact] = []

    def some(most: int) -> range:
        return range(draw(st.integers(0, most)))

    def put(field: str, entry: dict[str, Any], **later: tuple[int, Any]) -> int:
        first = draw(told)
        facts.append(Fact(first, field, entry, {name: (max(first, one), what) for name, (one, what) in later.items()}))
        return first

    def then(instant: str) -> tuple[int, Any]:
        """Perhaps, at or after an instant: when it is told, and its cause."""
        answer = draw(st.none() | since)
        return draw(told), a_cause(max(answer, instant)) if answer is not None else None

    _put_deadlines(draw, facts, assigned, told, since)
    for received in sorted(draw(since) for _ in some(3)):
        verdict = draw(st.sampled_from(["accepted", "returned", None]))
        judged = draw(told)
        result = {
            "number": 1,
            "document": {"issued_on": received[:10]},
            "summary": "",
            "evidence_count": 0,
            "delay_cause": draw(_causes),
            "cause": a_cause(received),
            "verdict_note": "",
        }
        when = a_cause(max(draw(since), received)) if verdict else None
        put("results", result, verdict=(judged, verdict), verdict_cause=(judged, when))
    for _ in some(2):
        received = draw(since)
        decided, cause = then(received)
        outcome = draw(st.sampled_from(["granted", "refused"])) if cause is not None else None
        request = {"requested_last_day": LAST, "reason": "", "cause": a_cause(received)}
        put("extensions", request, outcome=(decided, outcome), outcome_cause=(decided, cause))
    for place in some(2):
        received = draw(since)
        obstacle = {
            "obstacle_id": str(place),
            "description": "",
            "beyond_authority": False,
            "cause": a_cause(received),
            "forwarded_to": None,
        }
        put("obstacles", obstacle, **{stage: then(received) for stage in ("answered", "forwarded", "cleared")})
    for _ in some(3):
        allocation = {
            "allocation_id": draw(st.sampled_from("ab")),
            "fiscal_year": 2024,
            "amount_vnd": draw(st.integers(0, 10**13)),
            "document": {"issued_on": assigned[:10]},
            "cause": a_cause(draw(since)),
            "plan": draw(st.sampled_from(["assigned", "supplementary", "carried_over"])),
        }
        put("allocations", allocation)
    seen: set[tuple[date, str]] = set()
    for _ in some(3):
        # Corrections, mostly of the same few days. Of two at the same instant: see the test below.
        as_of, received = draw(st.sampled_from([date(2024, 10, 31), date(2024, 11, 30)]) | _days), draw(since)
        if (as_of, received) not in seen:
            seen.add((as_of, received))
            put(
                "disbursements",
                {"as_of": as_of, "cumulative_vnd": draw(st.integers(0, 10**13)), "cause": a_cause(received)},
            )
    ended = None
    if draw(st.integers(0, 3)) == 0:
        ended = {
            "how": draw(st.sampled_from(["discontinued", "transferred"])),
            "reason": "",
            "document": None,
            "successor": None,
            "cause": a_cause(draw(since)),
        }
    ends = draw(told)
    directive = draw(st.sampled_from(["A-2024", "B-2024"]))
    agency = draw(st.sampled_from(["H48.01", "H48.02", "H48.03"]))
    category = draw(st.sampled_from(["dated", "standing", "conditional"]))
    records = []
    for version in range(1, versions + 1):
        task = a_snapshot(
            version,
            agency=agency,
            clause=f"I.{number}",
            due=None,
            assigned=assigned,
            directive=directive,
            category=category,
            ended=_recorded(ended, ends, recorded) if version >= ends else None,
            **_known(facts, version, recorded),
        )
        task["task_id"] = f"H48/{directive}/I.{number}/{agency}"
        records.append(changed(task)._replace(partition=number % 2))
    return records


def _put_deadlines(
    draw: st.DrawFn, facts: list[Fact], assigned: str, told: st.SearchStrategy[int], since: st.SearchStrategy[str]
) -> None:
    """Up to five versions: the directive's own, extensions, a correction, and what a resumption gives back.

    A version may have been received before an older one. Suspensions follow each other.
    """
    legal: date | None = None
    version = 0
    if draw(st.integers(0, 4)):
        legal, version = draw(_days), 1
        more: dict[str, Any] = {"document": {"issued_on": assigned[:10]}} if draw(st.integers(0, 5)) == 0 else {}
        if draw(st.integers(0, 3)) == 0:
            more["due_at"] = at(f"{legal} 12:00")
        facts.append(Fact(draw(told), "deadlines", a_deadline(1, legal, assigned, "directive", **more), {}))
    moves = [("given", draw(since)) for _ in range(draw(st.integers(0, 2)))] if legal else []
    bounds = sorted(draw(st.lists(since, max_size=4, unique=True)))
    suspensions = [(one, *bounds[place + 1 : place + 2]) for place, one in enumerate(bounds) if place % 2 == 0]
    for start, *resumed in suspensions:
        first = draw(told)
        again = max(first, draw(told))
        cause = a_cause(resumed[0]) if resumed else None
        entry = {"reason": "", "document": {"issued_on": start[:10]}, "cause": a_cause(start), "resumed_document": None}
        facts.append(Fact(first, "suspensions", entry, {"resumed": (again, cause)}))
        if resumed and legal:
            moves.append((start, resumed[0]))
    if draw(st.booleans()):
        moves.sort(key=lambda move: move[1])
    for start, received in moves:
        assert legal is not None
        version += 1
        document = {"issued_on": received[:10]}
        if start == "given":
            legal = draw(_days)
            given_by = draw(st.sampled_from(["extension", "correction", "trigger"]))
            entry = a_deadline(version, legal, received, given_by, document=document)
        else:
            legal += local_day(at(received)) - local_day(at(start))
            policy = draw(st.sampled_from(["suspended-time-not-counted", "suspended-when-overdue"]))
            entry = a_deadline(version, legal, received, "resumption", policy=policy, document=document)
        facts.append(Fact(draw(told), "deadlines", entry, {}))


def _known(facts: Sequence[Fact], version: int, recorded: Sequence[datetime]) -> dict[str, Any]:
    """The lists of one version of a snapshot."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for one in facts:
        if one.told <= version:
            later = {
                name: (_recorded({"cause": what}, told, recorded) or {})["cause"] if isinstance(what, dict) else what
                for name, (told, what) in one.later.items()
                if told <= version
            }
            entry = _recorded(one.entry, one.told, recorded) or {}
            lists.setdefault(one.field, []).append({**entry, **dict.fromkeys(one.later), **later})
    return lists


def _recorded(entry: dict[str, Any] | None, version: int, recorded: Sequence[datetime]) -> dict[str, Any] | None:
    """The entry as a version recorded it."""
    if entry is None or not recorded:
        return entry
    return {**entry, "cause": {**entry["cause"], "recorded_at": recorded[version - 1]}}


# -- comparing ---------------------------------------------------------------------------------------------------------


def cut_offs(first: date, last: date) -> Iterator[tuple[str, date]]:
    """Each kind of period with the cut-offs by which a fact of the first day counts (domain §2.2; weeks: ISO 8601)."""
    months = {"monthly": range(1, 13), "quarterly": (3, 6, 9, 12), "half-yearly": (6, 12), "yearly": (12,)}
    for day in (first + timedelta(days=count) for count in range((last - first).days + 1)):
        if day.weekday() == 6:
            yield "weekly", day
        if day.day == 14:
            yield from ((kind, day) for kind, some in months.items() if day.month in some)


def flat(report: ReportPublished) -> dict[str, int]:
    """A report's figures under the oracle's names."""
    totals = report.totals.model_dump()
    del totals["total"]
    money = report.money
    return {
        **totals,
        "days_late": report.days_late,
        **{f"late_{cause}": getattr(report.causes, cause) for cause in CAUSES},
        "extended": report.extended,
        **{f"extensions_{one}": count for one, count in report.extensions.model_dump().items()},
        **{f"obstacles_{one}": count for one, count in report.obstacles.model_dump().items()},
        "funded": money.funded,
        "allocated_vnd": money.allocated_vnd,
        "assigned_vnd": money.assigned_vnd,
        "disbursed_vnd": money.disbursed_vnd,
    }


def flat_rates(report: ReportPublished) -> dict[str, object]:
    """A report's rates under the oracle's names."""
    money = report.money
    return {
        **report.rates.model_dump(),
        "disbursed_percent": money.disbursed_percent,
        "disbursed_of_assigned_percent": money.disbursed_of_assigned_percent,
    }


def check_identities(report: ReportPublished) -> None:
    """Domain §2.5, on what was published."""
    one = report.totals
    done = one.done_on_time + one.done_late
    not_done = one.open_in_time + one.open_due_soon + one.open_overdue + one.open_no_deadline
    late = one.done_late + one.open_overdue
    assert done + not_done == one.total
    assert one.done_without_deadline <= one.done_on_time
    assert sum(report.causes.model_dump().values()) == late
    assert report.days_late >= one.done_late or late == 0
    assert report.extended <= report.extensions.granted
    assert report.obstacles.open == report.obstacles_open <= report.obstacles.raised - report.obstacles.cleared
    assert report.money.assigned_vnd <= report.money.allocated_vnd
    assert (report.rates.done_of_all is None) == (one.total == 0)
    assert (report.rates.on_time_of_due is None) == (one.done_on_time - one.done_without_deadline + late == 0)


def latest(replica: Replica) -> dict[tuple[str, str, date, str], ReportPublished]:
    """The last word on each report, by kind, period, cut-off and scope. Groups are sums of agencies: left out."""
    found: dict[tuple[str, str, date, str], ReportPublished] = {}
    for event in replica.topic.events:
        one = event.data
        if isinstance(one, ReportPublished):
            check_identities(one)
            if not one.scope.startswith("group:"):
                found[one.kind, one.period, one.cut_off_on, one.scope] = one
    return found


def snapshots(told: Sequence[Received]) -> list[dict[str, Any]]:
    """As published."""
    return [cast("dict[str, Any]", one.event.envelope.data)["task"] for one in told]


def compare(replica: Replica, told: Sequence[Received], end: str, oracle: Oracle) -> int:
    """Every last published report equals the oracle's count, and none is missing. How many were compared."""
    oracle.load(snapshots(told))
    # A scope that lost its last task says so with nothing but zeros; there, nothing is counted.
    reports = {key: one for key, one in latest(replica).items() if one.totals.total or one.totals.ended_without_result}
    now = Look(at(end), False)
    final = {key: Look.at_end_of(key[2]) for key, one in reports.items() if one.final}
    before = {key: Look.at_end_of(one.starts_on - timedelta(days=1)) for key, one in reports.items()}
    looks = {now, *final.values(), *before.values()}
    looks |= {Look.at_end_of(day) for _, day in cut_offs(FIRST, local_day(at(end)) - timedelta(days=1))}
    counted = oracle.figures(sorted(looks, key=lambda one: (one.instant, one.closing)))

    _none_is_missing(reports, counted, now, end)
    for key, report in reports.items():
        look = final.get(key, now)
        assert (look, key[3]) in counted, ("no task stands behind", key)
        expected = counted[look, key[3]]
        assert flat(report) == dict(expected.figures), key
        assert flat_rates(report) == dict(expected.rates), key
        if report.final:
            assert report.as_of == look.instant, key
        _check_previous(report, counted.get((before[key], key[3])))
    return len(reports)


def _none_is_missing(
    reports: Mapping[tuple[str, str, date, str], ReportPublished],
    counted: Mapping[tuple[Look, str], Counted],
    now: Look,
    end: str,
) -> None:
    closed = {
        (kind, day, scope)
        for kind, day in cut_offs(FIRST, local_day(at(end)) - timedelta(days=1))
        for look, scope in counted
        if look == Look.at_end_of(day)
    }
    assert {(kind, day, scope) for (kind, _, day, scope), one in reports.items() if one.final} == closed
    running = {scope for look, scope in counted if look == now}
    for kind in ("weekly", "monthly", "quarterly", "half-yearly", "yearly"):
        assert {key[3] for key, one in reports.items() if key[0] == kind and not one.final} == running, kind


def _check_previous(report: ReportPublished, expected: Counted | None) -> None:
    """What stands beside: the same scope as of the cut-off before."""
    shown = report.previous
    assert (shown is None) == (expected is None), (report.period, report.scope)
    if shown is not None and expected is not None:
        beside = report.model_copy(
            update={"totals": shown.totals, "rates": shown.rates, "days_late": shown.days_late, "money": shown.money}
        )
        assert flat_rates(beside) == dict(expected.rates), (report.period, report.scope)
        names = expected.figures.keys() & {*Totals.model_fields, *Money.model_fields, "days_late"}
        assert {name: flat(beside)[name] for name in names} == {name: expected.figures[name] for name in names}


def an_oracle(**more: Any) -> Oracle:
    """On one thread: the data is small."""
    oracle = Oracle(CALENDAR, **more)
    oracle.database.execute("set threads = 1")
    return oracle


ORACLE = an_oracle()


# -- any history -------------------------------------------------------------------------------------------------------

_tasks = st.integers(1, 10).flatmap(lambda count: st.tuples(*(histories(number) for number in range(count))))
_stops = st.sampled_from(
    ["2024-10-14 23:59", "2024-10-15 00:00", "2024-11-10 08:00", "2024-11-18 00:00", "2024-12-15 00:00", "2025-01-14"]
)


@st.composite
def courses(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Versions of all tasks in any order, some twice, between them time and what happens to replicas."""
    every = [one for history in draw(_tasks) for one in history]
    told = draw(st.permutations([*every, *draw(st.lists(st.sampled_from(every), max_size=4))]))
    moves: list[tuple[str, Any]] = []
    while told:
        size = draw(st.integers(1, 4))
        moves.append(("tell", told[:size]))
        told = told[size:]
        if draw(st.integers(0, 2)) == 0:
            moves.append(("time", draw(_stops)))
        if draw(st.integers(0, 4)) == 0:
            moves.append(draw(st.tuples(st.just("restart"), st.integers(0, 1))))
        if draw(st.integers(0, 4)) == 0:
            moves.append(draw(st.tuples(st.just("share"), st.integers(0, 3))))
    return moves


async def play(moves: Sequence[tuple[str, Any]], end: str = END) -> tuple[Replica, list[Received]]:
    """Two replicas and two partitions; the first publishes."""
    first = Replica()
    second = Replica(store=first.store, topic=first.topic, clock=first.clock)
    second.share.provinces, second.share.mine = set(), frozenset()
    told: list[Received] = []
    now = "2024-10-01 08:00"
    for kind, what in [*moves, *[("time", end)] * 3]:
        match kind:
            case "tell":
                told += what
                for replica in (first, second):
                    await replica.receive(*(one for one in what if one.partition in replica.share.owned()))
            case "time":
                now = max(now, what)
                # Both know it before either looks: a ledger ahead of the other's would show in running reports.
                await first.store.note_progress({0: at(now), 1: at(now)})
                for replica in (second, first):
                    await replica.at(now)
            case "restart":
                (first, second)[what].restart()
            case _:
                first.share.mine = [frozenset({0, 1}), frozenset({0}), frozenset({1}), frozenset()][what]
                second.share.mine = frozenset({0, 1}) - first.share.mine
    return first, told


@given(courses())
@settings(deadline=None, max_examples=20)
def test_published_reports_equal_an_independent_count(moves: Sequence[tuple[str, Any]]) -> None:
    """INVARIANT: for any history, told in any order, every report equals a count in SQL of the same snapshots.

    If it broke, the chairman's figures would be our code's opinion, and nobody could recount them.
    """
    replica, told = asyncio.run(play(moves))

    assert compare(replica, told, END, ORACLE) >= 4 * 5


def test_oracle_knows_every_figure() -> None:
    ORACLE.load(snapshots([changed(a_snapshot())]))
    found = ORACLE.figures([Look.at_end_of(date(2024, 11, 14))])

    assert {one.name for one in fields(Figures)} == found[Look.at_end_of(date(2024, 11, 14)), "province"].figures.keys()


async def test_edges_equal_an_independent_count() -> None:
    """Where a random history seldom comes: results at the instant a day ends, days that are just near."""
    edges: list[dict[str, Any]] = []
    for received in ("2024-11-14 23:59", "2024-11-15 00:00"):
        for accepted in (None, "2024-11-14 23:59", "2024-11-15 00:00"):
            judged = max(accepted, received) if accepted else None
            edges.append({"due": "2024-11-14", "result": received, "accepted": judged})
    # Thursday the 14th closes; the week before New Year's Day closes on the 29th; END is a Monday before Tết.
    near = ["2024-11-18", "2024-11-19", "2024-11-20", "2025-01-02", "2025-01-03", "2025-01-06"]
    edges += [{"due": due} for due in [*near, "2025-01-22", "2025-01-23", "2025-01-24", "2025-02-03", "2025-02-04"]]
    tasks = [a_snapshot(clause=f"I.{place}", agency=f"H48.{place:02d}", **one) for place, one in enumerate(edges, 1)]

    replica, told = await play([("tell", [changed(one) for one in tasks])])
    compare(replica, told, END, ORACLE)

    soon = [one for key, one in latest(replica).items() if one.totals.open_due_soon and key[3] == "province"]
    assert {one.cut_off_on for one in soon} >= {date(2024, 11, 14), date(2024, 12, 29)}


# -- found by the oracle -----------------------------------------------------------------------------------------------


async def counted_and_published(*tasks: dict[str, Any]) -> None:
    replica, told = await play([("tell", [changed(one) for one in tasks])])
    compare(replica, told, END, ORACLE)


async def test_of_two_disbursements_at_one_instant_the_last_counts() -> None:
    """As `tasks` keeps them: the last of the list is the latest word. Two in one HTTP batch have one instant."""
    paid = [{"as_of": date(2024, 10, 31), "cumulative_vnd": one, "cause": a_cause("2024-11-01")} for one in (400, 350)]

    await counted_and_published(a_snapshot(disbursements=paid))


async def test_an_extended_day_that_a_calendar_moves_is_one_extension() -> None:
    """As `tasks` counts (Task.times_extended): the calendar's version keeps given_by, its actor is the clock."""
    document = {"issued_on": "2024-10-18"}
    clock = {**a_cause("2024-11-01"), "actor": "clock"}
    deadlines = [
        a_deadline(1, date(2024, 10, 19), "2024-10-11", "directive"),
        a_deadline(2, date(2024, 11, 29), "2024-10-18", "extension", document=document),
        a_deadline(3, date(2024, 12, 2), "2024-11-01", "extension", document=document, cause=clock),
    ]

    await counted_and_published(a_snapshot(due=None, deadlines=deadlines))


async def test_a_category_without_tasks_has_no_figures() -> None:
    """A corrected category moves the task; the old category's reports are amended to zeros."""
    replica = Replica()
    told = [changed(a_snapshot(1)), changed(a_snapshot(2, category="standing"))]
    for one in told:
        await replica.receive(one)
        await replica.at("2024-11-20")

    compare(replica, told, "2024-11-20", ORACLE)
    left = [one for one in latest(replica).values() if one.scope == "category:dated"]
    assert {one.totals.total for one in left} == {0}
    assert all(one.amendment is not None for one in left if one.final)
