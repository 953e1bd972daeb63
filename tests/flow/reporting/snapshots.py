"""What `tasks` publishes, for tests: say only what the test cares about. Times are local."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from shared.contracts.codec import decode, encode
from shared.contracts.topics import AGENCIES, DIRECTIVES, INDICATORS, TASKS, Topic
from shared.runtime.consuming import Received
from tests.unit.reporting.builders import at

SOURCE = "//dondoc/tasks"


def a_cause(received: str) -> dict[str, Any]:
    """A cause; recorded one second after it was received."""
    instant = at(received)
    return {
        "event_id": f"//test#{received}",
        "actor": "H48.01",
        "received_at": instant,
        "recorded_at": instant + timedelta(seconds=1),
    }


def a_snapshot(
    seq: int = 1,
    *,
    agency: str = "H48.07",
    clause: str = "II.2.g",
    province: str = "H48",
    directive: str = "TB-UBND-2024",
    due: str | None = "2024-10-19",
    assigned: str = "2024-10-11",
    result: str | None = None,
    accepted: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A task with one deadline, and a result where `result` says when it was received."""
    cause = a_cause(assigned)
    deadlines = []
    if due is not None:
        legal = date.fromisoformat(due)
        deadlines.append(
            {
                "version": 1,
                "nominal": legal,
                "legal": legal,
                "operational": legal - timedelta(days=max(0, legal.weekday() - 4)),
                "due_at": at(f"{due} 00:00") + timedelta(days=1),
                "policy": "before-named-day",
                "citation": "",
                "document": None,
                "cause": cause,
            }
        )
    results = []
    if result is not None:
        results.append(
            {
                "number": 1,
                "document": {"issued_on": result[:10]},
                "summary": "",
                "evidence_count": 0,
                "delay_cause": None,
                "cause": a_cause(result),
                "verdict": "accepted" if accepted else None,
                "verdict_note": "",
                "verdict_cause": a_cause(accepted) if accepted else None,
            }
        )
    return {
        "task_id": f"{province}/{directive}/{clause}/{agency}",
        "seq": seq,
        "province": province,
        "directive": directive,
        "clause": clause,
        "agency": agency,
        "period": None,
        "title": "Trình kế hoạch chuyển đổi số năm 2025",
        "phrase": "trước ngày 20/10/2024",
        "category": "dated",
        "bases": [],
        "cooperating": [],
        "reviewer": "H48.01",
        "acceptance": "reviewer",
        "result": "completed" if accepted else "submitted" if result else "assigned",
        "assigned": cause,
        "predecessor": None,
        "acknowledged": None,
        "progress": None,
        "deadlines": deadlines,
        "results": results,
        "extensions": [],
        "milestones": [],
        "obstacles": [],
        "allocations": [],
        "disbursements": [],
        "ended": None,
        **more,
    }


def changed(task: dict[str, Any]) -> Received:
    """`task.acknowledged` or whatever: reporting reads the task in it."""
    data = {
        "task_id": task["task_id"],
        "seq": task["seq"],
        "change": {"reason": "applied", "cause": task["assigned"], "previous": "", "new": ""},
        "task": task,
    }
    return _received(TASKS, "dondoc.task.acknowledged.v1", f"{task['task_id']}:{task['seq']}", task["task_id"], data)


def rejected(task: dict[str, Any] | None) -> Received:
    """`submission.rejected`, with the task where there is one."""
    data = {
        "submission_source": "//sttt",
        "submission_id": "1",
        "submission_type": "dondoc.task.acknowledged.v1",
        "agency": "H48.07",
        "received_at": at("2024-10-12"),
        "reason": "not_yours",
        "detail": "",
        "task_id": task["task_id"] if task else None,
        "seq": task["seq"] if task else None,
        "task": task,
    }
    return _received(TASKS, "dondoc.submission.rejected.v1", "rejected-1", "key", data)


def registered(
    code: str,
    name: str,
    seq: int = 1,
    province: str = "H48",
    groups: Sequence[str] = (),
    role: str = "agency",
    valid_to: str | None = None,
) -> Received:
    """`agency.changed`."""
    data = {
        "province": province,
        "code": code,
        "seq": seq,
        "name": name,
        "role": role,
        "groups": list(groups),
        "valid_from": date(2024, 1, 1),
        "valid_to": date.fromisoformat(valid_to) if valid_to is not None else None,
        "successors": [],
        "basis": None,
        "head_title": None,
        "contact": None,
        "head_contact": None,
        "cause": a_cause("2024-10-01"),
    }
    return _received(AGENCIES, "dondoc.agency.changed.v1", f"{province}/{code}:{seq}", code, data)


def an_obligation(clause: str, title: str, *, phrase: str = "trước ngày 20/10/2024", **more: Any) -> dict[str, Any]:
    """A clause of a directive."""
    return {
        "clause": clause,
        "title": title,
        "phrase": phrase,
        "category": "dated",
        "leads": ["H48.07"],
        "cooperating": [],
        "bases": [],
        "acceptance": "reviewer",
        "reviewer": None,
        "feeds": [],
        **more,
    }


def directive(
    slug: str, *obligations: dict[str, Any], number: str | None = None, seq: int = 1, **more: Any
) -> Received:
    """`directive.changed`."""
    data = {
        "province": "H48",
        "directive": slug,
        "seq": seq,
        "revision": 1,
        "kind": "TB",
        "number": number,
        "issuer": "UBND tỉnh",
        "issued_on": date(2024, 10, 11),
        "title": "Kết luận của Chủ tịch UBND tỉnh",
        "obligations": list(obligations),
        "issued": a_cause("2024-10-11"),
        "cause": a_cause("2024-10-11"),
        "revoked": None,
        "revoked_document": None,
        "revoked_reason": None,
        **more,
    }
    return _received(DIRECTIVES, "dondoc.directive.changed.v1", f"H48/{slug}:{seq}", f"H48/{slug}", data)


def indicator(
    agency: str, code: str, period: str, numerator: int, denominator: int, *, received: str, target: str | None = None
) -> Received:
    """`indicator.changed`, reported once, with a general target where one is given."""
    cause = a_cause(received)
    document = {"number": "QĐ 1", "issued_on": "2024-01-05"}
    data = {
        "province": "H48",
        "agency": agency,
        "code": code,
        "period": period,
        "seq": 1,
        "title": "Chi cho chuyển đổi số",
        "numerator": str(numerator),
        "denominator": str(denominator),
        "data_source": "KBNN",
        "reported_at": cause["received_at"],
        "at_least_percent": target,
        "target_document": document if target is not None else None,
        "reports": [
            {"numerator": str(numerator), "denominator": str(denominator), "data_source": "KBNN", "cause": cause}
        ],
        "targets": [
            {
                "at_least_percent": target,
                "title": "Chi cho chuyển đổi số",
                "document": document,
                "general": True,
                "cause": a_cause("2024-10-11"),
            }
        ]
        if target is not None
        else [],
    }
    key = f"H48/{agency}/{code}/{period}"
    return _received(INDICATORS, "dondoc.indicator.changed.v1", f"{key}:1", key, data)


def _received(topic: Topic, event_type: str, event_id: str, key: str, data: dict[str, Any]) -> Received:
    value = encode(
        event_type=event_type, event_id=event_id, source=SOURCE, time=at("2024-10-11"), province="H48", data=data
    )
    return Received(decode(topic.name, value), topic.name, 0, 0, key.encode())


def encoded(record: Received) -> bytes:
    """The bytes a record came from."""
    envelope = record.event.envelope
    assert envelope.time is not None
    return encode(
        event_type=envelope.type,
        event_id=envelope.id,
        source=envelope.source,
        time=envelope.time,
        province=envelope.province or "",
        data=envelope.data,
    )
