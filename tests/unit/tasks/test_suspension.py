"""Suspension: the deadline's clock stands still, and goes on from where it stood (ADR 0011)."""

from datetime import date, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks.domain.commands import (
    AcceptResult,
    Cancel,
    GrantExtension,
    ReportProgress,
    Resume,
    SubmitResult,
    Suspend,
)
from services.tasks.domain.correction import reschedule
from services.tasks.domain.deadlines import POLICIES, Boundary, deadline, schedule_at
from services.tasks.domain.decide import advance
from services.tasks.domain.decision import FactKind, Reason, Rules
from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.domain.task import CLOCK, GivenBy, Result, Schedule, Task
from shared.workdays.calendar import WorkingCalendar
from tests.support.builders import PLAIN, REVIEWER, RULES, a_cause, a_document, a_task, after, at

OFFICE = "H48.01"
SUSPEND = Suspend("chờ hướng dẫn", a_document())
RESUME = Resume(a_document(date(2024, 10, 28)), None)
SUBMIT = SubmitResult(a_document(), "", 0, None)


def test_a_suspended_task_does_not_become_overdue() -> None:
    task = after(a_task(), (SUSPEND, "2024-10-16 09:00", OFFICE)).task

    later = advance(task, now=at("2024-12-01 00:00"), recorded_at=at("2024-12-01 00:00"), rules=RULES)

    assert task.result is Result.SUSPENDED
    assert later.facts == ()
    assert schedule_at(task, at("2024-12-01 00:00"), PLAIN) == (Schedule.ON_TRACK, 0)


def test_the_deadline_moves_by_the_days_of_the_suspension_and_the_original_stays() -> None:
    decision = after(a_task(), (SUSPEND, "2024-10-16 09:00", OFFICE), (RESUME, "2024-10-28 15:00", OFFICE))

    original, moved = decision.task.deadlines
    assert original.nominal == date(2024, 10, 19)
    assert (moved.nominal, moved.version, moved.given_by) == (date(2024, 10, 31), 2, GivenBy.RESUMPTION)
    assert moved.document == RESUME.document
    assert "tạm dừng" in moved.citation
    assert decision.reason is Reason.SUSPENDED_TIME_NOT_COUNTED
    assert decision.task.result is Result.ASSIGNED


def test_a_resumption_may_name_the_last_day() -> None:
    named = Resume(a_document(), date(2024, 12, 20))

    decision = after(a_task(), (SUSPEND, "2024-10-16 09:00", OFFICE), (named, "2024-10-28 15:00", OFFICE))

    assert decision.task.deadline is not None
    assert decision.task.deadline.nominal == date(2024, 12, 20)
    assert decision.reason is Reason.LAST_DAY_NAMED


def test_what_was_overdue_before_stays_as_many_days_late() -> None:
    task = after(a_task(), (SUSPEND, "2024-10-22 09:00", OFFICE)).task

    assert schedule_at(task, at("2024-11-20 00:00"), PLAIN) == (Schedule.OVERDUE, 3)

    # Seven days on is a Saturday, which is not rolled forward to the Monday: that would win two days.
    resumed = after(task, (RESUME, "2024-10-29 15:00", OFFICE)).task
    assert schedule_at(resumed, at("2024-10-29 16:00"), PLAIN) == (Schedule.OVERDUE, 3)
    assert [one.kind.value for one in resumed.milestones if one.retracted is None].count("overdue") == 1


def test_escalation_goes_on_where_it_stood() -> None:
    task = after(a_task(), (SUSPEND, "2024-10-22 09:00", OFFICE)).task
    assert [one.level for one in task.milestones if one.level] == [1]

    resumed = after(task, (RESUME, "2024-11-26 15:00", OFFICE)).task
    later = advance(resumed, now=at("2025-01-01 00:00"), recorded_at=at("2025-01-01 00:00"), rules=RULES).task

    assert [one.level for one in later.milestones if one.level] == [1, 2, 3]
    assert [one.kind.value for one in later.milestones].count("overdue") == 1, "told once"


def test_a_suspension_that_arrives_late_takes_back_the_overdue_that_was_fired_meanwhile() -> None:
    overdue = advance(a_task(), now=at("2024-10-25 09:00"), recorded_at=at("2024-10-25 09:00"), rules=RULES).task

    decision = after(overdue, (SUSPEND, "2024-10-18 09:00", OFFICE))

    assert [fact.kind for fact in decision.facts] == [FactKind.SUSPENDED, FactKind.OVERDUE_RETRACTED]
    assert decision.facts[-1].reason is Reason.WAS_SUSPENDED
    assert all(one.retracted for one in decision.task.milestones if one.kind.value in {"overdue", "escalation"})


def test_a_result_handed_in_while_suspended_is_on_time_and_can_be_accepted() -> None:
    task = after(
        a_task(),
        (SUSPEND, "2024-10-16 09:00", OFFICE),
        (SUBMIT, "2024-11-05 09:00"),
        (AcceptResult(""), "2024-11-06 09:00", REVIEWER),
    ).task

    assert task.result is Result.COMPLETED
    assert schedule_at(task, at("2024-12-01 00:00"), PLAIN) == (Schedule.ON_TIME, 0)


def test_a_day_granted_during_the_suspension_moves_only_by_what_followed() -> None:
    task = after(
        a_task(),
        (SUSPEND, "2024-10-16 09:00", OFFICE),
        (GrantExtension(date(2024, 11, 30), a_document(), ""), "2024-10-21 09:00", OFFICE),
        (RESUME, "2024-10-28 09:00", OFFICE),
    ).task

    assert task.deadline is not None
    assert task.deadline.nominal == date(2024, 12, 7)


def test_a_task_without_a_day_is_suspended_and_resumed_all_the_same() -> None:
    task = after(a_task(None), (SUSPEND, "2024-10-16 09:00", OFFICE), (RESUME, "2024-10-28 09:00", OFFICE)).task

    assert (task.result, task.deadlines) == (Result.ASSIGNED, ())


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([(RESUME, "2024-10-16 09:00")], Reason.NOT_SUSPENDED),
        ([(SUSPEND, "2024-10-16 09:00"), (SUSPEND, "2024-10-17 09:00")], Reason.ALREADY_SUSPENDED),
        (
            [(SUSPEND, "2024-10-16 09:00"), (Resume(a_document(), date(2024, 10, 20)), "2024-10-28 09:00")],
            Reason.LAST_DAY_IN_PAST,
        ),
        ([(Cancel("thôi", a_document()), "2024-10-16 09:00"), (SUSPEND, "2024-10-17 09:00")], Reason.TASK_ENDED),
    ],
)
def test_what_cannot_be_is_rejected_with_its_reason_and_changes_nothing(
    steps: list[tuple[Suspend | Resume | Cancel, str]], reason: Reason
) -> None:
    before = (
        after(a_task(), *[(command, when, OFFICE) for command, when in steps[:-1]]).task if steps[:-1] else a_task()
    )
    command, when = steps[-1]

    decision = after(before, (command, when, OFFICE))

    assert decision.reason is reason
    passed = advance(before, now=at(when), recorded_at=decision.facts[-1].cause.recorded_at, rules=RULES).task
    assert decision.task == passed.changed(seq=decision.task.seq)


def test_a_resumption_with_a_day_for_a_task_without_one_is_rejected() -> None:
    named = Resume(a_document(), date(2024, 12, 20))

    decision = after(a_task(None), (SUSPEND, "2024-10-16 09:00", OFFICE), (named, "2024-10-28 15:00", OFFICE))

    assert decision.reason is Reason.NO_DEADLINE_TO_MOVE


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_suspended_days_never_cost_or_win_a_day(before: int, during: int, later: int) -> None:
    """As many days remain after a suspension as before it. Weekends aside: nominal days are compared."""
    start = at("2024-10-14 09:00")
    suspended_at, resumed_at = start + timedelta(days=before), start + timedelta(days=before + during)
    task = after(
        a_task(date(2024, 11, 15)),
        (ReportProgress(1, ""), "2024-10-14 09:00"),
        (SUSPEND, f"{suspended_at + timedelta(hours=7):%Y-%m-%d %H:%M}", OFFICE),
        (RESUME, f"{resumed_at + timedelta(hours=7):%Y-%m-%d %H:%M}", OFFICE),
    ).task

    assert task.deadline is not None
    assert task.deadline.nominal - date(2024, 11, 15) == timedelta(days=during)
    assert task.deadlines[0].nominal == date(2024, 11, 15)


def by_another_calendar(task: Task, received: str, *days_off: date) -> Task:
    rules = Rules(WorkingCalendar.of(days_off, (), "another"), MilestonePolicy())
    decision = reschedule(task, None, cause=a_cause(received, CLOCK), rules=rules)
    return decision.task if decision is not None else task


def test_a_calendar_that_changes_during_a_suspension_costs_no_day_of_it() -> None:
    task = after(a_task(), (SUSPEND, "2024-10-16 09:00", OFFICE)).task
    recounted = by_another_calendar(task, "2024-10-27 09:00", date(2024, 10, 18))
    assert len(recounted.deadlines) == 2, "it moved a date"

    resumed = after(recounted, (RESUME, "2024-10-28 15:00", OFFICE)).task

    assert resumed.deadline is not None
    assert resumed.deadline.nominal == date(2024, 10, 31)


def test_a_calendar_that_changes_afterwards_leaves_it_as_many_days_late() -> None:
    """The legal day lies on a Saturday; rolled forward to the Monday it would win two days."""
    task = after(a_task(), (SUSPEND, "2024-10-22 09:00", OFFICE), (RESUME, "2024-10-29 15:00", OFFICE)).task

    recounted = by_another_calendar(task, "2024-10-29 15:30", date(2024, 10, 25))

    assert len(recounted.deadlines) == len(task.deadlines) + 1, "the operational day moved"
    assert schedule_at(recounted, at("2024-10-29 16:00"), PLAIN) == (Schedule.OVERDUE, 3)
    assert by_another_calendar(task, "2024-10-29 15:30", date(2024, 1, 1)) is task


@pytest.mark.parametrize(("suspended", "resumed"), [("18 09:00", "18 15:00"), ("17 09:00", "21 15:00")])
def test_an_hour_that_the_clock_did_not_reach_does_not_pass_during_the_suspension(suspended: str, resumed: str) -> None:
    by_ten = deadline(
        date(2024, 10, 18), POLICIES[Boundary.BY], PLAIN, version=1, cause=a_cause("2024-10-14 08:00"), hour=time(10)
    )
    task = after(
        a_task(deadlines=(by_ten,)), (SUSPEND, f"2024-10-{suspended}", OFFICE), (RESUME, f"2024-10-{resumed}", OFFICE)
    ).task

    assert schedule_at(task, at(f"2024-10-{resumed}"), PLAIN)[0] is not Schedule.OVERDUE
    assert task.deadline is not None
    assert task.deadline.due_at > at(f"2024-10-{resumed}")


@pytest.mark.parametrize("handed_in", ["2024-10-21 09:00", "2024-10-23 09:00"])
def test_a_resumption_makes_no_result_earlier(handed_in: str) -> None:
    """Handed in late, before the suspension or during it: its delay stays what it was when it was handed in."""
    if handed_in < "2024-10-22":
        waiting = after(a_task(), (SUBMIT, handed_in), (SUSPEND, "2024-10-22 09:00", OFFICE)).task
    else:
        waiting = after(a_task(), (SUSPEND, "2024-10-22 09:00", OFFICE), (SUBMIT, handed_in)).task
    late = schedule_at(waiting, at("2024-10-29 14:00"), PLAIN)
    assert late[0] is Schedule.OVERDUE

    resumed = after(waiting, (RESUME, "2024-10-29 15:00", OFFICE))
    accepted = after(resumed.task, (AcceptResult(""), "2024-10-30 09:00", REVIEWER)).task

    assert schedule_at(resumed.task, at("2024-10-30 08:00"), PLAIN) == late
    assert FactKind.OVERDUE_RETRACTED not in {fact.kind for fact in resumed.facts}
    assert schedule_at(accepted, at("2024-12-01 00:00"), PLAIN) == (Schedule.LATE, late[1])


def test_the_clock_does_not_stand_still_before_there_is_a_deadline() -> None:
    """A suspension that waited for its task was received before the period began."""
    opened = a_cause("2024-10-21 00:00", "clock")
    task = a_task(None, assigned=opened).changed(
        deadlines=(deadline(date(2024, 10, 31), POLICIES[Boundary.BEFORE], PLAIN, version=1, cause=opened),)
    )

    resumed = after(task, (SUSPEND, "2024-10-20 12:00", OFFICE), (RESUME, "2024-10-24 15:00", OFFICE)).task

    assert resumed.deadline is not None
    assert resumed.deadline.nominal == date(2024, 11, 3)
