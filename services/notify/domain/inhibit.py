"""Whether an alert still deserves to be heard, given the newest that is known of its task."""

from datetime import datetime, timedelta
from enum import StrEnum

from services.notify.domain.alert import Alert, AlertKind, TaskState

_CLOSED = frozenset({"completed", "discontinued", "transferred"})
_NAGGING = frozenset({AlertKind.DUE_SOON, AlertKind.OVERDUE, AlertKind.ESCALATION})
_ASKING = frozenset({AlertKind.ASSIGNED, AlertKind.RESULT_RETURNED})
_ALWAYS_HEARD = frozenset({AlertKind.ENDED, AlertKind.OVERDUE_RETRACTED})

RETENTION = timedelta(days=400)
"""As long as alerts are kept, here and on their topic: nobody is told of what is older."""


class Reason(StrEnum):
    """Why an alert is sent, or why it stays silent."""

    DUE = "due"
    # silent
    TASK_SUBMITTED = "task_submitted"
    TASK_COMPLETED = "task_completed"
    TASK_ENDED = "task_ended"
    DEADLINE_MOVED = "deadline_moved"
    OVERDUE_SAYS_MORE = "overdue_says_more"
    ESCALATION_SAYS_MORE = "escalation_says_more"
    TOO_OLD = "too_old"
    SUPERSEDED = "superseded"
    TASK_SUSPENDED = "task_suspended"
    RETRACTED = "retracted"
    RESULT_JUDGED = "result_judged"
    NOBODY_WAS_TOLD = "nobody_was_told"
    NO_RECIPIENT = "no_recipient"


def why(alert: Alert, task: TaskState, *, now: datetime) -> Reason:
    """Say why this alert is due, or what silences it. Decided when recorded, and again just before sending."""
    if now - alert.received_at > RETENTION:
        return Reason.TOO_OLD
    if alert.kind in _ALWAYS_HEARD:
        return Reason.DUE
    if alert.kind is AlertKind.REVIEW_REMINDER:
        return Reason.DUE if task.result == "submitted" else Reason.RESULT_JUDGED
    if alert.kind in _NAGGING:
        return _why_nag(alert, task)
    if alert.kind in _ASKING:
        return Reason.DUE if task.is_worked_on else _finished(task)
    # News on the deadline and on obstacles matters until the result is judged: it may decide on time or late.
    if task.result in _CLOSED:
        return _finished(task)
    if alert.kind is AlertKind.EXTENSION_GRANTED and alert.deadline_version < (task.given_on or task.deadline_version):
        return Reason.DEADLINE_MOVED
    return Reason.DUE


def _why_nag(alert: Alert, task: TaskState) -> Reason:
    if not task.is_worked_on:
        return _finished(task)
    if alert.kind is not AlertKind.DUE_SOON and 0 < task.overdue_since <= alert.deadline_version:
        # A calendar or a correction may have made newer versions since: what stands, stands.
        return Reason.SUPERSEDED if alert.superseded else Reason.DUE
    if task.deadline_version != alert.deadline_version:
        return Reason.DEADLINE_MOVED
    if alert.kind is not AlertKind.DUE_SOON:
        return Reason.RETRACTED
    if task.overdue_since:
        return Reason.ESCALATION_SAYS_MORE if task.escalation else Reason.OVERDUE_SAYS_MORE
    return Reason.SUPERSEDED if alert.superseded else Reason.DUE


def _finished(task: TaskState) -> Reason:
    if task.result == "suspended":
        return Reason.TASK_SUSPENDED
    if task.result == "submitted":
        return Reason.TASK_SUBMITTED
    return Reason.TASK_COMPLETED if task.result == "completed" else Reason.TASK_ENDED
