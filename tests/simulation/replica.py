"""One process of the service on a simulated store and broker, and how it reaches them: slowly, in pieces, in vain."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from services.tasks.ports import Message, Position, TaskStore
from services.tasks.settings import Settings
from services.tasks.wiring import wire_up
from shared.contracts.topics import SUBMISSIONS
from shared.runtime import publishing
from shared.runtime.batching import Outgoing
from shared.runtime.consuming import Consumption, Received
from shared.runtime.errors import PermanentError, is_transient
from shared.runtime.watchdog import Watchdog
from tests.simulation.kafka import Consumer, FastStreamBroker, Publisher, tp
from tests.simulation.loop import OWNER, Owner
from tests.simulation.story import RULEBOOK, START

if TYPE_CHECKING:
    from tests.simulation.world import World

SETTINGS = Settings.model_validate({"KAFKA_BOOTSTRAP_SERVERS": "simulated", "reading_needs_token": False})
IN_PIECES = frozenset(
    {"claim", "ledger", "close", "note_reuse", "tasks", "save_tasks", "told", "park", "existing", "unpark"}
)
"""Calls that touch many documents, one after the other: others go on in between, and a death leaves a part."""
READS = frozenset(
    {"ledger", "tasks", "untold", "due", "parked_task_ids", "parked_by", "existing", "parked_for", "entries"}
    | {
        "entries_with",
        "untold_entries",
        "directive",
        "obligations",
        "obligations_of",
        "open_tasks_with",
        "open_tasks_by_other_rules",
        "ended_agencies",
        "open_task_ids",
        "obligations_due",
        "time_of",
        "slowest_time",
        "next_opening",
        "earliest_due",
        "earliest_opening",
    }
)
WRITES_UNORDERED = frozenset({"save_tasks", "told", "park", "unpark"})


@dataclass
class Clock:
    """A replica's clock: virtual time, and wrong by up to some minutes."""

    world: "World"
    skew: timedelta

    def real(self) -> float:
        return START.timestamp() + self.world.now + self.skew.total_seconds()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.world.now) + self.skew

    def at(self, real: float) -> datetime:
        return datetime.fromtimestamp(real, UTC)


class Store:
    """The one store as a replica reaches it: slow, in pieces, sometimes in vain."""

    def __init__(self, world: "World", replica: "Replica") -> None:
        self._world = world
        self._replica = replica

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._world.store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            world, replica = self._world, self._replica
            # One hop a call is enough: what happens between an effect and its return can as well happen after it.
            await world.hop(replica, name)
            writes = name not in READS
            if writes:
                await world.maybe_stall(replica, name)
            world.maybe_crash(replica, f"{name}.before", likely=writes)
            world.maybe_fail(replica, f"{name}.before")
            if name in IN_PIECES and len(args[0]) > 1 and world.chance.random() < world.torn:
                result = await self._in_pieces(name, method, args[0], kwargs)
            else:
                result = await method(*args, **kwargs)
            if name in ("park", "save_tasks"):
                world.stats["parked" if name == "park" else "lost races"] += len(args[0] if name == "park" else result)
            if writes:
                world.maybe_crash(replica, f"{name}.after", likely=True)
                world.maybe_fail(replica, f"{name}.after")
            return result

        self.__dict__[name] = call
        return call

    async def _in_pieces(self, name: str, method: Any, many: Any, kwargs: Mapping[str, Any]) -> Any:
        world, replica = self._world, self._replica
        items = list(many.items()) if isinstance(many, Mapping) else list(many)
        if not isinstance(many, Sequence | Mapping):
            items.sort()
        if name in WRITES_UNORDERED:
            world.chance.shuffle(items)
        cut = world.chance.randint(1, len(items) - 1)
        results = []
        for piece in (items[:cut], items[cut:]):
            results.append(await method(dict(piece) if isinstance(many, Mapping) else piece, **kwargs))
            if piece is not items[cut:] and len(results) == 1:
                await world.hop(replica, f"{name}.between")
                world.maybe_crash(replica, f"{name}.between")
        return _joined(results)


def _joined(results: Sequence[Any]) -> Any:
    first, second = results
    if isinstance(first, frozenset | Mapping):
        return first | second
    return first


class Replica(Owner):
    """One process of the service, wired as `app.build` does, on a simulated store and broker."""

    def __init__(self, world: "World", number: int) -> None:
        super().__init__()
        self.world = world
        self.number = number
        self.clock = Clock(world, world.story.skew(world.chance))
        self.context = copy_context()
        self.context.run(OWNER.set, self)
        store = cast(TaskStore, Store(world, self))
        publisher = cast(publishing.Publisher, Publisher(world, self))

        async def publish(messages: Sequence[Message]) -> None:
            await publisher.publish([Outgoing(one.topic, one.key.encode(), one.value) for one in messages])

        async def partition_of(key: str) -> int:
            return world.broker.partition_of(key)

        parts = wire_up(store, publish, partition_of, self.clock, RULEBOOK, tasks_together=world.tasks_together)
        self.handlers, self.sweep = parts.handlers, parts.sweep

        async def on_dead(record: Any, reason: str, detail: str) -> None:
            await self.handlers.on_dead(record.value, Position(record.partition, record.offset), reason, detail)

        self.consumption = Consumption(
            topics=[SUBMISSIONS],
            group="tasks",
            apply=self._apply,
            publisher=publisher,
            clock=self.clock,
            watchdog=Watchdog(60.0, self._crash),
            settings=SETTINGS,
            service="tasks",
            on_dead=on_dead,
            on_assigned=parts.partitions_changed,
            crash=self._crash,
        )
        self.consumer = Consumer(world, self)
        subscriber = cast(FastStreamBroker, self.consumption.broker).subscribed
        subscriber.consumer = self.consumer
        assert subscriber.handler is not None, "Consumption subscribes"
        self._on_batch = subscriber.handler

    async def _apply(self, records: Sequence[Received]) -> None:
        self.world.note(self, "apply", *(f"{one.partition}:{one.offset}" for one in records))
        try:
            await self.handlers.on_submissions(records)
        except Exception as error:
            if not is_transient(error) and not isinstance(error, PermanentError):
                self.world.bugs.append(f"a handler failed: {error!r}")
            raise

    def _crash(self, reason: str, error: BaseException | None = None) -> None:
        if self.alive and not isinstance(error, asyncio.CancelledError):
            self.world.bugs.append(f"{reason}: {error!r}")
            self.world.crash(self, reason)

    def start(self) -> None:
        self.context.run(self.consumption.watch)
        self.spawn(self._polls())
        self.spawn(self._sweeps())

    def spawn(self, work: Any) -> "asyncio.Task[Any]":
        return self.world.loop.create_task(work, context=self.context)

    async def _polls(self) -> None:
        while True:
            await self.world.loop.sleep(self.world.pause(2.0))
            if records := await self.consumer.getmany():
                await self._on_batch(records)

    async def _sweeps(self) -> None:
        while True:
            await self.world.loop.sleep(self.world.pause(5.0))
            try:
                await self.sweep.turn(self.consumption)
            except Exception as error:
                if not is_transient(error):
                    self._crash("sweep failed", error)
                    raise

    async def lose(self) -> None:
        """What the runtime does when the group takes everything away."""
        await self.consumption._revoked()

    async def take(self, partitions: Sequence[int]) -> None:
        self.consumer.assign(partitions)
        await self.consumption._assigned([tp(one) for one in partitions])
