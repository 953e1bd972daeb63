"""What went wrong once, or would have: outages, stale views, replicas that believe to own what they do not."""

from datetime import timedelta
from typing import Any

import pytest

from services.notify.domain import timing
from services.notify.domain.dispatch import Desk, Dispatch
from services.notify.domain.routing import Recipient
from services.notify.domain.silences import Silence
from services.notify.handlers import REGISTRY_SECONDS
from services.notify.ports import Contact, Message, Refused, RetryLater, Sent
from services.notify.sending import CLAIM_SECONDS
from services.tasks.domain.commands import RaiseObstacle, ReturnResult
from services.tasks.domain.decide import decide
from services.tasks.domain.decision import Fact, FactKind
from shared.runtime.errors import TransientError
from tests.flow.notify.harness import (
    EVERY_SLOT,
    RULES_OF_MESSAGES,
    Killed,
    RecordingChannel,
    Service,
    a_service,
    an_agency,
)
from tests.flow.notify.test_alerts import GRANT, OVERDUE_AT, SUBMIT, assigned, by, only
from tests.support.builders import REVIEWER, RULES, a_cause, a_task, at


@pytest.fixture
async def service() -> Service:
    return await a_service()


def a_silence(service: Service, hours: float) -> Silence:
    now = service.clock.instant
    return Silence("s1", "H48", "H48.21", None, None, "r", "H48.01", now, now + timedelta(hours=hours))


def overdue(clause: str = "II.1.h", agency: str = "H48.21") -> list[Fact]:
    task = a_task(task_id=f"H48/TB-1/{clause}/{agency}", clause=clause, agency=agency)
    return only(by(task, OVERDUE_AT)[1], FactKind.OVERDUE)


def an_obstacle() -> list[Fact]:
    raised = decide(a_task(), RaiseObstacle("o1", "x", True), cause=a_cause("2024-10-15 09:00"), rules=RULES)
    return only(raised.facts, FactKind.OBSTACLE_RAISED)


def messages(service: Service) -> list[tuple[str, str]]:
    return [(mail.to, mail.kind) for mail in service.email.mails]


# -- messages that were begun and not finished ---------------------------------------------------------------------


async def test_a_message_that_was_begun_and_never_filled_keeps_nothing_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the two; meanwhile an officer asks for quiet, so that nothing fills it for hours."""
    submitted = decide(a_task(), SUBMIT, cause=a_cause("2024-10-14 09:00"), rules=RULES).task
    returned = decide(submitted, ReturnResult("thiếu"), cause=a_cause("2024-10-14 10:00", REVIEWER), rules=RULES)
    await service.on(*returned.facts)
    service.passes(3)

    async def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(service.store, "attach", dies)
        with pytest.raises(Killed):
            await service.forming.turn(EVERY_SLOT)
    service.restart()
    await service.store.add_silence(a_silence(service, 2))
    await service.deliver(after=61)
    await service.deliver(after=5)
    for _ in range(4):
        await service.deliver(after=3_600)

    assert [mail.kind for mail in service.email.mails] == ["result_returned"]


async def test_what_cannot_be_formed_keeps_nobody_else_waiting(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: one broken document stops its own group, and no other."""
    await service.register(an_agency("H48.50", contact="fifty@x.example"))
    await service.on(*assigned("II.1"), *assigned("II.1", "H48.50"))
    together = service.store.together

    async def broken_for_one(waits: str, **rest: Any) -> Any:
        if "H48.21" in waits:
            raise KeyError("lane")
        return await together(waits, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(service.store, "together", broken_for_one)
        await service.deliver()
        assert messages(service) == [("fifty@x.example", "assigned")]
    await service.deliver(after=61)

    assert messages(service) == [("fifty@x.example", "assigned"), ("agency@x.example", "assigned")]


async def test_a_channel_that_is_taken_away_leaves_nothing_waiting_for_ever(service: Service) -> None:
    hook = RecordingChannel(is_optional=True, by_mailbox={"agency@x.example": RetryLater("down")})
    service.others = {"webhook": hook}
    service.restart()
    await service.on(*assigned("II.1"))
    await service.deliver()
    service.others = {}
    service.restart()

    await service.deliver(after=61)

    assert await service.deliveries() == [("agency", "sent", ""), ("agency", "failed", "channel_gone")]


# -- two replicas --------------------------------------------------------------------------------------------------


async def on_its_way(service: Service) -> Dispatch:
    await service.on(*assigned("II.1"))
    service.passes(3)
    await service.forming.turn(EVERY_SLOT)
    return await claimed(service)


async def claimed(service: Service) -> Dispatch:
    [found] = await service.store.due(EVERY_SLOT, "email", now=service.now, at=service.clock.instant, busy=(), limit=9)
    mine = await service.store.claim(found, until=service.now + CLAIM_SECONDS)
    assert mine is not None
    return mine


async def test_a_late_refusal_does_not_overrule_who_has_taken_over(service: Service) -> None:
    zombies = await on_its_way(service)
    await service.store.tried(zombies, await service.store.deliveries_of(zombies.dispatch_id))
    service.passes(CLAIM_SECONDS + 1)
    owners = await claimed(service)

    await service.store.failed(zombies, "zombie", at=service.clock.instant)
    await service.store.postponed(zombies, "zombie", until=0.0)
    assert await service.deliveries() == [("agency", "pending", "")]
    await service.store.sent(owners, at=service.clock.instant)

    assert await service.deliveries() == [("agency", "sent", "")]


async def test_a_silence_that_was_ended_holds_nothing_for_long_wherever_it_is_still_believed(service: Service) -> None:
    """Another replica has read the silence just before it was ended, and holds something back after that."""
    other = Service(store=service.store, clock=service.clock, now=service.now)
    await service.store.add_silence(a_silence(service, 24 * 90))
    await other.lookup.silences("H48", now=service.clock.instant)
    now = service.clock.instant
    await service.store.end_silence("H48", "s1", at=now, digest=timing.next_digest(now, RULES_OF_MESSAGES))
    await other.on(*assigned("II.1"))

    await service.deliver()
    assert messages(service) == []
    await service.deliver(after=3_601)

    assert messages(service) == [("agency@x.example", "assigned")]


# -- who reads for whom --------------------------------------------------------------------------------------------


async def test_when_one_of_those_who_read_at_a_desk_moves_away_the_others_stay(service: Service) -> None:
    """The standing agency reads for an agency with two successors, until the registry names one."""
    await service.register(
        an_agency("H48.40", contact="old@x.example", valid_to="2024-11-01", successors=["H48.21", "H48.41"]),
        an_agency("H48.41", contact="new@x.example"),
    )
    await service.on(*overdue("II.9", "H48.40"), *an_obstacle())
    await service.register(
        an_agency("H48.40", contact="old@x.example", seq=2, valid_to="2024-11-01", successors=["H48.41"])
    )

    await service.digest()
    await service.deliver(after=5)
    await service.digest()

    topics = {mail.to: [one["topic"] for one in mail.data["sections"]] for mail in service.email.mails}
    assert topics == {"standing@x.example": ["obstacle"], "new@x.example": ["overdue"]}


class Hook(RecordingChannel):
    """A webhook for some agencies."""

    has: frozenset[str] = frozenset()

    def address(self, province: str, recipient: Recipient, contact: Contact | None) -> str | None:
        return f"https://{recipient.agency}" if recipient.agency in self.has else None


@pytest.mark.parametrize(("has", "taken"), [("H48.30", 1), ("H48.21", 0)])
async def test_an_ended_agencys_webhook_is_its_successors(service: Service, has: str, taken: int) -> None:
    hook = Hook(is_optional=True)
    hook.has = frozenset({has})
    service.others = {"webhook": hook}
    service.restart()
    await service.register(
        an_agency("H48.30", contact="thirty@x.example"),
        an_agency("H48.21", contact="agency@x.example", seq=2, valid_to="2024-11-01", successors=["H48.30"]),
    )
    await service.on(*overdue())

    await service.digest()

    assert len(hook.mails) == taken
    [alert] = await service.listed()
    assert (alert.state, await service.store.unreachable("H48")) == ("sent", ([], None))


async def test_alerts_for_supervisors_wait_for_a_registry_that_names_them() -> None:
    """INVARIANT: facts of tasks that come before the agencies lose nobody an obstacle or an escalation."""
    service = Service()
    with pytest.raises(TransientError):
        await service.on(*an_obstacle())
    await service.register(an_agency(REVIEWER, "standing", "standing@x.example"))
    await service.on(*an_obstacle())

    await service.digest()

    assert messages(service) == [("standing@x.example", "digest")]


async def test_a_province_without_a_standing_agency_is_waited_for_once() -> None:
    service = Service()
    with pytest.raises(TransientError):
        await service.on(*an_obstacle())
    service.passes(REGISTRY_SECONDS)

    await service.on(*an_obstacle())

    [alert] = await service.listed()
    assert alert.decided.reason.value == "no_recipient"


# -- who was told --------------------------------------------------------------------------------------------------


async def test_whoever_reads_of_an_overdue_in_a_list_hears_that_it_is_taken_back(service: Service) -> None:
    """Overdue and result came in one batch, so the overdue is silent; the result is returned, and a digest lists it."""
    task, facts = by(a_task(), OVERDUE_AT)
    submitted = decide(task, SUBMIT, cause=a_cause("2024-10-20 09:00"), rules=RULES)
    await service.on(*facts, *submitted.facts)
    returned = decide(submitted.task, ReturnResult("thiếu"), cause=a_cause("2024-10-21 09:00", REVIEWER), rules=RULES)
    await service.on(*returned.facts, *overdue("II.3"))
    await service.deliver()
    await service.digest()
    assert service.email.mails[-1].data["sections"][0]["count"] == 2

    granted = decide(returned.task, GRANT, cause=a_cause("2024-12-03 10:00", "H48.01"), rules=RULES)
    await service.on(*granted.facts)
    await service.deliver()

    assert ("agency@x.example", "overdue_retracted") in messages(service)


async def test_an_overdue_that_was_refused_at_the_door_is_not_taken_back(service: Service) -> None:
    task, facts = by(a_task(), OVERDUE_AT)
    service.email.answers = [Refused("no_mailbox")]
    await service.on(*facts)
    service.until(at("2024-12-02 16:00"))
    await service.digest()
    assert await service.deliveries(kind="overdue") == [("agency", "failed", "no_mailbox")]

    await service.on(*decide(task, GRANT, cause=a_cause("2024-12-03 10:00", "H48.01"), rules=RULES).facts)
    await service.deliver()

    retracted = [one.kind for one in service.email.mails if one.kind == "overdue_retracted"]
    reached = {one.reach.value for one in (await service.store.overdue_stories([task.task_id]))[task.task_id]}
    assert (retracted, "pending" in reached) == ([], False)


# -- when ----------------------------------------------------------------------------------------------------------


async def test_quiet_asked_for_overnight_holds_what_was_formed_in_the_evening(service: Service) -> None:
    service.until(at("2024-12-02 16:59:57"))
    await service.on(*assigned("II.1"))
    service.passes(2.5)
    await service.forming.turn(EVERY_SLOT)
    service.passes(1)
    await service.sending.turn(EVERY_SLOT)
    await service.sending.idle()
    await service.store.add_silence(a_silence(service, 48))
    service.lookup.forget()

    service.until(at("2024-12-03 07:30"))
    await service.deliver()
    assert messages(service) == []
    service.until(at("2024-12-05 08:00"))
    await service.deliver()

    assert messages(service) == [("agency@x.example", "assigned")]


@pytest.mark.parametrize(
    ("down", "up", "told"),
    [
        # From Friday morning to Monday, before the digest of Monday.
        ("2024-12-06 07:00", "2024-12-09 07:45", "2024-12-09 08:05"),
        # Back in the evening: that is no time for a digest, and in the morning there is one.
        ("2024-12-05 07:00", "2024-12-05 20:00", "2024-12-06 08:05"),
        # Back in the afternoon: better late.
        ("2024-12-05 07:00", "2024-12-05 14:00", "2024-12-05 14:05"),
    ],
)
async def test_after_an_outage_there_is_one_digest_and_no_second_on_that_day(
    service: Service, down: str, up: str, told: str
) -> None:
    service.until(at(down))
    await service.on(*overdue())
    service.until(at(up))
    await service.deliver()
    await service.on(*overdue("II.3"))
    while service.clock.instant < at(told):
        await service.deliver(after=60)

    assert messages(service) == [("agency@x.example", "digest")]


async def test_a_holiday_is_no_reason_to_give_up(service: Service) -> None:
    """Asked to come again on the last day before Tết 2025, and then the office is closed for nine days."""
    service.until(at("2025-01-24 16:59:50"))
    service.email.by_mailbox = {"agency@x.example": RetryLater("recipient_busy")}
    await service.on(*assigned("II.1"))
    await service.deliver()
    service.until(timing.office_opens(at("2025-01-24 17:01"), RULES_OF_MESSAGES))
    await service.deliver()
    assert [state for _, state, _ in await service.deliveries()] == ["pending"]
    service.email.by_mailbox = {}

    await service.deliver(after=60)

    assert ("agency@x.example", "assigned") in messages(service)


# -- who cannot be reached -----------------------------------------------------------------------------------------


async def test_whoever_is_reached_in_one_role_is_reached(service: Service) -> None:
    await service.register(an_agency("H48.30"))
    submitted = decide(a_task(reviewer="H48.30"), SUBMIT, cause=a_cause("2024-10-16 09:00"), rules=RULES)
    _, facts = by(submitted.task, "2024-11-20 00:00")
    await service.on(*submitted.facts, *facts)
    await service.digest()
    [row], _ = await service.store.unreachable("H48")
    assert row.role == "reviewer"
    await service.register(an_agency("H48.30", contact="thirty@x.example", seq=2))

    await service.on(*assigned("III.1", "H48.30"))
    await service.deliver()

    assert await service.store.unreachable("H48") == ([], None)


async def test_what_becomes_known_while_the_digest_is_on_its_way_stands_in_the_next(service: Service) -> None:
    """INVARIANT: the standing agency hears of everybody who cannot be reached."""
    now = service.clock.instant
    await service.store.note_unreachable(Desk("H48", "H48.22"), "agency", "email", "no_mailbox", at=now)
    await service.register(an_agency("H48.22", contact="x@x.example"))

    class Slow(RecordingChannel):
        async def __call__(self, message: Message) -> Sent:
            service.passes(1)
            desk, now = Desk("H48", "H48.21"), service.clock.instant
            await service.store.note_unreachable(desk, "agency", "email", "no_mailbox", at=now)
            return await RecordingChannel.__call__(self, message)

    service.email = Slow()
    service.restart()
    await service.digest()
    service.email = RecordingChannel()
    service.restart()
    await service.digest()

    [digest] = service.email.mails
    assert [one["agency"] for one in digest.data["unreachable"]] == ["H48.21", "H48.22"]
    await service.digest()
    assert len(service.email.mails) == 1


async def test_whoever_is_no_more_is_no_longer_named(service: Service) -> None:
    await service.register(an_agency("H48.30"))
    await service.on(*assigned("II.5", "H48.30"))
    await service.deliver()
    await service.register(an_agency("H48.30", seq=2, valid_to="2024-12-02", successors=["H48.21"]))
    await service.on(*an_obstacle())

    await service.digest()

    digest = service.email.mails[-1]
    assert (digest.to, digest.data["unreachable"]) == ("standing@x.example", [])


async def test_an_agency_that_becomes_known_late_has_its_summary_all_the_same() -> None:
    service = Service()
    service.until(at("2024-12-16 08:02"))
    await service.register(an_agency("H48.01", "chairman_office", "office@x.example"))
    await service.forming.turn(EVERY_SLOT)
    await service.register(an_agency("H48.21", contact="agency@x.example"))
    await service.on(*assigned("II.1"))

    await service.deliver(after=700)

    assert ("agency@x.example", "summary") in messages(service)
