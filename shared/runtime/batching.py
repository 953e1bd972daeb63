"""One partition's records on their way to the broker, in batches that fill while the one before is under way.

aiokafka fills batches by itself, for a price per record: a future, a look at the metadata, a search for the partition.
Here a record costs an append, and one future tells all callers of a batch.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from aiokafka.errors import KafkaTimeoutError, ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder

WAITING_MAX: Final = 2
"""Batches of a partition that have not been handed to the producer; then callers wait."""

OFFER_AGAIN_SECONDS: Final = 0.1

Header = tuple[str, bytes | None]
CLOUDEVENT: Final[tuple[Header, ...]] = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


class Outgoing(NamedTuple):
    """One record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = CLOUDEVENT


class Producer(Protocol):
    """The part of an aiokafka producer that is used here."""

    def create_batch(self) -> BatchBuilder: ...

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> "asyncio.Future[Any]": ...


class Batch(NamedTuple):
    """Some records of one partition."""

    builder: BatchBuilder
    acknowledged: "asyncio.Future[None]"
    """By the broker, all of them or none. Wait for it without cancelling it: it is everybody's."""


class PartitionBatches:
    """Records of one partition, sent in the order in which they were added.

    What the producer is slow to take is offered again, and nothing passes it: a record that comes later never arrives
    without those before it.
    """

    def __init__(self, producer: Producer, topic: str, partition: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._filling: Batch | None = None
        self._waiting: deque[Batch] = deque()
        self._under_way: set[asyncio.Future[None]] = set()
        self._handing: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._closed = False

    def add(self, record: Outgoing) -> "asyncio.Future[None] | None":
        """Add a record; what is returned is done once the broker has it. None: there is no room yet.

        Raises ProducerClosed after the end.
        """
        batch = self._filling
        # A batch that was given to the producer is closed, and refuses.
        if batch is None or not _append(batch.builder, record):
            if self._closed:
                raise ProducerClosed
            if len(self._waiting) >= WAITING_MAX:
                return None
            batch = self._begin()
            _append(batch.builder, record)
        return batch.acknowledged

    async def room(self, seconds: float) -> bool:
        """Wait until there may be some, so long at most."""
        self._room.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._room.wait()
        except TimeoutError:
            return False
        return True

    async def flush(self) -> None:
        """Wait until the producer has all of it."""
        if self._handing is not None:
            await asyncio.wait([self._handing])

    def close(self) -> None:
        """Take nothing more, and tell whoever still waits that it will not be told by the broker."""
        self._closed = True
        if self._handing is not None:
            self._handing.cancel()
        self._fail_waiting(ProducerClosed())
        for acknowledged in self._under_way:
            _settle(acknowledged, ProducerClosed())
        self._room.set()

    def _begin(self) -> Batch:
        batch = self._filling = Batch(self._producer.create_batch(), asyncio.get_running_loop().create_future())
        # Nobody may be waiting any more when it fails.
        batch.acknowledged.add_done_callback(_look_at)
        self._waiting.append(batch)
        if self._handing is None or self._handing.done():
            self._handing = asyncio.create_task(self._hand_over())
        return batch

    async def _hand_over(self) -> None:
        """Give batches to the producer, which takes one when the one before is under way."""
        while self._waiting:
            builder, acknowledged = self._waiting[0]
            try:
                # It fills until the producer has room for it.
                sent = await self._producer.send_batch(builder, self._topic, partition=self._partition)
            except KafkaTimeoutError:
                # Not taken: the broker is away.
                await asyncio.sleep(OFFER_AGAIN_SECONDS)
                continue
            except asyncio.CancelledError:
                self._fail_waiting(ProducerClosed())
                raise
            except Exception as error:
                self._fail_waiting(error)
                return
            # At once: the producer numbers a batch's records before it builds it.
            builder.close()
            self._under_way.add(acknowledged)
            sent.add_done_callback(partial(self._tell, acknowledged))
            self._waiting.popleft()
            self._room.set()

    def _fail_waiting(self, error: Exception) -> None:
        """All of them: one that follows would arrive without the one before."""
        for batch in self._waiting:
            batch.builder.close()
            _settle(batch.acknowledged, error)
        self._waiting.clear()
        self._room.set()

    def _tell(self, acknowledged: "asyncio.Future[None]", sent: "asyncio.Future[Any]") -> None:
        self._under_way.discard(acknowledged)
        _settle(acknowledged, ProducerClosed() if sent.cancelled() else sent.exception())


def _append(builder: BatchBuilder, record: Outgoing) -> bool:
    """Whether there was room. An empty batch takes any record."""
    return builder.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers)) is not None


def _settle(acknowledged: "asyncio.Future[None]", error: BaseException | None) -> None:
    if acknowledged.done():
        return
    if error is None:
        acknowledged.set_result(None)
    else:
        acknowledged.set_exception(error)


def _look_at(done: "asyncio.Future[None]") -> None:
    """An error that nobody waits for any more is no accident."""
    done.exception()
