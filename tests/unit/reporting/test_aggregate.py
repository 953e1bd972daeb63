"""Aggregates: identities, order, and step by step against all at once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.domain.aggregate import aggregate, groups_of, labels
from services.reporting.domain.facts import (
    Allocation,
    Deadline,
    Disbursement,
    End,
    Extension,
    Obstacle,
    Result,
    Suspension,
    TaskFacts,
)
from services.reporting.domain.figures import Figures, sum_up, unpacked
from services.reporting.domain.ledger import Ledger
from services.reporting.domain.periods import Kind
from services.reporting.domain.schedule import AsOf, schedule_at
from services.reporting.domain.scopes import NO_GROUP, PROVINCE_SCOPE, agency_scope
from services.reporting.domain.trace import difference, moment, trace
from services.reporting.handlers import Book
from shared.workdays.calendar import start_of
from tests.unit.reporting.builders import DECREE_09, a_deadline, a_result, a_task, at

FIRST = start_of(date(2024, 10, 11))
instants = st.integers(0, 150 * 24).map(lambda hours: FIRST + timedelta(hours=hours))
days = st.integers(0, 150).map(lambda count: date(2024, 10, 11) + timedelta(days=count))


@st.composite
def tasks(draw: st.DrawFn, number: int) -> TaskFacts:
    assigned = draw(instants)
    later = instants.map(lambda instant: max(instant, assigned))
    deadlines = []
    for version in range(1, draw(st.integers(0, 3)) + 1):
        legal = draw(days)
        deadlines.append(Deadline(version, legal, legal, start_of(legal + timedelta(days=1)), version > 1, draw(later)))
    results = []
    for _ in range(draw(st.integers(0, 3))):
        received = draw(later)
        verdict = draw(st.sampled_from(["accepted", "returned", None]))
        judged = max(draw(instants), received) if verdict else None
        cause = draw(st.sampled_from([None, "money", "external", "of the future"]))
        results.append(Result(received, verdict, judged, cause))  # type: ignore[arg-type]
    return TaskFacts(
        task_id=f"task-{number}",
        seq=1,
        agency=draw(st.sampled_from(["H48.01", "H48.02", "H48.03"])),
        assigned_at=assigned,
        deadlines=tuple(deadlines),
        results=tuple(results),
        directive=draw(st.sampled_from(["A", "B"])),
        category=draw(st.sampled_from(["dated", "standing"])),
        extensions=tuple(
            Extension(draw(later), draw(st.sampled_from(["granted", "refused"])), draw(later))
            if draw(st.booleans())
            else Extension(draw(later))
            for _ in range(draw(st.integers(0, 2)))
        ),
        suspensions=tuple(Suspension(draw(later), draw(st.none() | later)) for _ in range(draw(st.integers(0, 1)))),
        obstacles=tuple(
            Obstacle(draw(later), draw(st.none() | later), draw(st.none() | later), draw(st.none() | later))
            for _ in range(draw(st.integers(0, 2)))
        ),
        allocations=tuple(
            Allocation(draw(st.sampled_from("ab")), draw(st.integers(0, 99)), draw(later), draw(st.booleans()))
            for _ in range(draw(st.integers(0, 2)))
        ),
        disbursements=tuple(
            Disbursement(draw(days), draw(st.integers(0, 99)), draw(later)) for _ in range(draw(st.integers(0, 2)))
        ),
        ended=draw(st.none() | st.builds(End, st.sampled_from(["discontinued", "transferred"]), later)),
    )


task_lists = st.integers(0, 8).flatmap(lambda count: st.tuples(*(tasks(number) for number in range(count))))


@given(task_lists, instants, st.booleans())
def test_identities_hold(facts: Sequence[TaskFacts], instant: object, day_ends: bool) -> None:
    """INVARIANT: every task stands in one column, and agencies add up to the province.

    If it broke, two numbers of one report would contradict each other in front of the chairman.
    """
    as_of = AsOf(instant, day_ends)  # type: ignore[arg-type]
    by_scope = aggregate(facts, as_of)

    existing = [task for task in facts if as_of.knows(task.assigned_at)]
    assert bool(existing) == bool(by_scope)
    for figures in by_scope.values():
        assert figures.done == figures.done_on_time + figures.done_late
        assert figures.open == (
            figures.open_in_time + figures.open_due_soon + figures.open_overdue + figures.open_no_deadline
        )
        assert figures.total == figures.done + figures.open
        assert figures.days_late >= figures.done_late
        figures.check()
        for rate in (figures.on_time_of_due, figures.done_of_all):
            assert rate is None or 0 <= rate <= 100
    if existing:
        whole = by_scope[PROVINCE_SCOPE]
        assert whole.total + whole.ended_without_result == len(existing)
        for kind in ("agency:", "directive:", "category:"):
            parts = [figures for scope, figures in by_scope.items() if scope.startswith(kind)]
            assert sum(parts[1:], parts[0]) == whole, kind


@given(task_lists, instants, st.randoms(use_true_random=False))
def test_order_of_tasks_decides_nothing(facts: Sequence[TaskFacts], instant: object, random: object) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    as_of = AsOf(instant)  # type: ignore[arg-type]

    assert aggregate(facts, as_of) == aggregate(shuffled, as_of)


steps = st.lists(st.integers(0, 4).flatmap(tasks) | instants, min_size=1, max_size=30)


def book_of(ledgers: Sequence[Ledger], reached: datetime) -> Book:
    portions = {
        (number, cut_off): (1, sums)
        for number, ledger in enumerate(ledgers)
        for cut_off, sums in ledger.portions().items()
    }
    day = AsOf(reached).day
    return Book(portions, DECREE_09.cut_off_after(day), day)


@given(steps, st.integers(1, 3))
@settings(deadline=None, max_examples=300)
def test_step_by_step_equals_all_at_once(course: Sequence[object], replicas: int) -> None:
    """INVARIANT: ledgers that replicas keep up to date, added up, and full recomputation agree to the last digit.

    As of now and as of every cut-off. If it broke, restarting a replica would amend closed months although nothing had
    happened.
    """
    latest: dict[str, TaskFacts] = {}
    ledgers, reached = [Ledger(DECREE_09) for _ in range(replicas)], FIRST
    for step in course:
        if isinstance(step, TaskFacts):
            known = latest.get(step.task_id)
            # A task never changes hands: another agency's share is another task. Its category may be corrected.
            latest[step.task_id] = task = replace(step, agency=known.agency if known else step.agency)
            old = (labels(known), trace(known)) if known else None
            ledgers[hash(task.task_id) % replicas].put(old, (labels(task), trace(task)))
        else:
            reached = max(reached, step)  # type: ignore[call-overload]
        for ledger in ledgers:
            ledger.advance(moment(AsOf(reached)))
    made_now = Ledger(DECREE_09, moment(AsOf(reached)))
    for task in latest.values():
        made_now.put(None, (labels(task), trace(task)))

    for book in (book_of(ledgers, reached), book_of([made_now], reached)):
        assert book.at(None) == aggregate(latest.values(), AsOf(reached))
        for kind in Kind:
            for period in DECREE_09.between(kind, FIRST, reached):
                if period.ends_at <= reached:
                    assert book.at(period.cut_off_on) == aggregate(latest.values(), period.closing), period.id


@given(tasks(1), st.lists(instants, min_size=1, max_size=5), st.booleans())
@settings(deadline=None)
def test_trace_says_at_any_moment_what_the_judgement_says(task: TaskFacts, when: list[datetime], ends: bool) -> None:
    followed = trace(task)
    for instant in (*when, *task.instants(), *(one.due_at for one in task.deadlines)):
        as_of = AsOf(instant, ends)
        judged = schedule_at(task, as_of)

        adds = followed.adds_at(moment(as_of))
        assert unpacked(adds, as_of.day) == (sum_up([judged], as_of) if judged is not None else Figures())


@given(tasks(1), tasks(1))
@settings(deadline=None)
def test_difference_leads_from_one_trace_to_the_other(old: TaskFacts, new: TaskFacts) -> None:
    before, after = trace(old), trace(new)
    differences = list(difference(before, after))

    for at_, _ in (*before.steps, *after.steps):
        assert before.adds_at(at_) + sum(one.adds for one in differences if one.at <= at_) == after.adds_at(at_)
    assert list(difference(before, before)) == []


def test_a_change_of_label_moves_all_that_a_task_adds() -> None:
    task = a_task(a_deadline("2024-10-19"), category="dated")
    ledger = Ledger(DECREE_09)
    reached = at("2024-12-01")
    ledger.advance(moment(AsOf(reached)))
    ledger.put(None, (labels(task), trace(task)))
    moved = replace(task, category="standing")
    ledger.put((labels(task), trace(task)), (labels(moved), trace(moved)))

    for cut_off in (None, date(2024, 11, 14)):
        found = book_of([ledger], reached).at(cut_off)
        assert "category:dated" not in found
        assert found["category:standing"] == found[PROVINCE_SCOPE]


def test_months_close_and_the_running_one_does_not() -> None:
    task = a_task(a_deadline("2024-10-19"), results=(a_result("2024-11-15", "accepted"),))
    ledger = Ledger(DECREE_09)
    ledger.put(None, (labels(task), trace(task)))
    ledger.advance(moment(AsOf(at("2024-12-01"))))
    book = book_of([ledger], at("2024-12-01"))

    scope = agency_scope("H48.07")
    assert Figures(open_in_time=1) == book.at(date(2024, 10, 14))[scope]
    assert Figures(open_overdue=1, days_late=26, late_unstated=1) == book.at(date(2024, 11, 14))[scope]
    assert Figures(done_late=1, days_late=27, late_unstated=1) == book.at(None)[scope]


def test_figures_of_report_1270_from_tasks() -> None:
    """BC 1270/BC-TCTTTg 27/12/2017 (domain §2.5), counted from 21,914 tasks one by one."""
    cut_off = DECREE_09.period("2024-12").closing
    kinds = [
        (14_068, a_task(a_deadline("2024-11-30"), results=(a_result("2024-11-20", "accepted"),))),
        (1_983, a_task(a_deadline("2024-11-30"), results=(a_result("2024-12-02", "accepted"),))),
        (5_640, a_task(a_deadline("2025-06-30"))),
        (223, a_task(a_deadline("2024-12-10"))),
    ]
    ledger = Ledger(DECREE_09)
    for count, task in kinds:
        followed = trace(task)
        for _ in range(count):
            ledger.put(None, (labels(task), followed))
    ledger.advance(moment(cut_off))
    figures = book_of([ledger], cut_off.instant).at(date(2024, 12, 14))[PROVINCE_SCOPE]

    assert (figures.done, figures.done_on_time, figures.done_late) == (16_051, 14_068, 1_983)
    assert (figures.open, figures.open_in_time, figures.open_overdue) == (5_863, 5_640, 223)
    assert figures.total == 21_914
    assert (figures.done_of_all, figures.on_time_of_due) == (Decimal("73.25"), Decimal("86.44"))


def test_groups_overlap_and_an_agency_without_one_is_counted_as_such() -> None:
    found = groups_of({"A": ("@all", "@districts"), "B": ("@all",)}, ["province", "agency:A", "agency:B", "agency:C"])

    assert found == {"group:@all": ("A", "B"), "group:@districts": ("A",), NO_GROUP: ("C",)}
