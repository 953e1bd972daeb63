"""Later revisions of a directive, named days, and calendars that change: dates move only where they must."""

from dataclasses import replace
from datetime import date, time
from typing import Any

import pytest

from services.tasks.domain.commands import AcceptResult, GrantExtension, SubmitResult
from services.tasks.domain.correction import align, give_day, reschedule
from services.tasks.domain.deadlines import (
    POLICIES,
    Boundary,
    ByReferenceRule,
    ConditionalRule,
    DueRule,
    FixedRule,
    OpenEndedRule,
    RecurringRule,
    RelativeRule,
    deadline,
    schedule_at,
)
from services.tasks.domain.decide import advance
from services.tasks.domain.decision import Decision, FactKind, Reason, Rules
from services.tasks.domain.directive import Obligation, Pause, occurrence_tasks, period_tasks, tasks_of
from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.domain.recurrence import opened_by
from services.tasks.domain.succession import succeed
from services.tasks.domain.task import GivenBy, Schedule, Task
from shared.workdays.calendar import WorkingCalendar
from tests.support.builders import AGENCY, PLAIN, REVIEWER, RULES, a_cause, a_document, a_task, after, at

ISSUED = a_cause("2024-10-14 08:00", "H48.01", "//test#directive")
REVISED = a_cause("2024-10-17 08:00", "H48.01", "//test#revision")
BEFORE_20 = FixedRule(Boundary.BEFORE, date(2024, 10, 20))


def an_obligation(due: DueRule = BEFORE_20, **changes: Any) -> Obligation:
    known = a_task()
    fields: dict[str, Any] = {
        "province": known.province,
        "directive": known.directive,
        "clause": known.clause,
        "title": known.title,
        "phrase": known.phrase,
        "category": known.category,
        "bases": known.bases,
        "leads": (AGENCY,),
        "cooperating": (),
        "due": due,
        "acceptance": known.acceptance,
        "reviewer": REVIEWER,
        "prior_document": None,
        "issued": REVISED,
        "source": a_document(date(2024, 10, 16), "12/TB-UBND"),
        "revision": 2,
    }
    return Obligation(**{**fields, **changes})


def aligned(task: Task, obligation: Obligation | None, origin: Task | None = None) -> Decision | None:
    return align(task, obligation, origin or task, a_document(), REVISED, RULES)


def test_what_did_not_change_is_left_alone() -> None:
    assert aligned(a_task(), an_obligation()) is None


def test_words_are_corrected_and_the_deadline_stays() -> None:
    decision = aligned(a_task(), an_obligation(title="Nội dung đính chính", cooperating=("H48.03", AGENCY)))

    assert decision is not None
    assert (decision.task.title, decision.task.cooperating) == ("Nội dung đính chính", ("H48.03",))
    assert decision.task.deadlines == a_task().deadlines
    assert [fact.kind for fact in decision.facts] == [FactKind.CORRECTED]
    assert decision.reason is Reason.DIRECTIVE_CORRECTED


def test_a_corrected_day_is_a_new_version_with_the_revision_as_its_document() -> None:
    decision = aligned(a_task(), an_obligation(FixedRule(Boundary.BEFORE, date(2024, 11, 1))))

    assert decision is not None
    original, corrected = decision.task.deadlines
    assert original.nominal == date(2024, 10, 19)
    assert (corrected.nominal, corrected.version, corrected.given_by) == (date(2024, 10, 31), 2, GivenBy.CORRECTION)
    assert corrected.document is not None
    assert corrected.document.number == "12/TB-UBND"
    assert decision.task.times_extended == 0, "a correction is no extension"


def test_a_corrected_hour_is_a_corrected_day() -> None:
    decision = aligned(a_task(), an_obligation(replace(BEFORE_20, hour=time(16, 0))))

    assert decision is not None
    assert decision.task.deadline is not None
    assert decision.task.deadline.due_at == at("2024-10-19 16:00")


def test_a_later_day_takes_back_an_overdue() -> None:
    overdue = advance(a_task(), now=at("2024-10-22 09:00"), recorded_at=at("2024-10-22 09:00"), rules=RULES).task
    later = an_obligation(FixedRule(Boundary.BEFORE, date(2024, 12, 1)))

    decision = aligned(overdue, later)

    assert decision is not None
    assert [fact.kind for fact in decision.facts] == [FactKind.CORRECTED, FactKind.OVERDUE_RETRACTED]


def test_an_extension_that_was_granted_stands() -> None:
    extended = after(
        a_task(), (GrantExtension(date(2024, 11, 30), a_document(), ""), "2024-10-16 09:00", "H48.01")
    ).task

    assert aligned(extended, an_obligation(FixedRule(Boundary.BEFORE, date(2024, 11, 1)))) is None


@pytest.mark.parametrize(
    ("obligation", "reason"),
    [
        (None, Reason.CLAUSE_WITHDRAWN),
        (an_obligation(withdrawn=True), Reason.CLAUSE_WITHDRAWN),
        (an_obligation(leads=("H48.22",)), Reason.NO_LONGER_NAMED),
        (an_obligation(RecurringRule("monthly", Boundary.BEFORE, 20, date(2024, 10, 14))), Reason.NO_LONGER_NAMED),
    ],
    ids=["clause gone", "clause withdrawn", "another lead", "another rhythm"],
)
def test_what_the_directive_knows_no_more_ends_with_the_revision_as_its_document(
    obligation: Obligation | None, reason: Reason
) -> None:
    decision = aligned(a_task(), obligation)

    assert decision is not None
    assert decision.task.ended is not None
    assert (decision.reason, decision.task.ended.how) == (reason, "discontinued")


def test_a_task_that_another_agency_took_over_is_still_its_leads() -> None:
    assert aligned(a_task(agency="H48.40", task_id="H48/TB-1/II.1.h/H48.40"), an_obligation(), a_task()) is None


def test_what_is_completed_is_not_touched() -> None:
    done = after(
        a_task(),
        (SubmitResult(a_document(), "", 0, None), "2024-10-16 09:00"),
        (AcceptResult(""), "2024-10-16 10:00", REVIEWER),
    ).task

    assert aligned(done, None) is None


def test_periods_keep_their_names_and_get_the_corrected_day() -> None:
    monthly = RecurringRule("monthly", Boundary.BEFORE, 20, date(2024, 10, 14))
    before = an_obligation(monthly, issued=ISSUED, revision=1)
    [october] = tasks_of(before, until=at("2024-10-17 08:00"), recorded_at=at("2024-10-17 08:00"), rules=RULES)

    decision = aligned(october, an_obligation(replace(monthly, day=25)))

    assert decision is not None
    assert [one.nominal for one in decision.task.deadlines] == [date(2024, 10, 19), date(2024, 10, 24)]


def test_a_period_that_opened_in_a_pause_ends_and_one_from_before_stays() -> None:
    monthly = RecurringRule("monthly", Boundary.BEFORE, 20, date(2024, 10, 14))
    running = an_obligation(monthly, issued=ISSUED)
    paused = replace(running, pauses=(Pause(a_cause("2024-10-28 09:00"), a_document()),))
    until = at("2024-11-02 00:00")
    tasks = [
        task
        for period in opened_by(monthly, until)
        for task in period_tasks(running, period, recorded_at=until, rules=RULES)
    ]
    assert [task.period for task in tasks] == ["2024-10", "2024-11"]

    decisions = [aligned(task, paused) for task in tasks]

    assert [decision and decision.reason for decision in decisions] == [None, Reason.PERIOD_SUSPENDED]
    assert decisions[1] is not None
    assert decisions[1].facts[-1].cause.event_id == paused.pauses[0].begun.event_id, "the pause did it, not who noticed"
    heir = succeed(tasks[1], "H48.22", a_cause("2024-11-03 08:00", "H48.01"), with_work=True)
    left_out = aligned(heir, paused, tasks[1])
    assert left_out is not None
    assert left_out.reason is Reason.PERIOD_SUSPENDED, "whoever holds it now"
    [_, november] = opened_by(monthly, until)
    assert list(period_tasks(paused, november, recorded_at=until, rules=RULES)) == []


# -- conditions and references -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "nominal"),
    [
        (ConditionalRule("vượt thẩm quyền", 5, True), date(2024, 11, 22)),  # working days after Friday 15/11
        (ConditionalRule("vượt thẩm quyền", 5, False), date(2024, 11, 20)),
        (ConditionalRule("nếu phát sinh khó khăn", None, False), None),  # "kịp thời"
    ],
)
def test_each_occurrence_opens_a_task_of_its_own(rule: ConditionalRule, nominal: date | None) -> None:
    obligation = an_obligation(rule, clause="II.6-3")
    cause = a_cause("2024-11-15 09:00", "H48.01")

    [task] = occurrence_tasks(obligation, [AGENCY], date(2024, 11, 15), a_document(), cause=cause, rules=RULES)

    assert (task.task_id, task.period) == (f"H48/TB-1/II.6-3/{AGENCY}/2024-11-15", "2024-11-15")
    assert (task.deadline and task.deadline.nominal) == nominal
    assert (task.deadline and task.deadline.given_by) == (GivenBy.TRIGGER if nominal else None)
    assert list(tasks_of(obligation, until=at("2025-12-31 00:00"), recorded_at=ISSUED.recorded_at, rules=RULES)) == []


def test_what_was_triggered_stays_when_its_directive_is_corrected() -> None:
    rule = ConditionalRule("vượt thẩm quyền", 5, True)
    cause = a_cause("2024-11-15 09:00", "H48.01")
    [task] = occurrence_tasks(an_obligation(rule), [AGENCY], date(2024, 11, 15), None, cause=cause, rules=RULES)

    assert aligned(task, an_obligation(rule)) is None
    changed = aligned(task, an_obligation(replace(rule, days=10)))
    assert changed is not None
    assert [one.nominal for one in changed.task.deadlines] == [date(2024, 11, 22), date(2024, 11, 29)]


def test_a_task_by_reference_gets_its_day_when_it_is_known() -> None:
    [task] = tasks_of(
        an_obligation(ByReferenceRule("Luật Đầu tư công"), issued=ISSUED),
        until=ISSUED.received_at,
        recorded_at=ISSUED.recorded_at,
        rules=RULES,
    )
    assert task.deadlines == ()
    document = a_document(date(2024, 11, 20), "7001/UBND-KGVX")

    dated = give_day(task, FixedRule(Boundary.BY, date(2024, 12, 15)), document, cause=REVISED, rules=RULES)

    assert dated is not None
    [named] = dated.task.deadlines
    assert (named.nominal, named.legal, named.given_by) == (date(2024, 12, 15), date(2024, 12, 16), GivenBy.REFERENCE)
    assert named.document == document
    assert give_day(dated.task, FixedRule(Boundary.BY, date(2025, 1, 15)), document, cause=REVISED, rules=RULES) is None


# -- calendars -----------------------------------------------------------------------------------------------------

MAY_2 = date(2025, 5, 2)
SWAPPED = Rules(WorkingCalendar.of([MAY_2], [date(2025, 4, 26)], "2026-12"), MilestonePolicy())
CHANGED = a_cause("2025-03-03 08:00", "clock", "calendar:2026-12 default")


def due_on(day: date, boundary: Boundary = Boundary.BY) -> Task:
    task = a_task(None)
    return task.changed(deadlines=(deadline(day, POLICIES[boundary], PLAIN, version=1, cause=task.assigned),))


def test_a_swapped_day_moves_only_deadlines_that_fall_on_it() -> None:
    moved = reschedule(due_on(MAY_2), None, cause=CHANGED, rules=SWAPPED)
    same = reschedule(due_on(date(2025, 5, 6)), None, cause=CHANGED, rules=SWAPPED)

    assert same is None
    assert moved is not None
    original, again = moved.task.deadlines
    assert (again.nominal, again.legal, again.operational) == (MAY_2, date(2025, 5, 5), date(2025, 5, 1))
    assert (again.version, again.given_by) == (2, original.given_by)
    assert [fact.kind for fact in moved.facts] == [FactKind.RESCHEDULED]


def test_a_saturday_that_is_worked_takes_a_roll_back() -> None:
    task = due_on(date(2025, 4, 26))
    assert task.deadline is not None
    assert task.deadline.legal == date(2025, 4, 28)

    moved = reschedule(task, None, cause=CHANGED, rules=SWAPPED)

    assert moved is not None
    assert moved.task.deadline is not None
    assert moved.task.deadline.legal == date(2025, 4, 26)


def test_an_extended_day_stays_an_extension_and_is_counted_once() -> None:
    extended = after(
        a_task(), (GrantExtension(MAY_2, a_document(), ""), "2024-10-16 09:00", "H48.01"), rules=RULES
    ).task

    moved = reschedule(extended, None, cause=CHANGED, rules=SWAPPED)

    assert moved is not None
    assert moved.task.deadline is not None
    assert moved.task.deadline.given_by is GivenBy.EXTENSION
    assert moved.task.times_extended == 1


def test_an_overdue_that_the_calendar_takes_away_is_retracted() -> None:
    overdue = advance(due_on(MAY_2), now=at("2025-05-03 00:30"), recorded_at=at("2025-05-03 00:30"), rules=RULES).task

    late_word = a_cause("2025-05-03 08:00", "clock", "calendar:2026-12 default")
    moved = reschedule(overdue, None, cause=late_word, rules=SWAPPED)

    assert moved is not None
    assert [fact.kind for fact in moved.facts] == [FactKind.RESCHEDULED, FactKind.OVERDUE_RETRACTED]


def test_an_overdue_that_stands_is_not_told_twice() -> None:
    task = due_on(MAY_2, Boundary.BEFORE).changed(
        deadlines=(deadline(MAY_2, POLICIES[Boundary.BEFORE], PLAIN, version=1, cause=a_cause()),)
    )
    overdue = advance(task, now=at("2025-05-20 00:30"), recorded_at=at("2025-05-20 00:30"), rules=RULES).task

    moved = reschedule(overdue, None, cause=a_cause("2025-05-20 08:00", "clock"), rules=SWAPPED)

    assert moved is not None, "its operational day moved"
    later = advance(moved.task, now=at("2025-09-01 00:00"), recorded_at=at("2025-09-01 00:00"), rules=SWAPPED)
    assert later.facts == ()


def test_working_days_are_counted_anew_by_the_rule() -> None:
    """Five working days after 29/4/2025: 7/5 by the plain week, 8/5 when 2/5 is off."""
    obligation = an_obligation(RelativeRule(5, True, date(2025, 4, 29)), issued=ISSUED)
    [task] = tasks_of(obligation, until=ISSUED.received_at, recorded_at=ISSUED.recorded_at, rules=RULES)
    assert task.deadline is not None
    assert task.deadline.nominal == date(2025, 5, 6)

    moved = reschedule(task, obligation, cause=CHANGED, rules=SWAPPED)

    assert moved is not None
    assert moved.task.deadline is not None
    assert moved.task.deadline.nominal == date(2025, 5, 7)


def test_a_task_without_a_day_has_nothing_to_move() -> None:
    assert reschedule(a_task(None), an_obligation(OpenEndedRule("standing")), cause=CHANGED, rules=SWAPPED) is None


@pytest.mark.parametrize("period", ["2024", "2024-Q4", "2024-11", "2024-W45"])
def test_a_period_is_no_occurrence_when_the_clause_becomes_conditional(period: str) -> None:
    decision = aligned(a_task(period=period), an_obligation(ConditionalRule("khi phát sinh", 5, False)))

    assert decision is not None
    assert decision.reason is Reason.NO_LONGER_NAMED


def test_a_day_that_moves_beyond_a_waiting_result_takes_back_its_overdue() -> None:
    """The new day has passed by now, yet the result was received before it."""
    handed_in = after(a_task(), (SubmitResult(a_document(), "", 0, None), "2024-10-22 09:00")).task
    moved = an_obligation(FixedRule(Boundary.BEFORE, date(2024, 10, 25)))

    decision = align(handed_in, moved, handed_in, a_document(), a_cause("2024-10-30 09:00", "H48.01"), RULES)

    assert decision is not None
    assert schedule_at(decision.task, at("2024-10-30 10:00"), PLAIN) == (Schedule.ON_TRACK, 0)
    assert decision.facts[-1].kind is FactKind.OVERDUE_RETRACTED


def test_a_calendar_that_moves_the_day_beyond_a_waiting_result_takes_back_its_overdue() -> None:
    friday = deadline(date(2024, 10, 18), POLICIES[Boundary.BY], PLAIN, version=1, cause=ISSUED)
    handed_in = after(a_task(deadlines=(friday,)), (SubmitResult(a_document(), "", 0, None), "2024-10-21 09:00")).task
    assert schedule_at(handed_in, at("2024-10-30 10:00"), PLAIN)[0] is Schedule.OVERDUE
    rules = Rules(WorkingCalendar.of([date(2024, 10, 18)], (), "another"), MilestonePolicy())

    decision = reschedule(handed_in, None, cause=a_cause("2024-10-30 09:00", "clock"), rules=rules)

    assert decision is not None
    assert schedule_at(decision.task, at("2024-10-30 10:00"), PLAIN) == (Schedule.ON_TRACK, 0)
    assert decision.facts[-1].kind is FactKind.OVERDUE_RETRACTED


@pytest.mark.parametrize("working", [False, True])
def test_a_share_that_was_taken_over_does_not_count_its_days_anew(working: bool) -> None:
    """Thirty days after the task was assigned: not after the successor got it."""
    said = an_obligation(RelativeRule(30, working, None), issued=a_cause("2024-10-14 08:00", "H48.01"))
    [task] = tasks_of(said, until=at("2024-10-14 09:00"), recorded_at=at("2024-10-14 09:00"), rules=RULES)
    heir = succeed(task, "H48.22", a_cause("2024-11-01 08:00", "H48.01"), with_work=True)
    cause = a_cause("2024-11-05 08:00", "H48.01")

    corrected = align(heir, replace(said, title="đính chính"), task, a_document(), cause, RULES)

    assert corrected is not None
    assert corrected.task.deadlines == task.deadlines
    assert reschedule(heir, said, cause=cause, rules=RULES) is None


def test_whoever_slept_over_a_pause_neither_begins_it_again_nor_ends_a_later_one() -> None:
    """INVARIANT: a clause pauses once for each decision; a second time, nothing would ever open again."""
    first, second = (Pause(a_cause(day, "H48.01"), a_document()) for day in ("2024-10-28 09:00", "2024-11-10 09:00"))
    resumption = a_cause("2024-11-05 09:00", "H48.01")
    paused = an_obligation(issued=ISSUED).paused(first)

    again = paused.resumed(resumption).paused(first)
    later = again.paused(second).resumed(resumption)

    assert [one.ended for one in again.pauses] == [resumption]
    assert [one.ended for one in later.pauses] == [resumption, None]
