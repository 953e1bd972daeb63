"""notify without Kafka and without a mail server: facts in, alerts and messages out, in memory."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pydantic_core

from services.notify.api import AlertApi
from services.notify.compose import Composer
from services.notify.domain import timing
from services.notify.domain.dispatch import slot_of
from services.notify.domain.retrying import RetryTable
from services.notify.domain.routing import Recipient, Role
from services.notify.domain.rulebook import Rulebook, Rules
from services.notify.forming import Forming
from services.notify.handlers import SLOTS, NotifyHandlers
from services.notify.lookup import Lookup
from services.notify.ports import AlertWithDeliveries, Channel, Contact, Delivered, Message, NotifyStore, Sent
from services.notify.rules import read_rulebook
from services.notify.sending import Sending
from services.notify.settings import Settings
from services.tasks import wire as tasks_wire
from services.tasks.domain.decision import Fact
from shared.contracts.codec import decode
from shared.contracts.topics import AGENCIES, TASKS
from shared.runtime.bearer import Verify
from shared.runtime.consuming import Received
from tests.flow.notify.memory import MemoryNotifyStore, MemoryTopic
from tests.support.builders import REVIEWER, a_cause, at

GROUP_WAIT = 2.0
GIVE_UP_SECONDS = 5 * 24 * 3600.0
RETRIES = RetryTable((*(2.0**n for n in range(10)), 600.0), GIVE_UP_SECONDS)
EVERY_SLOT = tuple(range(SLOTS))
_SETTINGS = Settings.model_fields
RULEBOOK: Rulebook = read_rulebook(_SETTINGS["calendar_file"].default, _SETTINGS["notify_policy_file"].default)
RULES_OF_MESSAGES: Rules = RULEBOOK.of("H48")
COMPOSER = Composer(board_url="http://b")
MONDAY = "2024-12-02 09:00"
"""A working day in office hours, after its digest has left; every fact of the tests lies before it."""


class Killed(BaseException):
    """The process ends here."""


@dataclass(slots=True)
class RecordingChannel:
    """Takes every message, or answers what it was told to; `seen` has every try, `mails` what was taken."""

    mails: list[Message] = field(default_factory=list)
    seen: list[Message] = field(default_factory=list)
    answers: list[Sent | BaseException] = field(default_factory=list)
    by_mailbox: Mapping[str, Sent | BaseException] = field(default_factory=dict)
    retries: RetryTable = RETRIES
    is_optional: bool = False

    def address(self, province: str, recipient: Recipient, contact: Contact | None) -> str | None:
        if contact is None:
            return None
        return contact.head_mailbox or contact.mailbox if recipient.role is Role.HEAD else contact.mailbox

    async def __call__(self, message: Message) -> Sent:
        self.seen.append(message)
        answer = self.answers.pop(0) if self.answers else self.by_mailbox.get(message.to, Delivered())
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Delivered):
            self.mails.append(message)
        return answer


@dataclass(slots=True)
class HandClock:
    """Business time, which tests move."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def at(self, real: float) -> datetime:
        return self.instant


@dataclass(slots=True)
class Service:
    """The parts of notify; `now` is the real time, `clock` the business time, which tests move."""

    store: NotifyStore = field(default_factory=MemoryNotifyStore)
    topic: MemoryTopic = field(default_factory=MemoryTopic)
    email: RecordingChannel = field(default_factory=RecordingChannel)
    others: dict[str, Channel] = field(default_factory=dict)
    now: float = 1_000.0
    clock: HandClock = field(default_factory=lambda: HandClock(at(MONDAY)))
    progress: int = 0
    rulebook: Rulebook = RULEBOOK
    handlers: NotifyHandlers = field(init=False)
    forming: Forming = field(init=False)
    sending: Sending = field(init=False)
    lookup: Lookup = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    @property
    def channels(self) -> dict[str, Channel]:
        return {"email": self.email, **self.others}

    def restart(self) -> None:
        """Only the store, the topic and the mail server remember."""
        self.lookup = Lookup(self.store, self.rulebook, monotonic=lambda: self.now)
        self.handlers = NotifyHandlers(
            self.store, self.topic, self.channels, self.lookup, self.clock, real_time=lambda: self.now
        )
        self.forming = Forming(
            self.store,
            self.channels,
            self.lookup,
            self.clock,
            group_wait_seconds=GROUP_WAIT,
            real_time=lambda: self.now,
            progress=self._progressed,
        )
        self.sending = Sending(
            self.store,
            self.channels,
            COMPOSER,
            self.lookup,
            self.clock,
            real_time=lambda: self.now,
        )

    def _progressed(self) -> None:
        self.progress += 1

    async def on(self, *facts: Fact) -> None:
        await self.handlers.on_records(records(*facts))

    async def register(self, *records: Received) -> None:
        await self.handlers.on_records(records)

    def passes(self, seconds: float) -> None:
        """Time goes on."""
        self.now += seconds
        self.clock.instant += timedelta(seconds=seconds)

    def until(self, instant: datetime) -> None:
        """Time goes on until then."""
        self.passes((instant - self.clock.instant).total_seconds())

    async def deliver(self, after: float = GROUP_WAIT, slots: Collection[int] = EVERY_SLOT) -> int:
        """One turn of forming and sending. Returns how many messages were taken."""
        self.passes(after)
        before = len(self.email.mails)
        await self.store.unsettled(slots)
        await self.forming.turn(slots)
        while await self.sending.turn(slots):
            await self.sending.idle()
        return len(self.email.mails) - before

    async def digest(self) -> int:
        """The next digest leaves."""
        self.until(timing.next_digest(self.clock.instant, RULES_OF_MESSAGES))
        return await self.deliver()

    def api(self, verify: Verify | None = None) -> AlertApi:
        return AlertApi(self.store, self.lookup, self.channels, COMPOSER, self.clock, verify=verify)

    async def listed(self, **wanted: str) -> list[AlertWithDeliveries]:
        return list(await self.store.list_alerts(wanted, after=None, limit=500))

    async def deliveries(self, **wanted: str) -> list[tuple[str, str, str]]:
        """Role, state and cause of each delivery."""
        found = await self.listed(**wanted)
        return [(one.role, one.state, one.cause) for alert in found for one in alert.deliveries]

    def subjects(self) -> list[tuple[str, str]]:
        """Mailbox and what the subject says between `]` and `–`."""
        return [(mail.to, mail.subject.split("]")[1].split("–")[0].strip()) for mail in self.email.mails]


def slot_of_agency(code: str) -> int:
    return slot_of("H48", code, SLOTS)


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
