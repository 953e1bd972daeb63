"""A Kafka of a few partitions in memory: logs, one consumer group, and what the real runtime asks of its clients."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from shared.contracts.topics import SUBMISSIONS
from shared.runtime.batching import Outgoing

if TYPE_CHECKING:
    from tests.simulation.replica import Replica
    from tests.simulation.world import World

FETCHED_MAX = 12
"""Records of one partition in one answer, at most."""


class Record(NamedTuple):
    """A record of the submissions topic, as aiokafka hands it out."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


class Told(NamedTuple):
    """A record that the service published, and when."""

    topic: str
    key: bytes | None
    value: bytes
    at: float


@dataclass
class Broker:
    """Logs, committed offsets and who owns what."""

    partitions: int
    log: list[list[Record]] = field(init=False)
    committed: dict[int, int] = field(default_factory=dict)
    owner: dict[int, "Replica"] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = [[] for _ in range(self.partitions)]

    def partition_of(self, key: str) -> int:
        return crc32(key.encode()) % self.partitions

    def append(self, key: str, value: bytes, *, ms: int) -> Record:
        partition = self.partition_of(key)
        log = self.log[partition]
        record = Record(SUBMISSIONS.name, partition, len(log), key.encode(), value, ms)
        log.append(record)
        return record


def tp(partition: int) -> TopicPartition:
    return TopicPartition(SUBMISSIONS.name, partition)


class Consumer:
    """What `Consumption` and its poll loop ask of an AIOKafkaConsumer."""

    def __init__(self, world: "World", replica: "Replica") -> None:
        self._world = world
        self._replica = replica
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._polled_ms: dict[int, int] = {}
        self._epoch = 0

    def assign(self, partitions: Iterable[int]) -> None:
        self._epoch += 1
        broker = self._world.broker
        self._positions = {one: broker.committed.get(one, 0) for one in partitions}
        self._ends, self._polled_ms = {}, {}

    def assignment(self) -> set[TopicPartition]:
        return {tp(one) for one in self._positions}

    def highwater(self, one: TopicPartition) -> int | None:
        return self._ends.get(one.partition)

    def last_poll_timestamp(self, one: TopicPartition) -> int | None:
        return self._polled_ms.get(one.partition)

    async def committed(self, one: TopicPartition) -> int | None:
        await self._world.hop(self._replica, "committed", quick=True)
        return self._world.broker.committed.get(one.partition)

    async def beginning_offsets(self, some: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(some, 0)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Refused when a rebalance took one of the partitions."""
        await self._world.hop(self._replica, "commit", quick=True)
        broker = self._world.broker
        if any(broker.owner.get(one.partition) is not self._replica for one in offsets):
            self._world.stats["commit refused"] += 1
            raise CommitFailedError("not the owner")
        self._world.maybe_crash(self._replica, "commit.before")
        for one, offset in offsets.items():
            broker.committed[one.partition] = offset
        await self._world.hop(self._replica, "committed", quick=True)

    async def getmany(self) -> list[Record]:
        """One fetch of each partition: asked, answered as the log is then, arrived a while later."""
        world, broker = self._world, self._world.broker
        await world.hop(self._replica, "fetch")
        if world.kafka_down:
            return []
        epoch, answer = self._epoch, {}
        for partition, position in self._positions.items():
            log = broker.log[partition]
            answer[partition] = (len(log), log[position : position + world.chance.randint(1, FETCHED_MAX)])
        await world.hop(self._replica, "fetched", stalls=True)
        if epoch != self._epoch:
            return []
        for partition, (end, records) in answer.items():
            self._ends[partition] = end
            self._polled_ms[partition] = int(self._replica.clock.real() * 1000)
            self._positions[partition] += len(records)
        return [record for _, records in answer.values() for record in records]


class Subscriber:
    """FastStream's batch subscriber: holds the handler and the consumer."""

    def __init__(self) -> None:
        self.consumer: Consumer | None = None
        self.handler: Callable[[list[Record]], Awaitable[None]] | None = None

    def __call__(self, handler: Callable[[list[Record]], Awaitable[None]]) -> None:
        self.handler = handler


class FastStreamBroker:
    """Takes FastStream's place in the runtime."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.subscribed = Subscriber()

    def subscriber(self, *_: Any, **__: Any) -> Subscriber:
        return self.subscribed


class Publisher:
    """Appends record by record; may die or time out after any of them."""

    def __init__(self, world: "World", replica: "Replica") -> None:
        self._world = world
        self._replica = replica

    async def publish(self, records: Sequence[Outgoing], *, timeout_seconds: float | None = None) -> None:
        if not records:
            return
        world, replica = self._world, self._replica
        while world.kafka_down:
            await world.loop.sleep(600)
        await world.hop(replica, "publish")
        await world.maybe_stall(replica, "publish")
        world.maybe_crash(replica, "publish.before")
        world.maybe_fail(replica, "publish.before")
        for number, one in enumerate(records):
            if number and world.chance.random() < world.torn:
                await world.hop(replica, "publish.between")
                world.maybe_crash(replica, "publish.between")
            world.tell(Told(one.topic, one.key, one.value or b"", world.now))
        world.maybe_crash(replica, "publish.after")
        world.maybe_fail(replica, "publish.after")
