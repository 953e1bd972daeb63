"""The rules of a task, one sentence a test; and what must hold for any stream of commands."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tasks.domain.commands import (
    AcceptResult,
    Acknowledge,
    Allocate,
    AnswerObstacle,
    Cancel,
    ClearObstacle,
    Command,
    ForwardObstacle,
    GrantExtension,
    RaiseObstacle,
    Reassign,
    RefuseExtension,
    ReportDisbursement,
    ReportProgress,
    RequestExtension,
    ReturnResult,
    SubmitResult,
)
from services.tasks.domain.decide import advance, decide
from services.tasks.domain.decision import FactKind, Reason
from services.tasks.domain.milestones import next_at
from services.tasks.domain.succession import succeed
from services.tasks.domain.task import Result, Task
from tests.support.builders import AGENCY, PLAIN, REVIEWER, RULES, a_cause, a_document, a_task, after, at

SUBMIT = SubmitResult(a_document(), "", 1, None)
ACCEPT = AcceptResult("")
RETURN = ReturnResult("thiếu số liệu")
GRANT = GrantExtension(date(2024, 11, 15), a_document(), "")
ASK = RequestExtension(date(2024, 11, 15), "chờ hướng dẫn")


def kinds(task: Task, *steps: tuple[Command, str] | tuple[Command, str, str]) -> list[str]:
    return [fact.kind.value for fact in after(task, *steps).facts]


def test_a_task_goes_from_assigned_to_completed_through_the_reviewer() -> None:
    task = a_task()
    assert task.result is Result.ASSIGNED

    working = after(task, (Acknowledge(), "2024-10-14 09:00"), (ReportProgress(40, ""), "2024-10-15 07:00")).task
    assert working.result is Result.IN_PROGRESS
    submitted = after(working, (SUBMIT, "2024-10-15 08:30")).task
    assert submitted.result is Result.SUBMITTED
    returned = after(submitted, (RETURN, "2024-10-15 09:00", REVIEWER)).task
    assert returned.result is Result.IN_PROGRESS
    done = after(returned, (SUBMIT, "2024-10-15 10:00"), (ACCEPT, "2024-10-15 11:00", REVIEWER)).task
    assert done.result is Result.COMPLETED


def test_the_agency_cannot_close_its_own_task() -> None:
    assert after(a_task(), (SUBMIT, "2024-10-14 09:00"), (ACCEPT, "2024-10-14 10:00", AGENCY)).reason is (
        Reason.NOT_THE_REVIEWER
    )


def test_a_periodic_report_is_accepted_automatically_as_of_its_receipt() -> None:
    decision = after(a_task(acceptance="automatic"), (SUBMIT, "2024-10-14 09:00"))

    assert [fact.kind for fact in decision.facts] == [FactKind.RESULT_RECEIVED, FactKind.COMPLETED]
    assert decision.task.result is Result.COMPLETED


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([(SUBMIT, "2024-10-14 09:00", "H48.99")], Reason.NOT_YOURS),
        ([(ACCEPT, "2024-10-14 09:00", REVIEWER)], Reason.NOTHING_TO_JUDGE),
        ([(SUBMIT, "2024-10-14 10:00"), (ACCEPT, "2024-10-14 09:00", REVIEWER)], Reason.NOTHING_TO_JUDGE),
        (
            [(SUBMIT, "2024-10-14 09:00"), (ACCEPT, "2024-10-14 10:00", REVIEWER), (SUBMIT, "2024-10-14 11:00")],
            Reason.TASK_COMPLETED,
        ),
        (
            [(Cancel("không tiếp tục", a_document()), "2024-10-14 09:00", "H48.01"), (SUBMIT, "2024-10-14 10:00")],
            Reason.TASK_ENDED,
        ),
        ([(RequestExtension(date(2024, 10, 19), "x"), "2024-10-14 09:00")], Reason.EXTENSION_NOT_LATER),
        (
            [(GrantExtension(date(2024, 10, 18), a_document(), ""), "2024-10-14 09:00", "H48.01")],
            Reason.EXTENSION_NOT_LATER,
        ),
        ([(RefuseExtension("không"), "2024-10-14 09:00", "H48.01")], Reason.NO_EXTENSION_REQUESTED),
        ([(ClearObstacle("o1"), "2024-10-14 09:00")], Reason.UNKNOWN_OBSTACLE),
        (
            [
                (RaiseObstacle("o1", "thiếu máy", False), "2024-10-14 09:00"),
                (RaiseObstacle("o1", "lại", False), "2024-10-14 10:00"),
            ],
            Reason.OBSTACLE_EXISTS,
        ),
        ([(ReportDisbursement(date(2024, 10, 15), 1), "2024-10-14 09:00")], Reason.AS_OF_IN_FUTURE),
        ([(Reassign(AGENCY, "x", a_document()), "2024-10-14 09:00", "H48.01")], Reason.SAME_AGENCY),
    ],
)
def test_a_rejected_command_changes_nothing_and_says_why(
    steps: list[tuple[Command, str] | tuple[Command, str, str]], reason: Reason
) -> None:
    before = after(a_task(), *steps[:-1]).task if len(steps) > 1 else a_task()
    decision = after(before, steps[-1])

    assert decision.reason is reason
    assert decision.rejected
    assert replace(decision.task, seq=0) == replace(before, seq=0)
    assert [fact.kind for fact in decision.facts] == [FactKind.REJECTED]


def test_no_deadline_no_extension() -> None:
    assert after(a_task(due=None), (ASK, "2024-10-14 09:00")).reason is Reason.NO_DEADLINE_TO_EXTEND


def test_time_reminds_then_tells_then_escalates_each_once_in_order() -> None:
    decision = advance(a_task(), now=at("2024-12-01 00:00"), recorded_at=at("2024-12-01 00:00"), rules=RULES)

    # 7 working days before 18/10 lies before the assignment on 14/10 and reminds of nothing.
    assert [(fact.kind.value, fact.new, fact.cause.received_at) for fact in decision.facts] == [
        ("due_soon", "due_soon-3", at("2024-10-15 08:00")),
        ("due_soon", "due_soon-1", at("2024-10-17 08:00")),
        ("due_soon", "due_soon-0", at("2024-10-18 08:00")),
        ("overdue", "overdue", at("2024-10-20 00:00")),
        ("escalated", "escalation-1", at("2024-10-21 08:00")),
        ("escalated", "escalation-2", at("2024-10-25 08:00")),
        ("escalated", "escalation-3", at("2024-11-01 08:00")),
    ]
    again = advance(decision.task, now=at("2025-12-01 00:00"), recorded_at=at("2025-12-01 00:00"), rules=RULES)
    assert again.facts == ()


def test_a_submitted_task_is_left_alone_and_its_reviewer_is_reminded() -> None:
    waiting = after(a_task(), (SUBMIT, "2024-10-14 09:00")).task

    decision = advance(waiting, now=at("2024-12-01 00:00"), recorded_at=at("2024-12-01 00:00"), rules=RULES)

    assert {fact.kind for fact in decision.facts} == {FactKind.REVIEW_DUE}


def test_an_extension_takes_back_the_overdue_and_arms_the_new_day_in_the_same_decision() -> None:
    decision = after(a_task(), (ASK, "2024-10-22 09:00"), (GRANT, "2024-10-23 09:00", "H48.01"))

    assert [fact.kind.value for fact in decision.facts][-2:] == ["extended", "overdue_retracted"]
    assert all(one.retracted for one in decision.task.milestones if one.kind.value in {"overdue", "escalation"})
    assert decision.task.extensions[0].outcome == "granted"
    assert next_at(decision.task, RULES.milestones, PLAIN) == at("2024-11-06 08:00")


def test_a_result_in_time_that_arrives_here_late_takes_back_the_overdue() -> None:
    overdue = advance(a_task(), now=at("2024-10-20 00:00"), recorded_at=at("2024-10-20 00:00"), rules=RULES).task

    decision = decide(overdue, SUBMIT, cause=a_cause("2024-10-19 23:58"), rules=RULES)

    assert [fact.kind.value for fact in decision.facts] == ["result_received", "overdue_retracted"]
    assert decision.task.milestones[-1].retracted is not None


def test_a_retracted_overdue_fires_again_when_the_result_is_returned() -> None:
    overdue = advance(a_task(), now=at("2024-10-20 00:00"), recorded_at=at("2024-10-20 00:00"), rules=RULES).task
    in_time = decide(overdue, SUBMIT, cause=a_cause("2024-10-19 23:58"), rules=RULES).task

    returned = after(in_time, (RETURN, "2024-10-20 10:00", REVIEWER)).task
    again = advance(returned, now=at("2024-10-20 11:00"), recorded_at=at("2024-10-20 11:00"), rules=RULES)

    assert [fact.kind.value for fact in again.facts] == ["overdue"]


def test_an_older_word_on_progress_never_overwrites_a_newer_one() -> None:
    newer = after(a_task(), (ReportProgress(60, ""), "2024-10-14 12:00")).task

    assert after(newer, (ReportProgress(40, ""), "2024-10-14 11:00")).task.progress == newer.progress


def test_a_smaller_disbursement_reported_later_is_a_correction_and_both_are_kept() -> None:
    task = after(
        a_task(),
        (ReportDisbursement(date(2024, 10, 10), 500), "2024-10-14 09:00"),
        (ReportDisbursement(date(2024, 10, 10), 300), "2024-10-14 10:00"),
    ).task

    assert [entry.cumulative_vnd for entry in task.disbursements] == [500, 300]


def test_an_obstacle_goes_through_its_stages() -> None:
    task = after(
        a_task(),
        (RaiseObstacle("o1", "vượt thẩm quyền", True), "2024-10-14 09:00"),
        (ForwardObstacle("o1", "chairman"), "2024-10-14 10:00", "H48.07"),
        (AnswerObstacle("o1"), "2024-10-14 11:00", "H48.01"),
        (ClearObstacle("o1"), "2024-10-14 12:00"),
    ).task

    [obstacle] = task.obstacles
    assert (obstacle.forwarded_to, obstacle.answered is not None, obstacle.cleared is not None) == (
        "chairman",
        True,
        True,
    )


def test_a_reassigned_task_ends_here_and_goes_on_there_with_the_same_deadline() -> None:
    decision = after(a_task(), (Reassign("H48.30", "chuyển chức năng", a_document()), "2024-10-14 09:00", "H48.01"))
    successor = succeed(decision.task, "H48.30", a_cause(), with_work=False)

    assert decision.task.result is Result.TRANSFERRED
    assert successor.deadlines == decision.task.deadlines
    assert (successor.task_id, successor.predecessor) == ("H48/TB-1/II.1.h/H48.30", decision.task.task_id)


def test_an_allocation_with_the_same_id_replaces_the_amount() -> None:
    task = after(
        a_task(),
        (Allocate("QĐ371", 2024, 100, a_document()), "2024-10-14 09:00", "H48.01"),
        (Allocate("QĐ371", 2024, 150, a_document()), "2024-10-14 10:00", "H48.01"),
    ).task

    assert [one.amount_vnd for one in task.allocations] == [150]


def test_money_keeps_whose_plan_it_is_and_a_smaller_later_figure_corrects() -> None:
    task = after(
        a_task(),
        (Allocate("a", 2024, 100, a_document()), "2024-10-14 09:00", "H48.01"),
        (Allocate("b", 2024, 40, a_document(), "carried_over"), "2024-10-14 10:00", "H48.01"),
        (ReportDisbursement(date(2024, 10, 10), 90), "2024-10-14 11:00"),
        (ReportDisbursement(date(2024, 10, 10), 70), "2024-10-15 11:00"),
    ).task

    assert [(one.plan, one.amount_vnd) for one in task.allocations] == [("assigned", 100), ("carried_over", 40)]
    assert [one.cumulative_vnd for one in task.disbursements] == [90, 70], "both kept, the later one counts"


# -- any stream ------------------------------------------------------------------------------------------------------

COMMANDS: list[tuple[Command, str]] = [
    (Acknowledge(), AGENCY),
    (ReportProgress(30, ""), AGENCY),
    (SUBMIT, AGENCY),
    (ACCEPT, REVIEWER),
    (RETURN, REVIEWER),
    (ASK, AGENCY),
    (GRANT, "H48.01"),
    (GrantExtension(date(2024, 12, 20), a_document(), ""), "H48.01"),
    (RefuseExtension("không"), "H48.01"),
    (RaiseObstacle("o1", "x", False), AGENCY),
    (ClearObstacle("o1"), AGENCY),
    (ReportDisbursement(date(2024, 10, 1), 5), AGENCY),
    (Cancel("x", a_document()), "H48.01"),
]
START = at("2024-10-14 09:00")
streams = st.lists(st.tuples(st.integers(0, 120 * 24), st.sampled_from(COMMANDS)), max_size=12).map(
    lambda steps: sorted(steps, key=lambda step: step[0])
)


def run(task: Task, steps: list[tuple[int, tuple[Command, str]]], ticks: set[int]) -> tuple[Task, list[str]]:
    """Apply a stream; `ticks`: after which steps a timer also comes by."""
    facts: list[str] = []
    for number, (hours, (command, actor)) in enumerate(steps):
        received = START + timedelta(hours=hours)
        decision = decide(task, command, cause=a_cause(received, actor, f"e{number}"), rules=RULES)
        task = decision.task
        facts += [f"{fact.task.seq}:{fact.kind}:{fact.cause.event_id}" for fact in decision.facts]
        if number in ticks:
            # A partition's own time never passes what was received.
            timed = advance(task, now=received, recorded_at=received, rules=RULES)
            task = timed.task
            facts += [f"{fact.task.seq}:{fact.kind}:{fact.cause.event_id}" for fact in timed.facts]
    end = START + timedelta(days=365)
    final = advance(task, now=end, recorded_at=end, rules=RULES)
    return final.task, facts + [f"{f.task.seq}:{f.kind}:{f.cause.event_id}" for f in final.facts]


@given(streams, st.sets(st.integers(0, 11)))
@settings(max_examples=150, deadline=None)
def test_timers_that_come_by_more_often_change_nothing(
    steps: list[tuple[int, tuple[Command, str]]], ticks: set[int]
) -> None:
    """INVARIANT: the same submissions give the same facts, however often time is looked at in between.

    If this broke, a restart or a slow replica would decide whether an agency was overdue.
    """
    _, without = run(a_task(), steps, set())
    _, with_ticks = run(a_task(), steps, ticks)

    assert without == with_ticks


@given(streams)
@settings(max_examples=150, deadline=None)
def test_the_original_deadline_and_the_order_of_facts_survive_any_stream(
    steps: list[tuple[int, tuple[Command, str]]],
) -> None:
    """INVARIANT: an extension never changes the original, and facts are numbered without gaps.

    If this broke, a report could hide that a deadline was moved, or a consumer could drop a fact.
    """
    before = a_task()

    task, facts = run(before, steps, set())

    assert task.deadlines[0] == before.deadlines[0]
    assert [int(fact.split(":")[0]) for fact in facts] == list(range(2, len(facts) + 2))
    assert task.seq == 1 + len(facts)


def test_a_changed_task_is_what_replace_makes_and_leaves_the_old_one_alone() -> None:
    task = a_task()

    assert task.changed(seq=7, progress=None) == replace(task, seq=7, progress=None)
    assert task.seq != 7
    with pytest.raises(AssertionError):
        task.changed(sequence=7)
