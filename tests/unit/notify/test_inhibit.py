"""Why an alert is heard or stays silent: a table over kinds and what is known of the task by then."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.notify.domain.alert import AlertKind, TaskState
from services.notify.domain.inhibit import RETENTION, Reason, why
from tests.support.builders import at
from tests.unit.notify.builders import OPEN, OVERDUE, REMINDED, an_alert

K, R = AlertKind, Reason
NOW = at("2024-10-21 09:00")


def state(result: str, task: TaskState = OPEN) -> TaskState:
    return replace(task, result=result)


MOVED = replace(OPEN, deadline_version=2, given_on=2)
"""By an extension."""
RECOUNTED = replace(OPEN, deadline_version=2)
"""By a calendar: what was given is still the first version."""
ESCALATED = replace(OVERDUE, escalation=1)


@pytest.mark.parametrize(
    ("kind", "task", "reason"),
    [
        (K.DUE_SOON, OPEN, R.DUE),
        (K.DUE_SOON, REMINDED, R.DUE),
        (K.DUE_SOON, state("in_progress"), R.DUE),
        (K.DUE_SOON, OVERDUE, R.OVERDUE_SAYS_MORE),
        (K.DUE_SOON, ESCALATED, R.ESCALATION_SAYS_MORE),
        # What was handed in, or whose deadline moved, is said first: nothing says more about it.
        (K.DUE_SOON, state("submitted", ESCALATED), R.TASK_SUBMITTED),
        (K.DUE_SOON, replace(ESCALATED, deadline_version=2), R.DEADLINE_MOVED),
        (K.DUE_SOON, state("submitted"), R.TASK_SUBMITTED),
        (K.DUE_SOON, state("suspended"), R.TASK_SUSPENDED),
        (K.DUE_SOON, MOVED, R.DEADLINE_MOVED),
        (K.DUE_SOON, RECOUNTED, R.DEADLINE_MOVED),
        (K.OVERDUE, OVERDUE, R.DUE),
        (K.OVERDUE, ESCALATED, R.DUE),
        (K.OVERDUE, OPEN, R.RETRACTED),
        (K.OVERDUE, state("completed", OVERDUE), R.TASK_COMPLETED),
        # A newer version of the deadline on which the overdue still stands: a calendar, a correction.
        (K.OVERDUE, replace(OVERDUE, deadline_version=2), R.DUE),
        (K.OVERDUE, MOVED, R.DEADLINE_MOVED),
        (K.OVERDUE, replace(MOVED, overdue_since=2), R.DEADLINE_MOVED),
        (K.ESCALATION, OVERDUE, R.DUE),
        (K.ESCALATION, ESCALATED, R.DUE),
        (K.ESCALATION, OPEN, R.RETRACTED),
        (K.ESCALATION, MOVED, R.DEADLINE_MOVED),
        (K.ESCALATION, state("submitted", OVERDUE), R.TASK_SUBMITTED),
        (K.ESCALATION, state("discontinued", OVERDUE), R.TASK_ENDED),
        (K.REVIEW_REMINDER, state("submitted"), R.DUE),
        (K.REVIEW_REMINDER, state("in_progress"), R.RESULT_JUDGED),
        (K.REVIEW_REMINDER, state("completed"), R.RESULT_JUDGED),
        (K.ASSIGNED, OPEN, R.DUE),
        (K.ASSIGNED, OVERDUE, R.DUE),
        (K.ASSIGNED, MOVED, R.DUE),
        (K.ASSIGNED, state("submitted"), R.TASK_SUBMITTED),
        (K.ASSIGNED, state("suspended"), R.TASK_SUSPENDED),
        (K.ASSIGNED, state("transferred"), R.TASK_ENDED),
        (K.RESULT_RETURNED, state("in_progress"), R.DUE),
        (K.RESULT_RETURNED, state("submitted"), R.TASK_SUBMITTED),
        (K.RESULT_RETURNED, state("completed"), R.TASK_COMPLETED),
        (K.EXTENSION_GRANTED, OPEN, R.DUE),
        (K.EXTENSION_GRANTED, state("submitted"), R.DUE),
        (K.EXTENSION_GRANTED, MOVED, R.DEADLINE_MOVED),
        (K.EXTENSION_GRANTED, RECOUNTED, R.DUE),
        (K.EXTENSION_GRANTED, replace(RECOUNTED, given_on=0), R.DEADLINE_MOVED),
        (K.EXTENSION_GRANTED, state("completed"), R.TASK_COMPLETED),
        (K.EXTENSION_REFUSED, OVERDUE, R.DUE),
        (K.EXTENSION_REFUSED, MOVED, R.DUE),
        (K.EXTENSION_REFUSED, state("discontinued"), R.TASK_ENDED),
        (K.OBSTACLE, OPEN, R.DUE),
        (K.OBSTACLE, state("submitted"), R.DUE),
        (K.OBSTACLE, state("completed"), R.TASK_COMPLETED),
        (K.CHANGED, OPEN, R.DUE),
        (K.CHANGED, state("suspended"), R.DUE),
        (K.CHANGED, state("completed"), R.TASK_COMPLETED),
        (K.CONTRIBUTION, state("suspended"), R.DUE),
        (K.CONTRIBUTION, state("completed"), R.TASK_COMPLETED),
        (K.SUCCESSION, state("submitted"), R.DUE),
        (K.SUCCESSION, state("transferred"), R.TASK_ENDED),
        (K.OVERDUE_RETRACTED, state("completed"), R.DUE),
        (K.OVERDUE_RETRACTED, OVERDUE, R.DUE),
        (K.ENDED, state("discontinued"), R.DUE),
        (K.ENDED, state("transferred"), R.DUE),
    ],
)
def test_an_alert_is_due_or_silent_for_a_reason(kind: AlertKind, task: TaskState, reason: Reason) -> None:
    assert why(an_alert(kind), task, now=NOW) is reason


@pytest.mark.parametrize(
    ("kind", "task", "reason"),
    [
        (K.DUE_SOON, OPEN, R.SUPERSEDED),
        (K.DUE_SOON, OVERDUE, R.OVERDUE_SAYS_MORE),
        (K.DUE_SOON, ESCALATED, R.ESCALATION_SAYS_MORE),
        (K.ESCALATION, OVERDUE, R.SUPERSEDED),
        (K.ESCALATION, OPEN, R.RETRACTED),
    ],
)
def test_what_an_outage_overtook_stays_silent(kind: AlertKind, task: TaskState, reason: Reason) -> None:
    assert why(an_alert(kind, superseded=True), task, now=NOW) is reason


def test_an_extension_is_told_unless_a_later_document_gave_another_day() -> None:
    """INVARIANT: a calendar that counts a day anew does not swallow the news of an extension."""
    granted = an_alert(K.EXTENSION_GRANTED, deadline_version=2)

    def heard(deadline_version: int, given_on: int) -> bool:
        task = replace(OPEN, deadline_version=deadline_version, given_on=given_on)
        return why(granted, task, now=NOW) is R.DUE

    assert heard(2, 2)
    assert heard(4, 2)
    assert not heard(3, 3)
    assert not heard(4, 3)


@pytest.mark.parametrize("kind", list(K))
def test_nobody_is_told_of_what_is_older_than_what_is_kept(kind: AlertKind) -> None:
    alert, task = an_alert(kind), state("submitted") if kind is K.REVIEW_REMINDER else OVERDUE
    ends = alert.received_at + RETENTION

    assert why(alert, task, now=ends) is not R.TOO_OLD
    assert why(alert, task, now=ends + timedelta(microseconds=1)) is R.TOO_OLD


def test_what_is_too_old_is_silent_even_where_it_takes_something_back() -> None:
    retraction = an_alert(K.OVERDUE_RETRACTED, received_at=NOW - RETENTION - timedelta(days=1))

    assert why(retraction, OPEN, now=NOW) is R.TOO_OLD
