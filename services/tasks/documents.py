"""Tasks, obligations and the ledger as MongoDB documents, and back."""

from datetime import UTC, datetime

from pydantic import TypeAdapter
from pymongo import UpdateOne

from services.tasks.domain.directive import Obligation
from services.tasks.domain.reading import readers
from services.tasks.domain.succession import parties
from services.tasks.domain.task import Task
from services.tasks.ports import (
    Change,
    LedgerEntry,
    Message,
    ObligationState,
    Outcome,
    Position,
    Stored,
    Untold,
    Verdict,
    Write,
)
from shared.runtime.clock import real_seconds
from shared.runtime.mongodb import Document

_TASK = TypeAdapter(Task)
_OBLIGATION = TypeAdapter(Obligation)
STEPS_KEPT = 50
"""Keys of events from other partitions that a document remembers; they are few in a task's life."""


def read_task(document: Document) -> Task:
    """The task itself."""
    return _TASK.validate_json(document["state"])


def obligation_document(obligation: Obligation) -> Document:
    """An obligation's rule and names."""
    return dict(_OBLIGATION.dump_python(obligation, mode="json"))


def _state(write: Write) -> Document:
    """What every write changes."""
    return {
        "off": write.offset,
        "steps": list(write.steps[-STEPS_KEPT:]),
        "seq": write.task.seq,
        # JSON text: reading and writing it costs a fifth of a nested document, and nobody queries inside.
        "state": write.text.decode(),
        "tok": write.untold.token,
        "pend": untold_document(write.untold),
    }


def _looked_for(task: Task, next_at: datetime | None, rules: str) -> Document:
    """What queries look for."""
    deadline = task.deadline
    return {
        "result": task.result.value,
        "open": task.is_open,
        "waits": task.is_open and task.succession is not None,
        "due_at": deadline.due_at if deadline else None,
        "next_at": next_at,
        "rules": rules,
        "readers": sorted(readers(task)),
        "parties": list(parties(task)),
    }


def _changed(write: Write, since: Stored) -> Document:
    """What queries look for, as far as it changed: each field that is named costs the server its indexes."""
    task, was = write.task, since.task
    before = _looked_for(was, since.next_at, since.rules)
    after = _looked_for(task, write.next_at, write.rules)
    return {name: value for name, value in after.items() if value != before[name]}


def task_document(write: Write) -> Document:
    """A task that does not exist yet."""
    task = write.task
    return {
        "_id": task.task_id,
        "v": 1,
        "province": task.province,
        "directive": task.directive,
        "clause": task.clause,
        "agency": task.agency,
        "period": task.period,
        "follows": task.predecessor,
        "p": write.partition,
        "history": [change_document(change) for change in write.history],
        **_state(write),
        **_looked_for(task, write.next_at, write.rules),
    }


def task_update(write: Write) -> UpdateOne:
    """A task's next state, on the version that it replaces."""
    return UpdateOne(
        {"_id": write.task.task_id, "v": write.replaces},
        {
            "$set": _set(write),
            "$inc": {"v": 1},
            "$push": {"history": {"$each": [change_document(change) for change in write.history]}},
        },
    )


def _set(write: Write) -> Document:
    if write.since is not None:
        changed = _changed(write, write.since)
    else:
        changed = _looked_for(write.task, write.next_at, write.rules)
    return {**_state(write), **changed}


def handover_document(write: Write) -> Document:
    """All that is needed to bring a handover to its end, for whoever finds it."""
    assert write.heir is not None, "somebody takes over"
    return {
        "set": _set(write),
        "history": [change_document(change) for change in write.history],
        "heir": task_document(write.heir),
    }


def change_document(change: Change) -> Document:
    """A line of history."""
    return change._asdict()


def untold_document(untold: Untold) -> Document:
    """What is owed, with the real time at which that began."""
    return {
        "tok": untold.token,
        "at": real_seconds(),
        "messages": [{"t": one.topic, "k": one.key, "b": one.value} for one in untold.messages],
        "verdicts": [{"k": v.key, "o": v.outcome.value, "r": v.reason, "d": v.detail} for v in untold.verdicts],
    }


def read_untold(document: Document) -> Untold:
    """What is owed."""
    return Untold(
        document["tok"],
        tuple(Message(one["t"], one["k"], bytes(one["b"])) for one in document["messages"]),
        tuple(Verdict(v["k"], Outcome(v["o"]), v["r"], v["d"]) for v in document["verdicts"]),
    )


def stored_task(document: Document) -> Stored:
    """A task with what makes its next write safe."""
    return Stored(
        task=read_task(document),
        text=document["state"].encode(),
        version=document["v"],
        partition=document["p"],
        offset=document["off"],
        steps=tuple(document["steps"]),
        untold=read_untold(document["pend"]) if "pend" in document else None,
        next_at=document["next_at"],
        rules=document["rules"],
    )


def obligation_state(document: Document) -> ObligationState:
    """An obligation with what makes its next write safe."""
    return ObligationState(
        _OBLIGATION.validate_python(document["obligation"]), document["p"], document["next_at"], document["v"]
    )


def ledger_document(entry: LedgerEntry) -> Document:
    """A claim; its outcome is a document of its own."""
    return {
        "_id": entry.key,
        "source": entry.source,
        "id": entry.id,
        "type": entry.type,
        "province": entry.province,
        "agency": entry.agency,
        "task_id": entry.task_id,
        "received_at": entry.received_at,
        "digest": entry.digest,
        "p": entry.position.partition,
        "off": entry.position.offset,
        "outcome": entry.outcome.value,
    }


def outcome_document(verdict: Verdict, recorded_at: datetime) -> Document:
    """What became of a claim."""
    key, outcome, reason, detail = verdict
    document = {"_id": key, "outcome": outcome.value, "reason": reason, "recorded_at": recorded_at}
    return {**document, "detail": detail} if detail else document


def ledger_entry(document: Document) -> LedgerEntry:
    """A claim together with what became of it."""
    return LedgerEntry(
        key=document["_id"],
        source=document["source"],
        id=document["id"],
        type=document["type"],
        # A record that could not be read left only its name here.
        province=document.get("province", ""),
        agency=document.get("agency", ""),
        task_id=document.get("task_id"),
        received_at=document["received_at"].astimezone(UTC) if "received_at" in document else None,
        digest=document.get("digest", ""),
        position=Position(document["p"], document["off"]),
        outcome=Outcome(document["outcome"]),
        reason=document.get("reason", ""),
        detail=document.get("detail", ""),
        reused=document.get("reused", 0),
    )
