"""Writes tasks: new ones, what time did to them, and steps of events that concern many of them.

Every write is one task document (ADR 0002). A lost race is tried again on what the other writer left.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from services.tasks import metrics, wire
from services.tasks.domain.decide import advance, assign
from services.tasks.domain.decision import Decision, FactKind, Rulebook
from services.tasks.domain.milestones import next_at
from services.tasks.domain.succession import Move
from services.tasks.domain.task import Task
from services.tasks.folding import Fold, Submission
from services.tasks.horizon import Horizon
from services.tasks.ports import Stored, TaskStore, Untold, Write
from services.tasks.telling import PartitionOf, Teller
from shared.contracts.codec import Event
from shared.runtime.clock import Clock
from shared.runtime.errors import TransientError

RACES_MAX = 30
CHUNK = 500

Step = Callable[[Task], Awaitable[Move | Decision | None]]
"""What is to become of one task; None: nothing."""


class TaskWriter:
    """Writes tasks and tells what they owe."""

    def __init__(
        self, store: TaskStore, teller: Teller, partition_of: PartitionOf, clock: Clock, rulebook: Rulebook
    ) -> None:
        self._store = store
        self._teller = teller
        self._partition_of = partition_of
        self._clock = clock
        self._rulebook = rulebook
        self.horizon = Horizon()
        """Of the milestones of this replica's tasks."""

    async def save(self, writes: Sequence[Write]) -> frozenset[str]:
        """Save; returns the ids that lost to another writer, as the store says."""
        try:
            return await self._store.save_tasks(writes)
        finally:
            # After the write: whoever asked before it was there must hear of it now, even if its answer got lost.
            for write in with_heirs(writes):
                self.horizon.note(write.partition, write.next_at)

    async def new_write(self, task: Task, event: Event | None, token: str) -> Write:
        """The first write of a task."""
        decision = assign(task)
        rules = self._rulebook.of(task.province)
        text = wire.snapshot_json(decision.task)
        metrics.FACTS_OF[FactKind.ASSIGNED].inc()
        return Write(
            task=decision.task,
            text=text,
            partition=await self._partition_of(task.task_id),
            offset=-1,
            steps=(),
            untold=Untold(token, tuple(wire.message(fact, event, text=text) for fact in decision.facts)),
            replaces=None,
            next_at=next_at(decision.task, rules.milestones, rules.calendar),
            rules=rules.version,
            history=tuple(wire.change(fact) for fact in decision.facts),
        )

    async def create(self, tasks: Sequence[Task], event: Event | None) -> int:
        """Create tasks that do not exist yet and tell them; those that exist are left as they are."""
        created = 0
        for start in range(0, len(tasks), CHUNK):
            with self._teller.hand() as token:
                created += await self._create(tasks[start : start + CHUNK], event, token)
        return created

    async def _create(self, tasks: Sequence[Task], event: Event | None, token: str) -> int:
        writes = {task.task_id: await self.new_write(task, event, token) for task in tasks}
        existing = await self.save(list(writes.values()))
        owed = owed_by(write for task_id, write in writes.items() if task_id not in existing)
        for task_id, stored in (await self._store.tasks(existing)).items():
            # Created by an earlier try that did not get round to telling.
            if stored.untold is not None:
                owed[task_id] = stored.untold
        await self._teller.tell(owed)
        return len(writes) - len(existing)

    async def pass_time(self, due: Mapping[str, Stored], times: Mapping[int, datetime]) -> int:
        """Fire what is due on tasks, each by its partition's time. Lost races are left to the next turn."""
        with self._teller.hand() as token:
            return await self._pass_time(due, times, token)

    async def _pass_time(self, due: Mapping[str, Stored], times: Mapping[int, datetime], token: str) -> int:
        writes: dict[str, Write] = {}
        recorded_at = self._clock.now()
        for task_id, stored in due.items():
            rules = self._rulebook.of(stored.task.province)
            decision = advance(stored.task, now=times[stored.partition], recorded_at=recorded_at, rules=rules)
            fold = Fold(stored, rules)
            fold.pass_to(decision)
            writes[task_id] = fold.write(token)
            for fact in decision.facts:
                metrics.MILESTONES.labels(str(fact.kind)).inc()
                metrics.LATENESS_SECONDS.observe((recorded_at - fact.cause.received_at).total_seconds())
        lost = await self.save(list(writes.values()))
        metrics.LOST_RACES.inc(len(lost))
        await self._teller.tell(owed_by(write for task_id, write in writes.items() if task_id not in lost))
        return len(writes) - len(lost)

    async def change(self, task_ids: Sequence[str], step: Step, *, of: Submission | None = None) -> int:
        """Change tasks one by one. Returns how many were.

        `of`: the event whose steps these are, one a task at most; without it, the step must know by itself whether it
        was done.
        """
        changed = 0
        for start in range(0, len(task_ids), CHUNK):
            left: Collection[str] = task_ids[start : start + CHUNK]
            for attempt in range(RACES_MAX):
                if attempt:
                    await lost_races(len(left), attempt)
                with self._teller.hand() as token:
                    written, left = await self._change(left, step, of, token)
                changed += written
                if not left:
                    break
            else:
                raise TransientError(f"{len(left)} tasks are written by others all the time")
        return changed

    async def _change(
        self, task_ids: Collection[str], step: Step, of: Submission | None, token: str
    ) -> tuple[int, Collection[str]]:
        """One try. Returns how many were changed, and which ones somebody else wrote meanwhile."""
        writes: dict[str, Write] = {}
        owed: dict[str, Untold] = {}
        event = of.event if of is not None else None
        for task_id, stored in (await self._store.tasks(task_ids)).items():
            fold = Fold(stored, self._rulebook.of(stored.task.province))
            if of is not None and fold.has(of):
                if stored.untold is not None:
                    owed[task_id] = stored.untold
                continue
            found = await step(stored.task)
            decision = found.decision if isinstance(found, Move) else found
            if decision is None or decision.rejected:
                continue
            successor = found.successor if isinstance(found, Move) else None
            if of is not None:
                fold.take(of, decision, closes=False)
            else:
                fold.pass_to(decision)
            heir = await self.new_write(successor, event, token) if successor is not None else None
            writes[task_id] = fold.write(token, heir)
        lost = await self.save(list(writes.values()))
        owed |= owed_by(write for task_id, write in writes.items() if task_id not in lost)
        await self._teller.tell(owed)
        return len(writes) - len(lost), lost


def with_heirs(writes: Iterable[Write]) -> Iterator[Write]:
    """Writes, each followed by that of its heir."""
    for write in writes:
        yield write
        if write.heir is not None:
            yield write.heir


def owed_by(writes: Iterable[Write]) -> dict[str, Untold]:
    """What these writes and their heirs' have to tell, by task."""
    return {write.task.task_id: write.untold for write in with_heirs(writes)}


async def lost_races(tasks: int, attempt: int) -> None:
    """Others wrote these tasks first. Waits a random moment, longer each time."""
    metrics.LOST_RACES.inc(tasks)
    await asyncio.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 jitter
