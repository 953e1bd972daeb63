"""Events are taken while the broker is away, and forwarded in order once it is back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from services.ingest.outbox import PAGE_EVENTS, REST_SECONDS, SecuredSubmissions
from services.ingest.ports import Message, NotAcknowledgedError, TooLargeError
from shared.contracts.topics import SUBMISSIONS
from tests.flow.ingest.harness import Door, code_of
from tests.flow.ingest.memory import MemoryOutbox, SharedOutbox
from tests.unit.ingest.builders import an_event


@dataclass
class Broker:
    """Takes messages, or does not."""

    is_away: bool = False
    taken: list[str] = field(default_factory=list)
    tries: int = 0
    largest: int = 1_000_000

    async def publish(self, messages: Sequence[Message]) -> None:
        self.tries += 1
        if self.is_away:
            raise NotAcknowledgedError
        if any(len(one.value) > self.largest for one in messages):
            raise TooLargeError
        self.taken += [one.value.decode() for one in messages]


@dataclass
class Replica:
    """A replica of ingest, its time in our hands."""

    broker: Broker
    shared: SharedOutbox
    name: str = "a"
    now: float = 0.0

    def __post_init__(self) -> None:
        publish = self.broker.publish
        outbox = MemoryOutbox(self.shared, self.name)
        self.secure = SecuredSubmissions(publish, publish, outbox, monotonic=lambda: self.now)

    async def take(self, *values: str) -> None:
        await self.secure([Message(SUBMISSIONS.name, "H48", value.encode()) for value in values])

    async def turn(self) -> None:
        self.now += REST_SECONDS
        await self.secure.turn()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def shared() -> SharedOutbox:
    return SharedOutbox()


@pytest.fixture
def replica(broker: Broker, shared: SharedOutbox) -> Replica:
    return Replica(broker, shared)


async def test_while_the_broker_answers_the_outbox_is_not_touched(replica: Replica, shared: SharedOutbox) -> None:
    shared.is_down = True
    await replica.take("1")
    assert replica.broker.taken == ["1"]


async def test_what_the_broker_does_not_take_is_kept_and_forwarded_in_order(replica: Replica, broker: Broker) -> None:
    """INVARIANT: nothing that was taken is lost, and an agency's events keep their order."""
    broker.is_away = True
    for number in range(PAGE_EVENTS + 10):
        await replica.take(str(number))
    await replica.turn()
    assert broker.taken == []
    broker.is_away = False

    await replica.turn()

    assert broker.taken == [str(number) for number in range(PAGE_EVENTS + 10)]
    await replica.take("direct")
    assert broker.taken[-1] == "direct"
    assert not replica.shared.events


async def test_only_the_first_waits_for_a_broker_that_is_away(replica: Replica, broker: Broker) -> None:
    broker.is_away = True
    for number in range(10):
        await replica.take(str(number))
    assert broker.tries == 1


async def test_what_follows_does_not_overtake_what_waits(replica: Replica, broker: Broker) -> None:
    broker.is_away = True
    await replica.take("1")
    broker.is_away = False
    await replica.take("2")
    assert broker.taken == []
    await replica.turn()
    assert broker.taken == ["1", "2"]


async def test_with_both_away_nothing_is_promised(replica: Replica, broker: Broker, shared: SharedOutbox) -> None:
    broker.is_away = shared.is_down = True
    with pytest.raises(NotAcknowledgedError):
        await replica.take("1")
    broker.is_away = False
    await replica.take("2")
    assert broker.taken == ["2"]


async def test_an_outbox_that_goes_away_while_something_waits_stops_nothing(
    replica: Replica, broker: Broker, shared: SharedOutbox
) -> None:
    broker.is_away = True
    await replica.take("1")
    shared.is_down, broker.is_away = True, False
    await replica.take("2")
    await replica.turn()
    assert broker.taken == ["2"]
    shared.is_down = False
    await replica.turn()
    assert broker.taken == ["2", "1"]


async def test_a_broker_that_stays_away_is_asked_with_one_event(replica: Replica, broker: Broker) -> None:
    """What it does not acknowledge may arrive all the same: a page each time would come many times over."""
    broker.is_away = True
    for number in range(100):
        await replica.take(str(number))
    sizes: list[int] = []
    publish = broker.publish

    async def measured(messages: Sequence[Message]) -> None:
        sizes.append(len(messages))
        await publish(messages)

    replica.secure._forward = measured
    for _ in range(3):
        await replica.turn()
    broker.is_away = False
    await replica.turn()

    assert sizes == [100, 1, 1, 1, 99]
    assert broker.taken == [str(number) for number in range(100)]


async def test_what_a_dead_replica_left_is_forwarded_by_another(broker: Broker, shared: SharedOutbox) -> None:
    broker.is_away = True
    await Replica(broker, shared, "dead").take("1")
    broker.is_away = False

    await Replica(broker, shared, "b").secure.turn()

    assert broker.taken == ["1"]


async def test_only_the_one_that_leads_forwards(broker: Broker, shared: SharedOutbox) -> None:
    first, second = Replica(broker, shared, "a"), Replica(broker, shared, "b")
    broker.is_away = True
    await first.take("1")
    await second.take("2")
    broker.is_away = False
    assert await MemoryOutbox(shared, "b").lead()

    await first.turn()
    assert broker.taken == []
    await second.turn()
    assert broker.taken == ["1", "2"]

    await first.turn()
    await first.take("3")
    assert broker.taken == ["1", "2", "3"]


async def test_what_the_broker_will_never_take_is_set_aside(
    replica: Replica, broker: Broker, shared: SharedOutbox
) -> None:
    broker.is_away = True
    for value in ("1", "too large", "2", "3"):
        await replica.take(value)
    broker.is_away, broker.largest = False, 3

    await replica.turn()

    assert broker.taken == ["1", "2", "3"]
    assert list(shared.aside.values()) == ["too_large"]
    await replica.take("4")
    assert broker.taken[-1] == "4"


async def test_something_kept_while_the_end_is_looked_for_is_not_overlooked(replica: Replica, broker: Broker) -> None:
    broker.is_away = True
    await replica.take("1")
    broker.is_away = False
    outbox = replica.secure._outbox
    has_own = outbox.has_own

    async def has_own_then() -> bool:
        found = await has_own()
        await replica.take("2")
        return found

    outbox.has_own = has_own_then  # type: ignore[method-assign]
    await replica.turn()
    outbox.has_own = has_own  # type: ignore[method-assign]
    await replica.take("3")
    assert broker.taken == ["1"]
    await replica.turn()
    assert broker.taken == ["1", "2", "3"]


async def test_the_sender_is_told_when_it_was_received_although_kafka_is_silent(tmp_path: Path) -> None:
    """INVARIANT: an agency at 23:58 on the last day is not late because the province's broker is down."""
    shared = SharedOutbox()
    options = {"outbox": True, "MONGODB_URI": "mongodb://unused"}
    door = Door(tmp_path, options, outbox=MemoryOutbox(shared, "a"))
    door.broker.is_silent = True

    answer = await door.post(an_event())
    door.clock.instant += timedelta(hours=1)

    assert code_of(answer) == (202, "accepted")
    [(_, _, kept)] = shared.events.values()
    assert json.loads(kept.value)["receivedat"] == answer.json()["received_at"]
    assert door.published() == []


async def test_a_replica_that_cannot_reach_the_broker_leaves_forwarding_to_one_that_can(shared: SharedOutbox) -> None:
    """INVARIANT: no replica keeps to itself what it cannot forward."""
    cut_off, well = Replica(Broker(is_away=True), shared, "a"), Replica(Broker(), shared, "b")
    await cut_off.take("1")
    for _ in range(100):
        shared.now += 0.2
        cut_off.now += 0.2
        well.now += 0.2
        await cut_off.secure.turn()
        await well.secure.turn()
    assert well.broker.taken == ["1"]
    await cut_off.take("2")
    assert not cut_off.broker.taken
