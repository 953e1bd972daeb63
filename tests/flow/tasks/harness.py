"""One tasks service without Kafka: records in, facts and outcomes out, on a real mongod."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from services.tasks.domain.decision import Rulebook
from services.tasks.domain.task import Task
from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import Change, Message, TaskFilter
from services.tasks.wiring import wire_up
from shared.contracts.codec import decode
from shared.contracts.topics import SUBMISSIONS, TASKS
from shared.runtime.clock import ScaledClock
from shared.runtime.consuming import Received
from tests.support.builders import RULEBOOK, at
from tests.support.workload import OFFICE, STANDING, event

PARTITIONS = 4


@dataclass
class Service:
    """The parts of tasks, wired as app.build does, with a list for a broker."""

    store: MongoTaskStore
    rulebook: Rulebook = RULEBOOK
    clock_at: str = "2025-06-01 00:00"
    told: list[Message] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)
    lose_next_publish: bool = False

    def __post_init__(self) -> None:
        clock = ScaledClock(at(self.clock_at), 0, 0)
        parts = wire_up(self.store, self.publish, self.partition_of, clock, self.rulebook, tasks_together=2)
        self.teller, self.handlers, self.sweep, self.upkeep = parts.teller, parts.handlers, parts.sweep, parts.upkeep
        parts.partitions_changed()

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.lose_next_publish and messages:
            self.lose_next_publish = False
            raise ConnectionError("the process died before it could tell")
        self.told.extend(messages)

    async def partition_of(self, key: str) -> int:
        return sum(key.encode()) % PARTITIONS

    async def receive(self, *events: tuple[str, dict[str, Any]]) -> list[Received]:
        """Records of these events (key, event), each at the next offset of its partition."""
        records = []
        for key, content in events:
            partition = await self.partition_of(key)
            offset = self.offsets[partition] = self.offsets.get(partition, -1) + 1
            decoded = decode(SUBMISSIONS.name, pydantic_core.to_json(content))
            records.append(Received(decoded, SUBMISSIONS.name, partition, offset, key.encode()))
        return records

    async def on(self, *events: tuple[str, dict[str, Any]]) -> list[Received]:
        records = await self.receive(*events)
        await self.handlers.on_submissions(records)
        return records

    async def time_passes(self, until: str) -> None:
        """One sweep of all partitions up to an instant."""
        times = dict.fromkeys(range(PARTITIONS), at(until))
        await self.store.note_times(times)
        await self.sweep.tell_leftovers(list(times))
        await self.sweep.settle_parked(list(times), times)
        await self.upkeep.move_tasks(times)
        await self.upkeep.reschedule(times)
        await self.sweep.open_periods(times)
        await self.sweep.fire_due(times)

    async def task(self, task_id: str) -> Task:
        return (await self.store.tasks([task_id]))[task_id].task

    async def tasks(self) -> dict[str, Task]:
        found = await self.store.list_tasks(TaskFilter(), after=None, limit=500)
        return {one.task_id: one for one in found}

    async def history(self, task_id: str) -> list[Change]:
        changes = await self.store.history(task_id)
        assert changes is not None
        return changes

    async def detail(self, event_id: str) -> str:
        [entry] = await self.store.ledger_by_id(event_id, None, 10)
        return entry.detail

    async def outcome(self, event_id: str) -> tuple[str, str]:
        [entry] = await self.store.ledger_by_id(event_id, None, 10)
        return entry.outcome.value, entry.reason

    def facts(self, topic: str = TASKS.name) -> list[str]:
        return [decode(topic, one.value).envelope.type.split(".")[-2] for one in self.told if one.topic == topic]


def say(
    event_type: str,
    data: dict[str, Any],
    *,
    by: str = "H48.21",
    received: str = "2024-10-14 09:00",
    event_id: str | None = None,
    key: str | None = None,
) -> tuple[str, dict[str, Any]]:
    """An event with its key."""
    where = key or data.get("task_id") or "H48"
    return where, event(event_type, data, agency=by, received_at=at(received), event_id=event_id or uuid.uuid4().hex)


def agency(code: str, role: str = "agency", *groups: str) -> tuple[str, dict[str, Any]]:
    data = {"code": code, "name": code, "role": role, "groups": list(groups), "valid_from": "2024-01-01"}
    return say("agency.registered", data, by=STANDING, received="2024-10-14 08:00")


def directive(
    *obligations: dict[str, Any], event_id: str = "directive", received: str = "2024-10-14 08:30", **changes: Any
) -> tuple[str, dict[str, Any]]:
    data = {
        "directive": "TB-1",
        "kind": "TB",
        "issuer": "UBND tỉnh",
        "issued_on": "2024-10-14",
        "title": "Thông báo kết luận",
        "obligations": list(obligations),
        **changes,
    }
    return say("directive.issued", data, by=OFFICE, received=received, event_id=event_id)


def obligation(clause: str = "II.1.h", leads: Sequence[str] = ("@all",), **changes: Any) -> dict[str, Any]:
    return {
        "clause": clause,
        "title": "Nội dung",
        "leads": list(leads),
        "due": {"kind": "fixed", "boundary": "before", "day": "2024-10-20"},
        "category": "dated",
        **changes,
    }


REGISTRY = (
    agency(OFFICE, "chairman_office"),
    agency(STANDING, "standing", "@all"),
    agency("H48.21", "agency", "@all", "@districts"),
    agency("H48.22", "agency", "@all", "@districts"),
)
TASK = "H48/TB-1/II.1.h/H48.21"
RESULT = {"task_id": TASK, "document": {"number": "1/BC", "issued_on": "2024-10-14"}}
REVOKED = {
    "directive": "TB-1",
    "reason": "thay thế",
    "document": {"number": "9/TB", "issued_on": "2024-10-16"},
}
