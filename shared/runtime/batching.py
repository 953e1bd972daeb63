"""One partition's records on their way to the broker, in batches that fill while the one before is under way.

aiokafka fills batches by itself, for a price per record: a future, a look at the metadata, a search for the partition.
Here a record costs an append, and one future tells all callers of a batch.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from aiokafka.errors import ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder

WAITING_MAX: Final = 2
"""Batches of a partition that have not been handed to the producer; then callers wait."""

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
    """Records of one partition, sent in the order in which they were added."""

    def __init__(self, producer: Producer, topic: str, partition: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._filling: Batch | None = None
        self._waiting: deque[Batch] = deque()
        self._handing: asyncio.Task[None] | None = None
        self._room = asyncio.Event()

    def add(self, record: Outgoing) -> "asyncio.Future[None] | None":
        """Add a record; what is returned is done once the broker has it. None: there is no room yet."""
        batch = self._filling
        # A batch that was given to the producer is closed, and refuses.
        if batch is None or not _append(batch.builder, record):
            if len(self._waiting) >= WAITING_MAX:
                return None
            batch = self._begin()
            _append(batch.builder, record)
        return batch.acknowledged

    async def room(self) -> None:
        """Wait until there may be some."""
        self._room.clear()
        await self._room.wait()

    async def flush(self) -> None:
        """Wait until the producer has all of it."""
        if self._handing is not None:
            await asyncio.wait([self._handing])

    def cancel(self) -> None:
        """Give up what the producer has not taken."""
        if self._handing is not None:
            self._handing.cancel()
        for batch in self._waiting:
            batch.builder.close()
            batch.acknowledged.set_exception(ProducerClosed())
        self._waiting.clear()

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
            except Exception as error:
                acknowledged.set_exception(error)
            else:
                sent.add_done_callback(partial(_tell, acknowledged))
            # At once: the producer numbers a batch's records before it builds it.
            builder.close()
            self._waiting.popleft()
            self._room.set()


def _append(builder: BatchBuilder, record: Outgoing) -> bool:
    """Whether there was room. An empty batch takes any record."""
    return builder.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers)) is not None


def _tell(told: "asyncio.Future[None]", sent: "asyncio.Future[Any]") -> None:
    error = ProducerClosed() if sent.cancelled() else sent.exception()
    if error is not None:
        told.set_exception(error)
    else:
        told.set_result(None)


def _look_at(done: "asyncio.Future[None]") -> None:
    """An error that nobody waits for any more is no accident."""
    done.exception()
