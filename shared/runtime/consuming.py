"""Consuming: batch → decode per record → apply | retry in place | dead-letter → commit. Every path ends in one.

FastStream's batch subscriber polls; what it does not give is here (ADR 0003): decoding inside the batch, so that a
record it could not parse is never lost; explicit commits of what was applied, never of positions; backoff; dead
letters; draining on revoke; and a partition's own time. A partition belongs to a lane; one lock covers a lane's records
and its timers. Lanes go on by themselves: one computes while another waits for the database or the broker.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage

from shared.contracts.codec import Event, UndecodableError, decode
from shared.contracts.topics import DEADLETTERS, Topic
from shared.runtime.batching import Outgoing
from shared.runtime.clock import Clock
from shared.runtime.crash import Crash, crash_process
from shared.runtime.errors import PermanentError, ends_process, is_transient
from shared.runtime.metrics import BATCH_SECONDS, DEAD_LETTERS, LAG, RECORDS, RETRIES
from shared.runtime.partition_time import PartitionTime, later
from shared.runtime.publishing import Publisher
from shared.runtime.settings import ProcessSettings
from shared.runtime.watchdog import Watchdog

log = structlog.get_logger()

Record: TypeAlias = "ConsumerRecord[Any, Any]"
Item = TypeVar("Item")

BUG_TRIES = 3
"""An error that is not known to pass is tried this often before the record is taken for poison."""
BACKOFF_SECONDS_MAX = 5.0
LANES = 3
AT_A_STRETCH = 50
"""So many records are worked on before others have their turn."""


async def unhurried(items: Iterable[Item]) -> AsyncIterator[Item]:
    """One after the other, with pauses in which others have their turn.

    A thousand records take a tenth of a second to decode and longer to follow; who asks over HTTP must not wait for it.
    """
    for number, item in enumerate(items, start=1):
        yield item
        if number % AT_A_STRETCH == 0:
            await asyncio.sleep(0)


class Received(NamedTuple):
    """One decoded record and where it stood."""

    event: Event
    topic: str
    partition: int
    offset: int
    key: bytes | None


class Apply(Protocol):
    """A service's handler. Applies decoded records, in order per partition; run twice, it ends in the same place.

    Raise anything transient to be called again with the same records; PermanentError when one of them can never work.
    """

    async def __call__(self, records: Sequence[Received]) -> None: ...


class OnDead(Protocol):
    """Told after a record went to the dead letters."""

    async def __call__(self, record: Record, reason: str, detail: str) -> None: ...


@dataclass(slots=True)
class _Partition:
    """What this replica knows of a partition it owns."""

    time: PartitionTime
    applied: int | None = None
    """The next offset to apply; None until known."""
    committed: int | None = None


def _waiting(end: int | None, applied: int | None) -> int | None:
    """Records of a partition that wait; None while one of its two ends is unknown."""
    return max(0, end - applied) if end is not None and applied is not None else None


class Consumption:
    """Consumption of some topics by one consumer group in one process."""

    def __init__(
        self,
        *,
        topics: Sequence[Topic],
        group: str,
        apply: Apply,
        publisher: Publisher,
        clock: Clock,
        watchdog: Watchdog,
        settings: ProcessSettings,
        service: str,
        on_dead: OnDead | None = None,
        on_assigned: Callable[[], None] = lambda: None,
        crash: Crash = crash_process,
    ) -> None:
        self._topics = tuple(topic.name for topic in topics)
        self._group = group
        self._apply = apply
        self._publisher = publisher
        self._clock = clock
        self._watchdog = watchdog
        self._service = service
        self._on_dead = on_dead
        self._on_assigned = on_assigned
        self._crash = crash
        self._drain_seconds = settings.drain_seconds
        self._grace_seconds = settings.outage_grace_seconds
        self._locks = [asyncio.Lock() for _ in range(LANES)]
        # One batch in hand and two waiting, each lane: what is read ahead is bounded.
        self._queues: list[asyncio.Queue[list[Record]]] = [asyncio.Queue(maxsize=2) for _ in range(LANES)]
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._joined = False
        self._heard: PartitionTime | None = None
        self._dirty = False
        self.broker = KafkaBroker(
            settings.kafka_bootstrap_servers,
            client_id=f"dondoc-{service}",
            consumer_only=True,
            allow_auto_create_topics=False,
            apply_types=False,
            retry_backoff_ms=200,
            metadata_max_age_ms=60_000,
            graceful_timeout=settings.drain_seconds,
            logger=None,
        )
        self._subscriber = self.broker.subscriber(
            *self._topics,
            batch=True,
            group_id=group,
            # We commit what was applied, ourselves. The framework's own policies commit positions (engineering §1.1).
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            max_records=settings.batch_records_max,
            batch_timeout_ms=settings.batch_wait_ms,
            # A short fetch wait keeps a quiet partition's time fresh: timers are at most two waits late.
            fetch_max_wait_ms=settings.fetch_wait_ms,
            fetch_min_bytes=settings.fetch_min_bytes,
            fetch_max_bytes=16 * 1024 * 1024,
            # Of each partition this much is read ahead; a larger record comes all the same, alone.
            max_partition_fetch_bytes=512 * 1024,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=max(300, settings.kafka_session_timeout_ms // 4),
            max_poll_interval_ms=300_000,
            rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
            listener=_Listener(self),
            parser=_parse,
            decoder=_decode,
        )
        self._subscriber(self._on_batch)

    # -- life ------------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Observe the framework's poll loop; call once the broker has started.

        An error of `getmany` means the group membership or the log is not what we believe: end and start afresh
        (engineering §2). FastStream would log it and go on polling for ever.
        """
        consumer = self._consumer()
        poll = consumer.getmany

        async def watched(*args: Any, **kwargs: Any) -> Any:
            self._watchdog.beat("poll")
            try:
                return await poll(*args, **kwargs)
            except KafkaError as error:
                self._crash("polling failed", error)
                raise

        consumer.getmany = watched
        self._workers = [asyncio.create_task(self._work(lane), name=f"lane-{lane}") for lane in range(LANES)]

    async def stop(self) -> None:
        """Take nothing more and finish what is in hand, as long as that is allowed to take."""
        self._stopping = True
        await self._drain()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_seconds):
                await asyncio.gather(*(queue.join() for queue in self._queues))
        except TimeoutError:
            log.warning("records.not_drained", group=self._group, seconds=self._drain_seconds)

    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        assert consumer is not None, "the broker has not started"
        return consumer

    async def ready(self) -> bool:
        """Whether the group has given this replica its share (which may be nothing)."""
        return self._joined

    # -- records ---------------------------------------------------------------------------------------------------

    async def _on_batch(self, records: list[Record]) -> None:
        """Called by FastStream. Hands records to their lanes and returns as soon as there is room for them."""
        for lane in range(LANES):
            mine = [record for record in records if record.partition % LANES == lane]
            if mine and not self._stopping:
                await self._queues[lane].put(mine)

    async def _work(self, lane: int) -> None:
        """Apply a lane's batches, one after the other. Nothing may escape: what is not applied must not be passed."""
        queue = self._queues[lane]
        while True:
            records = await queue.get()
            batches = 1
            try:
                async with self._locks[lane]:
                    # All that waits by now goes together: a task with several records in it is written once.
                    while not queue.empty():
                        records = records + queue.get_nowait()
                        batches += 1
                    await self._take(records)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._crash("a batch could not be finished", error)
                raise
            finally:
                for _ in range(batches):
                    queue.task_done()

    async def _take(self, records: Sequence[Record]) -> None:
        began = time.perf_counter()
        good: list[Received] = []
        async for record in unhurried(records):
            try:
                event = decode(record.topic, record.value)
            except UndecodableError as error:
                await self._bury(record, error.reason, error.detail)
            else:
                good.append(Received(event, record.topic, record.partition, record.offset, record.key))
        await self._apply_all(good, records)
        self._note_applied(records, good)
        await self._commit()
        for topic in {record.topic for record in records}:
            BATCH_SECONDS.labels(topic).observe(time.perf_counter() - began)

    async def _apply_all(self, batch: Sequence[Received], records: Sequence[Record]) -> None:
        if not batch:
            return
        self._watchdog.beat("poll")
        outcome = await self._try_until_known(batch)
        if outcome is None:
            self._count(batch, "done")
            return
        if len(batch) > 1:
            # Somebody in here is poison. By halves, in order, until only the guilty goes to the dead letters.
            middle = len(batch) // 2
            await self._apply_all(batch[:middle], records)
            await self._apply_all(batch[middle:], records)
            return
        only = batch[0]
        reason, detail = (
            (outcome.reason, outcome.detail)
            if isinstance(outcome, PermanentError)
            else ("bug", f"{type(outcome).__name__}: {outcome}")
        )
        place = (only.topic, only.partition, only.offset)
        raw = next(record for record in records if (record.topic, record.partition, record.offset) == place)
        await self._bury(raw, reason, detail)

    async def _try_until_known(self, batch: Sequence[Received]) -> Exception | None:
        """Apply; wait and repeat while the error can pass. Returns the error that a record causes.

        Raises what no record is to blame for.
        """
        topic = batch[0].topic
        waits = bugs = 0
        while True:
            try:
                await self._apply(batch)
            except PermanentError as error:
                return error
            except Exception as error:
                if ends_process(error):
                    raise
                if not is_transient(error):
                    bugs += 1
                    log.exception("batch.failed", topic=topic, records=len(batch), try_number=bugs)
                    if bugs >= BUG_TRIES:
                        return error
                cause = type(error).__name__
                RETRIES.labels(topic, cause).inc()
                wait = backoff(waits)
                log.warning("batch.retried", topic=topic, records=len(batch), cause=cause, wait_seconds=round(wait, 2))
                waits += 1
                await self._wait(wait)
            else:
                return None

    async def _wait(self, seconds: float) -> None:
        """Waiting for the world is progress."""
        self._watchdog.beat_all()
        await asyncio.sleep(seconds)

    async def _bury(self, record: Record, reason: str, detail: str) -> None:
        """Publish to the dead letters and wait for the acknowledgement; only then is the record done with."""
        letter = dead_letter(record, reason, detail, service=self._service, failed_at=self._clock.now())
        for attempt in range(1_000_000):
            try:
                await self._publisher.publish([letter], timeout_seconds=30)
                if self._on_dead is not None:
                    await self._on_dead(record, reason, detail)
                break
            except Exception as error:
                if not is_transient(error):
                    raise
                await self._wait(backoff(attempt))
        DEAD_LETTERS.labels(record.topic, reason).inc()
        RECORDS.labels(record.topic, "dead").inc()
        log.error(
            "record.dead",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
            detail=detail[:500],
        )

    @staticmethod
    def _count(batch: Iterable[Received], outcome: str) -> None:
        for topic, number in Counter(received.topic for received in batch).items():
            RECORDS.labels(topic, outcome).inc(number)

    def _note_applied(self, records: Sequence[Record], good: Sequence[Received]) -> None:
        for record in records:
            partition = self._partitions.get(TopicPartition(record.topic, record.partition))
            if partition is not None:
                partition.applied = max(partition.applied or 0, record.offset + 1)
        for received in good:
            partition = self._partitions.get(TopicPartition(received.topic, received.partition))
            at = received.event.envelope.receivedat
            if partition is not None and at is not None:
                partition.time.reach(at)
        self._dirty = True

    async def _commit(self) -> None:
        """Commit what was applied. A refusal is harmless: the records come again and the fences skip them."""
        offsets = {
            tp: partition.applied
            for tp, partition in self._partitions.items()
            if partition.applied is not None and partition.applied != partition.committed
        }
        if not offsets:
            self._dirty = False
            return
        try:
            async with asyncio.timeout(5):
                await self._consumer().commit(offsets)
        except (KafkaError, TimeoutError, AssertionError) as error:
            # IllegalStateError and CommitFailedError: a rebalance took the partition. Others: the broker is away.
            log.info("offsets.not_committed", cause=type(error).__name__)
            return
        for tp, offset in offsets.items():
            if (partition := self._partitions.get(tp)) is not None:
                partition.committed = offset
        self._dirty = False

    # -- ownership and time ----------------------------------------------------------------------------------------

    def owned(self, topic: Topic, lane: int | None = None) -> list[int]:
        """Partitions of the topic (of a lane, or all) that this replica owns now. A hint: the database fences."""
        mine = (tp.partition for tp in self._partitions if tp.topic == topic.name)
        return sorted(one for one in mine if lane in {None, one % LANES})

    async def _assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # An outage mostly ends in a rebalance, which must not forget it.
        self._partitions = {
            tp: _Partition(PartitionTime(grace_seconds=self._grace_seconds, heard=self._heard)) for tp in assigned
        }
        self._on_assigned()
        self._joined = True
        log.info("partitions.assigned", group=self._group, partitions=len(self._partitions))

    async def _revoked(self) -> None:
        """Finish what is in hand (bounded), then own nothing until the next assignment."""
        await self._drain()
        for tp, partition in self._partitions.items():
            self._heard = later(self._heard, partition.time)
            if partition.time.is_known:
                LAG.remove(tp.topic, str(tp.partition))
        self._partitions = {}

    @asynccontextmanager
    async def holding(self, lane: int) -> AsyncIterator[None]:
        """Keep a lane's records away while a timer works on its partitions."""
        async with self._locks[lane]:
            if self._dirty:
                await self._commit()
            yield

    async def partition_times(self, topic: Topic, lane: int | None = None) -> dict[int, datetime]:
        """Each owned partition's own time (of a lane, or of all), where it is known."""
        times: dict[int, datetime] = {}
        for tp, partition in list(self._partitions.items()):
            if tp.topic != topic.name or lane not in {None, tp.partition % LANES}:
                continue
            if (now := await self._time_of(tp, partition)) is not None:
                times[tp.partition] = now
        return times

    def backlog(self, topic: Topic) -> int:
        """Records of a topic's owned partitions that are known to wait."""
        consumer = self._consumer()
        assigned = consumer.assignment()
        return sum(
            _waiting(consumer.highwater(tp), partition.applied) or 0
            for tp, partition in self._partitions.items()
            if tp.topic == topic.name and tp in assigned
        )

    async def _time_of(self, tp: TopicPartition, partition: _Partition) -> datetime | None:
        consumer = self._consumer()
        if tp not in consumer.assignment():
            return None
        if partition.applied is None:
            partition.applied = await self._first_offset(consumer, tp)
        end, poll_ms = consumer.highwater(tp), consumer.last_poll_timestamp(tp)
        waiting = _waiting(end, partition.applied)
        if waiting is None or poll_ms is None:
            return None
        LAG.labels(tp.topic, str(tp.partition)).set(waiting)
        return partition.time.look(poll_ms / 1000, nothing_waits=waiting == 0, clock_at=self._clock.at)

    @staticmethod
    async def _first_offset(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
        try:
            async with asyncio.timeout(5):
                committed = await consumer.committed(tp)
                if committed is not None:
                    return int(committed)
                return int((await consumer.beginning_offsets([tp]))[tp])
        except (KafkaError, TimeoutError):
            return None


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """aiokafka waits for both before and after a rebalance, heartbeats going on meanwhile."""

    def __init__(self, consumption: Consumption) -> None:
        self._consumption = consumption

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._consumption._revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._consumption._assigned(assigned)


async def _parse(records: tuple[Record, ...], _original: Callable[..., Awaitable[Any]]) -> KafkaMessage:
    """FastStream's own parser loses a record whose header is null or not UTF-8; we read no header here."""
    return KafkaMessage(body=b"", raw_message=records, consumer=_NO_CONSUMER)


async def _decode(message: KafkaMessage, _original: Callable[..., Awaitable[Any]]) -> list[Record]:
    return list(message.raw_message)


class _NoConsumer:
    """FastStream never commits for us."""

    async def commit(self) -> None:
        raise AssertionError("commits are explicit")

    def seek(self, partition: TopicPartition, offset: int) -> None:
        raise AssertionError("seeks are not used")


_NO_CONSUMER = _NoConsumer()


def backoff(attempt: int) -> float:
    """Seconds before the next try: doubling from 0.1 with jitter, far below the poll interval."""
    return float(min(BACKOFF_SECONDS_MAX, 0.1 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))  # noqa: S311 jitter


def dead_letter(record: Record, reason: str, detail: str, *, service: str, failed_at: datetime) -> Outgoing:
    """The raw record for operators; headers say why, whence and when, after those it came with."""
    why = {
        "dondoc-reason": reason,
        "dondoc-detail": detail[:1000],
        "dondoc-topic": record.topic,
        "dondoc-partition": str(record.partition),
        "dondoc-offset": str(record.offset),
        "dondoc-record-timestamp-ms": str(record.timestamp),
        "dondoc-service": service,
        "dondoc-failed-at": failed_at.isoformat(),
    }
    return Outgoing(
        topic=DEADLETTERS.name,
        key=record.key,
        value=record.value,
        headers=(*record.headers, *((name, text.encode()) for name, text in why.items())),
    )
