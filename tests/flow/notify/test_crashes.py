"""notify killed at every await of deciding, forming and sending, before and after what was awaited took effect."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.notify.domain.alert import KIND_OF_FACT
from services.notify.ports import RetryLater
from services.notify.sending import CLAIM_SECONDS
from services.tasks.domain.decide import assign, decide
from services.tasks.domain.decision import Fact
from tests.flow.notify.harness import Killed, RecordingChannel, Service, an_agency
from tests.flow.notify.memory import MemoryNotifyStore, MemoryTopic
from tests.flow.notify.test_alerts import GRANT, SUBMIT, a_story, by
from tests.flow.notify.test_alerts import STEPS as COMMANDS
from tests.support.builders import RULES, a_cause, a_task, at


class Fuse:
    """Kills the process at the n-th await, before or after it took effect."""

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.at = at
        self.after = after
        self.count = 0

    async def __call__(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.count += 1
        burns = self.count == self.at
        if burns and not self.after:
            raise Killed
        found = await call()
        if burns:
            raise Killed
        return found


class FusedStore:
    """A store whose every method is an await at which the process may die."""

    def __init__(self, store: MemoryNotifyStore, fuse: Fuse) -> None:
        self._store = store
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def fused(*args: Any, **kwargs: Any) -> Any:
            return await self._fuse(lambda: method(*args, **kwargs))

        return fused


class FusedChannel(RecordingChannel):
    """A mail server: the process may die before it has the message, or after, before anybody knows."""

    fuse: Fuse

    async def __call__(self, message: Any) -> Any:
        return await self.fuse(lambda: RecordingChannel.__call__(self, message))


class FusedTopic(MemoryTopic):
    """The broker, likewise."""

    fuse: Fuse

    async def __call__(self, messages: Any) -> None:
        await self.fuse(lambda: MemoryTopic.__call__(self, messages))


async def a_fused_service(fuse: Fuse) -> Service:
    email, topic = FusedChannel(), FusedTopic()
    email.fuse = topic.fuse = Fuse()
    service = Service(store=FusedStore(MemoryNotifyStore(), fuse), topic=topic, email=email)
    await service.register(
        an_agency("H48.01", "chairman_office", "office@x.example"),
        an_agency("H48.07", "standing", "standing@x.example"),
        an_agency("H48.21", "agency", "agency@x.example", head_contact="head@x.example"),
    )
    email.fuse = topic.fuse = fuse
    return service


Step = Callable[[Service], Awaitable[Any]]


def feeding(*facts: Fact) -> Step:
    async def feed(service: Service) -> None:
        await service.on(*facts)

    return feed


async def a_digest(service: Service) -> None:
    await service.digest()


async def a_turn(service: Service) -> None:
    await service.deliver()


def a_scenario() -> tuple[list[Step], list[Fact]]:
    """A directive, reminders, an overdue with its escalation, a retraction, a task finished in time."""
    first, facts = by(assign(a_task(seq=0)).task, "2024-10-29 08:00")
    second = assign(a_task(task_id="H48/TB-1/II.2/H48.21", clause="II.2", seq=0))
    done = decide(second.task, SUBMIT, cause=a_cause("2024-10-15 09:00"), rules=RULES)
    granted = decide(first, GRANT, cause=a_cause("2024-10-29 10:00", "H48.01"), rules=RULES)
    opening = [*assign(a_task(seq=0)).facts, *second.facts]
    steps = [
        feeding(*opening),
        a_turn,
        feeding(*facts),
        a_turn,
        a_digest,
        feeding(*done.facts),
        feeding(*granted.facts),
        a_turn,
        a_digest,
    ]
    return steps, [*opening, *facts, *done.facts, *granted.facts]


async def leftovers(service: Service) -> None:
    """What a crash left half done is looked for again and again."""
    service.passes(CLAIM_SECONDS + 1)
    await service.handlers.tell_leftovers([0])
    await service.deliver()
    await service.digest()


async def survived(service: Service, step: Step, reborn: Callable[[], None]) -> None:
    """Do a step; whoever dies starts anew and does it again, as a redelivery would."""
    while True:
        try:
            await step(service)
            return
        except Killed:
            await service.sending.stop()
            service.restart()
            reborn()


async def play(service: Service, steps: Sequence[Step]) -> None:
    """Play the steps, and let time bring up what was left over."""
    for step in [*steps, leftovers, leftovers]:
        await survived(service, step, lambda: service.passes(CLAIM_SECONDS + 1))


async def assert_nothing_lost(service: Service, facts: Sequence[Fact]) -> None:
    expected = {f"{one.task.task_id}:{one.task.seq}" for one in facts if one.kind.value in KIND_OF_FACT}
    listed = await service.listed()
    assert {one.decided.alert.alert_id for one in listed} == expected
    assert {one.alert_id for one in service.topic.alerts()} == expected
    # Every alert has come to one end.
    assert {one.state for one in listed} <= {"silent", "sent", "suppressed"}
    deliveries = [delivery for one in listed for delivery in one.deliveries]
    # What counts as sent was taken, in the message that it names.
    taken = {mail.message_id for mail in service.email.mails}
    assert {one.message_id for one in deliveries if one.state == "sent"} <= taken
    # A message that went out twice went out under one id, and to one address.
    assert len({(mail.message_id, mail.to) for mail in service.email.seen}) == len(
        {mail.message_id for mail in service.email.seen}
    )
    digests = [mail for mail in service.email.mails if mail.kind == "digest"]
    assert len({(mail.to, mail.data["day"]) for mail in digests}) == len({mail.message_id for mail in digests})


async def _awaits() -> int:
    fuse = Fuse()
    service = await a_fused_service(fuse)
    fuse.count = 0
    steps, _ = a_scenario()
    await play(service, steps)
    return fuse.count


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_any_await_no_alert_is_lost_and_none_is_two_messages(after: bool) -> None:
    """INVARIANT: wherever the process dies, each alert comes to one end, and a repeat carries the id of the first try.

    Otherwise a restart would leave an agency without the notice that counts, or mail a province twice.
    """
    awaits = await _awaits()
    assert awaits > 100
    steps, facts = a_scenario()
    undisturbed = await a_fused_service(Fuse())
    await play(undisturbed, steps)
    expected = {(mail.to, mail.kind) for mail in undisturbed.email.mails}

    for number in range(1, awaits + 1):
        fuse = Fuse()
        service = await a_fused_service(fuse)
        fuse.count, fuse.at, fuse.after = 0, number, after

        await play(service, steps)

        await assert_nothing_lost(service, facts)
        assert {(mail.to, mail.kind) for mail in service.email.mails} == expected, number


@given(
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(COMMANDS)), max_size=5),
    st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=4),
    st.integers(1, 8),
    st.lists(st.sampled_from(["turn", "digest", "busy"]), min_size=1, max_size=8),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_any_stream_with_any_crashes_ends_every_alert(
    commands: list[Any], deaths: list[tuple[int, bool]], batch: int, turns: list[str]
) -> None:
    """INVARIANT: for any stream and any crashes, every alert comes to exactly one end."""
    fuse = Fuse()
    service = await a_fused_service(fuse)
    _, facts = a_story(commands)
    pending_deaths = list(deaths)

    def light_the_fuse() -> None:
        fuse.count, fuse.at = 0, None
        if pending_deaths:
            fuse.at, fuse.after = pending_deaths.pop(0)

    light_the_fuse()
    for number, start in enumerate(range(0, len(facts), batch)):
        some = facts[start : start + batch]
        turn = turns[number % len(turns)]
        if turn == "busy":
            service.email.answers = [RetryLater("busy")]
        for step in (feeding(*some), a_digest if turn == "digest" else a_turn):
            await survived(service, step, light_the_fuse)
    fuse.at = None
    service.email.answers = []

    await play(service, [a_turn])

    await assert_nothing_lost(service, facts)
    assert service.clock.instant - at("2024-12-02 09:00") < timedelta(days=400)
