"""Stories of alerts: facts of the tasks service in; alerts on their topic and messages out."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from services.notify.domain import timing
from services.notify.domain.alert import KIND_OF_FACT, AlertKind
from services.notify.domain.dispatch import desk_of
from services.notify.domain.pipeline import Stage, Step
from services.notify.forming import UNKNOWN_AGENCY_SECONDS
from services.notify.handlers import LEFTOVER_AFTER_SECONDS
from services.notify.ports import Letter, Message, Refused, RetryLater
from services.notify.sending import CLAIM_SECONDS
from services.tasks.domain.commands import (
    AcceptResult,
    Cancel,
    Command,
    GrantExtension,
    RaiseObstacle,
    ReturnResult,
    SubmitResult,
)
from services.tasks.domain.decide import advance, assign, decide
from services.tasks.domain.decision import Fact, FactKind
from services.tasks.domain.task import Task
from tests.flow.notify.harness import (
    EVERY_SLOT,
    GIVE_UP_SECONDS,
    GROUP_WAIT,
    RULES_OF_MESSAGES,
    Killed,
    Service,
    a_service,
    an_agency,
    slot_of_agency,
)
from tests.support.builders import REVIEWER, RULES, a_cause, a_document, a_task, at

SUBMIT = SubmitResult(a_document(), "", 0, None)
OVERDUE_AT = "2024-10-20 00:00"
GRANT = GrantExtension(date(2024, 12, 20), a_document(), "")


@pytest.fixture
async def service() -> Service:
    return await a_service()


def by(task: Task, until: str) -> tuple[Task, tuple[Fact, ...]]:
    """What time does until then, told day by day as it comes."""
    facts: tuple[Fact, ...] = ()
    day = min(task.assigned.received_at, at(until))
    while day < at(until):
        day = min(day + timedelta(hours=8), at(until))
        step = advance(task, now=day, recorded_at=day, rules=RULES)
        task, facts = step.task, facts + step.facts
    return task, facts


def after_outage(task: Task, until: str) -> tuple[Task, tuple[Fact, ...]]:
    """The same, all told at once at the end."""
    decision = advance(task, now=at(until), recorded_at=at(until), rules=RULES)
    return decision.task, decision.facts


def only(facts: Sequence[Fact], kind: FactKind) -> list[Fact]:
    return [fact for fact in facts if fact.kind is kind]


def assigned(clause: str, agency: str = "H48.21") -> tuple[Fact, ...]:
    task_id = f"H48/TB-1/{clause}/{agency}"
    return assign(a_task(task_id=task_id, clause=clause, agency=agency, seq=0)).facts


# -- who hears what ------------------------------------------------------------------------------------------------


async def test_an_overdue_is_told_once_and_mailed_to_the_agency(service: Service) -> None:
    _, facts = by(a_task(), OVERDUE_AT)

    await service.on(*facts)
    await service.digest()

    assert [(one.kind.value, one.outcome, one.reason) for one in service.topic.alerts()] == [
        ("due_soon", "silent", "overdue_says_more"),
        ("due_soon", "silent", "overdue_says_more"),
        ("due_soon", "silent", "overdue_says_more"),
        ("overdue", "notify", "due"),
    ]
    assert service.subjects() == [("agency@x.example", "Bản tin ngày 03/12/2024: 1 quá hạn")]


async def test_reminders_of_one_task_that_come_at_once_are_one_line_of_one_message(service: Service) -> None:
    _, facts = by(a_task(), "2024-10-19 12:00")
    reminders = only(facts, FactKind.DUE_SOON)
    assert len(reminders) == 3

    await service.on(*reminders)
    await service.digest()

    assert service.subjects() == [("agency@x.example", "Bản tin ngày 03/12/2024: 1 sắp đến hạn")]
    assert {state for _, state, _ in await service.deliveries()} == {"sent"}


async def test_an_escalation_reaches_higher_with_each_level(service: Service) -> None:
    task, facts = by(a_task(), "2024-11-01 08:00")

    await service.on(*facts)
    await service.deliver()

    found = {level: {to for to, subject in service.subjects() if f"mức {level}" in subject} for level in (1, 2, 3)}
    assert found == {
        1: {"agency@x.example", "head@x.example"},
        2: {"agency@x.example", "head@x.example", "standing@x.example"},
        3: {"agency@x.example", "head@x.example", "standing@x.example", "office@x.example"},
    }
    assert task.milestones[-1].level == 3


async def test_after_an_outage_only_the_latest_of_each_kind_is_told(service: Service) -> None:
    """Every missed milestone is a fact and an alert on its topic; people get one reminder less for each day missed."""
    _, facts = after_outage(a_task(), "2024-11-01 08:00")

    await service.on(*facts)
    await service.deliver()

    told = [(one.kind.value, one.level, one.outcome, one.reason) for one in service.topic.alerts()]
    assert told == [
        *[("due_soon", 0, "silent", "escalation_says_more")] * 3,
        ("overdue", 0, "notify", "due"),
        ("escalation", 1, "silent", "superseded"),
        ("escalation", 2, "silent", "superseded"),
        ("escalation", 3, "notify", "due"),
    ]
    levels = {to for to, subject in service.subjects() if "mức 3" in subject}
    assert levels == {"agency@x.example", "head@x.example", "standing@x.example", "office@x.example"}


async def test_a_head_without_a_mailbox_reads_the_agencys_and_that_gets_one_message(service: Service) -> None:
    await service.register(an_agency("H48.21", contact="agency@x.example", seq=2))
    _, facts = by(a_task(), "2024-10-21 12:00")

    await service.on(*only(facts, FactKind.ESCALATED))
    await service.deliver()

    assert service.subjects() == [("agency@x.example", "Báo cáo chậm tiến độ (mức 1): 1 nhiệm vụ")]
    assert await service.deliveries() == [("agency", "sent", ""), ("head", "sent", "")]


async def test_a_returned_result_and_an_obstacle_are_heard_by_those_who_must_act(service: Service) -> None:
    task = decide(a_task(), SUBMIT, cause=a_cause("2024-10-14 09:00"), rules=RULES).task
    returned = decide(task, ReturnResult("thiếu"), cause=a_cause("2024-10-14 10:00", REVIEWER), rules=RULES)
    raised = decide(returned.task, RaiseObstacle("o1", "khó", False), cause=a_cause("2024-10-14 11:00"), rules=RULES)

    await service.on(*returned.facts, *raised.facts)
    await service.deliver()
    assert service.subjects() == [("agency@x.example", "Trả lại kết quả 1 nhiệm vụ")]
    await service.digest()

    [digest] = [mail for mail in service.email.mails if mail.kind == "digest"]
    assert digest.to == "standing@x.example"
    assert [(one["topic"], one["count"]) for one in digest.data["sections"]] == [("obstacle", 1)]


async def test_what_the_agency_did_itself_alerts_nobody(service: Service) -> None:
    await service.on(*decide(a_task(), SUBMIT, cause=a_cause("2024-10-14 09:00"), rules=RULES).facts)

    assert service.topic.values == []
    assert await service.listed() == []


async def test_no_address_is_on_the_topic(service: Service) -> None:
    _, facts = by(a_task(), "2024-11-01 08:00")

    await service.on(*facts)

    assert service.topic.values
    assert not any(b"@" in value for value in service.topic.values)


# -- grouping ------------------------------------------------------------------------------------------------------


async def test_many_tasks_of_one_directive_are_one_message(service: Service) -> None:
    facts = [fact for number in range(30) for fact in assigned(f"II.5-{number}")]

    await service.on(*facts)
    await service.deliver()

    assert [mail.subject for mail in service.email.mails] == ["[Đôn đốc] Giao 30 nhiệm vụ – TB-1"]


async def test_facts_that_arrive_slowly_are_one_message_all_the_same(service: Service) -> None:
    for number in range(10):
        await service.on(*assigned(f"II.5-{number}"))
        assert await service.deliver(after=GROUP_WAIT - 0.1) == 0

    assert await service.deliver(after=GROUP_WAIT) == 1
    assert service.subjects() == [("agency@x.example", "Giao 10 nhiệm vụ")]


async def test_a_directive_that_never_ends_is_one_message_after_a_minute_and_the_rest_comes_with_the_digest(
    service: Service,
) -> None:
    for number in range(80):
        await service.on(*assigned(f"II.5-{number}"))
        await service.deliver(after=1)
    await service.deliver()
    announced = service.subjects()
    await service.digest()

    assert announced == [("agency@x.example", "Giao 60 nhiệm vụ")]
    digest = service.email.mails[-1]
    assert [(one["topic"], one["count"]) for one in digest.data["sections"]] == [("assigned", 20)]


async def test_nothing_is_sent_before_others_had_time_to_join(service: Service) -> None:
    await service.on(*assigned("II.5-1"))

    assert await service.deliver(after=1.9) == 0
    assert await service.deliver(after=0.1) == 1
    assert service.progress > 0


async def test_an_agencys_messages_are_one_replicas_whatever_partition_its_tasks_are_in(service: Service) -> None:
    mine = slot_of_agency("H48.21")
    await service.on(*assigned("II.5-1"))

    assert await service.deliver(after=10, slots=[one for one in range(12) if one != mine]) == 0
    assert await service.deliver(after=0, slots=[mine]) == 1


# -- once ----------------------------------------------------------------------------------------------------------


async def test_a_redelivered_fact_alerts_and_mails_nobody_twice(service: Service) -> None:
    _, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts, *facts)
    await service.digest()
    alerts, mails = list(service.topic.values), list(service.email.mails)

    await service.on(*facts)
    await service.digest()

    assert len(alerts) == 4
    assert service.topic.values == alerts
    assert service.email.mails == mails
    assert len(mails) == 1


async def test_an_alert_that_was_recorded_but_not_told_is_told_later_under_the_same_id(service: Service) -> None:
    _, facts = by(a_task(), OVERDUE_AT)
    service.topic.lose_next = True
    with pytest.raises(ConnectionError):
        await service.on(*facts)
    service.restart()

    assert await service.handlers.tell_leftovers([0]) == 0, "it may still be in hand"
    service.now += LEFTOVER_AFTER_SECONDS + 0.1
    assert await service.handlers.tell_leftovers([1]) == 0
    assert await service.handlers.tell_leftovers([0]) == len(facts)
    assert await service.handlers.tell_leftovers([0]) == 0

    expected = [f"{facts[0].task.task_id}:{fact.task.seq}" for fact in facts]
    assert [one.alert_id for one in service.topic.alerts()] == expected


async def test_a_message_waits_for_no_broker(service: Service) -> None:
    service.topic.lose_next = True
    with pytest.raises(ConnectionError):
        await service.on(*assigned("II.5-1"))

    await service.deliver()

    assert len(service.email.mails) == 1


async def test_a_crash_between_sending_and_noting_repeats_the_same_message(service: Service) -> None:
    """INVARIANT: a message that goes out twice goes out under one Message-ID.

    Otherwise a reader's mail server could not tell that it has it already.
    """
    await service.on(*assigned("II.5-1"))
    service.email.answers = [Killed()]
    with pytest.raises(Killed):
        await service.deliver()
    service.restart()
    await service.on(*assigned("II.5-2"))

    await service.deliver()
    await service.deliver(after=CLAIM_SECONDS)

    first, repeat = service.email.seen
    assert (first.message_id, first.data) == (repeat.message_id, repeat.data)
    # What came later is no part of it; the directive is announced already.
    await service.digest()
    assert len(service.email.mails) == 2
    assert {state for _, state, _ in await service.deliveries()} == {"sent"}


# -- silence -------------------------------------------------------------------------------------------------------


async def test_a_task_finished_before_the_message_went_out_is_not_nagged_about(service: Service) -> None:
    """INVARIANT: nobody receives a reminder about a task that was finished before it was sent."""
    task, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    finished = decide(task, SUBMIT, cause=a_cause("2024-10-20 09:00"), rules=RULES)

    await service.on(*finished.facts)
    await service.digest()

    assert service.email.mails == []
    assert await service.deliveries(kind="overdue") == [("agency", "suppressed", "task_submitted")]


async def test_only_the_finished_ones_fall_out_of_a_message(service: Service) -> None:
    task, overdue = by(a_task(), OVERDUE_AT)
    _, other = by(a_task(task_id="H48/TB-1/II.2/H48.21", clause="II.2"), OVERDUE_AT)
    await service.on(*overdue, *other)
    await service.on(*decide(task, SUBMIT, cause=a_cause("2024-10-20 09:00"), rules=RULES).facts)

    await service.digest()

    assert service.subjects() == [("agency@x.example", "Bản tin ngày 03/12/2024: 1 quá hạn")]
    assert "II.2:" in service.email.mails[0].text


async def test_a_cancelled_task_is_told_of_and_nothing_else_is(service: Service) -> None:
    task, facts = by(a_task(), OVERDUE_AT)
    cancelled = decide(task, Cancel("thôi", a_document()), cause=a_cause("2024-10-21 08:00", "H48.01"), rules=RULES)

    await service.on(*facts, *cancelled.facts)
    await service.digest()

    [digest] = service.email.mails
    assert [(one["topic"], one["count"]) for one in digest.data["sections"]] == [("ended", 1)]


# -- retractions ---------------------------------------------------------------------------------------------------


async def test_a_retraction_goes_to_those_who_were_told(service: Service) -> None:
    task, facts = by(a_task(), "2024-10-29 08:00")
    await service.on(*facts)
    await service.digest()
    told = {to for to, subject in service.subjects() if "quá hạn" in subject or "chậm tiến độ" in subject}

    service.email.mails.clear()
    await service.on(*decide(task, GRANT, cause=a_cause("2024-10-29 10:00", "H48.01"), rules=RULES).facts)
    await service.deliver()

    assert {to for to, subject in service.subjects() if "Rút" in subject} == told
    assert told == {"agency@x.example", "head@x.example", "standing@x.example"}
    assert ("agency@x.example", "Gia hạn 1 nhiệm vụ") in service.subjects()


async def test_an_overdue_nobody_heard_of_is_not_taken_back(service: Service) -> None:
    """The overdue is still waiting for its message when it is retracted: neither goes out."""
    task, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    await service.on(*decide(task, GRANT, cause=a_cause("2024-10-20 10:00", "H48.01"), rules=RULES).facts)

    await service.deliver()
    await service.deliver(after=5)

    assert service.subjects() == [("agency@x.example", "Gia hạn 1 nhiệm vụ")]
    assert await service.deliveries(kind="overdue") == [("agency", "suppressed", "deadline_moved")]
    assert await service.deliveries(kind="overdue_retracted") == [("agency", "suppressed", "nobody_was_told")]


async def test_a_retraction_waits_for_what_becomes_of_the_overdue(service: Service) -> None:
    """The overdue's message is formed, and another replica is about to send it."""
    task, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    service.until(timing.next_digest(service.clock.instant, RULES_OF_MESSAGES))
    service.passes(10)
    await service.forming.turn(EVERY_SLOT)
    retracted = only(
        decide(task, GRANT, cause=a_cause("2024-12-03 08:00", "H48.01"), rules=RULES).facts, FactKind.OVERDUE_RETRACTED
    )

    await service.on(*retracted)
    service.passes(GROUP_WAIT)
    await service.forming.turn(EVERY_SLOT)
    assert await service.deliveries(kind="overdue_retracted") == [("agency", "pending", "")]
    [digest] = await service.store.due(EVERY_SLOT, "email", now=service.now, at=service.clock.instant, busy=(), limit=9)
    claimed = await service.store.claim(digest, until=service.now + 60)
    assert claimed is not None
    await service.store.tried(claimed, await service.store.deliveries_of(claimed.dispatch_id))
    await service.store.sent(claimed, at=service.clock.instant, listed={})
    await service.deliver(after=5)

    assert service.subjects() == [("agency@x.example", "Rút thông báo quá hạn 1 nhiệm vụ")]


async def test_an_overdue_that_could_not_be_mailed_is_not_taken_back(service: Service) -> None:
    await service.register(an_agency("H48.21", contact=None, seq=2))
    task, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    await service.digest()
    await service.register(an_agency("H48.21", contact="agency@x.example", seq=3))

    await service.on(*decide(task, GRANT, cause=a_cause("2024-10-20 10:00", "H48.01"), rules=RULES).facts)
    await service.deliver()

    [retracted] = await service.listed(kind="overdue_retracted")
    assert (retracted.decided.reason.value, retracted.deliveries) == ("nobody_was_told", ())
    assert service.subjects() == [("agency@x.example", "Gia hạn 1 nhiệm vụ")]


async def test_an_overdue_that_may_have_been_heard_is_taken_back(service: Service) -> None:
    task, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    service.email.answers = [RetryLater("timeout")]
    await service.digest()

    await service.on(*decide(task, GRANT, cause=a_cause("2024-10-20 10:00", "H48.01"), rules=RULES).facts)
    await service.deliver()

    assert ("agency@x.example", "Rút thông báo quá hạn 1 nhiệm vụ") in service.subjects()


async def test_whoever_read_it_in_a_digest_hears_that_it_is_taken_back(service: Service) -> None:
    """The overdue itself could not be mailed; a later digest listed it, since it stands."""
    await service.register(an_agency("H48.21", contact=None, seq=2))
    task, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    await service.digest()
    await service.register(an_agency("H48.21", contact="agency@x.example", seq=3))
    _, other = by(a_task(task_id="H48/TB-1/II.2/H48.21", clause="II.2"), OVERDUE_AT)
    await service.on(*other)
    await service.digest()
    [digest] = [mail for mail in service.email.mails if mail.to == "agency@x.example"]
    assert {line["clause"] for line in digest.data["sections"][0]["lines"]} == {"II.1.h", "II.2"}

    granted = decide(task, GRANT, cause=a_cause("2024-12-03 08:00", "H48.01"), rules=RULES)
    await service.on(*granted.facts)
    await service.deliver()

    assert ("agency@x.example", "Rút thông báo quá hạn 1 nhiệm vụ") in service.subjects()


async def test_what_another_replica_puts_into_a_message_that_has_gone_comes_in_the_next(service: Service) -> None:
    """INVARIANT: while two replicas both believe to own a slot, nothing is marked as sent that was in no message."""
    await service.on(*assigned("II.5-1"))
    service.passes(GROUP_WAIT)
    zombie = Service(store=service.store, topic=service.topic, email=service.email, now=service.now)
    [waits] = await service.store.waiting(EVERY_SLOT, now=service.clock.instant)
    await service.on(*assigned("II.5-2"))
    seen = await service.store.together(waits, now=service.clock.instant, limit=10)
    [first] = [one for one in seen if "II.5-1" in one.delivery_id]
    [late] = [one for one in seen if "II.5-2" in one.delivery_id]
    desk = desk_of(first.recipient, await service.lookup.registry("H48"), "H48", date(2024, 12, 2))
    dispatch = await service.forming._dispatch([first], desk, RULES_OF_MESSAGES, service.clock.instant)
    assert dispatch is not None
    await service.store.attach(dispatch, [first], Step(Stage.GROUP, "assigned"), now=service.now)
    assert await zombie.store.open(dispatch)
    assert await service.store.ready(dispatch)
    await service.sending.turn(EVERY_SLOT)
    await service.sending.idle()
    await zombie.store.attach(dispatch, [late], Step(Stage.GROUP, "assigned"), now=service.now)
    assert await zombie.forming._made_ready(dispatch) == 0

    await service.deliver()
    await service.digest()

    assert [mail.kind for mail in service.email.mails] == ["assigned", "digest"]
    assert {state for _, state, _ in await service.deliveries()} == {"sent"}


# -- what goes wrong -----------------------------------------------------------------------------------------------


async def test_a_busy_mail_server_is_tried_again_and_a_refusal_is_final(service: Service) -> None:
    await service.on(*assigned("II.5-1"))
    service.email.answers = [RetryLater("smtp_451"), RetryLater("smtp_451", after_seconds=50), Refused("smtp_550")]

    await service.deliver()
    assert await service.deliver(after=0.9) == 0
    await service.deliver(after=0.1)
    assert await service.deliver(after=49.9) == 0
    assert len(service.email.seen) == 2
    await service.deliver(after=0.1)
    await service.deliver(after=1_000)

    assert len(service.email.seen) == 3
    [alert] = await service.listed()
    [delivery] = alert.deliveries
    assert (delivery.state, delivery.cause, delivery.attempts) == ("failed", "smtp_550", 3)


async def test_a_mail_server_may_be_away_for_days_but_not_for_ever(service: Service) -> None:
    await service.on(*assigned("II.5-1"))
    service.email.by_mailbox = {"agency@x.example": RetryLater("SMTPConnectError")}

    began = service.now
    while service.now - began < GIVE_UP_SECONDS:
        await service.deliver(after=3_600)
        if service.now - began < GIVE_UP_SECONDS:
            [(_, state, _)] = await service.deliveries()
            assert state == "pending"
    service.until(timing.office_opens(service.clock.instant + timedelta(days=1), RULES_OF_MESSAGES))
    await service.deliver()

    assert await service.deliveries() == [("agency", "failed", "SMTPConnectError")]


@pytest.mark.parametrize("trouble", [RuntimeError("our bug"), RetryLater("busy"), Refused("no"), TimeoutError()])
async def test_trouble_with_one_recipient_stops_no_other(service: Service, trouble: Any) -> None:
    await service.register(an_agency("H48.22", contact="other@x.example"))
    service.email.by_mailbox = {"agency@x.example": trouble}
    await service.on(*assigned("II.5-1"), *assigned("II.5-1", "H48.22"))

    assert await service.deliver() == 1

    assert service.subjects() == [("other@x.example", "Giao 1 nhiệm vụ")]
    [(_, state, cause), (_, other, _)] = await service.deliveries()
    assert (state, other) == ("failed" if isinstance(trouble, Refused) else "pending", "sent")
    assert cause == {RuntimeError: "bug", TimeoutError: "TimeoutError"}.get(type(trouble)) or trouble.cause


async def test_a_message_that_cannot_be_written_stops_no_other(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.register(an_agency("H48.22", contact="other@x.example"))
    compose = service.sending._compose.alerts

    def broken_for_one(letter: Letter, alerts: Any, *, now: Any) -> Message:
        if letter.to == "agency@x.example":
            raise KeyError("a word is missing")
        return compose(letter, alerts, now=now)

    monkeypatch.setattr(service.sending._compose, "alerts", broken_for_one)
    await service.on(*assigned("II.5-1"), *assigned("II.5-1", "H48.22"))

    assert await service.deliver() == 1


async def test_an_agency_without_a_mailbox_fails_visibly(service: Service) -> None:
    await service.register(an_agency("H48.21", contact=None, seq=2))
    _, facts = by(a_task(), OVERDUE_AT)

    await service.on(*facts)
    await service.digest()

    assert await service.deliveries(kind="overdue") == [("agency", "failed", "no_contact")]


async def test_an_agency_that_is_not_registered_yet_is_waited_for(service: Service) -> None:
    await service.on(*assigned("II.5-1", "H48.50"))
    await service.deliver()
    [alert] = await service.listed()
    [delivery] = alert.deliveries
    assert (delivery.state, delivery.steps[-1].reason) == ("pending", "agency_unknown")

    await service.register(an_agency("H48.50", contact="new@x.example"))
    await service.deliver(after=10)

    assert service.subjects() == [("new@x.example", "Giao 1 nhiệm vụ")]


async def test_an_agency_that_nobody_registers_fails_in_the_end(service: Service) -> None:
    await service.on(*assigned("II.5-1", "H48.50"))

    await service.deliver(after=UNKNOWN_AGENCY_SECONDS)

    assert await service.deliveries() == [("agency", "failed", "no_contact")]


# -- reading -------------------------------------------------------------------------------------------------------


async def test_alerts_are_read_over_http_with_their_reasons_and_without_addresses(service: Service) -> None:
    _, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    await service.digest()
    app = Starlette(routes=service.api().routes())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notify") as client:
        overdue = (await client.get("/v1/alerts", params={"kind": "overdue"})).json()
        first = (await client.get("/v1/alerts", params={"limit": 3})).json()
        rest = (await client.get("/v1/alerts", params={"limit": 3, "cursor": first["next"]})).json()
        unknown = await client.get("/v1/alerts", params={"mailbox": "agency@x.example"})
        malformed = await client.get("/v1/alerts", params={"limit": "many"})
        everything = await client.get("/v1/alerts")

    [alert] = overdue["alerts"]
    assert {name: alert[name] for name in ("kind", "outcome", "reason", "last_day", "recipients")} == {
        "kind": "overdue",
        "outcome": "notify",
        "reason": "due",
        "last_day": "2024-10-19",
        "recipients": [{"agency": "H48.21", "role": "agency"}],
    }
    [delivery] = alert["deliveries"]
    assert (delivery["state"], delivery["channel"], delivery["attempts"]) == ("sent", "email", 1)
    assert delivery["message_id"] == service.email.mails[0].message_id
    assert (len(first["alerts"]), len(rest["alerts"]), rest["next"]) == (3, 1, None)
    assert [(one.status_code, one.json()["code"]) for one in (unknown, malformed)] == [
        (400, "unknown_filter"),
        (400, "malformed_filter"),
    ]
    assert "@" not in everything.text


# -- whatever the order --------------------------------------------------------------------------------------------

STEPS: list[tuple[Command, str]] = [
    (SUBMIT, "H48.21"),
    (AcceptResult(""), REVIEWER),
    (ReturnResult("thiếu"), REVIEWER),
    (GRANT, "H48.01"),
    (RaiseObstacle("o1", "khó", False), "H48.21"),
    (Cancel("thôi", a_document()), "H48.01"),
]
NOT_ABOUT_WORK = {AlertKind.ENDED.value, AlertKind.OVERDUE_RETRACTED.value}


def a_story(steps: Sequence[tuple[int, tuple[Command, str]]]) -> tuple[Task, list[Fact]]:
    """A task's facts in order: commands at hours after its assignment, time passing between them and after."""
    decision = assign(a_task(seq=0))
    task, facts = decision.task, list(decision.facts)
    for hours, (command, actor) in sorted(steps, key=lambda one: one[0]):
        received = at("2024-10-14 09:00") + timedelta(hours=hours)
        passed = advance(task, now=received, recorded_at=received, rules=RULES)
        decided = decide(passed.task, command, cause=a_cause(received, actor), rules=RULES)
        task = decided.task
        facts += [*passed.facts, *(fact for fact in decided.facts if fact.kind is not FactKind.REJECTED)]
    task, late = by(task, "2024-12-31 00:00")
    return task, [*facts, *late]


@given(
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(STEPS)), max_size=6),
    st.lists(st.integers(0, 60), max_size=12),
    st.integers(1, 8),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
async def test_any_order_and_repetition_of_facts_gives_each_alert_once(
    steps: list[tuple[int, tuple[Command, str]]], repeats: list[int], batch: int, in_order: bool, chance: Any
) -> None:
    """INVARIANT: every alerting fact is one alert, told once; and nobody hears of work that is known to be finished.

    If it broke, a redelivery after a rebalance would mail a whole province twice, or lose the alert that counts.
    """
    service = await a_service()
    task, facts = a_story(steps)
    stream = [*facts, *(facts[number % len(facts)] for number in repeats)]
    if not in_order:
        chance.shuffle(stream)

    known, finished = 0, False
    for start in range(0, len(stream), batch):
        some = stream[start : start + batch]
        await service.on(*some)
        newest = max(some, key=lambda fact: fact.task.seq).task
        if newest.seq > known:
            known, finished = newest.seq, newest.result.value in {"completed", "discontinued", "transferred"}
        mails = len(service.email.mails)
        await (service.digest() if chance.random() < 0.5 else service.deliver())
        if finished:
            new = {mail.message_id for mail in service.email.mails[mails:]}
            told = {
                one.decided.alert.kind.value
                for one in await service.listed()
                if any(delivery.message_id in new and delivery.state == "sent" for delivery in one.deliveries)
            }
            assert told <= NOT_ABOUT_WORK
    for _ in range(3):
        await service.digest()

    alerting = {f"{task.task_id}:{fact.task.seq}" for fact in facts if fact.kind.value in KIND_OF_FACT}
    found = [one.alert_id for one in service.topic.alerts()]
    assert len(found) == len(set(found))
    assert set(found) == alerting == {one.decided.alert.alert_id for one in await service.listed()}
    assert {state for _, state, _ in await service.deliveries()} <= {"sent", "suppressed"}
    ids = [mail.message_id for mail in service.email.seen]
    assert len({(mail.message_id, mail.to) for mail in service.email.seen}) == len(ids)
