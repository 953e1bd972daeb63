"""Contract ↔ domain; the only file of this service that knows the contract's models."""

from collections.abc import Iterable

from services.notify.domain.alert import KIND_OF_FACT, Alert, TaskState
from services.notify.domain.registry import AgencyRecord
from services.notify.ports import Decided
from shared.contracts import alert_facts
from shared.contracts.codec import Event, encode
from shared.contracts.registry_facts import AgencyChanged
from shared.contracts.task_facts import MilestoneKind, SubmissionRejected, TaskChanged, TaskSnapshot
from shared.contracts.topics import ALERTS

SOURCE = "//dondoc/notify"
_CLOCK = "clock"
"""The actor of what nobody sent: a calendar that was replaced, a period that opened."""
_KINDS_OF_V1 = frozenset(one.value for one in alert_facts.AlertKind)
"""Its readers refuse other words; what came later is told as v2."""


def agency(event: Event) -> AgencyRecord | None:
    """The registry record of an agency event."""
    data = event.data
    if not isinstance(data, AgencyChanged):
        return None
    return AgencyRecord(
        province=data.province,
        code=data.code,
        seq=data.seq,
        name=data.name,
        role=data.role.value,
        valid_to=data.valid_to,
        contact=data.contact,
        head_contact=data.head_contact,
        head_title=data.head_title,
        successors=data.successors,
    )


def state(event: Event) -> TaskState | None:
    """Newest state of a task that an event of the tasks topic carries."""
    match event.data:
        case TaskChanged(task=task) | SubmissionRejected(task=TaskSnapshot() as task):
            return _state(task)
    return None


def _state(task: TaskSnapshot) -> TaskState:
    standing = [one for one in task.milestones if one.retracted is None]
    due = task.deadlines[-1] if task.deadlines else None
    return TaskState(
        seq=task.seq,
        result=task.result.value,
        deadline_version=due.version if due else 0,
        overdue_since=_highest(one.deadline_version for one in standing if one.kind is MilestoneKind.OVERDUE),
        given_on=_given_on(task),
        reminded_on=_highest(one.deadline_version for one in standing if one.kind is MilestoneKind.DUE_SOON),
        escalation=_highest(one.level for one in standing if one.kind is MilestoneKind.ESCALATION),
        task_id=task.task_id,
        province=task.province,
        agency=task.agency,
        directive=task.directive,
        clause=task.clause,
        title=task.title,
        last_day=due.legal if due else None,
    )


def _highest(numbers: Iterable[int]) -> int:
    return max(numbers, default=0)


def _given_on(task: TaskSnapshot) -> int:
    """The version that a document gave; of a period that the clock opened, the first. Later ones a calendar made."""
    given = (one.version for one in task.deadlines if one.cause.actor != _CLOCK)
    return max(given, default=task.deadlines[0].version if task.deadlines else 0)


def alert(event: Event) -> Alert | None:
    """The alert a fact may be; None for facts that alert nobody."""
    data = event.data
    if not isinstance(data, TaskChanged):
        return None
    fact = event.kind.slug.removeprefix("task.").removesuffix(".v1")
    kind = KIND_OF_FACT.get(fact)
    if kind is None:
        return None
    task = data.task
    due = task.deadlines[-1] if task.deadlines else None
    event_id = data.change.cause.event_id
    milestone = next((one for one in reversed(task.milestones) if one.id == event_id), None)
    return Alert(
        alert_id=f"{task.task_id}:{task.seq}",
        kind=kind,
        level=milestone.level if milestone is not None else 0,
        province=task.province,
        task_id=task.task_id,
        seq=task.seq,
        directive=task.directive,
        clause=task.clause,
        agency=task.agency,
        reviewer=task.reviewer,
        title=task.title,
        last_day=due.legal if due else None,
        deadline_version=due.version if due else 0,
        forwarded=fact == "obstacle_forwarded",
        received_at=data.change.cause.received_at,
        superseded=milestone is not None and milestone.superseded_by is not None,
        contributor=data.change.previous if fact == "contribution_judged" else "",
        continues=task.period is not None or task.predecessor is not None,
        cooperating=task.cooperating,
    )


def message(decided: Decided) -> tuple[str, str, bytes]:
    """Topic, key and event of a decided alert. The event's id is the alert's: a repeat keeps it."""
    one = decided.alert
    value = encode(
        event_type=f"dondoc.alert.decided.{'v1' if one.kind in _KINDS_OF_V1 else 'v2'}",
        event_id=one.alert_id,
        source=SOURCE,
        time=decided.decided_at,
        province=one.province,
        subject=one.task_id,
        data={
            "alert_id": one.alert_id,
            "kind": one.kind,
            "level": one.level,
            "province": one.province,
            "task_id": one.task_id,
            "seq": one.seq,
            "directive": one.directive,
            "clause": one.clause,
            "agency": one.agency,
            "title": one.title,
            "outcome": "notify" if decided.notify else "silent",
            "reason": decided.reason,
            "recipients": decided.recipients,
            "fact_received_at": one.received_at,
            "decided_at": decided.decided_at,
        },
    )
    return ALERTS.name, one.task_id, value
