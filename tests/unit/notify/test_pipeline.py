"""The stages of the pipeline, each a table: why an alert is due or silent, who hears it, what goes together."""

from dataclasses import replace
from datetime import date

import pytest

from services.notify.domain.alert import KIND_OF_FACT, Alert, AlertKind, TaskState
from services.notify.domain.dedup import Heard, Reach, delivery_id, may_have_heard, once, reach_before
from services.notify.domain.grouping import Delivery, grouped, waiting_key
from services.notify.domain.inhibit import Reason, why
from services.notify.domain.routing import Recipient, Role, Supervisors, recipients, supervisors
from services.tasks.domain.decision import FactKind
from shared.contracts.alert_facts import AlertKind as WireKind
from shared.contracts.alert_facts import RecipientRole
from tests.unit.notify.builders import ABOVE, AGENCY, CHAIRMAN, HEAD, OPEN, OVERDUE, STANDING, a_delivery, an_alert

K, R = AlertKind, Reason

# -- inhibit -------------------------------------------------------------------------------------------------------


def state(result: str, task: TaskState = OPEN) -> TaskState:
    return replace(task, result=result)


MOVED = replace(OPEN, deadline_version=2)


@pytest.mark.parametrize(
    ("kind", "task", "reason"),
    [
        (K.DUE_SOON, OPEN, R.DUE),
        (K.DUE_SOON, state("in_progress"), R.DUE),
        (K.DUE_SOON, OVERDUE, R.OVERDUE_SAYS_MORE),
        (K.DUE_SOON, state("submitted"), R.TASK_SUBMITTED),
        (K.DUE_SOON, state("suspended"), R.TASK_SUSPENDED),
        (K.DUE_SOON, MOVED, R.DEADLINE_MOVED),
        (K.OVERDUE, OVERDUE, R.DUE),
        (K.OVERDUE, OPEN, R.RETRACTED),
        (K.OVERDUE, state("completed", OVERDUE), R.TASK_COMPLETED),
        # A newer version of the deadline on which the overdue still stands: a calendar, a correction.
        (K.OVERDUE, replace(OVERDUE, deadline_version=2), R.DUE),
        (K.OVERDUE, MOVED, R.DEADLINE_MOVED),
        (K.OVERDUE, replace(MOVED, overdue_since=2), R.DEADLINE_MOVED),
        (K.ESCALATION, OVERDUE, R.DUE),
        (K.ESCALATION, OPEN, R.RETRACTED),
        (K.ESCALATION, state("submitted", OVERDUE), R.TASK_SUBMITTED),
        (K.ESCALATION, state("discontinued", OVERDUE), R.TASK_ENDED),
        (K.REVIEW_REMINDER, state("submitted"), R.DUE),
        (K.REVIEW_REMINDER, state("in_progress"), R.RESULT_JUDGED),
        (K.REVIEW_REMINDER, state("completed"), R.RESULT_JUDGED),
        (K.ASSIGNED, OPEN, R.DUE),
        (K.ASSIGNED, MOVED, R.DUE),
        (K.ASSIGNED, state("submitted"), R.TASK_SUBMITTED),
        (K.ASSIGNED, state("transferred"), R.TASK_ENDED),
        (K.RESULT_RETURNED, state("in_progress"), R.DUE),
        (K.RESULT_RETURNED, state("submitted"), R.TASK_SUBMITTED),
        (K.RESULT_RETURNED, state("completed"), R.TASK_COMPLETED),
        (K.EXTENSION_GRANTED, OPEN, R.DUE),
        (K.EXTENSION_GRANTED, state("submitted"), R.DUE),
        (K.EXTENSION_GRANTED, MOVED, R.DEADLINE_MOVED),
        (K.EXTENSION_GRANTED, state("completed"), R.TASK_COMPLETED),
        (K.EXTENSION_REFUSED, OVERDUE, R.DUE),
        (K.EXTENSION_REFUSED, state("discontinued"), R.TASK_ENDED),
        (K.OBSTACLE, OPEN, R.DUE),
        (K.OBSTACLE, state("submitted"), R.DUE),
        (K.OBSTACLE, state("completed"), R.TASK_COMPLETED),
        (K.CHANGED, OPEN, R.DUE),
        (K.CHANGED, state("suspended"), R.DUE),
        (K.CHANGED, state("completed"), R.TASK_COMPLETED),
        (K.CONTRIBUTION, state("suspended"), R.DUE),
        (K.SUCCESSION, state("submitted"), R.DUE),
        (K.SUCCESSION, state("transferred"), R.TASK_ENDED),
        (K.OVERDUE_RETRACTED, state("completed"), R.DUE),
        (K.ENDED, state("discontinued"), R.DUE),
        (K.ENDED, state("transferred"), R.DUE),
    ],
)
def test_an_alert_is_due_or_silent_for_a_reason(kind: AlertKind, task: TaskState, reason: Reason) -> None:
    assert why(an_alert(kind), task) is reason


@pytest.mark.parametrize(
    ("kind", "task", "reason"),
    [
        (K.DUE_SOON, OPEN, R.SUPERSEDED),
        (K.DUE_SOON, OVERDUE, R.OVERDUE_SAYS_MORE),
        (K.ESCALATION, OVERDUE, R.SUPERSEDED),
        (K.ESCALATION, OPEN, R.RETRACTED),
    ],
)
def test_what_an_outage_overtook_stays_silent(kind: AlertKind, task: TaskState, reason: Reason) -> None:
    assert why(an_alert(kind, superseded=True), task) is reason


# -- route ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        (an_alert(K.ASSIGNED), [AGENCY]),
        (an_alert(K.DUE_SOON), [AGENCY]),
        (an_alert(K.OVERDUE), [AGENCY]),
        (an_alert(K.RESULT_RETURNED), [AGENCY]),
        (an_alert(K.EXTENSION_GRANTED), [AGENCY]),
        (an_alert(K.EXTENSION_REFUSED), [AGENCY]),
        (an_alert(K.ENDED), [AGENCY]),
        (an_alert(K.ESCALATION, level=1), [AGENCY, HEAD]),
        (an_alert(K.ESCALATION, level=2), [AGENCY, HEAD, STANDING]),
        (an_alert(K.ESCALATION, level=3), [AGENCY, HEAD, STANDING, CHAIRMAN]),
        (an_alert(K.REVIEW_REMINDER), [Recipient("H48.07", Role.REVIEWER)]),
        (an_alert(K.OBSTACLE), [STANDING]),
        (an_alert(K.OBSTACLE, forwarded=True), [CHAIRMAN]),
        (an_alert(K.CHANGED), [AGENCY]),
        (an_alert(K.CONTRIBUTION), [AGENCY]),
        (an_alert(K.CONTRIBUTION, contributor="H48.03"), [Recipient("H48.03", Role.AGENCY)]),
        (an_alert(K.SUCCESSION), [STANDING]),
        (an_alert(K.OVERDUE_RETRACTED), []),
    ],
)
def test_an_alert_goes_to_those_whom_it_concerns(alert: Alert, expected: list[Recipient]) -> None:
    assert list(recipients(alert, ABOVE)) == expected


def test_a_retraction_goes_to_exactly_those_who_were_told() -> None:
    assert set(recipients(an_alert(K.OVERDUE_RETRACTED), ABOVE, {AGENCY, STANDING})) == {AGENCY, STANDING}


def test_without_supervisors_an_escalation_still_reaches_the_agency_and_its_head() -> None:
    found = recipients(an_alert(K.ESCALATION, level=3), Supervisors(None, None))

    assert found == (AGENCY, HEAD)


def test_supervisors_are_found_by_their_roles() -> None:
    assert supervisors({"H48.01": "chairman_office", "H48.09": "standing", "H48.07": "standing"}) == ABOVE
    assert supervisors({"H48.21": "agency"}) == Supervisors(None, None)


# -- dedup ---------------------------------------------------------------------------------------------------------


def test_a_fact_that_stands_twice_in_a_batch_counts_once() -> None:
    one, other = an_alert(alert_id="a:1"), an_alert(alert_id="a:2")

    assert once([(one, 0), (other, 0), (one, 7)]) == [(one, 0), (other, 0)]


def test_a_delivery_is_named_by_alert_role_agency_and_channel() -> None:
    assert delivery_id("t:5", HEAD, "email") == "t:5:head:H48.21:email"
    assert delivery_id("t:5", AGENCY, "email") != delivery_id("t:5", HEAD, "email")


def heard(kind: AlertKind, seq: int, reach: Reach, recipient: Recipient = AGENCY) -> Heard:
    return Heard(kind, seq, recipient, reach)


@pytest.mark.parametrize(
    ("story", "reach"),
    [
        ([], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD)], Reach.TOLD),
        ([heard(K.OVERDUE, 5, Reach.PENDING)], Reach.PENDING),
        ([heard(K.OVERDUE, 5, Reach.NOT_TOLD)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.NOT_TOLD), heard(K.ESCALATION, 6, Reach.TOLD)], Reach.TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.ESCALATION, 6, Reach.PENDING)], Reach.TOLD),
        # Somebody else's, and what came after, are no reason.
        ([heard(K.OVERDUE, 5, Reach.TOLD, STANDING)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 11, Reach.TOLD)], Reach.NOT_TOLD),
        # Taken back already: only what was told since counts.
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 7, Reach.TOLD)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 7, Reach.PENDING)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 7, Reach.NOT_TOLD)], Reach.TOLD),
        (
            [
                heard(K.OVERDUE, 5, Reach.TOLD),
                heard(K.OVERDUE_RETRACTED, 7, Reach.TOLD),
                heard(K.OVERDUE, 8, Reach.TOLD),
            ],
            Reach.TOLD,
        ),
        # The retraction itself, looking back.
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 10, Reach.PENDING)], Reach.TOLD),
    ],
)
def test_a_retraction_reaches_who_heard_of_what_it_is_the_first_to_undo(story: list[Heard], reach: Reach) -> None:
    assert reach_before(story, AGENCY, seq=10) is reach
    assert (AGENCY in may_have_heard(story, seq=10)) is (reach is not Reach.NOT_TOLD)


# -- group ---------------------------------------------------------------------------------------------------------


def sizes(*deliveries: tuple[Delivery, str]) -> list[int]:
    return [len(group.deliveries) for group in grouped(deliveries)]


BOX = "agency@x.example"


def test_assignments_are_one_message_a_directive_and_mailbox() -> None:
    one, two, other = (a_delivery(n, kind=K.ASSIGNED, directive=d) for n, d in ((1, "TB-1"), (2, "TB-1"), (3, "TB-2")))

    assert sizes((one, BOX), (two, BOX), (other, BOX)) == [2, 1]
    assert sizes((one, BOX), (two, "other@x.example")) == [1, 1]


@pytest.mark.parametrize("kind", [K.DUE_SOON, K.OVERDUE])
def test_what_comes_by_the_day_is_one_message_over_all_directives(kind: AlertKind) -> None:
    deliveries = [a_delivery(n, kind=kind, directive=f"TB-{n}") for n in range(3)]

    [group] = grouped((one, BOX) for one in deliveries)

    assert group.directives == ("TB-0", "TB-1", "TB-2")
    assert len({waiting_key(one.alert, one.recipient, "email") for one in deliveries}) == 1


def test_kinds_and_levels_never_share_a_message() -> None:
    escalations = [a_delivery(n, kind=K.ESCALATION, level=n) for n in (1, 2)]

    assert sizes((a_delivery(3), BOX), *((one, BOX) for one in escalations)) == [1, 1, 1]


def test_one_mailbox_in_two_roles_gets_one_message_that_lists_a_task_once() -> None:
    [group] = grouped((a_delivery(1, recipient=one, kind=K.ESCALATION, level=1), BOX) for one in (AGENCY, HEAD))

    assert group.recipients == (AGENCY, HEAD)
    assert len(group.deliveries) == 2
    assert len(group.alerts) == 1


def test_a_task_with_several_reminders_is_listed_once_with_the_newest() -> None:
    reminders = [a_delivery(1, seq=seq, alert_id=f"t:{seq}") for seq in (4, 6, 5)]

    [group] = grouped((one, BOX) for one in reminders)

    assert [one.seq for one in group.alerts] == [6]


def test_the_longest_due_comes_first_and_what_has_no_day_last() -> None:
    days = [None, date(2024, 10, 19), date(2024, 9, 1)]
    [group] = grouped((a_delivery(n, last_day=day), BOX) for n, day in enumerate(days))

    assert [one.last_day for one in group.alerts] == [date(2024, 9, 1), date(2024, 10, 19), None]


def test_the_same_deliveries_have_the_same_message_id() -> None:
    one, two = (a_delivery(1), BOX), (a_delivery(2), BOX)

    assert grouped([one, two])[0].message_id == grouped([two, one])[0].message_id
    assert grouped([one])[0].message_id != grouped([two])[0].message_id


def test_what_was_tried_is_repeated_as_the_message_it_was_and_nothing_joins_it() -> None:
    """INVARIANT: a repeat after a lost answer carries the Message-ID of the first try.

    If something new could join the group, the id would change and the reader could not tell a repeat from news.
    """
    tried = [(a_delivery(n, message_id="m1"), BOX) for n in (1, 2)]

    groups = grouped([*tried, (a_delivery(3), BOX)])

    assert [(group.message_id, len(group.deliveries)) for group in groups[:1]] == [("m1", 2)]
    assert len(groups) == 2
    # One of the tasks was finished meanwhile: still that message.
    assert grouped(tried[:1])[0].message_id == "m1"


# -- the contract --------------------------------------------------------------------------------------------------


def test_every_fact_that_alerts_is_a_fact_and_every_kind_is_in_the_contract() -> None:
    assert set(KIND_OF_FACT) <= {kind.value for kind in FactKind}
    # The first version's words are frozen; later ones are told as v2, where the word is open.
    later = {AlertKind.CHANGED, AlertKind.CONTRIBUTION, AlertKind.SUCCESSION}
    assert {kind.value for kind in AlertKind} - {kind.value for kind in later} == {kind.value for kind in WireKind}
    assert {role.value for role in Role} == {role.value for role in RecipientRole}
