"""notify without Kafka: facts of the tasks service in, alerts and messages out, on a real mongod."""

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pydantic_core
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.notify.compose import Composer
from services.notify.handlers import NotifyHandlers
from services.notify.mongo import MongoNotifyStore
from services.notify.ports import Delivered, Message, Refused, RetryLater, Sent
from services.tasks import wire as tasks_wire
from services.tasks.domain.commands import AcceptResult, GrantExtension, RaiseObstacle, ReturnResult, SubmitResult
from services.tasks.domain.decide import Fact, advance, assign, decide
from services.tasks.domain.task import Task
from shared.contracts.alert_facts import AlertDecided
from shared.contracts.codec import decode
from shared.contracts.topics import AGENCIES, ALERTS, TASKS
from shared.runtime.clock import ScaledClock
from shared.runtime.consuming import Received
from shared.runtime.mongodb import connect
from tests.support.builders import REVIEWER, RULES, a_cause, a_document, a_task, at

pytestmark = [pytest.mark.connected, pytest.mark.timeout(60)]

SUBMIT = SubmitResult(a_document(), "", 0, None)


@dataclass
class Service:
    """The parts of notify, with lists for broker and mail server."""

    store: MongoNotifyStore
    told: list[bytes] = field(default_factory=list)
    mails: list[Message] = field(default_factory=list)
    answers: list[Sent] = field(default_factory=list)
    now: float = 1e12
    lose_next_publish: bool = False

    def __post_init__(self) -> None:
        clock = ScaledClock(at("2024-12-01 08:00"), 0, 0)
        self.handlers = NotifyHandlers(
            self.store, self.publish, self.send, Composer(board_url="http://b"), clock, lambda: self.now
        )

    async def publish(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        if self.lose_next_publish:
            self.lose_next_publish = False
            raise ConnectionError("died before telling")
        self.told.extend(value for _, _, value in messages)

    async def send(self, message: Message) -> Sent:
        answer = self.answers.pop(0) if self.answers else Delivered()
        if isinstance(answer, Delivered):
            self.mails.append(message)
        return answer

    async def on(self, *facts: Fact) -> None:
        await self.handlers.on_records(records(*facts))

    async def deliver(self) -> int:
        return await self.handlers.deliver([0])

    def alerts(self) -> list[AlertDecided]:
        return [one for value in self.told if isinstance(one := decode(ALERTS.name, value).data, AlertDecided)]


def records(*facts: Fact) -> list[Received]:
    return [
        Received(decode(TASKS.name, tasks_wire.message(fact).value), TASKS.name, 0, number, b"")
        for number, fact in enumerate(facts)
    ]


def an_agency(code: str, role: str, contact: str | None, seq: int = 1) -> Received:
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
    }
    event = {
        "id": f"H48/{code}:{seq}",
        "source": "//dondoc/tasks",
        "type": "dondoc.agency.changed.v1",
        "province": "H48",
        "data": data,
    }
    return Received(decode(AGENCIES.name, pydantic_core.to_json(event)), AGENCIES.name, 0, 0, code.encode())


@pytest.fixture
async def service(mongo_uri: str) -> AsyncIterator[Service]:
    client = connect(mongo_uri, app_name="tests")
    name = f"test_{uuid.uuid4().hex[:12]}"
    store = MongoNotifyStore(client[name], group_wait_seconds=0)
    await store.prepare()
    found = Service(store)
    await found.handlers.on_records(
        [
            an_agency("H48.01", "chairman_office", "office@x.example"),
            an_agency(REVIEWER, "standing", "standing@x.example"),
            an_agency("H48.21", "agency", "agency@x.example"),
        ]
    )
    yield found
    await client.drop_database(name)
    client.close()


def by(task: Task, until: str) -> tuple[Task, tuple[Fact, ...]]:
    decision = advance(task, now=at(until), recorded_at=at(until), rules=RULES)
    return decision.task, decision.facts


async def test_an_overdue_is_told_once_and_mailed_to_the_agency(service: Service) -> None:
    _, facts = by(a_task(), "2024-10-20 00:00")

    await service.on(*facts)
    await service.deliver()

    assert [(one.kind.value, one.outcome, one.reason) for one in service.alerts()] == [
        ("due_soon", "silent", "overdue_says_more"),
        ("due_soon", "silent", "overdue_says_more"),
        ("due_soon", "silent", "overdue_says_more"),
        ("overdue", "notify", "due"),
    ]
    assert [(mail.to, mail.subject) for mail in service.mails] == [
        ("agency@x.example", "[Đôn đốc] Quá hạn 1 nhiệm vụ – TB-1")
    ]


async def test_an_escalation_reaches_higher_with_each_level(service: Service) -> None:
    task, facts = by(a_task(), "2024-11-01 08:00")

    await service.on(*facts)
    await service.deliver()

    levels = {mail.to for mail in service.mails if "mức 3" in mail.subject}
    assert levels == {"agency@x.example", "standing@x.example", "office@x.example"}
    assert task.milestones[-1].level == 3


async def test_a_redelivered_fact_alerts_and_mails_nobody_twice(service: Service) -> None:
    _, facts = by(a_task(), "2024-10-20 00:00")
    await service.on(*facts)
    await service.deliver()
    alerts, mails = list(service.told), list(service.mails)

    await service.on(*facts)
    await service.deliver()

    assert service.told == alerts
    assert service.mails == mails


async def test_an_alert_that_was_recorded_but_not_told_is_told_later_under_the_same_id(service: Service) -> None:
    _, facts = by(a_task(), "2024-10-20 00:00")
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.on(*facts)

    await service.deliver()

    assert [one.alert_id for one in service.alerts()] == [f"{facts[0].task.task_id}:{fact.task.seq}" for fact in facts]


async def test_a_task_finished_before_the_message_went_out_is_not_nagged_about(service: Service) -> None:
    """INVARIANT: nobody receives a reminder about a task that was finished before it was sent."""
    task, facts = by(a_task(), "2024-10-20 00:00")
    await service.on(*facts)
    finished = decide(task, SUBMIT, cause=a_cause("2024-10-20 09:00"), rules=RULES)

    await service.on(*finished.facts)
    await service.deliver()

    assert service.mails == []
    [overdue] = await service.store.list_alerts({"kind": "overdue"}, after=None, limit=10)
    assert [(one["state"], one["cause"]) for one in overdue["deliveries"]] == [("suppressed", "task_submitted")]


async def test_a_retraction_goes_to_those_who_were_told(service: Service) -> None:
    task, facts = by(a_task(), "2024-10-25 08:00")
    await service.on(*facts)
    await service.deliver()
    grant = GrantExtension(date(2024, 12, 20), a_document(), "")
    extended = decide(task, grant, cause=a_cause("2024-10-25 10:00", "H48.01"), rules=RULES)

    service.mails.clear()
    await service.on(*extended.facts)
    await service.deliver()

    told = {(mail.to, mail.subject.split("]")[1].split("–")[0].strip()) for mail in service.mails}
    assert ("agency@x.example", "Gia hạn 1 nhiệm vụ") in told
    assert ("standing@x.example", "Rút thông báo quá hạn 1 nhiệm vụ") in told


async def test_many_tasks_of_one_directive_are_one_message(service: Service) -> None:
    facts = [
        fact for number in range(30) for fact in assign(a_task(task_id=f"H48/TB-1/II.5-{number}/H48.21", seq=0)).facts
    ]

    await service.on(*facts)
    await service.deliver()

    assert [mail.subject for mail in service.mails] == ["[Đôn đốc] Giao 30 nhiệm vụ – TB-1"]


async def test_a_busy_mail_server_is_tried_again_and_a_refusal_is_final(service: Service) -> None:
    _, facts = by(a_task(), "2024-10-20 00:00")
    await service.on(*facts)
    service.answers = [RetryLater("smtp_451"), RetryLater("smtp_451"), Refused("smtp_550")]

    for _ in range(4):
        await service.deliver()
        service.now += 1_000

    [overdue] = await service.store.list_alerts({"kind": "overdue"}, after=None, limit=10)
    assert [(one["state"], one["cause"], one["attempts"]) for one in overdue["deliveries"]] == [
        ("failed", "smtp_550", 3)
    ]


async def test_an_agency_without_a_mailbox_fails_visibly(service: Service) -> None:
    await service.handlers.on_records([an_agency("H48.21", "agency", None, seq=2)])
    _, facts = by(a_task(), "2024-10-20 00:00")

    await service.on(*facts)
    await service.deliver()

    [overdue] = await service.store.list_alerts({"kind": "overdue"}, after=None, limit=10)
    assert [(one["state"], one["cause"]) for one in overdue["deliveries"]] == [("failed", "no_contact")]


async def test_a_returned_result_and_an_obstacle_are_heard_by_those_who_must_act(service: Service) -> None:
    task = decide(a_task(), SUBMIT, cause=a_cause("2024-10-14 09:00"), rules=RULES).task
    returned = decide(task, ReturnResult("thiếu"), cause=a_cause("2024-10-14 10:00", REVIEWER), rules=RULES)
    raised = decide(returned.task, RaiseObstacle("o1", "khó", False), cause=a_cause("2024-10-14 11:00"), rules=RULES)

    await service.on(*returned.facts, *raised.facts)
    await service.deliver()

    assert {(mail.to, mail.subject.split("]")[1].split("–")[0].strip()) for mail in service.mails} == {
        ("agency@x.example", "Trả lại kết quả 1 nhiệm vụ"),
        ("standing@x.example", "Khó khăn, vướng mắc ở 1 nhiệm vụ"),
    }


STEPS = [
    (SUBMIT, "H48.21"),
    (AcceptResult(""), REVIEWER),
    (ReturnResult("thiếu"), REVIEWER),
    (GrantExtension(date(2024, 12, 20), a_document(), ""), "H48.01"),
]


@given(
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(STEPS)), max_size=6),
    st.lists(st.integers(0, 40), max_size=12),
    st.randoms(use_true_random=False),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_and_repetition_of_facts_gives_each_alert_once(
    service: Service,
    steps: list[tuple[int, tuple[Any, str]]],
    repeats: list[int],
    chance: Any,
) -> None:
    """INVARIANT: every alerting fact is recorded exactly once, however facts are repeated or reordered."""
    task = a_task(task_id=f"H48/TB-1/II.1.h-{chance.randint(1, 99)}/H48.{chance.randint(100, 999)}", agency="H48.21")
    facts: list[Fact] = []
    for hours, (command, actor) in sorted(steps, key=lambda one: one[0]):
        cause = a_cause(at("2024-10-14 09:00") + timedelta(hours=hours), actor)
        decision = decide(task, command, cause=cause, rules=RULES)
        task = decision.task
        facts += [fact for fact in decision.facts if fact.kind.value != "rejected"]
    task, late = by(task, "2024-12-31 00:00")
    facts += late
    if not facts:
        return
    before = len(service.alerts())
    stream = [*facts, *(facts[number % len(facts)] for number in repeats)]
    chance.shuffle(stream)

    for fact in stream:
        await service.on(fact)

    found = [one.alert_id for one in service.alerts()[before:]]
    assert len(found) == len(set(found))
    alerting = await service.store.list_alerts({"task_id": task.task_id}, after=None, limit=500)
    assert {one["_id"] for one in alerting} >= set(found)
