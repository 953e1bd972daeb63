"""After an outage every missed milestone fires once, with its delay, and says whether a later one says more."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.tasks.domain.commands import ReturnResult, SubmitResult
from services.tasks.domain.decide import advance
from services.tasks.domain.task import Milestone, Task
from tests.support.builders import REVIEWER, RULES, a_document, a_task, after, at

START, END = at("2024-10-14 09:00"), at("2024-11-15 09:00")


def test_what_fires_on_time_is_marked_with_nothing() -> None:
    [reminder] = advance(
        a_task(), now=at("2024-10-15 08:00"), recorded_at=at("2024-10-15 08:00:01"), rules=RULES
    ).task.milestones

    assert (reminder.late_seconds, reminder.superseded_by) == (1, None)


def test_after_an_outage_each_is_marked_late_and_with_the_one_that_says_more() -> None:
    task = advance(a_task(), now=END, recorded_at=END, rules=RULES).task

    said = [(one.id.split(":")[1], one.superseded_by and one.superseded_by.split(":")[1]) for one in task.milestones]
    assert said == [
        ("due_soon-3", "overdue"),
        ("due_soon-1", "overdue"),
        ("due_soon-0", "overdue"),
        ("overdue", None),
        ("escalation-1", "escalation-3"),
        ("escalation-2", "escalation-3"),
        ("escalation-3", None),
    ]
    overdue = task.milestones[3]
    assert overdue.late_seconds == int((END - overdue.at).total_seconds())


def test_reminders_alone_are_overtaken_by_the_nearest_one() -> None:
    friday = at("2024-10-18 09:00")

    task = advance(a_task(), now=friday, recorded_at=friday, rules=RULES).task

    assert [one.superseded_by is None for one in task.milestones] == [False, False, True]
    assert {one.superseded_by for one in task.milestones[:2]} == {task.milestones[2].id}


def test_a_result_that_was_long_under_review_is_not_escalated_at_once_when_it_goes_back() -> None:
    """Handed in on time, reviewed for twenty days: overdue from the return on, and the levels after their days."""
    task = after(
        a_task(),
        (SubmitResult(a_document(), "", 0, None), "2024-10-18 09:00"),
        (ReturnResult("thiếu"), "2024-11-07 10:00", REVIEWER),
    ).task

    late = advance(task, now=at("2024-12-01 00:00"), recorded_at=at("2024-12-01 00:00"), rules=RULES).task

    fired = [(one.kind.value, one.level, one.at) for one in late.milestones if one.deadline_version and one.at > START]
    assert [one for one in fired if one[0] in {"overdue", "escalation"}] == [
        ("overdue", 0, at("2024-11-07 10:00")),
        ("escalation", 1, at("2024-11-08 08:00")),
        ("escalation", 2, at("2024-11-14 08:00")),
        ("escalation", 3, at("2024-11-21 08:00")),
    ]


def test_what_was_overdue_before_it_was_handed_in_stays_so_when_it_goes_back() -> None:
    task = after(
        a_task(),
        (SubmitResult(a_document(), "", 0, None), "2024-10-22 09:00"),
        (ReturnResult("thiếu"), "2024-11-07 10:00", REVIEWER),
    ).task

    late = advance(task, now=at("2024-12-01 00:00"), recorded_at=at("2024-12-01 00:00"), rules=RULES).task

    assert [(one.level, one.at) for one in late.milestones if one.kind.value == "escalation"] == [
        (1, at("2024-10-21 08:00")),
        (2, at("2024-11-14 08:00")),
        (3, at("2024-11-21 08:00")),
    ]


@given(st.lists(st.integers(0, 32 * 24), max_size=12))
def test_however_often_somebody_looks_the_same_milestones_fire_at_the_same_instants(hours: list[int]) -> None:
    """Looks decide what is marked as overtaken; they never add, drop or move a milestone."""

    def watched(looks: list[int]) -> list[tuple[str, object]]:
        task: Task = a_task()
        for look in [*sorted(looks), 32 * 24]:
            now = START + timedelta(hours=look)
            task = advance(task, now=now, recorded_at=now, rules=RULES).task
        return [(one.id, one.at) for one in task.milestones]

    assert watched(hours) == watched([])


@given(st.lists(st.integers(0, 32 * 24), max_size=12))
def test_of_what_was_due_at_a_look_one_of_each_kind_is_left_to_tell(hours: list[int]) -> None:
    task: Task = a_task()
    for look in [*sorted(hours), 32 * 24]:
        now = START + timedelta(hours=look)
        before = len(task.milestones)
        task = advance(task, now=now, recorded_at=now, rules=RULES).task
        fired: tuple[Milestone, ...] = task.milestones[before:]
        told = [one.kind for one in fired if one.superseded_by is None]
        assert len(told) == len(set(told)), "one word of each kind a look"
