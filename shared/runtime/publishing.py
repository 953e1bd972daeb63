"""Publishing: per key, acks=all, idempotent, own timeout. Returns only after the broker's acknowledgement."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial

import prometheus_client
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import murmur2

from shared.runtime.batching import Outgoing, PartitionBatches
from shared.runtime.errors import TransientError
from shared.runtime.metrics import PUBLISH_SECONDS, PUBLISHED

log = structlog.get_logger()

STUCK_PRODUCER_SECONDS = 300
BEAT_SECONDS = 1.0
MAX_REQUEST_BYTES = 4 * 1024 * 1024
STOP_SECONDS_MAX = 10.0
"""How long what is still to be sent may take when the process stops."""

# Pure Python, and a task's facts follow each other: remembered, it is a twentieth of the price.
_hash_of = lru_cache(maxsize=10_000)(murmur2)

_Acks = set["asyncio.Future[None]"]


def partition_for(key: bytes | None, partitions: Sequence[int]) -> int:
    """Where a record goes: by its key as every Kafka client does it, anywhere without one."""
    if key is None:
        return random.choice(partitions)  # noqa: S311 spreading load
    return partitions[int(_hash_of(key) & 0x7FFFFFFF) % len(partitions)]


@cache
def _published(topic: str) -> prometheus_client.Counter:
    """Finding a child by its label costs more than counting; topics are few."""
    return PUBLISHED.labels(topic)


class PublishTimeoutError(TransientError):
    """The broker did not acknowledge in time. The record may still arrive: repeats must be harmless."""


class Publisher:
    """One idempotent producer of one process."""

    def __init__(self, bootstrap_servers: str, *, client_id: str, beat: Callable[[], None] | None = None) -> None:
        """`beat` is called every second while the broker is awaited, at most STUCK_PRODUCER_SECONDS."""
        self._beat = beat
        self._bootstrap_servers = bootstrap_servers
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, list[int]] = {}
        self._batches: dict[tuple[str, int], PartitionBatches] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaConnectionError when no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            # Batches fill while a request is in flight; lingering only adds latency (engineering §6).
            linger_ms=0,
            max_batch_size=256 * 1024,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=10_000,
            retry_backoff_ms=200,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Send what is buffered, then close."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            batches, self._batches = list(self._batches.values()), {}
            # Both wait for a broker that is away without end.
            ending = asyncio.create_task(_end(producer, batches))
            await asyncio.wait([ending], timeout=STOP_SECONDS_MAX)
            for one in batches:
                one.close()
            if not ending.done():
                log.warning("records.not_sent", seconds=STOP_SECONDS_MAX)
                ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether the producer was started."""
        return self._producer is not None

    async def publish(self, records: Sequence[Outgoing], *, timeout_seconds: float | None = None) -> None:
        """Send in order, return once every record is acknowledged.

        Records of one key keep their order. With a timeout, PublishTimeoutError: what was not acknowledged may still
        arrive later. Without one, waits as long as the producer keeps trying: sending again would only add duplicates.
        """
        if not records:
            return
        if self._producer is None:
            raise TransientError("the producer is not connected")
        for record in records:
            if len(record.key or b"") + len(record.value or b"") > MAX_REQUEST_BYTES:
                raise MessageSizeTooLargeError(f"a record for {record.topic} has more than {MAX_REQUEST_BYTES} bytes")
        began = time.perf_counter()
        acks: _Acks = set()
        left = list(records)[self._add(records, acks) :]
        if left:
            # Rarely: the broker is behind, or a topic is new to us.
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._add_in_time(left, acks)
            except TimeoutError as error:
                raise PublishTimeoutError(f"no room for the records within {timeout_seconds} s") from error
        await self._acknowledged(acks, timeout_seconds, began)
        PUBLISH_SECONDS.observe(time.perf_counter() - began)
        if len(records) == 1:
            _published(records[0].topic).inc()
            return
        for topic, number in Counter([record.topic for record in records]).items():
            _published(topic).inc(number)

    def _add(self, records: Sequence[Outgoing], acks: _Acks) -> int:
        """Add records as long as there is room at once. Returns how many were added."""
        for position, record in enumerate(records):
            ack = batches.add(record) if (batches := self._batches_for(record)) is not None else None
            if ack is None:
                return position
            acks.add(ack)
        return len(records)

    async def _add_in_time(self, records: Sequence[Outgoing], acks: _Acks) -> None:
        for record in records:
            await self.partition_count(record.topic)
            batches = self._batches_for(record)
            assert batches is not None, "the topic is known by now"
            waits = 0
            while (ack := batches.add(record)) is None:
                if not await batches.room(BEAT_SECONDS):
                    waits += 1
                    self._beats(waits)
                # What follows a record that failed must not arrive without it.
                for before in acks:
                    if before.done():
                        before.result()
            acks.add(ack)

    def _batches_for(self, record: Outgoing) -> PartitionBatches | None:
        partitions = self._partitions.get(record.topic)
        if partitions is None:
            return None
        if self._producer is None:
            raise TransientError("the producer is not connected")
        place = (record.topic, partition_for(record.key, partitions))
        found = self._batches.get(place)
        if found is None:
            found = self._batches[place] = PartitionBatches(self._producer, *place)
        return found

    async def _acknowledged(self, acks: _Acks, timeout_seconds: float | None, began: float) -> None:
        """Wait for the broker."""
        waits = 0
        for ack in acks:
            while not ack.done():
                wait = BEAT_SECONDS
                if timeout_seconds is not None:
                    wait = min(wait, timeout_seconds - (time.perf_counter() - began))
                    if wait <= 0:
                        raise PublishTimeoutError(f"no acknowledgement within {timeout_seconds} s")
                if await _is_done(ack, wait):
                    break
                waits += 1
                self._beats(waits)
        for ack in acks:
            ack.result()

    def _beats(self, waits: int) -> None:
        """Waiting for the broker is progress, but not for ever (aiokafka #1017: a producer may never recover)."""
        if self._beat is not None and waits <= STUCK_PRODUCER_SECONDS:
            self._beat()

    async def partition_count(self, topic: str) -> int:
        """How many partitions the topic has at the broker."""
        if topic not in self._partitions:
            if self._producer is None:
                raise TransientError("the producer is not connected")
            found = sorted(await self._producer.partitions_for(topic))
            if not found:
                raise TransientError(f"no partition of {topic} is known yet")
            # For good: a topic's partitions never change (ADR 0002).
            self._partitions[topic] = found
        return len(self._partitions[topic])

    async def partition_of(self, topic: str, key: bytes | None) -> int:
        """Which partition records with this key go to; one at random without a key."""
        await self.partition_count(topic)
        return partition_for(key, self._partitions[topic])


async def _is_done(ack: "asyncio.Future[None]", seconds: float) -> bool:
    """Wait for it, so long at most. Nothing is cancelled: others wait for the same. (asyncio.wait does more.)"""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    wake = partial(_wake, woken)
    timer = loop.call_later(seconds, wake)
    ack.add_done_callback(wake)
    try:
        await woken
    finally:
        timer.cancel()
        if not ack.done():
            # A caller that waits for hours looks every second.
            ack.remove_done_callback(wake)
    return ack.done()


async def _end(producer: AIOKafkaProducer, batches: Sequence[PartitionBatches]) -> None:
    for one in batches:
        await one.flush()
    await producer.stop()


def _wake(woken: "asyncio.Future[None]", _: object = None) -> None:
    if not woken.done():
        woken.set_result(None)
