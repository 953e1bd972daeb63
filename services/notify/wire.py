"""Contract ↔ domain; the only file of this service that knows the contract's models."""

from services.notify.domain.alert import KIND_OF_FACT, Alert, TaskState
from services.notify.ports import AgencyRecord, Decided
from shared.contracts import alert_facts
from shared.contracts.codec import Event, encode
from shared.contracts.registry_facts import AgencyChanged
from shared.contracts.task_facts import MilestoneKind, SubmissionRejected, TaskChanged, TaskSnapshot
from shared.contracts.topics import ALERTS

SOURCE = "//dondoc/notify"
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
    )


def state(event: Event) -> tuple[str, TaskState] | None:
    """Task id and newest state that an event of the tasks topic carries."""
    match event.data:
        case TaskChanged(task=task) | SubmissionRejected(task=TaskSnapshot() as task):
            return task.task_id, _state(task)
    return None


def _state(task: TaskSnapshot) -> TaskState:
    version = task.deadlines[-1].version if task.deadlines else 0
    overdue_since = max(
        (
            one.deadline_version
            for one in task.milestones
            if one.kind is MilestoneKind.OVERDUE and one.retracted is None
        ),
        default=0,
    )
    return TaskState(task.seq, task.result.value, version, overdue_since)


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
