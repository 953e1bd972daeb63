"""notify without Kafka and without a mail server: facts in, alerts and messages out, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from services.notify.compose import Composer
from services.notify.handlers import NotifyHandlers
from services.notify.ports import AlertWithDeliveries, Delivered, Message, NotifyStore, Sent
from services.tasks import wire as tasks_wire
from services.tasks.domain.decision import Fact
from shared.contracts.codec import decode
from shared.contracts.topics import AGENCIES, TASKS
from shared.runtime.clock import ScaledClock
from shared.runtime.consuming import Received
from tests.flow.notify.memory import MemoryNotifyStore, MemoryTopic
from tests.support.builders import REVIEWER, a_cause, at

GROUP_WAIT = 2.0


class Killed(BaseException):
    """The process ends here."""


@dataclass(slots=True)
class RecordingChannel:
    """Takes every message, or answers what it was told to; `seen` has every try, `mails` what was taken."""

    mails: list[Message] = field(default_factory=list)
    seen: list[Message] = field(default_factory=list)
    answers: list[Sent | BaseException] = field(default_factory=list)
    by_mailbox: Mapping[str, Sent | BaseException] = field(default_factory=dict)

    async def __call__(self, message: Message) -> Sent:
        self.seen.append(message)
        answer = self.answers.pop(0) if self.answers else self.by_mailbox.get(message.to, Delivered())
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Delivered):
            self.mails.append(message)
        return answer


@dataclass(slots=True)
class Service:
    """The parts of notify; `now` is the real time, which tests move."""

    store: NotifyStore = field(default_factory=MemoryNotifyStore)
    topic: MemoryTopic = field(default_factory=MemoryTopic)
    email: RecordingChannel = field(default_factory=RecordingChannel)
    now: float = 1_000.0
    progress: int = 0
    handlers: NotifyHandlers = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Only the store, the topic and the mail server remember."""
        self.handlers = NotifyHandlers(
            self.store,
            self.topic,
            {"email": self.email},
            Composer(board_url="http://b"),
            ScaledClock(at("2024-12-01 08:00"), 0, 0),
            group_wait_seconds=GROUP_WAIT,
            real_time=lambda: self.now,
            progress=self._progressed,
        )

    def _progressed(self) -> None:
        self.progress += 1

    async def on(self, *facts: Fact) -> None:
        await self.handlers.on_records(records(*facts))

    async def register(self, *records: Received) -> None:
        await self.handlers.on_records(records)

    async def deliver(self, after: float = GROUP_WAIT) -> int:
        self.now += after
        return await self.handlers.deliver([0])

    async def listed(self, **wanted: str) -> list[AlertWithDeliveries]:
        return list(await self.store.list_alerts(wanted, after=None, limit=500))

    async def deliveries(self, **wanted: str) -> list[tuple[str, str, str]]:
        """Role, state and cause of each delivery."""
        found = await self.listed(**wanted)
        return [(one.role, one.state, one.cause) for alert in found for one in alert.deliveries]

    def subjects(self) -> list[tuple[str, str]]:
        """Mailbox and what the subject says between `]` and `–`."""
        return [(mail.to, mail.subject.split("]")[1].split("–")[0].strip()) for mail in self.email.mails]


async def a_service() -> Service:
    """With an agency, its supervisors and their mailboxes."""
    service = Service()
    await service.register(
        an_agency("H48.01", "chairman_office", "office@x.example"),
        an_agency(REVIEWER, "standing", "standing@x.example"),
        an_agency("H48.21", "agency", "agency@x.example", head_contact="head@x.example"),
    )
    return service


def records(*facts: Fact, partition: int = 0) -> list[Received]:
    return [
        Received(decode(TASKS.name, tasks_wire.message(fact).value), TASKS.name, partition, number, b"")
        for number, fact in enumerate(facts)
    ]


def an_agency(code: str, role: str = "agency", contact: str | None = None, seq: int = 1, **changes: Any) -> Received:
    data: dict[str, Any] = {
        "province": "H48",
        "code": code,
        "seq": seq,
        "name": f"Cơ quan {code}",
        "role": role,
        "groups": [],
        "valid_from": "2024-01-01",
        "valid_to": None,
        "successors": [],
        "basis": None,
        "head_title": None,
        "contact": contact,
        "head_contact": None,
        "cause": pydantic_core.to_jsonable_python(a_cause()),
        **changes,
    }
    event = {
        "id": f"H48/{code}:{seq}",
        "source": "//dondoc/tasks",
        "type": "dondoc.agency.changed.v1",
        "province": "H48",
        "data": data,
    }
    return Received(decode(AGENCIES.name, pydantic_core.to_json(event)), AGENCIES.name, 0, 0, code.encode())
