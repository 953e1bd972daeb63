"""on_submissions(): claim → load → decide → save → tell → close. Run twice on the same records, it ends the same.

Every write is one task document holding the new state, the fence and what is still untold (ADR 0002). Whatever is
killed between two steps, a redelivery or the sweep finishes.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

import structlog

from services.tasks import metrics, wire
from services.tasks.domain.commands import Cancel, Command, Reassign
from services.tasks.domain.decide import (
    Decision,
    FactKind,
    Reason,
    Rules,
    advance,
    assign,
    decide,
    reject,
    succeed,
    successor_id,
)
from services.tasks.domain.milestones import next_at
from services.tasks.domain.task import Cause, Task
from services.tasks.folding import Fold, Submission, is_foreign, new_token, parked_submission
from services.tasks.ports import (
    Outcome,
    Parked,
    Position,
    Registry,
    Stored,
    TaskStore,
    Untold,
    Verdict,
    Write,
)
from services.tasks.telling import PartitionOf, Teller
from shared.contracts.codec import Event
from shared.runtime.clock import Clock
from shared.runtime.consuming import Received
from shared.runtime.errors import PermanentError, TransientError

log = structlog.get_logger()

RACES_MAX = 30
CHUNK = 500
PARKED_HOURS_MAX = 24
"""How long before its task a submission may have been received."""
GROUPS_AT_ONCE = 2
"""One computes while the other waits."""


class TaskHandlers:
    """Applies submissions to tasks."""

    def __init__(
        self,
        store: TaskStore,
        teller: Teller,
        partition_of: PartitionOf,
        clock: Clock,
        rules: Rules,
        shape: "Callable[[Submission], Awaitable[None]]",
        *,
        tasks_together: int,
    ) -> None:
        self._store = store
        self._teller = teller
        self._partition_of = partition_of
        self._clock = clock
        self._rules = rules
        self._shape = shape
        self._tasks_together = tasks_together

    async def on_submissions(self, records: Sequence[Received]) -> None:
        """Apply a batch of records."""
        to_tasks: list[Submission] = []
        for submission in await self._claim(records):
            if submission.entry.task_id is not None:
                to_tasks.append(submission)
            else:
                await self._shape(submission)
        await self.apply(to_tasks)

    async def _claim(self, records: Sequence[Received]) -> list[Submission]:
        """Take each submission once, for ever: the ledger knows what came before, under which content."""
        submissions = []
        for record in records:
            try:
                entry = wire.ledger_entry(record.event, Position(record.partition, record.offset))
            except wire.NotReceivedError as error:
                raise PermanentError("not_received", str(error)) from error
            submissions.append(Submission(record.event, entry, foreign=is_foreign(record.event)))
        known = await self._store.claim([submission.entry for submission in submissions])
        fresh: list[Submission] = []
        reused: list[str] = []
        for submission in submissions:
            before = known.get(submission.entry.key)
            if before is None:
                fresh.append(submission)
            elif before.position == submission.position:
                # Ours of before, or another replica's that took over: it may have parked what we do not know of.
                self._teller.note_parked({submission.position.partition}, any_parked=True)
                if before.outcome is Outcome.IN_FLIGHT:
                    fresh.append(submission)
            elif before.digest == submission.entry.digest:
                metrics.REPEATS.labels("same_content").inc()
            else:
                reused.append(submission.entry.key)
                await self._tell_reuse(submission)
        if reused:
            await self._store.note_reuse(reused)
        return fresh

    async def _tell_reuse(self, submission: Submission) -> None:
        metrics.REPEATS.labels("id_reused").inc()
        log.warning("submission.id_reused", event_id=submission.entry.key, agency=submission.entry.agency)
        message = wire.rejection(
            submission.event,
            reason="id_reused",
            detail="This source and id were used before with other content. Send it again under a new id.",
            event_id=f"{submission.entry.key}:reused:{submission.entry.digest}",
            task=None,
            at=self._cause(submission),
        )
        await self._teller.publish([message])

    def _cause(self, submission: Submission) -> Cause:
        return wire.cause_of(submission.event, recorded_at=self._clock.now())

    # -- tasks -----------------------------------------------------------------------------------------------------

    async def apply(self, submissions: Sequence[Submission]) -> None:
        """Apply submissions to their tasks, in order per task; park those whose task is not known.

        Some tasks at a time, and some of these groups at once: what a batch tells is a multiple of what it says and is
        held until it is told, and one group computes while another waits for the database or the broker.
        """
        by_task: dict[str, list[Submission]] = {}
        for submission in submissions:
            assert submission.entry.task_id is not None, "only submissions about a task come here"
            by_task.setdefault(submission.entry.task_id, []).append(submission)
        rest = iter(by_task.items())

        async def apply_groups() -> None:
            while group := dict(islice(rest, self._tasks_together)):
                await self._apply(group)

        outcomes = await asyncio.gather(*(apply_groups() for _ in range(GROUPS_AT_ONCE)), return_exceptions=True)
        # Only when all have ended: what goes on behind a repetition's back would race with it.
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _apply(self, waiting: dict[str, list[Submission]]) -> None:
        owed: dict[str, Untold] = {}
        token = new_token()
        for attempt in range(RACES_MAX):
            if not waiting:
                break
            if attempt:
                await self._lost_races(len(waiting), attempt)
            stored = await self._store.tasks(waiting)
            await self._park([one for task_id, some in waiting.items() if task_id not in stored for one in some])
            waiting = {task_id: some for task_id, some in waiting.items() if task_id in stored}
            await self._parked_first(waiting, stored)
            await self._drop_settled(waiting)
            await self._drop_early(waiting, stored)
            writes: dict[str, Write] = {}
            successors: dict[str, Write] = {}
            for task_id, some in waiting.items():
                write = await self._fold(stored[task_id], some, successors, token)
                if write is not None:
                    writes[task_id] = write
                elif (untold := stored[task_id].untold) is not None:
                    owed[task_id] = untold
            await self._save_new(successors, owed)
            lost = await self._store.save_tasks(list(writes.values()))
            owed.update({task_id: write.untold for task_id, write in writes.items() if task_id not in lost})
            waiting = {task_id: some for task_id, some in waiting.items() if task_id in lost}
        else:
            if waiting:
                raise TransientError(f"{len(waiting)} tasks are written by others all the time")
        await self._teller.tell(owed)

    async def _parked_first(self, waiting: dict[str, list[Submission]], stored: Mapping[str, Stored]) -> None:
        """What waited for a task comes before what follows it. Read after the tasks: only we park for them."""
        suspects = [task_id for task_id in waiting if self._teller.may_wait(stored[task_id].partition)]
        if not suspects:
            return
        parked = await self._store.parked_for(suspects)
        ledger = await self._store.ledger([one.key for one in parked])
        for one in reversed(parked):
            here = waiting[one.task_id]
            if one.key in ledger and all(known.entry.key != one.key for known in here):
                here.insert(0, parked_submission(one, ledger[one.key]))

    async def _drop_settled(self, waiting: Mapping[str, list[Submission]]) -> None:
        """A parked submission has no fence. Its ledger entry, read after its task, says whether it was applied."""
        keys = {one.entry.key for some in waiting.values() for one in some if one.parked}
        if not keys:
            return
        ledger = await self._store.ledger(keys)
        settled = {key for key in keys if key not in ledger or ledger[key].outcome is not Outcome.PARKED}
        for some in waiting.values():
            some[:] = [one for one in some if one.entry.key not in settled]

    async def _drop_early(self, waiting: Mapping[str, list[Submission]], stored: Mapping[str, Stored]) -> None:
        """What was received a day before its task was assigned is given up, whoever was away when that day was over."""
        for task_id, some in waiting.items():
            assigned_at = stored[task_id].task.assigned.received_at
            latest = assigned_at - timedelta(hours=PARKED_HOURS_MAX)
            for one in [one for one in some if wire.received_at(one.event) <= latest]:
                await self.give_up(one.event)
                some.remove(one)

    async def give_up(self, event: Event) -> None:
        """Reject a submission whose task did not become known in time."""
        detail = (
            f"No directive made task {wire.task_id(event)} known within {PARKED_HOURS_MAX} hours. Check the task id."
        )
        cause = wire.cause_of(event, recorded_at=self._clock.now())
        await self._teller.reject(event, reason="unknown_task", detail=detail, at=cause)

    async def _fold(
        self, stored: Stored, submissions: Iterable[Submission], successors: dict[str, Write], token: str
    ) -> Write | None:
        """Decide each submission that is not in the document yet."""
        fold = Fold(stored, self._rules)
        for submission in submissions:
            if fold.has(submission):
                continue
            command = wire.command(submission.event.data)
            assert command is not None, "an event with a task id is a command on a task"
            cause = self._cause(submission)
            decision = await self._decide(fold.task, command, cause, time_passes=not submission.foreign)
            if isinstance(command, Reassign) and not decision.rejected:
                successor = succeed(decision.task, command.to_agency, cause)
                successors[successor.task_id] = await self.new_write(successor, submission.event, token)
            fold.take(submission, decision)
        return fold.write(token) if fold.touched else None

    async def _decide(self, task: Task, command: Command, cause: Cause, *, time_passes: bool) -> Decision:
        if isinstance(command, Reassign):
            agency_id = f"{task.province}/{command.to_agency}"
            if not await self._store.entries(Registry.AGENCIES, [agency_id]):
                return reject(task, Reason.UNKNOWN_AGENCY, cause=cause, rules=self._rules)
            successor = successor_id(task, command.to_agency)
            known = (await self._store.tasks([successor])).get(successor)
            # Made by this very event: whoever did it died, or lost the race, before the transfer itself was written.
            if known is not None and known.task.assigned.event_id != cause.event_id and not task.ended:
                return reject(task, Reason.SAME_AGENCY, cause=cause, rules=self._rules)
        return decide(task, command, cause=cause, rules=self._rules, time_passes=time_passes)

    async def _park(self, submissions: Sequence[Submission]) -> None:
        """Keep what is about a task that is not known; its directive may be on its way."""
        new = [submission for submission in submissions if not submission.parked]
        if not new:
            return
        self._teller.note_parked({one.position.partition for one in new}, any_parked=True)
        await self._store.park(
            [
                Parked(
                    submission.entry.key,
                    submission.entry.task_id or "",
                    submission.position,
                    wire.received_at(submission.event),
                    wire.as_received(submission.event),
                )
                for submission in new
            ]
        )
        await self._teller.close([Verdict(one.entry.key, Outcome.PARKED, "task_not_known_yet") for one in new])

    # -- new tasks and time ----------------------------------------------------------------------------------------

    async def new_write(self, task: Task, event: Event | None, token: str) -> Write:
        """The first write of a task."""
        decision = assign(task)
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
            next_at=next_at(decision.task, self._rules.milestones, self._rules.calendar),
            history=tuple(wire.change(fact) for fact in decision.facts),
        )

    async def create(self, tasks: Sequence[Task], event: Event | None) -> int:
        """Create tasks that do not exist yet and tell them; those that exist are left as they are."""
        created = 0
        for start in range(0, len(tasks), CHUNK):
            token = new_token()
            writes = {task.task_id: await self.new_write(task, event, token) for task in tasks[start : start + CHUNK]}
            owed: dict[str, Untold] = {}
            created += await self._save_new(writes, owed)
            await self._teller.tell(owed)
        return created

    async def _save_new(self, writes: Mapping[str, Write], owed: dict[str, Untold]) -> int:
        existing = await self._store.save_tasks(list(writes.values()))
        owed.update({task_id: write.untold for task_id, write in writes.items() if task_id not in existing})
        for task_id, stored in (await self._store.tasks(existing)).items():
            # Created by an earlier try that did not get round to telling.
            if stored.untold is not None:
                owed[task_id] = stored.untold
        return len(writes) - len(existing)

    async def pass_time(self, due: Mapping[str, Stored], times: Mapping[int, datetime]) -> int:
        """Fire what is due on tasks, each by its partition's time. Lost races are left to the next turn."""
        writes: dict[str, Write] = {}
        token = new_token()
        recorded_at = self._clock.now()
        for task_id, stored in due.items():
            decision = advance(stored.task, now=times[stored.partition], recorded_at=recorded_at, rules=self._rules)
            fold = Fold(stored, self._rules)
            fold.pass_to(decision)
            writes[task_id] = fold.write(token)
            for fact in decision.facts:
                metrics.MILESTONES.labels(str(fact.kind)).inc()
                metrics.LATENESS_SECONDS.observe((recorded_at - fact.cause.received_at).total_seconds())
        lost = await self._store.save_tasks(list(writes.values()))
        metrics.LOST_RACES.inc(len(lost))
        await self._teller.tell({task_id: write.untold for task_id, write in writes.items() if task_id not in lost})
        return len(writes) - len(lost)

    async def cancel_all(self, task_ids: Sequence[str], command: Cancel, submission: Submission) -> int:
        """End tasks one by one, as steps of one event that concerns them all."""
        cancelled = 0
        for start in range(0, len(task_ids), CHUNK):
            left: Collection[str] = task_ids[start : start + CHUNK]
            for attempt in range(RACES_MAX):
                if attempt:
                    await self._lost_races(len(left), attempt)
                written, left = await self._cancel(left, command, submission)
                cancelled += written
                if not left:
                    break
            else:
                raise TransientError(f"{len(left)} tasks are written by others all the time")
        return cancelled

    async def _cancel(
        self, task_ids: Collection[str], command: Cancel, submission: Submission
    ) -> tuple[int, Collection[str]]:
        """One try. Returns how many were ended, and which ones somebody else wrote meanwhile."""
        writes: dict[str, Write] = {}
        owed: dict[str, Untold] = {}
        token = new_token()
        for task_id, stored in (await self._store.tasks(task_ids)).items():
            fold = Fold(stored, self._rules)
            if fold.has(submission):
                if stored.untold is not None:
                    owed[task_id] = stored.untold
                continue
            decision = decide(
                stored.task,
                command,
                cause=self._cause(submission),
                rules=self._rules,
                time_passes=not submission.foreign,
            )
            if decision.rejected:
                continue
            fold.take(submission, decision, closes=False)
            writes[task_id] = fold.write(token)
        lost = await self._store.save_tasks(list(writes.values()))
        owed.update({task_id: write.untold for task_id, write in writes.items() if task_id not in lost})
        await self._teller.tell(owed)
        return len(writes) - len(lost), lost

    @staticmethod
    async def _lost_races(tasks: int, attempt: int) -> None:
        """Others wrote these tasks first. Waits a random moment, longer each time."""
        metrics.LOST_RACES.inc(tasks)
        await asyncio.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 jitter

    async def on_dead(self, value: bytes | None, position: Position, reason: str, detail: str) -> None:
        """Remember that a record went to the dead letters, under its id if one can be read in it."""
        buried = wire.buried(value, position, reason, detail)
        if buried is not None:
            await self._store.bury(buried, recorded_at=self._clock.now())
        metrics.SUBMISSIONS.labels(Outcome.DEAD.value, reason).inc()
