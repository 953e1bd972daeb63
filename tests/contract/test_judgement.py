"""tasks judges, reporting judges: for any history both say the same column and the same days late."""

from datetime import date, time, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.domain.schedule import AsOf, Column
from services.reporting.domain.schedule import schedule_at as reported_at
from services.reporting.wire import read_snapshot, task_facts
from services.tasks import wire
from services.tasks.domain.commands import (
    AcceptResult,
    Cancel,
    Command,
    GrantExtension,
    Reassign,
    ReportProgress,
    Resume,
    ReturnResult,
    SubmitResult,
    Suspend,
)
from services.tasks.domain.correction import correct, reschedule
from services.tasks.domain.deadlines import POLICIES, Boundary, FixedRule, deadline, schedule_at
from services.tasks.domain.decide import advance, decide
from services.tasks.domain.decision import Rules
from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.domain.task import STANDING, Result, Schedule, Task
from shared.workdays.calendar import WorkingCalendar
from tests.support.builders import AGENCY, PLAIN, REVIEWER, RULES, a_cause, a_document, a_task, at
from tests.unit.tasks.test_correction import an_obligation

OFFICE = "H48.01"
START = at("2024-10-14 08:00")
DAYS = st.dates(date(2024, 10, 15), date(2024, 12, 15))
Step = Command | FixedRule | frozenset[date]
"""A command, a correction of the rule, or the days off of another calendar."""
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.just(SubmitResult(a_document(), "", 0, None)),
    st.just(ReportProgress(50, "")),
    st.just(AcceptResult("")),
    st.just(ReturnResult("thiếu")),
    st.just(Suspend("chờ", a_document())),
    st.builds(Resume, st.just(a_document()), st.none() | DAYS),
    st.builds(GrantExtension, DAYS, st.just(a_document()), st.just("")),
    st.builds(FixedRule, st.just(Boundary.BEFORE), DAYS, st.none(), st.none() | st.just(time(10))),
    st.frozensets(DAYS, max_size=4),
    st.just(Cancel("thôi", a_document())),
    st.just(Reassign("H48.22", "chuyển", a_document())),
)
GAPS = st.lists(st.integers(1, 9 * 24 * 60), min_size=10, max_size=10)
COLUMNS = {
    Schedule.NO_DEADLINE: Column.OPEN_NO_DEADLINE,
    Schedule.ON_TRACK: Column.OPEN_IN_TIME,
    Schedule.DUE_SOON: Column.OPEN_DUE_SOON,
    Schedule.OVERDUE: Column.OPEN_OVERDUE,
    Schedule.ON_TIME: Column.DONE_ON_TIME,
    Schedule.LATE: Column.DONE_LATE,
}


def _applied(task: Task, step: Step, minutes: int, acceptance: str) -> Task:
    received = START + timedelta(minutes=minutes)
    match step:
        case FixedRule():
            said = an_obligation(step, acceptance=acceptance)
            found = correct(task, said, cause=a_cause(received, OFFICE), rules=RULES)
        case frozenset():
            rules = Rules(WorkingCalendar.of(step, (), "another"), MilestonePolicy())
            found = reschedule(task, None, cause=a_cause(received, "clock"), rules=rules)
        case _:
            actor = {
                SubmitResult: AGENCY,
                ReportProgress: AGENCY,
                AcceptResult: REVIEWER,
                ReturnResult: REVIEWER,
            }.get(type(step), OFFICE)
            found = decide(task, step, cause=a_cause(received, actor), rules=RULES)
    return found.task if found is not None else task


@settings(max_examples=1_500, deadline=None)
@given(
    st.lists(STEPS, min_size=1, max_size=10), GAPS, st.sampled_from(["reviewer", "automatic"]), st.none() | st.just(10)
)
def test_both_judge_any_history_alike(steps: list[Step], gaps: list[int], acceptance: str, hour: int | None) -> None:
    cause = a_cause(START, OFFICE)
    first = deadline(
        date(2024, 10, 25),
        POLICIES[Boundary.BY],
        PLAIN,
        version=1,
        cause=cause,
        hour=time(hour) if hour is not None else None,
    )
    task = a_task(acceptance=acceptance, assigned=cause, deadlines=(first,))
    minutes = 0
    for step, gap in zip(steps, gaps, strict=False):
        minutes += gap
        task = _applied(task, step, minutes, acceptance)
    for later in (1, 60 * 24, 20 * 60 * 24):
        now = START + timedelta(minutes=minutes + later)
        task = advance(task, now=now, recorded_at=now, rules=RULES).task
        schedule, days_late = schedule_at(task, now, PLAIN)
        judged = reported_at(task_facts(read_snapshot(wire.snapshot_json(task).decode())), AsOf(now))
        assert judged is not None
        assert task.deadlines[0] == first, "the original stays"
        if task.result in {Result.DISCONTINUED, Result.TRANSFERRED}:
            assert judged.column is Column.ENDED_WITHOUT_RESULT
            continue
        assert judged.extended is (task.times_extended > 0)
        assert (judged.column, judged.days_late) == (COLUMNS[schedule], days_late)
        standing = [one for one in task.milestones if one.kind in STANDING and one.retracted is None]
        if task.is_open and schedule not in {Schedule.OVERDUE}:
            assert not standing, "nobody is overdue whose schedule says otherwise"
