"""Which column a task stands in, as of an instant."""

from dataclasses import replace
from datetime import date, datetime, time

import pytest

from services.reporting.domain.facts import (
    Allocation,
    Deadline,
    Disbursement,
    Obstacle,
    Suspension,
    TaskFacts,
)
from services.reporting.domain.schedule import UNSTATED, AsOf, Column, Judgement, schedule_at
from shared.workdays.calendar import ICT, WorkingCalendar, start_of
from tests.unit.reporting.builders import DECREE_09, a_deadline, a_result, a_task, an_end, at

OCT_19 = a_deadline("2024-10-19")
NOV_30_GRANTED = a_deadline("2024-11-30", version=2, received="2024-10-18", granted=True)
NOV_30_GRANTED_LATE = a_deadline("2024-11-30", version=2, received="2024-11-20", granted=True)


def judged(task: TaskFacts, as_of: str) -> Judgement:
    judgement = schedule_at(task, AsOf(at(as_of)))
    assert judgement is not None
    return judgement


@pytest.mark.parametrize(
    ("name", "task", "as_of", "column", "days_late"),
    [
        ("far from its day", a_task(OCT_19), "2024-10-14", Column.OPEN_IN_TIME, 0),
        # Operational day Friday the 18th; three working days before it is Tuesday the 15th.
        ("three working days before", a_task(OCT_19), "2024-10-15", Column.OPEN_DUE_SOON, 0),
        ("on its last day", a_task(OCT_19), "2024-10-19", Column.OPEN_DUE_SOON, 0),
        ("a moment before the day ends", a_task(OCT_19), "2024-10-19 23:59:59.999999", Column.OPEN_DUE_SOON, 0),
        ("the instant the day ends", a_task(OCT_19), "2024-10-20 00:00", Column.OPEN_OVERDUE, 1),
        ("long overdue", a_task(OCT_19), "2024-11-15", Column.OPEN_OVERDUE, 27),
        ("without a day", a_task(), "2025-06-01", Column.OPEN_NO_DEADLINE, 0),
        (
            "done on the last day",
            a_task(OCT_19, results=(a_result("2024-10-19 23:59", "accepted"),)),
            "2024-10-20",
            Column.DONE_ON_TIME,
            0,
        ),
        (
            "done at the instant the day had ended",
            a_task(OCT_19, results=(a_result("2024-10-20 00:00", "accepted"),)),
            "2024-10-20",
            Column.DONE_LATE,
            1,
        ),
        (
            "received on time, accepted late",
            a_task(OCT_19, results=(a_result("2024-10-18", "accepted", "2024-11-20"),)),
            "2024-11-21",
            Column.DONE_ON_TIME,
            0,
        ),
        (
            "received on time, not yet judged at that instant",
            a_task(OCT_19, results=(a_result("2024-10-18", "accepted", "2024-11-20"),)),
            "2024-11-15",
            Column.OPEN_IN_TIME,
            0,
        ),
        (
            "received late, not yet judged: the reviewer's days are not the agency's",
            a_task(OCT_19, results=(a_result("2024-10-25"),)),
            "2024-11-15",
            Column.OPEN_OVERDUE,
            6,
        ),
        (
            "handed in early, awaiting review near the day",
            a_task(OCT_19, results=(a_result("2024-10-12"),)),
            "2024-10-18",
            Column.OPEN_IN_TIME,
            0,
        ),
        (
            "returned, day not over",
            a_task(OCT_19, results=(a_result("2024-10-12", "returned", "2024-10-13"),)),
            "2024-10-14",
            Column.OPEN_IN_TIME,
            0,
        ),
        (
            "returned, day over",
            a_task(OCT_19, results=(a_result("2024-10-12", "returned", "2024-10-22"),)),
            "2024-10-23",
            Column.OPEN_OVERDUE,
            4,
        ),
        (
            "returned after that instant: still awaiting review",
            a_task(OCT_19, results=(a_result("2024-10-12", "returned", "2024-10-22"),)),
            "2024-10-21",
            Column.OPEN_IN_TIME,
            0,
        ),
        (
            "returned in time, second result late and accepted",
            a_task(
                OCT_19,
                results=(a_result("2024-10-12", "returned", "2024-10-13"), a_result("2024-10-22", "accepted")),
            ),
            "2024-10-23",
            Column.DONE_LATE,
            3,
        ),
        (
            "returned, second result in time and waiting",
            a_task(OCT_19, results=(a_result("2024-10-12", "returned", "2024-10-13"), a_result("2024-10-19 20:00"))),
            "2024-10-23",
            Column.OPEN_IN_TIME,
            0,
        ),
        ("extended in time", a_task(OCT_19, NOV_30_GRANTED), "2024-11-15", Column.OPEN_IN_TIME, 0),
        ("extended, new day over", a_task(OCT_19, NOV_30_GRANTED), "2024-12-02", Column.OPEN_OVERDUE, 2),
        (
            "extension received after that instant",
            a_task(OCT_19, NOV_30_GRANTED_LATE),
            "2024-11-15",
            Column.OPEN_OVERDUE,
            27,
        ),
        ("extension received by then", a_task(OCT_19, NOV_30_GRANTED_LATE), "2024-11-21", Column.OPEN_IN_TIME, 0),
        (
            "done against the extended day",
            a_task(OCT_19, NOV_30_GRANTED, results=(a_result("2024-11-15", "accepted"),)),
            "2024-11-16",
            Column.DONE_ON_TIME,
            0,
        ),
        (
            "done without a day",
            a_task(results=(a_result("2024-11-15", "accepted"),)),
            "2024-11-16",
            Column.DONE_ON_TIME,
            0,
        ),
        (
            "discontinued",
            a_task(OCT_19, ended=an_end("discontinued", "2024-11-01")),
            "2024-11-15",
            Column.ENDED_WITHOUT_RESULT,
            0,
        ),
        (
            "discontinued after that instant",
            a_task(OCT_19, ended=an_end("discontinued", "2024-11-20")),
            "2024-11-15",
            Column.OPEN_OVERDUE,
            27,
        ),
        (
            "transferred",
            a_task(OCT_19, ended=an_end("transferred", "2024-10-12")),
            "2024-10-13",
            Column.ENDED_WITHOUT_RESULT,
            0,
        ),
        (
            "accepted, then ended: what was accepted stays done",
            a_task(OCT_19, results=(a_result("2024-10-18", "accepted"),), ended=an_end("discontinued", "2024-11-01")),
            "2024-11-15",
            Column.DONE_ON_TIME,
            0,
        ),
    ],
)
def test_task_stands_in_its_column(name: str, task: TaskFacts, as_of: str, column: Column, days_late: int) -> None:
    judgement = judged(task, as_of)

    assert (column, days_late) == (judgement.column, judgement.days_late), name


def test_plan_for_2025_is_27_days_late() -> None:
    """II.2.g: due before 20/10/2024, so by 19/10; the plan is dated 15/11/2024 (domain §0.11)."""
    plan = a_task(OCT_19, results=(a_result("2024-11-15 16:30", "accepted"),))

    judgement = judged(plan, "2024-11-16")

    assert (judgement.column, judgement.days_late) == (Column.DONE_LATE, 27)


def test_task_does_not_exist_before_it_was_received() -> None:
    assert schedule_at(a_task(OCT_19, assigned="2024-10-11"), AsOf(at("2024-10-10"))) is None


def test_cut_off_counts_to_the_day_that_ends() -> None:
    """The 14th is over: its deadline has passed, by no full day yet, and what comes at midnight is the 15th's."""
    closing = DECREE_09.period("2024-11").closing

    due_that_day = schedule_at(a_task(a_deadline("2024-11-14")), closing)
    due_in_october = schedule_at(a_task(OCT_19), closing)
    came_at_midnight = schedule_at(a_task(OCT_19, results=(a_result("2024-11-15 00:00", "accepted"),)), closing)
    came_just_before = schedule_at(
        a_task(OCT_19, results=(a_result("2024-11-14 23:59:59.999999", "accepted"),)), closing
    )

    assert Judgement(Column.OPEN_OVERDUE, 0, date(2024, 11, 14), UNSTATED) == due_that_day
    assert Judgement(Column.OPEN_OVERDUE, 26, date(2024, 10, 19), UNSTATED) == due_in_october
    assert Judgement(Column.OPEN_OVERDUE, 26, date(2024, 10, 19), UNSTATED) == came_at_midnight
    assert Judgement(Column.DONE_LATE, 26, None, UNSTATED) == came_just_before


def test_retroactive_acceptance_does_not_change_what_was_known_at_the_cut_off() -> None:
    task = a_task(OCT_19, results=(a_result("2024-10-18", "accepted", "2024-11-20"),))

    november = schedule_at(task, DECREE_09.period("2024-11").closing)
    december = schedule_at(task, DECREE_09.period("2024-12").closing)

    assert Judgement(Column.OPEN_IN_TIME) == november
    assert Judgement(Column.DONE_ON_TIME) == december


def test_deadline_with_an_hour_passes_at_that_hour() -> None:
    noon = datetime.combine(date(2024, 10, 18), time(12), ICT)
    task = a_task(Deadline(1, date(2024, 10, 18), date(2024, 10, 18), noon, False, at("2024-10-11")))

    assert Judgement(Column.OPEN_DUE_SOON) == judged(task, "2024-10-18 11:59")
    assert Judgement(Column.OPEN_OVERDUE, 0, date(2024, 10, 18), UNSTATED) == judged(task, "2024-10-18 12:00")


def test_days_off_bring_a_deadline_near_sooner() -> None:
    task = a_task(a_deadline("2025-02-03"))
    tet = WorkingCalendar.of([date(2025, 1, day) for day in range(27, 32)], (), "Tết 2025")
    near = {
        day: (
            schedule_at(task, AsOf(at(day))).column,  # type: ignore[union-attr]
            schedule_at(task, AsOf(at(day)), calendar=tet).column,  # type: ignore[union-attr]
        )
        for day in ("2025-01-21", "2025-01-22", "2025-01-28", "2025-01-29")
    }

    in_time, soon = Column.OPEN_IN_TIME, Column.OPEN_DUE_SOON
    assert near == {
        "2025-01-21": (in_time, in_time),
        "2025-01-22": (in_time, soon),
        "2025-01-28": (in_time, soon),
        "2025-01-29": (soon, soon),
    }


def test_what_comes_along_with_the_column() -> None:
    task = a_task(
        OCT_19,
        NOV_30_GRANTED,
        obstacles=(
            Obstacle(at("2024-10-12"), None),
            Obstacle(at("2024-10-12"), at("2024-10-13")),
            Obstacle(at("2024-10-12"), at("2024-12-13")),
            Obstacle(at("2024-12-12"), None),
        ),
        allocations=(
            Allocation("vốn-1", 700, at("2024-10-12")),
            Allocation("vốn-1", 500, at("2024-10-13")),
            Allocation("vốn-2", 300, at("2024-10-14")),
            Allocation("vốn-3", 900, at("2024-12-14")),
        ),
        disbursements=(
            Disbursement(date(2024, 10, 31), 400, at("2024-11-01")),
            Disbursement(date(2024, 10, 31), 350, at("2024-11-02")),
            Disbursement(date(2024, 9, 30), 390, at("2024-11-03")),
            Disbursement(date(2024, 11, 30), 999, at("2024-12-01")),
        ),
    )

    expected = Judgement(
        Column.OPEN_IN_TIME,
        extended=True,
        extensions_granted=1,
        obstacles_open=2,
        obstacles_raised=3,
        obstacles_cleared=1,
        funded=True,
        allocated_vnd=800,
        assigned_vnd=800,
        disbursed_vnd=350,
    )
    assert expected == judged(task, "2024-11-10")


def test_money_goes_along_with_a_transfer_and_counts_once() -> None:
    money: dict[str, object] = {
        "allocations": (Allocation("vốn-1", 700, at("2024-10-12")),),
        "disbursements": (Disbursement(date(2024, 10, 31), 400, at("2024-11-01")),),
    }
    before = a_task(OCT_19, ended=an_end("transferred", "2024-11-05"), **money)  # type: ignore[arg-type]
    after = a_task(OCT_19, agency="H48.08", assigned="2024-11-05", **money)  # type: ignore[arg-type]

    together = [judged(before, "2024-11-06"), judged(after, "2024-11-06")]

    assert [(one.allocated_vnd, one.disbursed_vnd) for one in together] == [(0, 0), (700, 400)]
    assert (judged(before, "2024-11-04").allocated_vnd, judged(before, "2024-11-04").disbursed_vnd) == (700, 400)
    assert schedule_at(after, AsOf(at("2024-11-04"))) is None


SUSPENDED = (Suspension(at("2024-10-15"), at("2024-10-25")),)


@pytest.mark.parametrize(
    ("name", "task", "as_of", "column", "days_late"),
    [
        (
            "suspended over its day",
            a_task(OCT_19, suspensions=SUSPENDED),
            "2024-10-24",
            Column.OPEN_IN_TIME,
            0,
        ),
        (
            "overdue already, suspended",
            a_task(OCT_19, suspensions=(Suspension(at("2024-10-22"), None),)),
            "2024-11-15",
            Column.OPEN_OVERDUE,
            3,
        ),
        (
            "resumed with a later day",
            a_task(OCT_19, NOV_30_GRANTED, suspensions=SUSPENDED),
            "2024-11-15",
            Column.OPEN_IN_TIME,
            0,
        ),
        (
            "the resumption is not known yet at that instant",
            a_task(OCT_19, suspensions=(Suspension(at("2024-10-15"), at("2024-11-20")),)),
            "2024-11-15",
            Column.OPEN_IN_TIME,
            0,
        ),
        (
            "handed in while suspended, accepted",
            a_task(OCT_19, suspensions=SUSPENDED, results=(a_result("2024-10-23", "accepted"),)),
            "2024-11-15",
            Column.DONE_ON_TIME,
            0,
        ),
    ],
)
def test_the_clock_of_a_suspended_task_stands_still(
    name: str, task: TaskFacts, as_of: str, column: Column, days_late: int
) -> None:
    judgement = judged(task, as_of)

    assert (column, days_late) == (judgement.column, judgement.days_late), name


def test_days_start_at_midnight_in_vietnam() -> None:
    assert at("2024-11-15 00:00") == start_of(date(2024, 11, 15))


def test_a_task_that_was_extended_stays_extended_when_it_is_resumed_later() -> None:
    resumed = replace(a_deadline("2024-12-10", version=3, received="2024-11-20"), suspended_days=True)

    judgement = schedule_at(a_task(OCT_19, NOV_30_GRANTED, resumed), AsOf(at("2024-11-25")))

    assert judgement is not None
    assert judgement.extended
