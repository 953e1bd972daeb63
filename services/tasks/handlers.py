"""on_submissions(): claim → load → decide → save → tell → close. Run twice on the same records, it ends the same.

Every write is one task document holding the new state, the fence and what is still untold (ADR 0002). Whatever is
killed between two steps, a redelivery or the sweep finishes.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice

import structlog

from services.tasks import metrics, wire
from services.tasks.domain.commands import Command, Contribute, Reassign
from services.tasks.domain.decide import decide, reject
from services.tasks.domain.decision import Decision, Reason, Rulebook
from services.tasks.domain.succession import Move, in_effect, succeed, successor_id, with_predecessors
from services.tasks.domain.task import Cause, Task
from services.tasks.folding import Fold, Submission, is_foreign, parked_submission
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
from services.tasks.registry import RegistryKeeper
from services.tasks.telling import Teller
from services.tasks.writing import RACES_MAX, TaskWriter, lost_races, owed_by
from shared.contracts.codec import Event
from shared.runtime.clock import Clock
from shared.runtime.consuming import Received
from shared.runtime.errors import PermanentError, TransientError
from shared.runtime.together import together

log = structlog.get_logger()

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
        clock: Clock,
        rulebook: Rulebook,
        writer: TaskWriter,
        registry: RegistryKeeper,
        shape: Callable[[Submission], Awaitable[None]],
        *,
        tasks_together: int,
    ) -> None:
        self._store = store
        self._teller = teller
        self._clock = clock
        self._rulebook = rulebook
        self._writer = writer
        self._registry = registry
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
                with self._teller.hand() as token:
                    await self._apply(group, token)

        await together(apply_groups() for _ in range(GROUPS_AT_ONCE))

    async def _apply(self, waiting: dict[str, list[Submission]], token: str) -> None:
        owed: dict[str, Untold] = {}
        for attempt in range(RACES_MAX):
            if not waiting:
                break
            if attempt:
                await lost_races(len(waiting), attempt)
            stored = await self._store.tasks(waiting)
            await self._park([one for task_id, some in waiting.items() if task_id not in stored for one in some])
            waiting = {task_id: some for task_id, some in waiting.items() if task_id in stored}
            await self._parked_first(waiting, stored)
            await self._drop_settled(waiting)
            await self._drop_early(waiting, stored)
            writes: dict[str, Write] = {}
            for task_id, some in waiting.items():
                write = await self._fold(stored[task_id], some, token)
                if write is not None:
                    writes[task_id] = write
                elif (untold := stored[task_id].untold) is not None:
                    owed[task_id] = untold
            lost = await self._writer.save(list(writes.values()))
            owed |= owed_by(write for task_id, write in writes.items() if task_id not in lost)
            waiting = {task_id: some for task_id, some in waiting.items() if task_id in lost}
        else:
            if waiting:
                raise TransientError(f"{len(waiting)} tasks are written by others all the time")
        await self._teller.tell(owed)

    async def _parked_first(self, waiting: dict[str, list[Submission]], stored: Mapping[str, Stored]) -> None:
        """What waited for a task comes before what follows it. Read after the tasks: only we park for them."""
        suspects = [
            task_id
            for task_id, some in waiting.items()
            # Money waits in the partition that it came through, which is not the task's.
            if any(map(self._teller.may_wait, {stored[task_id].partition, *(one.position.partition for one in some)}))
        ]
        if not suspects:
            return
        parked = await self._store.parked_for(suspects)
        ledger = await self._store.ledger([one.key for one in parked])
        for one in reversed(parked):
            here = waiting[one.task_id]
            if one.key in ledger and all(known.entry.key != one.key for known in here):
                here.insert(_place(here, one), parked_submission(one, ledger[one.key]))

    async def _drop_settled(self, waiting: Mapping[str, list[Submission]]) -> None:
        """A parked submission whose ledger entry, read after its task, is closed was applied or given up."""
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
            latest = stored[task_id].task.assigned.received_at - timedelta(hours=PARKED_HOURS_MAX)
            for one in [one for one in some if wire.received_at(one.event) <= latest]:
                await self.give_up(one.event)
                some.remove(one)

    async def give_up(self, event: Event) -> None:
        """Reject a submission whose task did not become known in time."""
        task_id = wire.task_id(event)
        detail = f"No directive made task {task_id} known within {PARKED_HOURS_MAX} hours. Check the task id."
        cause = wire.cause_of(event, recorded_at=self._clock.now())
        await self._teller.reject(event, reason="unknown_task", detail=detail, at=cause)

    async def _fold(self, stored: Stored, submissions: Iterable[Submission], token: str) -> Write | None:
        """Decide each submission that is not in the document yet."""
        fold = Fold(stored, self._rulebook.of(stored.task.province))
        heir: Write | None = None
        for submission in submissions:
            if fold.has(submission):
                continue
            command = wire.command(submission.event.data)
            assert command is not None, "an event with a task id is a command on a task"
            cause = self._cause(submission)
            time_passes = not submission.foreign and fold.is_due(cause.received_at)
            if isinstance(command, Reassign):
                decision, successor = await self._reassign(fold.task, command, cause, time_passes=time_passes)
                if successor is not None:
                    heir = await self._writer.new_write(successor, submission.event, token)
            else:
                decision = await self._decide(fold.task, command, cause, time_passes=time_passes)
            fold.take(submission, decision)
        return fold.write(token, heir) if fold.touched else None

    async def _decide(self, task: Task, command: Command, cause: Cause, *, time_passes: bool) -> Decision:
        if isinstance(command, Contribute):
            edges = (await self._registry.edges()).get(task.province, {})
            spoken_for = with_predecessors(cause.actor, in_effect(edges, cause.received_at))
            command = replace(command, stands_for=spoken_for)
        return decide(task, command, cause=cause, rules=self._rulebook.of(task.province), time_passes=time_passes)

    async def _reassign(self, task: Task, command: Reassign, cause: Cause, *, time_passes: bool) -> Move:
        rules = self._rulebook.of(task.province)
        if not await self._store.entries(Registry.AGENCIES, [f"{task.province}/{command.to_agency}"]):
            return Move(reject(task, Reason.UNKNOWN_AGENCY, cause=cause, rules=rules), None)
        share = successor_id(task, command.to_agency)
        other = (await self._store.tasks([share])).get(share)
        asked = task.succession is not None
        if other is not None and not task.ended:
            # Only whoever was asked to choose may choose an agency that has a share of its own: the two become one.
            if not asked:
                return Move(reject(task, Reason.SAME_AGENCY, cause=cause, rules=rules), None)
            if other.task.ended:
                return Move(reject(task, Reason.SHARE_ENDED, cause=cause, rules=rules), None)
        decision = decide(task, command, cause=cause, rules=rules, time_passes=time_passes)
        if decision.rejected or other is not None:
            return Move(decision, None)
        return Move(decision, succeed(decision.task, command.to_agency, cause, with_work=asked))

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

    async def on_dead(self, value: bytes | None, position: Position, reason: str, detail: str) -> None:
        """Remember that a record went to the dead letters, under its id if one can be read in it."""
        buried = wire.buried(value, position, reason, detail)
        if buried is not None:
            await self._store.bury(buried, recorded_at=self._clock.now())
        metrics.SUBMISSIONS.labels(Outcome.DEAD.value, reason).inc()


def _place(here: Sequence[Submission], parked: Parked) -> int:
    """Where a parked one belongs: first, or right after what stands before it in the same partition."""
    partition, offset = parked.position
    before = [
        place
        for place, one in enumerate(here, 1)
        if one.position.partition == partition and one.position.offset < offset
    ]
    return max(before, default=0)
