"""Contract ↔ domain; with `records`, the only file of this service that knows the contract's models."""

import hashlib
import json
from datetime import date, datetime
from typing import Annotated, Any

import orjson
import pydantic_core
from pydantic import Field, TypeAdapter

from services.tasks.domain import commands
from services.tasks.domain.deadlines import (
    Boundary,
    ByReferenceRule,
    ConditionalRule,
    DueRule,
    FixedRule,
    OpenEndedRule,
    RecurringRule,
    RelativeRule,
)
from services.tasks.domain.decision import Fact, FactKind
from services.tasks.domain.directive import Obligation
from services.tasks.domain.preview import Day
from services.tasks.domain.task import Cause, Deadline, Document, Task
from services.tasks.ports import Buried, Change, LedgerEntry, Message, Position
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.contracts import due_rules
from shared.contracts.codec import Event, encode, event_key
from shared.contracts.identifiers import ProvinceCode
from shared.contracts.model import Day as WireDay
from shared.contracts.model import Document as WireDocument
from shared.contracts.model import Part
from shared.contracts.task_facts import TaskSnapshot
from shared.contracts.topics import TASKS

SOURCE = "//dondoc/tasks"
_TASK = TypeAdapter(Task)


class NotReceivedError(ValueError):
    """A record that did not come through ingest: it lacks `receivedat`, `province` or `agency`."""


def ledger_entry(event: Event, position: Position) -> LedgerEntry:
    """What the ledger keeps of a submission. Raises NotReceivedError."""
    envelope = event.envelope
    if envelope.receivedat is None or envelope.province is None or envelope.agency is None:
        raise NotReceivedError("the record lacks receivedat, province or agency, which only ingest sets")
    return LedgerEntry(
        key=event.key,
        source=envelope.source,
        id=envelope.id,
        type=envelope.type,
        province=envelope.province,
        agency=envelope.agency,
        task_id=task_id(event),
        received_at=envelope.receivedat,
        digest=digest(event),
        position=position,
    )


def buried(value: bytes | None, position: Position, reason: str, detail: str) -> Buried | None:
    """What can be told of a record that could not be processed; None when it carries no source and id."""
    try:
        content = pydantic_core.from_json(value or b"")
        source, event_id = content["source"], content["id"]
        if not isinstance(source, str) or not isinstance(event_id, str):
            return None
        return Buried(
            event_key(source, event_id),
            source,
            event_id,
            str(content.get("type", "")),
            reason,
            detail,
            position,
            province=str(content.get("province", "")),
            agency=str(content.get("agency", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None


def received_at(event: Event) -> datetime:
    """When ingest had the event."""
    assert event.envelope.receivedat is not None, "checked by ledger_entry"
    return event.envelope.receivedat


def task_id(event: Event) -> str | None:
    """The task an event is about; None for what shapes the province."""
    return getattr(event.data, "task_id", None)


def digest(event: Event) -> str:
    """Same content, same digest: type, actor and data; not when it was sent or received."""
    envelope = event.envelope
    content = [envelope.type, envelope.province, envelope.agency, envelope.data]
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        # What only Python's own encoder takes: integers beyond 64 bits, halves of a surrogate pair.
        plain = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        text = plain.encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def cause_of(event: Event, *, recorded_at: datetime) -> Cause:
    """The cause that facts of this submission carry."""
    envelope = event.envelope
    assert envelope.receivedat is not None, "checked by ledger_entry"
    assert envelope.agency is not None, "checked by ledger_entry"
    return Cause(event.key, envelope.agency, envelope.receivedat, recorded_at)


def document(value: WireDocument) -> Document:
    """A cited document."""
    return Document(value.issued_on, value.number, value.issuer, value.title)


def command(data: Part) -> commands.Command | None:
    """The command that an event on one task stands for; None for events that are not about one task."""
    match data:
        case said.TaskAcknowledged():
            return commands.Acknowledge()
        case said.TaskProgressReported():
            return commands.ReportProgress(data.percent, data.note)
        case said.TaskResultSubmitted():
            return commands.SubmitResult(
                document(data.document),
                data.summary,
                len(data.evidence),
                data.delay_cause and data.delay_cause.value,
                data.delay_note,
            )
        case said.TaskContributionSubmitted():
            found = document(data.document) if data.document is not None else None
            return commands.Contribute(data.summary, found, len(data.evidence))
        case said.TaskContributionJudged():
            return commands.JudgeContribution(data.agency, data.verdict, data.note)
        case said.TaskDisbursementReported():
            return commands.ReportDisbursement(data.as_of, data.cumulative_vnd)
        case said.TaskObstacleRaised():
            return commands.RaiseObstacle(data.obstacle_id, data.description, data.beyond_authority)
        case said.TaskObstacleCleared():
            return commands.ClearObstacle(data.obstacle_id)
        case said.TaskExtensionRequested():
            return commands.RequestExtension(data.requested_last_day, data.reason)
        case ordered.TaskResultAccepted():
            return commands.AcceptResult(data.note)
        case ordered.TaskResultReturned():
            return commands.ReturnResult(data.reason)
        case ordered.TaskExtensionGranted():
            return commands.GrantExtension(data.last_day, document(data.document), data.reason)
        case ordered.TaskExtensionRefused():
            return commands.RefuseExtension(data.reason)
        case ordered.TaskCancelled():
            return commands.Cancel(data.reason, document(data.document))
        case ordered.TaskSuspended():
            return commands.Suspend(data.reason, document(data.document))
        case ordered.TaskResumed():
            return commands.Resume(document(data.document), data.last_day)
        case ordered.TaskReassigned():
            return commands.Reassign(data.to_agency, data.reason, document(data.document))
        case ordered.TaskObstacleAnswered():
            return commands.AnswerObstacle(data.obstacle_id)
        case ordered.TaskObstacleForwarded():
            return commands.ForwardObstacle(data.obstacle_id, data.to)
        case ordered.BudgetAllocated():
            return commands.Allocate(
                data.allocation_id, data.fiscal_year, data.amount_vnd, document(data.document), data.plan
            )
    return None


def due_rule(rule: due_rules.DueRule, issued_on: date) -> DueRule:
    """The domain's due rule, of a directive issued on a day."""
    match rule:
        case due_rules.FixedDue():
            return FixedRule(Boundary(rule.boundary.value), rule.day, rule.period, rule.hour)
        case due_rules.RecurringDue():
            return RecurringRule(
                rule.every.value, Boundary(rule.boundary.value), rule.day, rule.starts_on, rule.ends_on, rule.hour
            )
        case due_rules.RelativeDue():
            working = rule.unit is due_rules.DayUnit.WORKING
            after = {"directive_issued": issued_on, "assigned": None}.get(str(rule.after), rule.after)
            return RelativeRule(rule.days, working, None if isinstance(after, str) else after)
        case due_rules.ConditionalDue():
            return ConditionalRule(rule.trigger, rule.days, rule.unit is due_rules.DayUnit.WORKING)
        case due_rules.ByReferenceDue():
            return ByReferenceRule(rule.reference)
        case due_rules.OpenEndedDue():
            return OpenEndedRule(rule.nature.value)


class DueDatesAsked(Part):
    """A due rule as a directive would state it, and the day the directive would be issued."""

    due: due_rules.DueRule
    issued_on: WireDay | None = None
    """Today where it is left out; a rule that counts days counts from here."""
    count: Annotated[int, Field(ge=1, le=100)] = 12
    """How many of a recurring rule's days to tell."""


class DecidedDay(Part):
    """A day that a decision turns from worked to off, or the other way round."""

    day: WireDay
    source: Annotated[str, Field(min_length=1, max_length=300)]
    """The decision."""


class CalendarChange(Part):
    """Days that are about to be decided."""

    days_off: Annotated[tuple[DecidedDay, ...], Field(max_length=100)] = ()
    days_worked: Annotated[tuple[DecidedDay, ...], Field(max_length=100)] = ()
    province: ProvinceCode | None = None
    """Where no token says it."""
    cursor: Annotated[str, Field(max_length=500)] | None = None
    """`next` of the page before."""


def moved_date(task: Task, again: Deadline) -> dict[str, Any]:
    """What a changed calendar would do to a task, as the API tells it."""
    known = task.deadline
    assert known is not None, "only a deadline moves"
    return {
        "task_id": task.task_id,
        "agency": task.agency,
        **{
            name: {"from": getattr(known, name), "to": getattr(again, name)}
            for name in ("nominal", "legal", "operational")
        },
    }


def due_date(day: Day) -> dict[str, Any]:
    """One deadline of a rule, as the API tells it."""
    found = day.deadline
    return {
        "period": day.period.id if day.period else None,
        "opens_on": day.period.starts_on if day.period else None,
        "nominal": found.nominal,
        "legal": found.legal,
        "operational": found.operational,
        "due_at": found.due_at,
        "policy": found.policy,
        "citation": found.citation,
        "decided": day.decided,
    }


def obligation(
    item: ordered.Obligation,
    issued: ordered.DirectiveIssued,
    *,
    province: str,
    leads: tuple[str, ...],
    cooperating: tuple[str, ...],
    reviewer: str,
    cause: Cause,
) -> Obligation:
    """An obligation with its agencies named."""
    return Obligation(
        province=province,
        directive=issued.directive,
        clause=item.clause,
        title=item.title,
        phrase=item.phrase,
        category=item.category.value,
        bases=item.bases,
        leads=leads,
        cooperating=cooperating,
        due=due_rule(item.due, issued.issued_on),
        acceptance=item.acceptance,
        reviewer=reviewer,
        prior_document=document(item.extended_by.document) if item.extended_by else None,
        issued=cause,
        source=Document(issued.issued_on, issued.number, issued.issuer, issued.title),
        revision=issued.revision,
    )


def snapshot(task: Task) -> dict[str, Any]:
    """The wire form of a task. Same field names as `TaskSnapshot`; tests/contract holds the two together."""
    return {**_TASK.dump_python(task, mode="json"), "result": task.result.value}


def snapshot_json(task: Task) -> bytes:
    """The same as JSON text, in a quarter of the time: what is told, and what the task's document holds."""
    text = orjson.dumps(task, option=orjson.OPT_UTC_Z)
    return b'%s,"result":"%s"}' % (text[:-1], str(task.result).encode())


def snapshot_schema(ref_template: str) -> dict[str, Any]:
    """JSON Schema of a task's wire form."""
    return TaskSnapshot.model_json_schema(ref_template=ref_template, mode="serialization")


def message(fact: Fact, event: Event | None = None, *, text: bytes | None = None) -> Message:
    """The event that tells a fact. Its id is `{task_id}:{seq}`: a repeat keeps it, and consumers drop it.

    `text`: the task's snapshot_json, where it is there already.
    """
    task = fact.task
    if fact.kind is FactKind.REJECTED:
        assert event is not None, "only a submission is rejected"
        return rejection(
            event, reason=fact.reason.value, detail="", event_id=f"{task.task_id}:{task.seq}", task=task, at=fact.cause
        )
    cause = fact.cause
    told = {
        "task_id": task.task_id,
        "seq": task.seq,
        "change": {
            "reason": str(fact.reason),
            "cause": cause,
            "previous": fact.previous,
            "new": fact.new,
        },
    }
    value = encode(
        event_type=f"dondoc.task.{fact.kind}.v1",
        event_id=f"{task.task_id}:{task.seq}",
        source=SOURCE,
        time=cause.recorded_at,
        province=task.province,
        subject=task.task_id,
        traceparent=event.envelope.traceparent if event is not None else None,
        data=b'%s,"task":%s}' % (orjson.dumps(told, option=orjson.OPT_UTC_Z)[:-1], text or snapshot_json(task)),
    )
    return Message(TASKS.name, task.task_id, value)


def rejection(event: Event, *, reason: str, detail: str, event_id: str, task: Task | None, at: Cause) -> Message:
    """The event that tells why a submission had no effect."""
    envelope = event.envelope
    about = task.task_id if task is not None else task_id(event)
    value = encode(
        event_type="dondoc.submission.rejected.v1",
        event_id=event_id,
        source=SOURCE,
        time=at.recorded_at,
        province=envelope.province or "",
        subject=about,
        traceparent=envelope.traceparent,
        data={
            "submission_source": envelope.source,
            "submission_id": envelope.id,
            "submission_type": envelope.type,
            "agency": envelope.agency,
            "received_at": envelope.receivedat,
            "reason": reason,
            "detail": detail,
            "task_id": about,
            "seq": task.seq if task is not None else None,
            "task": snapshot(task) if task is not None else None,
        },
    )
    # Without a snapshot it must not share the task's key: compaction would keep it instead of the task.
    return Message(TASKS.name, task.task_id if task is not None else event.key, value)


def change(fact: Fact) -> Change:
    """The line of history of a fact."""
    return Change(
        seq=fact.task.seq,
        what=str(fact.kind),
        reason=str(fact.reason),
        event_id=fact.cause.event_id,
        actor=fact.cause.actor,
        received_at=fact.cause.received_at,
        recorded_at=fact.cause.recorded_at,
        previous=fact.previous,
        new=fact.new,
    )


def as_received(event: Event) -> bytes:
    """The submission as it stood in the topic, for the waiting room."""
    return pydantic_core.to_json(event.envelope.model_dump(mode="json", exclude_none=True))
