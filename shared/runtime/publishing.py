"""Publishing: per key, acks=all, idempotent, own timeout. Returns only after the broker's acknowledgement."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import prometheus_client
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.runtime.errors import TransientError
from shared.runtime.metrics import PUBLISH_SECONDS, PUBLISHED
from shared.runtime.together import together

log = structlog.get_logger()

Header = tuple[str, bytes | None]
CLOUDEVENT: tuple[Header, ...] = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


class Outgoing(NamedTuple):
    """One record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = CLOUDEVENT


STUCK_PRODUCER_SECONDS = 300
MAX_REQUEST_BYTES = 4 * 1024 * 1024
MANY_RECORDS = 50
"""From so many records on a publisher may fill batches itself; fewer are better off in a batch with others'."""

# Pure Python, and a task's facts follow each other: remembered, it is a twentieth of the price.
_hash_of = lru_cache(maxsize=10_000)(murmur2)


def partition_for(key: bytes | None, partitions: Sequence[int], available: Sequence[int]) -> int:
    """Where a record goes: by its key as every Kafka client does it, anywhere without one."""
    if key is None:
        return random.choice(available or partitions)  # noqa: S311 spreading load
    return partitions[int(_hash_of(key) & 0x7FFFFFFF) % len(partitions)]


def _append(batch: BatchBuilder, record: Outgoing) -> bool:
    """Whether there was room. An empty batch takes any record."""
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
    return added is not None


@cache
def _published(topic: str) -> prometheus_client.Counter:
    """Finding a child by its label costs more than counting; topics are few."""
    return PUBLISHED.labels(topic)


class PublishTimeoutError(TransientError):
    """The broker did not acknowledge in time. The record may still arrive: repeats must be harmless."""


class Publisher:
    """One idempotent producer of one process."""

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        client_id: str,
        beat: Callable[[], None] | None = None,
        fills_batches: bool = False,
    ) -> None:
        """`beat` is called every second while the broker is awaited, at most STUCK_PRODUCER_SECONDS.

        `fills_batches`: many records of one call go out as batches of their own. For a process with few callers at a
        time: aiokafka lets such a batch wait until its partition's queue is empty, and among many callers some starve.
        """
        self._fills_batches = fills_batches
        self._beat = beat
        self._bootstrap_servers = bootstrap_servers
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, list[int]] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaConnectionError when no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            # aiokafka batches by itself while a request is in flight; lingering only adds latency (engineering §6).
            linger_ms=0,
            max_batch_size=256 * 1024,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=10_000,
            retry_backoff_ms=200,
            partitioner=partition_for,
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
            await producer.stop()

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
        producer = self._producer
        if producer is None:
            raise TransientError("the producer is not connected")
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_seconds):
                if self._beat is None:
                    await self._send(producer, records)
                else:
                    await self._beating(asyncio.ensure_future(self._send(producer, records)), self._beat)
        except TimeoutError as error:
            raise PublishTimeoutError(f"no acknowledgement within {timeout_seconds} s") from error
        PUBLISH_SECONDS.observe(time.perf_counter() - began)
        for topic, number in Counter([record.topic for record in records]).items():
            _published(topic).inc(number)

    async def _send(self, producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
        if not self._fills_batches or len(records) < MANY_RECORDS:
            acks = [await producer.send(r.topic, value=r.value, key=r.key, headers=list(r.headers)) for r in records]
        else:
            acks = await self._send_batches(producer, records)
        await together(acks)

    async def _send_batches(
        self, producer: AIOKafkaProducer, records: Sequence[Outgoing]
    ) -> "list[asyncio.Future[Any]]":
        """The producer's batches filled by us: one future a batch, and half the time of sending record by record."""
        acks = []
        for (topic, partition), some in (await self._by_partition(records)).items():
            batch = producer.create_batch()
            for record in some:
                if len(record.key or b"") + len(record.value or b"") > MAX_REQUEST_BYTES:
                    raise MessageSizeTooLargeError(f"a record for {topic} is larger than {MAX_REQUEST_BYTES} bytes")
                if not _append(batch, record):
                    acks.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    _append(batch, record)
            acks.append(await producer.send_batch(batch, topic, partition=partition))
        return acks

    async def _by_partition(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], list[Outgoing]]:
        found: dict[tuple[str, int], list[Outgoing]] = {}
        for record in records:
            place = (record.topic, await self.partition_of(record.topic, record.key))
            found.setdefault(place, []).append(record)
        return found

    @staticmethod
    async def _beating(sending: "asyncio.Future[None]", beat: Callable[[], None]) -> None:
        """Wait for the broker; waiting is progress, but not for ever (aiokafka #1017: a producer may never recover)."""
        try:
            for _ in range(STUCK_PRODUCER_SECONDS):
                done, _pending = await asyncio.wait([sending], timeout=1.0)
                if done:
                    break
                beat()
            await sending
        except asyncio.CancelledError:
            sending.cancel()
            raise

    async def partition_count(self, topic: str) -> int:
        """How many partitions the topic has at the broker."""
        if topic not in self._partitions:
            if self._producer is None:
                raise TransientError("the producer is not connected")
            self._partitions[topic] = sorted(await self._producer.partitions_for(topic))
        return len(self._partitions[topic])

    async def partition_of(self, topic: str, key: bytes | None) -> int:
        """Which partition records with this key go to; one at random without a key."""
        await self.partition_count(topic)
        partitions = self._partitions[topic]
        return partition_for(key, partitions, partitions)
