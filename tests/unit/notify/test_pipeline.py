"""The stages of the pipeline, each a table: why an alert is due or silent, who hears it, what goes together."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.notify.compose import Composer
from services.notify.domain.alert import KIND_OF_FACT, Alert, AlertKind, TaskState
from services.notify.domain.grouping import ALERTS_PER_MESSAGE_MAX, Delivery, grouped
from services.notify.domain.inhibit import Reason, why
from services.notify.domain.routing import Recipient, Role, Supervisors, recipients, supervisors
from services.notify.ports import Contact
from services.tasks.domain.decide import FactKind
from shared.contracts.alert_facts import AlertKind as WireKind
from shared.contracts.alert_facts import RecipientRole
from tests.support.builders import at


def an_alert(kind: AlertKind = AlertKind.DUE_SOON, **changes: Any) -> Alert:
    one = Alert(
        alert_id="H48/TB-1/II.1.h/H48.21:5",
        kind=kind,
        level=0,
        province="H48",
        task_id="H48/TB-1/II.1.h/H48.21",
        seq=5,
        directive="TB-1",
        clause="II.1.h",
        agency="H48.21",
        reviewer="H48.07",
        title="Đề xuất nhiệm vụ ưu tiên",
        last_day=date(2024, 10, 19),
        deadline_version=1,
        forwarded=False,
        received_at=at("2024-10-20 00:00"),
    )
    return replace(one, **changes)


OPEN = TaskState(seq=5, result="assigned", deadline_version=1, overdue=False)
OVERDUE = replace(OPEN, overdue=True)
ABOVE = Supervisors("H48.07", "H48.01")
AGENCY = Recipient("H48.21", Role.AGENCY)


@pytest.mark.parametrize(
    ("kind", "task", "reason"),
    [
        (AlertKind.DUE_SOON, OPEN, Reason.DUE),
        (AlertKind.DUE_SOON, OVERDUE, Reason.OVERDUE_SAYS_MORE),
        (AlertKind.DUE_SOON, replace(OPEN, result="submitted"), Reason.TASK_SUBMITTED),
        (AlertKind.DUE_SOON, replace(OPEN, deadline_version=2), Reason.DEADLINE_MOVED),
        (AlertKind.OVERDUE, OVERDUE, Reason.DUE),
        (AlertKind.OVERDUE, OPEN, Reason.RETRACTED),
        (AlertKind.OVERDUE, replace(OVERDUE, result="completed"), Reason.TASK_COMPLETED),
        (AlertKind.ESCALATION, OVERDUE, Reason.DUE),
        (AlertKind.ESCALATION, replace(OVERDUE, result="submitted"), Reason.TASK_SUBMITTED),
        (AlertKind.ESCALATION, replace(OVERDUE, result="discontinued"), Reason.TASK_ENDED),
        (AlertKind.REVIEW_REMINDER, replace(OPEN, result="submitted"), Reason.DUE),
        (AlertKind.REVIEW_REMINDER, replace(OPEN, result="completed"), Reason.RESULT_JUDGED),
        (AlertKind.ASSIGNED, OPEN, Reason.DUE),
        (AlertKind.ASSIGNED, replace(OPEN, result="transferred"), Reason.TASK_ENDED),
        (AlertKind.RESULT_RETURNED, replace(OPEN, result="in_progress"), Reason.DUE),
        (AlertKind.OVERDUE_RETRACTED, replace(OPEN, result="completed"), Reason.DUE),
        (AlertKind.EXTENSION_GRANTED, replace(OPEN, deadline_version=2), Reason.DUE),
    ],
)
def test_an_alert_is_due_or_silent_for_a_reason(kind: AlertKind, task: TaskState, reason: Reason) -> None:
    assert why(an_alert(kind), task) is reason


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        (an_alert(AlertKind.OVERDUE), [AGENCY]),
        (an_alert(AlertKind.ESCALATION, level=1), [AGENCY, Recipient("H48.21", Role.HEAD)]),
        (
            an_alert(AlertKind.ESCALATION, level=2),
            [AGENCY, Recipient("H48.21", Role.HEAD), Recipient("H48.07", Role.STANDING)],
        ),
        (
            an_alert(AlertKind.ESCALATION, level=3),
            [
                AGENCY,
                Recipient("H48.21", Role.HEAD),
                Recipient("H48.07", Role.STANDING),
                Recipient("H48.01", Role.CHAIRMAN_OFFICE),
            ],
        ),
        (an_alert(AlertKind.REVIEW_REMINDER), [Recipient("H48.07", Role.REVIEWER)]),
        (an_alert(AlertKind.OBSTACLE), [Recipient("H48.07", Role.STANDING)]),
        (an_alert(AlertKind.OBSTACLE, forwarded=True), [Recipient("H48.01", Role.CHAIRMAN_OFFICE)]),
    ],
)
def test_an_alert_goes_to_those_whom_it_concerns(alert: Alert, expected: list[Recipient]) -> None:
    assert list(recipients(alert, ABOVE)) == expected


def test_a_retraction_goes_to_exactly_those_who_were_told() -> None:
    told = {AGENCY, Recipient("H48.07", Role.STANDING)}

    assert set(recipients(an_alert(AlertKind.OVERDUE_RETRACTED), ABOVE, told)) == told


def test_without_supervisors_an_escalation_still_reaches_the_agency_and_its_head() -> None:
    found = recipients(an_alert(AlertKind.ESCALATION, level=3), Supervisors(None, None))

    assert found == (AGENCY, Recipient("H48.21", Role.HEAD))


def test_supervisors_are_found_by_their_roles() -> None:
    assert supervisors({"H48.01": "chairman_office", "H48.07": "standing"}) == ABOVE


def a_delivery(number: int, **changes: Any) -> Delivery:
    alert = an_alert(**{"alert_id": f"t{number}:1", "task_id": f"H48/TB-1/II.1.h/H48.{number}", **changes})
    return Delivery(f"d{number}", alert, AGENCY, 0)


def test_alerts_of_one_kind_and_directive_for_one_recipient_are_one_message() -> None:
    deliveries = [a_delivery(1), a_delivery(2), a_delivery(3, kind=AlertKind.OVERDUE), a_delivery(4, directive="TB-2")]

    assert [len(group.deliveries) for group in grouped(deliveries)] == [2, 1, 1]


def test_the_longest_due_comes_first() -> None:
    [group] = grouped([a_delivery(1, last_day=date(2024, 10, 19)), a_delivery(2, last_day=date(2024, 9, 1))])

    assert [one.alert.last_day for one in group.deliveries] == [date(2024, 9, 1), date(2024, 10, 19)]


def test_a_message_lists_a_bounded_number_of_alerts_and_the_rest_goes_into_the_next() -> None:
    groups = grouped([a_delivery(number) for number in range(ALERTS_PER_MESSAGE_MAX + 1)])

    assert [len(group.deliveries) for group in groups] == [ALERTS_PER_MESSAGE_MAX, 1]


def test_the_same_group_has_the_same_message_id() -> None:
    one, two = a_delivery(1), a_delivery(2)

    assert grouped([one, two])[0].message_id == grouped([two, one])[0].message_id
    assert grouped([one])[0].message_id != grouped([two])[0].message_id


def test_a_message_is_in_correct_vietnamese_with_links_and_days_late() -> None:
    [group] = grouped([a_delivery(21, kind=AlertKind.OVERDUE, title="Đề xuất <nhiệm vụ>")])
    contact = Contact("UBND huyện Bình Sơn", "a@x.example", None, None)

    message = Composer(board_url="https://dondoc.example")(group, contact, "a@x.example", now=at("2024-10-22 08:00"))

    assert message.subject == "[Đôn đốc] Quá hạn 1 nhiệm vụ – TB-1"
    assert "Kính gửi: UBND huyện Bình Sơn" in message.text
    assert "Hạn: 19/10/2024; quá hạn 3 ngày" in message.text
    assert "https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.21" in message.text
    assert "Đề xuất &lt;nhiệm vụ&gt;" in message.html


def test_every_fact_that_alerts_is_a_fact_and_every_kind_is_in_the_contract() -> None:
    assert set(KIND_OF_FACT) <= {kind.value for kind in FactKind}
    assert {kind.value for kind in AlertKind} == {kind.value for kind in WireKind}
    assert {role.value for role in Role} == {role.value for role in RecipientRole}
