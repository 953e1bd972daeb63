"""What the demo ends with: figures read back through the services' own doors, written down and printed."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaConsumer

from deploy.audit import Accounts
from shared.contracts.alert_facts import AlertDecided, AlertDecidedV2
from shared.contracts.codec import Event, decode
from shared.contracts.task_facts import TaskChanged
from shared.contracts.topics import ALERTS, TASKS, Topic

REPORT_COLUMNS: Final = {
    "total": "tổng",
    "done_on_time": "đúng hạn",
    "done_late": "quá hạn*",
    "open_in_time": "trong hạn",
    "open_due_soon": "sắp hạn",
    "open_overdue": "quá hạn",
    "open_no_deadline": "không hạn",
}
_PAGE: Final = 500
_READ_WAIT_MS: Final = 300
_DAY_SECONDS: Final = 24 * 3600


async def all_tasks(tasks: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Every task, through the paged API."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
        page = (await tasks.get("/v1/tasks", params=query)).raise_for_status().json()
        found.extend(page["tasks"])
        cursor = page["next"]
        if not cursor:
            return found


async def alerts_by_kind(bootstrap: str) -> dict[str, int]:
    """Distinct alerts on the alerts topic, by kind. A repeat carries the same id and counts once."""
    kinds: dict[str, str] = {}
    async for event in _events(bootstrap, ALERTS):
        assert isinstance(event.data, AlertDecided | AlertDecidedV2)
        kinds[event.data.alert_id] = str(event.data.kind)
    return dict(sorted(Counter(kinds.values()).items()))


@dataclass(frozen=True, slots=True)
class LateMilestones:
    """Milestones that were recorded a day or more after their time, of all tasks as they stand."""

    fired: int
    superseded: int
    """Of these, such as a later one of their kind had overtaken: nobody is told of them."""


async def late_milestones(bootstrap: str) -> LateMilestones:
    """Read the tasks topic: each task's newest fact holds its milestones."""
    newest: dict[str, TaskChanged] = {}
    async for event in _events(bootstrap, TASKS):
        if isinstance(event.data, TaskChanged):
            known = newest.get(event.data.task_id)
            if known is None or known.seq < event.data.seq:
                newest[event.data.task_id] = event.data
    late = [one for fact in newest.values() for one in fact.task.milestones if one.late_seconds >= _DAY_SECONDS]
    return LateMilestones(len(late), sum(one.superseded_by is not None for one in late))


async def _events(bootstrap: str, topic: Topic) -> AsyncIterator[Event]:
    """All that is in a topic now."""
    consumer = AIOKafkaConsumer(
        topic.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(sorted(consumer.assignment()))
        waiting = {partition for partition, end in ends.items() if end}
        while waiting:
            for records in (await consumer.getmany(timeout_ms=_READ_WAIT_MS)).values():
                for record in records:
                    yield decode(topic.name, record.value)
            waiting = {one for one in waiting if await consumer.position(one) < ends[one]}
    finally:
        await consumer.stop()


async def report(reporting: httpx.AsyncClient, period: str) -> dict[str, Any]:
    """The province's aggregate of a period, as reporting serves it."""
    content = (await reporting.get(f"/v1/reports/{period}.json")).raise_for_status().json()
    province: dict[str, Any] = next(scope for scope in content["scopes"] if scope["scope"] == "province")
    return {**province, "scopes": content["scopes"]}


def summary(
    *,
    obligations: int,
    tasks: Sequence[Mapping[str, Any]],
    alerts: Mapping[str, int],
    late: LateMilestones,
    accounts: Accounts,
    reports: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The figures in the form of `build/demo/summary.json`."""
    names = ("task_id", "clause", "agency", "period", "nominal", "legal", "operational", "result", "schedule")
    return {
        "obligations": obligations,
        "tasks": [
            {name: task[name] for name in (*names, "days_late", "times_extended")}
            for task in sorted(tasks, key=lambda task: str(task["task_id"]))
        ],
        "alerts": dict(alerts),
        "late_milestones": asdict(late),
        "submissions": {
            "accepted": accounts.accepted,
            "applied": accounts.applied,
            "rejected": accounts.rejected,
            "dead": accounts.dead,
            "in_flight": accounts.in_flight,
        },
        "reports": {
            period: {column: content["totals"][column] for column in REPORT_COLUMNS}
            for period, content in reports.items()
        },
    }


def write(content: Mapping[str, Any], path: Path) -> None:
    """Write the summary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def monthly_table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The months side by side, with both official rates."""
    head = ["kỳ      ", *(f"{title:>10}" for title in REPORT_COLUMNS.values()), f"{'% đúng hạn':>11}", f"{'% xong':>8}"]
    lines = ["".join(head)]
    for period, content in reports.items():
        figures = "".join(f"{content['totals'][column]:>10}" for column in REPORT_COLUMNS)
        rates = content["rates"]
        on_time, done = (rates[name] if rates[name] is not None else "–" for name in ("on_time_of_due", "done_of_all"))
        lines.append(f"{period:<8}{figures}{on_time:>11}{done:>8}{'' if content['final'] else '  (tạm tính)'}")
    lines.append("        đúng hạn, quá hạn*: đã hoàn thành; các cột sau: chưa hoàn thành")
    return "\n".join(lines)
