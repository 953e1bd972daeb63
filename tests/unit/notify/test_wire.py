"""Snapshots of the tasks service → what notify knows of a task, and the alerts that their facts are."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from services.notify import wire
from services.notify.domain.alert import Alert, AlertKind, Standing, TaskState
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Stage, Step
from services.notify.domain.routing import Recipient, Role
from services.notify.ports import Decided
from services.tasks import wire as tasks_wire
from services.tasks.domain.commands import Acknowledge, GrantExtension, ReturnResult, SubmitResult
from services.tasks.domain.correction import reschedule
from services.tasks.domain.deadlines import POLICIES, Boundary, deadline
from services.tasks.domain.decide import advance, assign
from services.tasks.domain.decision import Decision, Fact, FactKind, Rules
from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.domain.task import CLOCK, Cause, Task
from shared.contracts.alert_facts import AlertDecided, AlertDecidedV2
from shared.contracts.codec import decode
from shared.contracts.topics import ALERTS, TASKS
from shared.workdays.calendar import WorkingCalendar
from tests.support.builders import AGENCY, PLAIN, REVIEWER, RULES, a_cause, a_document, a_task, after, at
from tests.unit.notify.builders import an_alert

SUBMIT = SubmitResult(a_document(), "", 0, None)
TODAY = a_cause("2024-10-14 08:00", "H48.01", "//test#directive")


def known(fact: Fact) -> TaskState:
    found = wire.state(decode(TASKS.name, tasks_wire.message(fact).value))
    assert found is not None
    return found


def alert_of(fact: Fact) -> Alert | None:
    return wire.alert(decode(TASKS.name, tasks_wire.message(fact).value))


def by(task: Task, until: str, rules: Rules = RULES) -> Decision:
    """What time does until then."""
    return advance(task, now=at(until), recorded_at=at(until), rules=rules)


def a_task_by(day: date) -> Task:
    """Its last day rolls to the next working day, so a calendar can move it."""
    return a_task(deadlines=(deadline(day, POLICIES[Boundary.BY], PLAIN, version=1, cause=TODAY),))


def off(*days: date) -> Rules:
    return Rules(WorkingCalendar.of(days, (), "later"), MilestonePolicy())


def by_calendar(task: Task, rules: Rules, now: str) -> Decision:
    instant = at(now)
    decision = reschedule(task, None, cause=Cause("calendar:later", CLOCK, instant, instant), rules=rules)
    assert decision is not None
    return decision


def granted(task: Task, last_day: date, now: str, number: str = "9/QĐ") -> Decision:
    return after(task, (GrantExtension(last_day, a_document(number=number), ""), now, "H48.01"))


# -- the state of a task -------------------------------------------------------------------------------------------


def test_a_new_task_is_known_as_its_snapshot_has_it() -> None:
    assert known(assign(a_task(seq=0)).facts[0]) == TaskState(
        seq=1,
        result="assigned",
        deadline_version=1,
        overdue_since=0,
        given_on=1,
        reminded_on=0,
        escalation=0,
        task_id="H48/TB-1/II.1.h/H48.21",
        province="H48",
        agency=AGENCY,
        directive="TB-1",
        clause="II.1.h",
        title="Đề xuất nhiệm vụ ưu tiên",
        last_day=date(2024, 10, 19),
    )


def test_a_task_without_a_day_stands_on_none() -> None:
    state = known(assign(a_task(None, seq=0)).facts[0])

    assert (state.deadline_version, state.given_on, state.last_day, state.standing) == (0, 0, None, None)


def test_reminders_the_overdue_and_its_escalations_are_known_as_time_passes() -> None:
    task, seen = a_task(), []
    for until in ("2024-10-14 09:00", "2024-10-18 09:00", "2024-10-20 00:00", "2024-10-21 09:00", "2024-10-28 09:00"):
        step = by(task, until)
        task = step.task
        state = known(step.facts[-1]) if step.facts else known(assign(replace(task, seq=0)).facts[0])
        seen.append((state.reminded_on, state.overdue_since, state.escalation, state.standing))

    assert seen == [
        (0, 0, 0, None),
        (1, 0, 0, Standing.DUE_SOON),
        (1, 1, 0, Standing.OVERDUE),
        (1, 1, 1, Standing.OVERDUE),
        (1, 1, 2, Standing.OVERDUE),
    ]


def test_what_is_handed_in_stands_no_longer_and_what_comes_back_does_again() -> None:
    late = by(a_task(), "2024-10-21 09:00").task
    submitted = after(late, (SUBMIT, "2024-10-21 10:00"))
    returned = after(submitted.task, (ReturnResult("thiếu"), "2024-10-21 11:00", REVIEWER))

    assert (known(submitted.facts[-1]).standing, known(returned.facts[-1]).standing) == (None, Standing.OVERDUE)
    assert known(returned.facts[-1]).result == "in_progress"


def test_what_is_taken_back_neither_stands_nor_escalates() -> None:
    escalated = by(a_task(), "2024-10-28 09:00").task
    facts = granted(escalated, date(2024, 12, 20), "2024-10-28 10:00").facts
    state = known(facts[-1])

    assert [fact.kind for fact in facts][-1] is FactKind.OVERDUE_RETRACTED
    assert (state.overdue_since, state.escalation, state.standing) == (0, 0, None)
    # The reminder was of the day before; of the new one nobody has been reminded.
    assert (state.reminded_on, state.deadline_version) == (1, 2)


# -- what gave the deadline ----------------------------------------------------------------------------------------

FRIDAY = date(2024, 10, 18)


def test_a_calendar_makes_a_newer_version_and_gives_no_day() -> None:
    """INVARIANT: a calendar does not make an extension old news."""
    task = a_task_by(FRIDAY)
    first = by_calendar(task, off(FRIDAY), "2024-10-15 09:00")
    second = by_calendar(first.task, off(FRIDAY, date(2024, 10, 21)), "2024-10-16 09:00")

    states = [known(one.facts[-1]) for one in (first, second)]
    assert [(one.deadline_version, one.given_on) for one in states] == [(2, 1), (3, 1)]
    assert [one.last_day for one in states] == [date(2024, 10, 21), date(2024, 10, 22)]


def test_an_extension_gives_a_day_and_a_calendar_after_it_does_not() -> None:
    extended = granted(a_task_by(FRIDAY), date(2024, 12, 20), "2024-10-15 09:00")
    recounted = by_calendar(extended.task, off(date(2024, 12, 20)), "2024-10-16 09:00")
    again = granted(recounted.task, date(2025, 1, 20), "2024-10-17 09:00", "10/QĐ")

    found = [known(one.facts[-1]) for one in (extended, recounted, again)]
    assert [(one.deadline_version, one.given_on) for one in found] == [(2, 2), (3, 2), (4, 4)]


def test_two_extensions_by_one_document_are_two_days_given() -> None:
    first = granted(a_task(), date(2024, 12, 20), "2024-10-15 09:00")
    second = granted(first.task, date(2025, 1, 20), "2024-10-15 10:00")

    assert known(second.facts[-1]).given_on == 3


def test_a_period_that_the_clock_opened_has_its_first_day_from_the_directive() -> None:
    opened = Cause("//test#directive:2024-10", CLOCK, at("2024-10-01 00:00"), at("2024-10-01 00:00"))
    task = replace(
        a_task_by(FRIDAY),
        assigned=opened,
        deadlines=(deadline(FRIDAY, POLICIES[Boundary.BY], PLAIN, version=1, cause=opened),),
    )

    assert known(assign(replace(task, seq=0)).facts[0]).given_on == 1
    assert known(by_calendar(task, off(FRIDAY), "2024-10-15 09:00").facts[-1]).given_on == 1


# -- alerts --------------------------------------------------------------------------------------------------------


def test_a_fact_is_an_alert_with_the_day_in_force_and_when_it_was_received() -> None:
    facts = granted(a_task(), date(2024, 12, 20), "2024-10-15 09:00").facts
    [fact] = [one for one in facts if one.kind is FactKind.EXTENDED]

    found = alert_of(fact)

    assert found == an_alert(
        AlertKind.EXTENSION_GRANTED,
        alert_id=f"{fact.task.task_id}:{fact.task.seq}",
        seq=fact.task.seq,
        deadline_version=2,
        last_day=date(2024, 12, 20),
        received_at=at("2024-10-15 09:00"),
    )


def test_a_milestone_is_an_alert_with_its_level_and_what_overtook_it() -> None:
    alerts = [alert for fact in by(a_task(), "2024-11-01 09:00").facts if (alert := alert_of(fact)) is not None]

    assert [(one.kind, one.level, one.superseded) for one in alerts if one.kind is not AlertKind.DUE_SOON] == [
        (AlertKind.OVERDUE, 0, False),
        (AlertKind.ESCALATION, 1, True),
        (AlertKind.ESCALATION, 2, True),
        (AlertKind.ESCALATION, 3, False),
    ]


@pytest.mark.parametrize(
    ("changes", "continues"),
    [({}, False), ({"period": "2024-10"}, True), ({"predecessor": "H48/TB-1/II.1.h/H48.30"}, True)],
)
def test_a_period_or_a_succession_opens_no_new_directive(changes: dict[str, Any], continues: bool) -> None:
    found = alert_of(assign(a_task(seq=0, cooperating=("H48.03",), **changes)).facts[0])

    assert found is not None
    assert (found.kind, found.continues, found.cooperating) == (AlertKind.ASSIGNED, continues, ("H48.03",))


def test_what_an_agency_does_itself_and_a_calendar_are_no_alerts() -> None:
    facts = after(a_task(None), (Acknowledge(), "2024-10-15 08:00"), (SUBMIT, "2024-10-15 09:00")).facts
    facts += by_calendar(a_task_by(FRIDAY), off(FRIDAY), "2024-10-15 09:00").facts

    assert [alert_of(fact) for fact in facts] == [None] * len(facts)
    assert len(facts) >= 3


@pytest.mark.parametrize("kind", list(AlertKind))
def test_every_decision_can_be_read_from_the_topic(kind: AlertKind) -> None:
    decided_at: datetime = at("2024-10-21 09:00")
    recipients = tuple(Recipient("H48.21", role) for role in Role)
    one = Decided(an_alert(kind, level=2), 0, Reason.DUE, recipients, decided_at, (Step(Stage.INHIBIT, "due"),))

    topic, key, value = wire.message(one)

    found = decode(topic, value).data
    assert isinstance(found, AlertDecided | AlertDecidedV2)
    assert (topic, key, str(found.kind), found.outcome) == (ALERTS.name, one.alert.task_id, kind.value, "notify")
    assert found.alert_id == one.alert.alert_id
    assert len(found.recipients) == len(Role)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_can_be_read_from_the_topic(reason: Reason) -> None:
    one = Decided(an_alert(), 0, reason, (), at("2024-10-21 09:00"))

    found = decode(ALERTS.name, wire.message(one)[2]).data

    assert isinstance(found, AlertDecided)
    assert (found.reason, found.outcome) == (reason.value, "notify" if reason is Reason.DUE else "silent")
