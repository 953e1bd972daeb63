"""Publishing: per key, acks=all, idempotent, own timeout. Returns only after the broker's acknowledgement."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from shared.runtime.errors import TransientError
from shared.runtime.metrics import PUBLISH_SECONDS, PUBLISHED

log = structlog.get_logger()

Header = tuple[str, bytes | None]
CLOUDEVENT: tuple[Header, ...] = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = CLOUDEVENT


STUCK_PRODUCER_SECONDS = 300


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
        self._partitioner = DefaultPartitioner()
        self._partitions: dict[str, list[int]] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaConnectionError when no broker answers."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            # aiokafka batches by itself while a request is in flight; lingering only adds latency (engineering §6).
            linger_ms=0,
            max_batch_size=256 * 1024,
            max_request_size=4 * 1024 * 1024,
            request_timeout_ms=10_000,
            retry_backoff_ms=200,
        )
        await self._producer.start()

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
        sending = asyncio.ensure_future(self._send(producer, records))
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._beating(sending)
        except TimeoutError as error:
            sending.cancel()
            raise PublishTimeoutError(f"no acknowledgement within {timeout_seconds} s") from error
        PUBLISH_SECONDS.observe(time.perf_counter() - began)
        for record in records:
            PUBLISHED.labels(record.topic).inc()

    @staticmethod
    async def _send(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
        acks = [await producer.send(r.topic, value=r.value, key=r.key, headers=list(r.headers)) for r in records]
        for outcome in await asyncio.gather(*acks, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _beating(self, sending: "asyncio.Future[None]") -> None:
        """Wait for the broker; waiting is progress, but not for ever (aiokafka #1017: a producer may never recover)."""
        for _ in range(STUCK_PRODUCER_SECONDS):
            if self._beat is not None:
                self._beat()
            done, _pending = await asyncio.wait([sending], timeout=1.0)
            if done:
                break
        await sending

    async def partition_count(self, topic: str) -> int:
        """How many partitions the topic has at the broker."""
        if topic not in self._partitions:
            if self._producer is None:
                raise TransientError("the producer is not connected")
            self._partitions[topic] = sorted(await self._producer.partitions_for(topic))
        return len(self._partitions[topic])

    async def partition_of(self, topic: str, key: bytes) -> int:
        """Which partition records with this key go to."""
        await self.partition_count(topic)
        partitions = self._partitions[topic]
        return int(self._partitioner(key, partitions, partitions))
