"""Batches of one partition: they fill while another is under way, and tell everybody who added to them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, ProducerClosed, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.runtime.batching import WAITING_MAX, Outgoing, PartitionBatches
from shared.runtime.errors import TransientError
from shared.runtime.publishing import Publisher, PublishTimeoutError, _is_done

BATCH_BYTES = 1_000


class SlowProducer:
    """Takes a batch when it is let, and acknowledges it when it is told to."""

    def __init__(self, *, stops: bool = True) -> None:
        self._stops = stops
        self.free = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.taken: list[tuple[BatchBuilder, asyncio.Future[Any]]] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        await self.free.acquire()
        if self.error is not None:
            raise self.error
        acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.taken.append((batch, acknowledged))
        return acknowledged

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    async def stop(self) -> None:
        if not self._stops:
            await asyncio.Event().wait()

    def counts(self) -> list[int]:
        return [batch.record_count() for batch, _ in self.taken]

    async def take(self) -> None:
        """Take a batch."""
        before = len(self.taken)
        self.free.release()
        for _ in range(10):
            if len(self.taken) > before:
                return
            await asyncio.sleep(0)


def record(size: int = 10) -> Outgoing:
    return Outgoing("t", b"k", b"x" * size)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_batch_fills_until_the_producer_has_room_for_it() -> None:
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 3)
    first = [batches.add(record()) for _ in range(3)]
    assert len({id(one) for one in first}) == 1
    await producer.take()
    second = [batches.add(record()) for _ in range(4)]
    await settle()
    second.append(batches.add(record()))
    await producer.take()
    assert producer.counts() == [3, 5]
    assert len({id(one) for one in [*first, *second]}) == 2

    producer.taken[1][1].set_result(None)
    await settle()
    assert all(one is not None and one.done() for one in second)
    assert not any(one is not None and one.done() for one in first)


async def test_nothing_is_added_to_a_batch_that_was_given_away() -> None:
    """INVARIANT: the producer numbers a batch's records when it takes it.

    If this broke, a record added later would shift the numbers of the next batch, and the broker would refuse all
    that follows.
    """
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 0)
    batches.add(record())
    await producer.take()
    batches.add(record())
    await settle()
    assert producer.counts() == [1]


async def test_there_is_only_so_much_room() -> None:
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 0)
    acks = []
    while (ack := batches.add(record(300))) is not None:
        acks.append(ack)
    assert len({id(one) for one in acks}) == WAITING_MAX
    assert not await batches.room(0.01)
    waiting = asyncio.create_task(batches.room(60))
    await settle()
    assert not waiting.done()
    await producer.take()
    assert await waiting
    assert batches.add(record(300)) is not None


async def test_a_record_larger_than_a_batch_goes_alone() -> None:
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 0)
    assert batches.add(record(5 * BATCH_BYTES)) is not batches.add(record())
    await producer.take()
    await producer.take()
    assert producer.counts() == [1, 1]


async def test_an_error_reaches_those_of_its_batch_and_nobody_else() -> None:
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 0)
    bad = batches.add(record())
    await producer.take()
    good = batches.add(record())
    await producer.take()
    producer.taken[0][1].set_exception(KafkaConnectionError())
    producer.taken[1][1].set_result(None)
    await settle()
    assert bad is not None
    assert good is not None
    assert isinstance(bad.exception(), KafkaConnectionError)
    assert good.exception() is None


async def test_what_the_producer_is_slow_to_take_is_offered_again_and_nothing_passes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """INVARIANT: records of a key keep their order, however long the broker is away.

    If this broke, a task's second fact would be told without its first, or events would leave the outbox in disorder.
    """
    monkeypatch.setattr("shared.runtime.batching.OFFER_AGAIN_SECONDS", 0)
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 0)
    first = [batches.add(record(300)) for _ in range(2)]
    producer.error = KafkaTimeoutError()
    await producer.take()
    producer.error = None
    second = batches.add(record(900))
    await producer.take()
    await producer.take()
    assert producer.counts() == [2, 1]
    assert not any(one is None or one.done() for one in [*first, second])


async def test_what_cannot_be_taken_takes_all_with_it_that_waits() -> None:
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 0)
    waiting = [batches.add(record(900)) for _ in range(2)]
    producer.error = UnknownTopicOrPartitionError()
    await producer.take()
    assert all(one is not None and isinstance(one.exception(), UnknownTopicOrPartitionError) for one in waiting)
    producer.error = None
    after = batches.add(record())
    await producer.take()
    assert producer.counts() == [1]
    assert after is not None


async def test_the_end_is_told_to_all_who_wait() -> None:
    producer = SlowProducer()
    batches = PartitionBatches(producer, "t", 0)
    acks = [batches.add(record(900))]
    await producer.take()
    acks += [batches.add(record(900)), batches.add(record(900))]
    for_room = asyncio.create_task(batches.room(60))
    await settle()
    batches.close()
    assert await for_room
    assert all(one is not None and isinstance(one.exception(), ProducerClosed) for one in acks)
    with pytest.raises(ProducerClosed):
        batches.add(record())
    # The broker's late word changes nothing.
    producer.taken[0][1].set_result(None)
    await settle()
    assert len(producer.taken) == 1


def publisher_of(producer: Any, beat: Callable[[], None] | None = None) -> Publisher:
    publisher = Publisher("nowhere:1", client_id="test", beat=beat)
    publisher._producer = producer
    return publisher


async def test_only_who_really_waits_for_the_broker_speaks_for_others() -> None:
    """A publisher that is quick says nothing of a loop that is stuck."""
    beats: list[int] = []
    producer = SlowProducer()
    publisher = publisher_of(producer, lambda: beats.append(1))
    for seconds, heard in ((0.0, []), (1.5, [1])):
        publishing = asyncio.create_task(publisher.publish([record()]))
        await settle()
        await producer.take()
        await asyncio.sleep(seconds)
        producer.taken[-1][1].set_result(None)
        await publishing
        assert beats == heard


async def test_a_publisher_without_room_gives_up_in_time_and_goes_on_when_there_is_some() -> None:
    producer = SlowProducer()
    publisher = publisher_of(producer)
    many = [record(300)] * 30
    with pytest.raises(PublishTimeoutError):
        await publisher.publish(many, timeout_seconds=0.05)
    patient = asyncio.create_task(publisher.publish(many))
    while not patient.done():
        await producer.take()
        for _, ack in producer.taken:
            if not ack.done():
                ack.set_result(None)
        await settle()
    await patient
    assert sum(producer.counts()) >= len(many)


@pytest.mark.parametrize("taken", [0, 1])
@pytest.mark.parametrize("records", [1, 30])
async def test_a_publisher_stops_in_time_and_tells_those_who_wait(
    taken: int, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the end comes in bounded time, also while the broker is away.

    If this broke, a process would be killed in the middle, and whoever waited would never hear that it must ask again.
    """
    monkeypatch.setattr("shared.runtime.publishing.STOP_SECONDS_MAX", 0.05)
    producer = SlowProducer(stops=False)
    publisher = publisher_of(producer)
    publishing = asyncio.create_task(publisher.publish([record(300)] * records))
    await settle()
    for _ in range(taken):
        await producer.take()
    async with asyncio.timeout(5):
        await publisher.stop()
        with pytest.raises((ProducerClosed, TransientError)):
            await publishing
    with pytest.raises(TransientError):
        await publisher.publish([record()])


async def test_waiting_long_leaves_nothing_behind() -> None:
    ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for _ in range(3):
        assert not await _is_done(ack, 0.001)
    assert not ack._callbacks


async def test_what_follows_a_record_that_failed_is_not_sent() -> None:
    producer = SlowProducer()
    publisher = publisher_of(producer)
    publishing = asyncio.create_task(publisher.publish([record(900)] * 5))
    await settle()
    await producer.take()
    producer.taken[0][1].set_exception(KafkaConnectionError())
    await settle()
    await producer.take()
    with pytest.raises(KafkaConnectionError):
        await publishing
