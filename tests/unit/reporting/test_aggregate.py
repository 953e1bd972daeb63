"""Aggregates: identities, order, and step by step against all at once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.domain.aggregate import Books, Statement, aggregate
from services.reporting.domain.facts import (
    Allocation,
    Deadline,
    Disbursement,
    End,
    Obstacle,
    Result,
    TaskFacts,
    start_of,
)
from services.reporting.domain.periods import MONTHLY
from services.reporting.domain.report import PROVINCE_SCOPE, Figures, agency_scope
from services.reporting.domain.schedule import AsOf
from tests.unit.reporting.builders import a_deadline, a_result, a_task, at

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
        results.append(Result(received, verdict, judged))  # type: ignore[arg-type]
    return TaskFacts(
        task_id=f"task-{number}",
        seq=1,
        agency=draw(st.sampled_from(["H48.01", "H48.02", "H48.03"])),
        assigned_at=assigned,
        deadlines=tuple(deadlines),
        results=tuple(results),
        obstacles=tuple(Obstacle(draw(later), draw(st.none() | later)) for _ in range(draw(st.integers(0, 2)))),
        allocations=tuple(
            Allocation(draw(st.sampled_from("ab")), draw(st.integers(0, 99)), draw(later))
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
        for rate in (figures.on_time_of_due, figures.done_of_all):
            assert rate is None or 0 <= rate <= 100
    if existing:
        whole = by_scope[PROVINCE_SCOPE]
        assert whole.total + whole.ended_without_result == len(existing)
        parts = [figures for scope, figures in by_scope.items() if scope != PROVINCE_SCOPE]
        for column in Figures.__slots__:
            assert getattr(whole, column) == sum(getattr(part, column) for part in parts), column


@given(task_lists, instants, st.randoms(use_true_random=False))
def test_order_of_tasks_decides_nothing(facts: Sequence[TaskFacts], instant: object, random: object) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    as_of = AsOf(instant)  # type: ignore[arg-type]

    assert aggregate(facts, as_of) == aggregate(shuffled, as_of)


steps = st.lists(st.integers(0, 4).flatmap(tasks) | instants, min_size=1, max_size=30)


@given(steps)
@settings(deadline=None)
def test_step_by_step_equals_all_at_once(course: Sequence[object]) -> None:
    """INVARIANT: incremental and full recomputation agree to the last digit.

    If it broke, restarting a replica would amend closed months although nothing had happened.
    """
    latest: dict[str, TaskFacts] = {}
    books, reached = Books(MONTHLY), FIRST
    for seq, step in enumerate(course, start=1):
        if isinstance(step, TaskFacts):
            known = latest.get(step.task_id)
            # A task never changes hands: another agency's share is another task.
            agency = known.agency if known else step.agency
            latest[step.task_id] = replace(step, seq=seq, agency=agency)
            books.put(latest[step.task_id])
        else:
            reached = max(reached, step)  # type: ignore[call-overload]
        fresh = Books(MONTHLY)
        for task in latest.values():
            fresh.put(task)
        assert fresh.at(reached) == books.at(reached)


@given(task_lists, instants, instants)
@settings(deadline=None)
def test_nothing_changes_before_the_instant_foretold(facts: Sequence[TaskFacts], one: object, other: object) -> None:
    reached, later = sorted([one, other])  # type: ignore[type-var]
    books = Books(MONTHLY)
    for task in facts:
        books.put(task)

    if later < books.holds_until(reached):  # type: ignore[operator, arg-type]
        assert books.at(reached) == books.at(later)  # type: ignore[arg-type]


def test_older_version_of_a_task_is_ignored() -> None:
    books = Books(MONTHLY)
    books.put(a_task(results=(a_result("2024-10-12", "accepted"),), seq=2))
    books.put(a_task(seq=1))

    assert Figures(done_on_time=1, done_without_deadline=1) == books.at(at("2024-10-13"))[0].figures[PROVINCE_SCOPE]


def test_months_close_and_the_running_one_does_not() -> None:
    books = Books(MONTHLY)
    books.put(a_task(a_deadline("2024-10-19"), results=(a_result("2024-11-15", "accepted"),)))

    statements = books.at(at("2024-12-01"))

    scope = agency_scope("H48.07")
    assert [
        ("2024-10", True, Figures(open_in_time=1)),
        ("2024-11", True, Figures(open_overdue=1, days_late=26)),
        ("2024-12", False, Figures(done_late=1, days_late=27)),
    ] == [(one.period.id, one.final, one.figures[scope]) for one in statements]


def test_late_fact_changes_the_closed_months_it_belongs_to() -> None:
    books = Books(MONTHLY)
    before = a_task(a_deadline("2024-10-19"), seq=1)
    books.put(before)
    reached = at("2024-12-01")
    first = _of_province(books.at(reached))
    books.put(replace(before, results=(a_result("2024-11-10", "accepted"),), seq=2))
    second = _of_province(books.at(reached))

    assert first["2024-10"] == second["2024-10"]
    assert Figures(open_overdue=1, days_late=26) == first["2024-11"]
    assert Figures(done_late=1, days_late=22) == second["2024-11"] == second["2024-12"]


def _of_province(statements: Sequence[Statement]) -> dict[str, Figures]:
    return {one.period.id: one.figures[PROVINCE_SCOPE] for one in statements}
