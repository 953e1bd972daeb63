"""The world that a seed draws: replicas of the real service, a store and a broker that are slow, and what goes wrong.

Every call of the store or the broker is a point at which the drawn delays decide who goes on, and at which a replica
may die (before, in the middle of or after the effect), see an error, or turn out to have lost its partitions.
"""

import asyncio
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pydantic_core
import structlog
from pymongo.errors import AutoReconnect

import services.tasks.sweep
import shared.runtime.consuming
from shared.contracts.topics import DEADLETTERS, TASKS
from tests.flow.tasks.memory import MemoryTaskStore
from tests.simulation.kafka import Broker, FastStreamBroker, Told
from tests.simulation.loop import OWNER, Owner, StuckError, VirtualLoop
from tests.simulation.replica import Replica
from tests.simulation.story import END, START, Story

CRASHES_MAX = 12
STALLS_MAX = 8
ROUNDS_MAX = 40
"""Of polling and sweeping until all has settled, once nothing goes wrong any more."""


class World:
    """One seed's run."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.trace: list[str] | None = [] if trace else None
        self.bugs: list[str] = []
        self.stats: Counter[str] = Counter()
        self.calm = False
        self.kafka_down = self.mongo_down = False
        self.broker = Broker(self.chance.randint(2, 5))
        self.store = MemoryTaskStore(real=lambda: START.timestamp() + self.loop.time())
        self.story = Story(self.chance)
        chance = self.chance
        self.tasks_together = chance.randint(1, 6)
        # How slow everything is, from next to nothing to an hour a call: the slower, the more of it overlaps.
        self.slowness = 10 ** chance.uniform(-2, 3.3)
        self.torn = chance.choice((0.0, 0.2, 0.5))
        self.crash_rate = chance.choice((0.0, 0.003, 0.01, 0.03))
        self.stall_rate = chance.choice((0.0, 0.003, 0.01))
        self.failure_rate = chance.choice((0.0, 0.0, 0.005))
        self.trouble_every = chance.choice((4, 10, 30)) * 86_400.0
        self.replicas: list[Replica] = []
        self.members: list[Replica] = []
        self._born = 0
        self._rebalancing = asyncio.Lock()
        self._seen: dict[str, int] = {}

    @property
    def now(self) -> float:
        return self.loop.time()

    def note(self, replica: Replica | None, what: str, *details: str) -> None:
        """One line of the trace."""
        if self.trace is not None:
            who = f"r{replica.number}" if replica is not None else "--"
            moment = (START + timedelta(seconds=self.now)).isoformat(" ", "milliseconds")
            self.trace.append(f"{moment} {who} {what} {' '.join(details)}")

    # -- what goes wrong -------------------------------------------------------------------------------------------

    async def hop(self, replica: Replica, what: str, *, quick: bool = False, stalls: bool = False) -> None:
        """Others may go on before this one does."""
        if not replica.alive:
            raise asyncio.CancelledError
        if self.trace is not None:
            self.note(replica, what)
        delay = self._delay(quick)
        if stalls and not self.calm and self.chance.random() < 0.1:
            # The process is paused, or its event loop busy, while an answer waits at its door.
            delay += self.chance.uniform(0, 12 * 3_600)
        await self.loop.sleep(delay)
        if not replica.alive:
            raise asyncio.CancelledError

    def _delay(self, quick: bool) -> float:
        if self.calm:
            return 0.001
        draw = self.chance.random()
        if quick:
            return draw if draw < 0.95 else 30.0
        return self.slowness * (draw**3 if draw < 0.98 else 30.0)

    def pause(self, times: float) -> float:
        """Between two polls, or two turns of the sweep."""
        if self.calm:
            return 1.0
        return times * (self.slowness * 3 + 3_600 * 10 ** self.chance.uniform(-2, 1.3))

    def maybe_crash(self, replica: Replica, where: str, *, likely: bool = True) -> None:
        rate = self.crash_rate if likely else self.crash_rate / 20
        if not self.calm and self.chance.random() < rate and self.stats["crashes"] < CRASHES_MAX:
            self.crash(replica, where)
            raise asyncio.CancelledError

    def maybe_fail(self, replica: Replica, where: str) -> None:
        if self.mongo_down or (not self.calm and self.chance.random() < self.failure_rate):
            self.note(replica, "fails", where)
            self.stats["failed calls"] += 1
            raise AutoReconnect("simulated")

    def crash(self, replica: Replica, where: str) -> None:
        """Kill a process. The group notices later; a new process comes later still."""
        self.note(replica, "DIES", where)
        self.stats["crashes"] += 1
        replica.end()
        self.loop.create_task(self._replace(replica), context=copy_context_without_owner())

    async def _replace(self, dead: Replica) -> None:
        await self.loop.sleep(0 if self.calm else self.chance.uniform(5, 600))
        if dead in self.members:
            self.members.remove(dead)
            await self.rebalance()
        await self.loop.sleep(0 if self.calm else self.chance.uniform(1, 3_600))
        self.join()
        await self.rebalance()

    # -- the group -------------------------------------------------------------------------------------------------

    def join(self) -> None:
        self._born += 1
        replica = Replica(self, self._born)
        self.replicas.append(replica)
        self.members.append(replica)
        replica.start()

    async def rebalance(self) -> None:
        """Take everything from everybody, orderly, and deal it out anew."""
        async with self._rebalancing:
            self.stats["rebalances"] += 1
            leaving = [one.spawn(one.lose()) for one in self.members if one.alive]
            await asyncio.gather(*leaving, return_exceptions=True)
            self.broker.owner = {}
            members = [one for one in self.members if one.alive]
            shares: dict[int, list[int]] = {one.number: [] for one in members}
            if members:
                for partition in range(self.broker.partitions):
                    taker = self.chance.choice(members)
                    shares[taker.number].append(partition)
                    self.broker.owner[partition] = taker
            for one in members:
                self.note(one, "owns", str(shares[one.number]))
                await asyncio.gather(one.spawn(one.take(shares[one.number])), return_exceptions=True)

    async def _zombie(self) -> None:
        """A member is thrown out, does not know, and goes on for a while."""
        if len(self.members) > 1:
            await self._outlive(self.chance.choice(self.members))

    async def maybe_stall(self, replica: Replica, where: str) -> None:
        """Pause a process in the middle of its work until others have taken over."""
        if self.calm or self.chance.random() >= self.stall_rate or len(self.members) < 2:
            return
        if replica in self.members and self.stats["stalls"] < STALLS_MAX:
            self.note(replica, "STALLS", where)
            self.stats["stalls"] += 1
            self.loop.create_task(self._outlive(replica), context=copy_context_without_owner())
            await self.loop.sleep(self.chance.uniform(1, 30) * 3_600)

    async def _outlive(self, zombie: Replica) -> None:
        self.note(zombie, "becomes a ZOMBIE")
        self.stats["zombies"] += 1
        self.members.remove(zombie)
        await self.rebalance()
        await self.loop.sleep(self.slowness * self.chance.uniform(1, 200) + 3_600 * 10 ** self.chance.uniform(-1, 1.7))
        if zombie.alive and self.chance.random() < 0.5:
            await asyncio.gather(zombie.spawn(zombie.lose()), return_exceptions=True)
            self.members.append(zombie)
            await self.rebalance()
        elif zombie.alive:
            self.crash(zombie, "was a zombie")

    async def _outage(self) -> None:
        """Everybody is away for days, or the broker or the database for a minute."""
        kind = self.chance.choice(("all", "kafka", "mongo"))
        self.note(None, "OUTAGE", kind)
        self.stats[f"outages of {kind}"] += 1
        if kind == "kafka":
            self.kafka_down = True
            await self.loop.sleep(self.chance.uniform(1, 36) * 3_600)
            self.kafka_down = False
        elif kind == "mongo":
            self.mongo_down = True
            await self.loop.sleep(self.chance.uniform(1, 120))
            self.mongo_down = False
        else:
            for one in self.members:
                self.note(one, "DIES", "outage")
                one.end()
            gone, self.members = len(self.members), []
            await self.loop.sleep(self.chance.uniform(1, 120) * 3_600)
            for _ in range(gone):
                self.join()
            await self.rebalance()

    async def _troubles(self) -> None:
        kinds = (self._zombie, self._zombie, self.rebalance, self._outage)
        while True:
            await self.loop.sleep(self.chance.expovariate(1 / self.trouble_every))
            await self.chance.choice(kinds)()

    # -- the run ---------------------------------------------------------------------------------------------------

    def tell(self, told: Told) -> None:
        """A record of the service is on its topic; some things must hold at this very moment."""
        self.broker.told.append(told)
        if told.topic == DEADLETTERS.name:
            return
        fact_id = told.value[:600].split(b'"id":"', 1)[1].split(b'"', 1)[0].decode()
        # A rejection that no task knows of is named after its submission and has no number.
        if told.topic == TASKS.name and "#" not in fact_id:
            task_id, seq = fact_id.rsplit(":", 1)
            if int(seq) > self._seen.get(task_id, 0) + 1:
                self.bugs.append(f"fact {task_id}:{seq} was told before {self._seen.get(task_id, 0) + 1}")
            self._seen[task_id] = max(int(seq), self._seen.get(task_id, 0))
            if b'"type":"dondoc.task.overdue.v1"' in told.value[:400]:
                self._check_overdue(pydantic_core.from_json(told.value)["data"]["task"])

    def _check_overdue(self, task: Mapping[str, Any]) -> None:
        if task["result"] == "suspended":
            self.bugs.append(f"{task['task_id']} told as overdue while it was suspended")
        due_at = datetime.fromisoformat(task["deadlines"][-1]["due_at"])
        for one in task["results"][-1:]:
            in_time = datetime.fromisoformat(one["cause"]["received_at"]) < due_at
            if in_time and one["verdict"] != "returned":
                self.bugs.append(f"{task['task_id']} told as overdue; its result in time was applied before")

    async def _ingest(self) -> None:
        for said in self.story.submissions:
            await self.loop.sleep(max(0.0, said.at - self.now))
            record = self.broker.append(said.key, said.value, ms=int((START.timestamp() + self.now) * 1000))
            self.note(None, "submitted", f"{record.partition}:{record.offset}", said.what)

    async def _run(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            self.join()
        await self.rebalance()
        background = Owner()
        context = copy_context()
        context.run(OWNER.set, background)
        for work in (self._ingest(), self._troubles()):
            self.loop.create_task(work, context=context)
        await self.loop.sleep((END - START).total_seconds())
        self.note(None, "CALM")
        background.end()
        self.calm, self.kafka_down, self.mongo_down = True, False, False
        # Whoever survived starts afresh: a process stuck in a call of before would answer in weeks.
        for one in self.replicas:
            one.end()
        self.members = []
        for _ in range(2):
            self.join()
        await self.rebalance()
        told = -1
        for _ in range(ROUNDS_MAX):
            await self.loop.sleep(16.0)
            if told == len(self.broker.told) and self._all_read():
                return
            told = len(self.broker.told)
        self.bugs.append("did not settle once nothing went wrong any more")

    def _all_read(self) -> bool:
        broker = self.broker
        return all(broker.committed.get(one, 0) == len(broker.log[one]) for one in range(broker.partitions))

    async def _close(self) -> None:
        for one in self.replicas:
            one.end()
        await self.loop.sleep(1)

    def run(self) -> "World":
        """Run the seed to its end."""
        with _edges(self):
            try:
                self.loop.run(self._run())
                self.loop.run(self._close())
            except StuckError as error:
                self.bugs.append(str(error))
        self.bugs += self.loop.failures
        return self

    def digest(self) -> str:
        """The same seed gives the same digest."""
        told = "\n".join(f"{one.at} {one.topic} {one.value!r}" for one in self.broker.told)
        return hashlib.blake2b("\n".join([*(self.trace or ()), told]).encode(), digest_size=12).hexdigest()


def copy_context_without_owner() -> Any:
    """A context whose tasks belong to nobody."""
    context = copy_context()
    context.run(OWNER.set, Owner())
    return context


@contextmanager
def _edges(world: World) -> Iterator[None]:
    """Where the service meets the process it runs in: FastStream, monotonic time, jitter, logs."""
    state, configuration = random.getstate(), structlog.get_config()
    runtime, sweep = cast(Any, shared.runtime.consuming), cast(Any, services.tasks.sweep)
    broker, clock = runtime.KafkaBroker, sweep.time
    runtime.KafkaBroker = FastStreamBroker
    sweep.time = SimpleNamespace(monotonic=world.loop.time)
    random.seed(world.seed)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        runtime.KafkaBroker, sweep.time = broker, clock
        random.setstate(state)
        structlog.configure(**configuration)
