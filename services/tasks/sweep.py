"""What time does: leftovers are told, parked submissions applied or given up, periods opened, milestones fired."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from services.tasks import metrics
from services.tasks.directives import DirectiveKeeper
from services.tasks.domain.deadlines import RecurringRule
from services.tasks.domain.decision import Rulebook
from services.tasks.domain.directive import as_of, obligation_id_of, period_tasks, shared_by
from services.tasks.domain.recurrence import next_opening, opened_by
from services.tasks.folding import parked_submission
from services.tasks.handlers import PARKED_HOURS_MAX, TaskHandlers
from services.tasks.ports import ObligationState, Outcome, Parked, Registry, Stored, TaskStore
from services.tasks.registry import RegistryKeeper
from services.tasks.telling import PartitionOf, Teller
from services.tasks.upkeep import Upkeep
from services.tasks.writing import TaskWriter
from shared.contracts.codec import decode
from shared.contracts.topics import SUBMISSIONS
from shared.runtime.clock import Clock
from shared.runtime.consuming import LANES, Consumption
from shared.runtime.together import together

log = structlog.get_logger()

PAGE = 500
ROUNDS_PER_TURN = 4
"""A page of each lane in a round, then that lane's records get their turn: a wave must not hold submissions up."""
UNTOLD_AFTER_SECONDS = 5.0
"""Real time after which what is untold is taken for a crash's leftover, not for another replica's work in hand."""
LOOK_EVERY_SECONDS = 2.0
"""Real time between looks for leftovers: they are rare, and each look takes a turn from the records."""
NOTE_EVERY_SECONDS = 0.5
"""Real time between notes of how far this replica's partitions have come."""


class _Swept(NamedTuple):
    """What came of a lane's sweep: its partitions' times, whether all were known, whether nothing due is left."""

    times: Mapping[int, datetime]
    all_known: bool
    none_left: bool


class Sweep:
    """One turn of everything that nobody's submission triggers."""

    def __init__(
        self,
        store: TaskStore,
        teller: Teller,
        tasks: TaskHandlers,
        partition_of: PartitionOf,
        clock: Clock,
        rulebook: Rulebook,
        writer: TaskWriter,
        registry: RegistryKeeper,
        directives: DirectiveKeeper,
        upkeep: Upkeep,
    ) -> None:
        self._partition_of = partition_of
        self._noted_at = -NOTE_EVERY_SECONDS
        self._looked_at = -LOOK_EVERY_SECONDS
        self._waited_for = [0] * LANES
        """Tasks that submissions wait for, by lane."""
        self._store = store
        self._teller = teller
        self._tasks = tasks
        self._clock = clock
        self._rulebook = rulebook
        self._writer = writer
        self._registry = registry
        self._directives = directives
        self._upkeep = upkeep

    async def turn(self, consumption: Consumption) -> None:
        """Sweep the partitions this replica owns; go on at once, for some rounds, while more is due than a page."""
        for _ in range(ROUNDS_PER_TURN):
            if await self._round(consumption):
                return

    async def _round(self, consumption: Consumption) -> bool:
        """Sweep all lanes, each partition up to its own time. Returns whether no page was full."""
        look = time.monotonic() - self._looked_at >= LOOK_EVERY_SECONDS
        if look:
            self._looked_at = time.monotonic()
            self.forget()
        # Side by side: one lane's milestones wait for the disk and the broker while another's are decided.
        lanes = await together(self._lane(consumption, lane, look=look) for lane in range(LANES))
        reached = {partition: now for one in lanes for partition, now in one.times.items()}
        none_left = all(one.none_left for one in lanes)
        finished = none_left and all(one.all_known for one in lanes)
        await self._note(reached)
        if not consumption.owned(SUBMISSIONS):
            # Nothing owned, nothing behind: an old figure would look like time standing still.
            metrics.PARTITION_TIME.set(0)
        elif finished and reached:
            metrics.PARTITION_TIME.set(min(reached.values()).timestamp())
        return none_left

    async def _lane(self, consumption: Consumption, lane: int, *, look: bool) -> _Swept:
        async with consumption.holding(lane):
            owned = consumption.owned(SUBMISSIONS, lane)
            if not owned:
                self._note_waited_for(lane, 0)
                return _Swept({}, all_known=True, none_left=True)
            times = await consumption.partition_times(SUBMISSIONS, lane)
            if look:
                await self.tell_leftovers(owned)
            if look or any(self._teller.may_wait(partition) for partition in owned):
                self._note_waited_for(lane, await self.settle_parked(owned, times))
            await self._upkeep.move_tasks(times, again=look)
            if look:
                await self._upkeep.reschedule(times)
            await self.open_periods(times)
            none_left = await self.fire_due(times)
            return _Swept(times, all_known=len(times) == len(owned), none_left=none_left)

    def _note_waited_for(self, lane: int, tasks: int) -> None:
        self._waited_for[lane] = tasks
        metrics.PARKED_TASKS.set(sum(self._waited_for))

    async def _note(self, times: Mapping[int, datetime]) -> None:
        if time.monotonic() - self._noted_at >= NOTE_EVERY_SECONDS:
            await self._store.note_times(times)
            self._noted_at = time.monotonic()

    async def tell_leftovers(self, owned: list[int]) -> None:
        """Publish what a crash left untold, and not what this process is slow to tell."""
        in_hand = self._teller.in_hand()
        untold = await self._store.untold(owned, older_than_seconds=UNTOLD_AFTER_SECONDS)
        owed = {task_id: one for task_id, one in untold.items() if one.token not in in_hand}
        await self._teller.tell(owed)
        metrics.SWEPT.inc(len(owed))
        for registry in Registry:
            entries = await self._store.untold_entries(registry, owned, older_than_seconds=UNTOLD_AFTER_SECONDS)
            await self._teller.tell_entries(registry, entries)

    async def settle_parked(self, owned: list[int], times: Mapping[int, datetime]) -> int:
        """Apply what waited for its task, all of it, before time does anything to that task; give up after a day.

        Returns how many tasks were waited for.
        """
        waited_for = await self._store.parked_task_ids(owned)
        self._teller.note_parked(owned, any_parked=bool(waited_for))
        known = await self._store.existing(waited_for)
        while known:
            parked = await self._store.parked_for(known)
            ledger = await self._store.ledger([one.key for one in parked])
            await self._store.unpark([one.key for one in parked if one.key in ledger and ledger[one.key].outcome.final])
            live = [one for one in parked if one.key in ledger and ledger[one.key].outcome is Outcome.PARKED]
            if not live:
                # What is left is claimed but not parked yet: its record will come again.
                break
            await self._tasks.apply([parked_submission(one, ledger[one.key]) for one in live])
        if waited_for and times:
            await self._give_up_old(owned, max(times.values()))
        return len(waited_for)

    async def _give_up_old(self, owned: list[int], now: datetime) -> None:
        old = await self._store.parked_by(owned, now - timedelta(hours=PARKED_HOURS_MAX), PAGE)
        ledger = await self._store.ledger([one.key for one in old])
        # Given up by somebody who died before forgetting it: else these would fill the page for ever.
        await self._store.unpark([one.key for one in old if one.key in ledger and ledger[one.key].outcome.final])
        for one in old:
            entry = ledger.get(one.key)
            if entry is not None and entry.outcome is Outcome.PARKED and await self._waited_long(one, entry.province):
                await self._tasks.give_up(decode(SUBMISSIONS.name, one.value))
                await self._store.unpark([one.key])

    async def _waited_long(self, one: Parked, province: str) -> bool:
        """A day by the time of every partition: in a backlog may stand the directive, the reassignment or the opening
        of the period that makes the task. Read in this order; what another replica does meanwhile is seen last.
        """
        given_up_at = one.received_at + timedelta(hours=PARKED_HOURS_MAX)
        times = await self._store.time_of(await self._partition_of(province)), await self._store.slowest_time()
        if any(now is None or now < given_up_at for now in times):
            return False
        opens_at = await self._store.next_opening(obligation_id_of(one.task_id))
        if opens_at is not None and opens_at <= given_up_at:
            return False
        if await self._registry.may_be_moved_to(one.task_id, province) or await self._may_be_reassigned_to(one):
            return False
        return not await self._store.existing([one.task_id])

    async def _may_be_reassigned_to(self, parked: Parked) -> bool:
        """Whether what was received before it waits for another agency's share of the same: it may be what gives this
        agency its own. The one that was received first waits for none."""
        everywhere = await self._store.parked_task_ids(range(SUBMISSIONS.partitions))
        others = [one for one in everywhere if one != parked.task_id and shared_by(one) == shared_by(parked.task_id)]
        waiting = await self._store.parked_for(others) if others else ()
        return any((one.received_at, one.key) < (parked.received_at, parked.key) for one in waiting)

    def forget(self) -> None:
        """What is due has to be asked for: others may have written, or the partitions are others now."""
        self._writer.horizon.forget()
        self._directives.horizon.forget()

    async def open_periods(self, times: Mapping[int, datetime]) -> None:
        """Open each period that has begun, once, however long nobody looked."""
        horizon = self._directives.horizon
        unknown = horizon.unknown(times)
        if not unknown:
            return
        horizon.asks(unknown)
        due = await self._store.obligations_due({partition: times[partition] for partition in unknown}, PAGE)
        for state in due:
            await self._open(state, times[state.partition])
        if not due:
            horizon.learns(unknown, await self._store.earliest_opening(unknown))

    async def _open(self, state: ObligationState, now: datetime) -> None:
        obligation = state.obligation
        rule = obligation.due
        assert isinstance(rule, RecurringRule), "only what recurs opens"
        recorded_at = self._clock.now()
        _, edges = await self._registry.agencies(obligation.province)
        rules = self._rulebook.of(obligation.province)
        tasks = [
            task
            for period in opened_by(rule, now)
            if state.next_at is not None and period.opens_at >= state.next_at
            for task in period_tasks(
                as_of(obligation, edges, period.opens_at), period, recorded_at=recorded_at, rules=rules
            )
        ]
        created = await self._writer.create(tasks, None)
        if not await self._directives.save_obligation(replace(state, next_at=next_opening(rule, now))):
            # Corrected or paused meanwhile: what was opened by the old words follows the new ones.
            now_said = (await self._store.obligations([obligation.obligation_id]))[obligation.obligation_id].obligation
            await self._directives.realign(now_said, [task.task_id for task in tasks], recorded_at)
        log.info("period.opened", obligation=obligation.obligation_id, tasks=created)

    async def fire_due(self, times: Mapping[int, datetime]) -> bool:
        """Fire a page of milestones whose time has come. Returns whether none is left."""
        horizon = self._writer.horizon
        unknown = horizon.unknown(times)
        if not unknown:
            return True
        horizon.asks(unknown)
        due = await self._store.due({partition: times[partition] for partition in unknown}, PAGE)
        if not due:
            horizon.learns(unknown, await self._store.earliest_due(unknown))
            return True
        ready = await self._without_waiting(due)
        fired = await self._writer.pass_time(ready, times) if ready else 0
        return fired == len(due) < PAGE

    async def _without_waiting(self, due: Mapping[str, Stored]) -> Mapping[str, Stored]:
        """Leave out tasks that parked submissions wait for: another replica may have made them just now, and what was
        received before a milestone comes before it. The next turn applies them."""
        suspects = {stored.partition for stored in due.values() if self._teller.may_wait(stored.partition)}
        if not suspects:
            return due
        waited_for = await self._store.parked_task_ids(suspects)
        return {task_id: stored for task_id, stored in due.items() if task_id not in waited_for}
