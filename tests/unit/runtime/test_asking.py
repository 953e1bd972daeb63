"""The broker's word, asked for where a timer waits for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from shared.contracts.topics import SUBMISSIONS
from shared.runtime.clock import SystemClock
from shared.runtime.consuming import ASK_AGAIN_SECONDS, LANES, Consumption, Received
from shared.runtime.publishing import Publisher
from shared.runtime.settings import ProcessSettings
from shared.runtime.watchdog import Watchdog


def tp(partition: int) -> TopicPartition:
    return TopicPartition(SUBMISSIONS.name, partition)


@dataclass
class Consumer:
    """What it fetched, and when."""

    highwaters: dict[TopicPartition, int]
    polled_ms: int

    def assignment(self) -> set[TopicPartition]:
        return set(self.highwaters)

    def highwater(self, one: TopicPartition) -> int | None:
        return self.highwaters[one]

    def last_poll_timestamp(self, one: TopicPartition) -> int | None:
        return self.polled_ms


@dataclass
class Ends:
    """The broker on its other connection."""

    ends: dict[TopicPartition, int]
    asked: list[Sequence[TopicPartition]] = field(default_factory=list)
    error: Exception | None = None
    meanwhile: Any = None

    async def __call__(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked.append(partitions)
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.error is not None:
            raise self.error
        return {one: self.ends[one] for one in partitions}

    async def stop(self) -> None:
        """Nothing to close."""


class Asking:
    """A consumption of two partitions of lane 0 and one of lane 1, each with ten records applied."""

    def __init__(self) -> None:
        self.now = 1_000.0
        mine = [tp(0), tp(LANES), tp(1)]
        self.consumer = Consumer(dict.fromkeys(mine, 10), 999_000)
        self.ends = Ends(dict.fromkeys(mine, 10))

        async def apply(records: Sequence[Received]) -> None:
            """Not called here."""

        self.consumption = Consumption(
            topics=[SUBMISSIONS],
            group="tasks",
            apply=apply,
            publisher=Publisher("127.0.0.1:1", client_id="test"),
            clock=SystemClock(),
            watchdog=Watchdog(60),
            settings=ProcessSettings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"),
            service="tasks",
            ends=self.ends,
            real_time=lambda: self.now,
        )
        self.consumption._consumer = lambda: self.consumer  # type: ignore[method-assign]

    async def start(self) -> None:
        await self.consumption._assigned(self.consumer.highwaters)
        for partition in self.consumption._partitions.values():
            partition.applied = 10

    async def reached(self, partition: int) -> float | None:
        times = await self.consumption.partition_times(SUBMISSIONS)
        return times[partition].timestamp() if partition in times else None


@pytest.fixture
async def asking() -> Asking:
    found = Asking()
    await found.start()
    return found


async def test_what_is_applied_to_its_end_has_come_as_far_as_the_clock(asking: Asking) -> None:
    asking.ends.ends[tp(LANES)] = 11
    await asking.consumption.ask(SUBMISSIONS, 0)
    assert asking.ends.asked == [[tp(0), tp(LANES)]]
    assert await asking.reached(0) == 1_000
    # A record has come that is not applied.
    assert await asking.reached(LANES) is None
    assert await asking.reached(1) is None


async def test_of_a_backlog_nothing_is_asked(asking: Asking) -> None:
    asking.consumer.highwaters = dict.fromkeys(asking.consumer.highwaters, 11)
    await asking.consumption.ask(SUBMISSIONS, 0)
    assert asking.ends.asked == []


async def test_a_broker_that_does_not_answer_is_left_alone_for_a_while(asking: Asking) -> None:
    asking.ends.error = KafkaConnectionError("away")
    for _ in range(3):
        await asking.consumption.ask(SUBMISSIONS, 0)
    assert len(asking.ends.asked) == 1
    asking.now += ASK_AGAIN_SECONDS
    asking.ends.error = None
    await asking.consumption.ask(SUBMISSIONS, 0)
    assert await asking.reached(0) == asking.now


async def test_a_partition_that_was_taken_away_meanwhile_learns_nothing(asking: Asking) -> None:
    """INVARIANT: what another owner has not applied is not taken for applied.

    If this broke, a deadline could fire before a report that came back from another replica.
    """
    asking.ends.meanwhile = asking.start
    await asking.consumption.ask(SUBMISSIONS, 0)
    assert await asking.reached(0) is None


async def test_nobody_to_ask_is_no_error(asking: Asking) -> None:
    asking.consumption._ends = None
    await asking.consumption.ask(SUBMISSIONS, 0)
    assert await asking.reached(0) is None
