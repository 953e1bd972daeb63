"""What rarely happens to many tasks at once: their agencies are reorganised, their calendar is replaced."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from services.tasks.domain.agencies import standing_agency
from services.tasks.domain.correction import reschedule
from services.tasks.domain.decide import advance
from services.tasks.domain.decision import Decision, Reason, Rulebook, preceded
from services.tasks.domain.succession import Edge, Move, move, moves_at, review_by, successor_id
from services.tasks.domain.task import CLOCK, Cause, Task
from services.tasks.ports import TaskStore
from services.tasks.registry import RegistryKeeper
from services.tasks.writing import TaskWriter
from shared.contracts.topics import SUBMISSIONS
from shared.runtime.clock import Clock

log = structlog.get_logger()

PAGE = 500


class Upkeep:
    """Keeps open tasks with the agencies and the calendars of today."""

    def __init__(
        self, store: TaskStore, writer: TaskWriter, registry: RegistryKeeper, clock: Clock, rulebook: Rulebook
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._clock = clock
        self._rulebook = rulebook
        self._moved: set[tuple[int, str, str]] = set()
        """Partition, province and agency whose tasks were moved: since then only stragglers can be left."""
        self._by_old_rules: set[int] = set()
        """Partitions that may hold tasks whose dates stand by older rules."""

    def partitions_changed(self) -> None:
        """The partitions of this replica are others now."""
        self._by_old_rules = set(range(SUBMISSIONS.partitions))
        self._moved.clear()

    async def move_tasks(self, times: Mapping[int, datetime], *, again: bool = True) -> None:
        """Open tasks of agencies that are no more go to their successors, each when its partition has come that far:
        what was received before the change is applied before it. `again`: look for stragglers too, which were made
        under the old name since."""
        if not times:
            return
        for province, edges in (await self._registry.edges(again=again)).items():
            for partition, now in times.items():
                over = {
                    code: edge
                    for code, edge in edges.items()
                    if edge.moves_from <= now and (again or (partition, province, code) not in self._moved)
                }
                self._moved.update((partition, province, code) for code in over)
                after: str | None = "" if over else None
                while after is not None:
                    page = await self._store.open_tasks_with(province, over, partition, after=after, limit=PAGE)
                    # Another replica may have made some just now: what waited for them was received before.
                    waited_for = await self._store.parked_task_ids([partition]) if page else frozenset()
                    await self._move([one for one in page if one not in waited_for], province, over, now)
                    after = max(page) if len(page) == PAGE else None

    async def _move(self, task_ids: Sequence[str], province: str, over: Mapping[str, Edge], now: datetime) -> None:
        if not task_ids:
            return
        recorded_at = self._clock.now()
        rules = self._rulebook.of(province)
        agencies, edges = await self._registry.agencies(province)
        standing = standing_agency(agencies, edges, recorded_at)

        async def step(task: Task) -> Move | Decision | None:
            edge = over.get(task.agency) if task.succession is None else None
            if edge is None:
                edge = over.get(task.reviewer)
                return review_by(task, edge, standing, recorded_at=recorded_at) if edge is not None else None
            if moves_at(task, edge) > now:
                # Assigned through a partition that is ahead of its own; the next look moves it.
                return None
            passed = advance(task, now=moves_at(task, edge), recorded_at=recorded_at, rules=rules)
            ids = [successor_id(task, code) for code in edge.successors[:1]]
            there = (await self._store.tasks(ids)).get(ids[0]) if ids else None
            found = move(passed.task, edge, there.task if there is not None else None, recorded_at=recorded_at)
            return found._replace(decision=preceded(passed, found.decision)) if found is not None else None

        moved = await self._writer.change(task_ids, step)
        log.info("tasks.moved", province=province, tasks=moved)

    async def reschedule(self, times: Mapping[int, datetime]) -> None:
        """Tasks whose dates stand by an older calendar or policy get today's, a page a turn. Quiet."""
        waiting = [partition for partition in times if partition in self._by_old_rules]
        if not waiting:
            return
        book = self._rulebook
        versions: dict[str | None, str] = {one: rules.version for one, rules in book.provinces.items()}
        versions[None] = book.common.version
        page = await self._store.open_tasks_by_other_rules(versions, waiting, PAGE)
        if not page:
            self._by_old_rules.difference_update(waiting)
            return
        recorded_at = self._clock.now()
        obligations = await self._store.obligations({one.task.obligation_id for one in page.values()})

        async def step(task: Task) -> Decision:
            rules = book.of(task.province)
            state = obligations.get(task.obligation_id)
            now = times[page[task.task_id].partition]
            cause = Cause(f"calendar:{rules.version}", CLOCK, now, recorded_at)
            found = reschedule(task, state.obligation if state is not None else None, cause=cause, rules=rules)
            # Where no date moves, the task only notes by which rules it stands.
            return found if found is not None else Decision(task, (), Reason.ALREADY_SO)

        await self._writer.change(list(page), step)
        log.info("tasks.rescheduled", looked_at=len(page))
