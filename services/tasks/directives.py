"""Directives and their obligations: issued, corrected, revoked; triggered, dated, paused.

A directive is a series of idempotent steps: its obligations, then its tasks, one document each. None lets time pass on
a task: it comes through the province's partition, which may be ahead of the task's own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import chain, islice

from services.tasks import wire
from services.tasks.domain import correction
from services.tasks.domain.agencies import Agency, Problem, ProblemKind, members, standing_agency
from services.tasks.domain.commands import Cancel
from services.tasks.domain.deadlines import ConditionalRule, FixedRule, RecurringRule, single_deadline
from services.tasks.domain.decide import decide
from services.tasks.domain.decision import Decision, Rulebook, Rules
from services.tasks.domain.dependencies import CircleError, dependencies
from services.tasks.domain.directive import Obligation, Pause, Revocation, as_of, occurrence_tasks, tasks_of
from services.tasks.domain.recurrence import next_opening, periods
from services.tasks.domain.succession import Edge, Move, plain_successor, successor_id, with_successors
from services.tasks.domain.task import Cause, Document, Task
from services.tasks.folding import Submission, as_step
from services.tasks.horizon import Horizon
from services.tasks.ports import ObligationState, TaskStore
from services.tasks.registry import RegistryKeeper
from services.tasks.telling import PartitionOf
from services.tasks.writing import RACES_MAX, Step, TaskWriter
from shared.contracts import authority_events as ordered
from shared.runtime.errors import TransientError
from shared.workdays.calendar import local_day

FIRST_NAME = "2000"
"""Periods and occurrences name tasks, and task ids know no year before."""
TASKS_MAX = 50_000
"""That one event may open at once: a daily report since a day long past must not fill the memory of a replica."""


class DirectiveKeeper:
    """Applies what is said of directives and obligations."""

    def __init__(
        self,
        store: TaskStore,
        writer: TaskWriter,
        registry: RegistryKeeper,
        partition_of: PartitionOf,
        rulebook: Rulebook,
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._partition_of = partition_of
        self._rulebook = rulebook
        self.horizon = Horizon()
        """Of the periods of this replica's obligations."""

    async def save_obligation(self, state: ObligationState) -> bool:
        """Save; False when another writer was first."""
        try:
            return await self._store.save_obligation(state)
        finally:
            self.horizon.note(state.partition, state.next_at)

    # -- issued, corrected, revoked --------------------------------------------------------------------------------

    async def issue(self, submission: Submission, data: ordered.DirectiveIssued, cause: Cause) -> str | Problem:
        """A directive, or a later revision of it: what is new opens, what changed is corrected, what is gone ends."""
        province, key = submission.entry.province, submission.entry.key
        issued = await self._store.directive(province, data.directive)
        if issued is not None and issued.revoked:
            return Problem(ProblemKind.DIRECTIVE_REVOKED, f"Directive {data.directive} was revoked.")
        if issued is not None and issued.key != key and data.revision <= issued.revision:
            return Problem(
                ProblemKind.DIRECTIVE_EXISTS,
                f"Directive {data.directive} was issued already, as revision {issued.revision}.",
            )
        obligations = await self._expand(data, province, cause)
        if isinstance(obligations, Problem):
            return obligations
        if await self._is_closed(submission):
            # Whoever slept over it names agencies as the registry does now, by what came after this directive.
            return "issued by another process"
        before = await self._store.obligations_of(province, data.directive)
        known = {obligation_id: state.obligation for obligation_id, state in before.items()}
        taken_away = [one.clause for one in obligations if one.takes_its_day_away(known.get(one.obligation_id))]
        if taken_away:
            return Problem(
                ProblemKind.DAY_TAKEN_AWAY,
                f"{', '.join(taken_away)}: tasks have a last day by the revision before and would have none by this "
                "one; leave the clause out and add another without a day",
            )
        obligations = [one.following(known.get(one.obligation_id)) for one in obligations]
        rules = self._rulebook.of(province)
        made = (
            tasks_of(one, until=cause.received_at, recorded_at=cause.recorded_at, rules=rules) for one in obligations
        )
        tasks = list(islice(chain.from_iterable(made), TASKS_MAX + 1))
        if len(tasks) > TASKS_MAX:
            return Problem(
                ProblemKind.TOO_MANY_TASKS,
                f"it would open more than {TASKS_MAX} tasks at once; let recurring clauses start later, or split it",
            )
        await self._store.save_directive(province, data.directive, data.revision, key)
        await self._tell_issued(submission, data, cause)
        await self._save(obligations)
        now_there = {one.clause for one in obligations}
        gone = [one for one in known.values() if one.clause not in now_there]
        await self._save(replace(one, withdrawn=True, revision=data.revision, issued=cause) for one in gone)
        corrected = 0
        if before:
            _, edges = await self._registry.agencies(province)
            tasks = await self._without_inherited(tasks, edges, cause.received_at)
            corrected = await self._correct(submission, obligations, cause)
        created = await self._writer.create(tasks, submission.event)
        told = f"{len(obligations)} obligations, {len(tasks)} tasks"
        if data.revision > 1:
            told += f", {created} of them new, {corrected} corrected or ended"
        return "; ".join([told, *_flags(obligations)])

    async def _tell_issued(self, submission: Submission, data: ordered.DirectiveIssued, cause: Cause) -> None:
        """Tell it before its tasks. Looked up once it is saved: of two that claim one revision, the first is told."""
        issued = await self._store.directive(submission.entry.province, data.directive)
        if issued is not None and issued.key == submission.entry.key:
            await self._registry.tell_directive(submission, data, cause)

    async def _expand(self, data: ordered.DirectiveIssued, province: str, cause: Cause) -> list[Obligation] | Problem:
        at = cause.received_at
        if data.issued_on > local_day(at):
            return Problem(
                ProblemKind.ISSUED_IN_FUTURE,
                f"issued_on {data.issued_on} lies after the day of receipt, {local_day(at)}",
            )
        for item in data.obligations:
            rule = wire.due_rule(item.due, data.issued_on)
            first = next(periods(rule), None) if isinstance(rule, RecurringRule) else None
            if first is not None and first.id < FIRST_NAME:
                return Problem(
                    ProblemKind.DAY_TOO_EARLY, f"{item.clause}: its first period lies before {FIRST_NAME}; start later"
                )
        agencies, edges = await self._registry.agencies(province)
        obligations = expand(data, agencies, edges, province, cause)
        if isinstance(obligations, Problem):
            return obligations
        feeds = {item.clause: item.feeds for item in data.obligations}
        last_days = {one.clause: _last_day(one, self._rulebook.of(province)) for one in obligations}
        try:
            needs = dependencies(feeds, last_days)
        except CircleError as error:
            return Problem(ProblemKind.CYCLIC_DEPENDENCY, f"these clauses wait for one another: {error}")
        except KeyError as error:
            return Problem(ProblemKind.UNKNOWN_CLAUSE, f"feeds names clause {error}, which the directive does not have")
        return [replace(one, dependencies=needs.get(one.clause, ())) for one in obligations]

    async def _save(self, obligations: Iterable[Obligation]) -> None:
        """Each as of its revision; one that is there already stays."""
        for obligation in obligations:
            for _ in range(RACES_MAX):
                known = (await self._store.obligations([obligation.obligation_id])).get(obligation.obligation_id)
                if known is not None and known.obligation.revision >= obligation.revision:
                    break
                if await self.save_obligation(
                    ObligationState(
                        obligation,
                        await self._partition_of(obligation.obligation_id),
                        _next_opening(obligation, obligation.issued.received_at),
                        known.version if known is not None else None,
                    )
                ):
                    break
            else:
                raise TransientError(f"obligation {obligation.obligation_id} is written by others all the time")

    async def _correct(self, submission: Submission, obligations: Sequence[Obligation], cause: Cause) -> int:
        by_clause = {one.clause: one for one in obligations}
        province, directive = obligations[0].province, obligations[0].directive
        _, edges = await self._registry.agencies(province)
        rules = self._rulebook.of(province)

        async def step(task: Task) -> Decision | None:
            issued = await self._store.directive(province, directive)
            if issued is None or issued.key != submission.entry.key:
                # Whoever slept over a later revision does not take it back. Read after the task, which it would write.
                return None
            return await self._align(task, by_clause.get(task.clause), obligations[0].source, cause, rules, edges)

        ids = await self._store.open_task_ids(province, directive)
        if await self._is_closed(submission):
            # Whoever slept over this revision finds tasks here that were opened after it.
            return 0
        return await self._change_tasks(ids, step, of=as_step(submission))

    async def realign(self, obligation: Obligation, task_ids: Sequence[str], recorded_at: datetime) -> int:
        """Correct tasks that were opened by what the obligation said before it was corrected, paused or revoked."""
        rules = self._rulebook.of(obligation.province)
        cause = replace(obligation.latest_word, recorded_at=recorded_at)
        _, edges = await self._registry.agencies(obligation.province)

        async def step(task: Task) -> Decision | None:
            if obligation.revoked is not None:
                return _end(task, obligation.revoked, rules)
            # Its names are as old as its latest revision; whoever is no more by now must not come back.
            now = as_of(obligation, edges, max(cause.received_at, task.assigned.received_at))
            return await self._align(task, now, obligation.source, cause, rules, edges)

        return await self._change_tasks(task_ids, step)

    async def _change_tasks(self, task_ids: Sequence[str], step: Step, *, of: Submission | None = None) -> int:
        """Change tasks that were open, wherever they were handed over to since."""
        left, seen, changed = set(task_ids), set(task_ids), 0
        while left:
            heirs: set[str] = set()

            async def follow(task: Task, heirs: set[str] = heirs) -> Move | Decision | None:
                if task.ended is not None and task.ended.successor is not None:
                    heirs.add(task.ended.successor)
                return await step(task)

            changed += await self._writer.change(sorted(left), follow, of=of)
            left = heirs - seen
            seen |= left
        return changed

    async def _align(
        self,
        task: Task,
        obligation: Obligation | None,
        document: Document,
        cause: Cause,
        rules: Rules,
        edges: Mapping[str, Edge],
    ) -> Decision | None:
        former = await self._former(task)
        led = [one.agency for one in former]
        if obligation is not None:
            # Whoever led the task does not cooperate on it.
            others = tuple(code for code in obligation.cooperating if code not in led)
            # An agency is named by its old name and by its new one, whether its tasks have been moved yet or not.
            is_named = not with_successors(led, edges).isdisjoint(with_successors(obligation.leads, edges))
            leads = (*obligation.leads, task.agency) if is_named else obligation.leads
            obligation = replace(obligation, cooperating=others, leads=leads)
        return correction.align(task, obligation, former[-1], document, cause, rules)

    async def _former(self, task: Task) -> list[Task]:
        """A task and those that it follows, back to the one that the directive made."""
        found = [task]
        while (before := found[-1].predecessor) is not None:
            found.append((await self._store.tasks([before]))[before].task)
        return found

    async def _without_inherited(self, tasks: Sequence[Task], edges: Mapping[str, Edge], at: datetime) -> list[Task]:
        """Nothing opens anew for a successor: whose name is read as its own had that share, done or not."""
        former: dict[str | None, list[str]] = {}
        for code in edges:
            former.setdefault(plain_successor(code, edges, at), []).append(code)
        ids = {
            task.task_id: {successor_id(task, code) for code in former.get(task.agency, ()) if code != task.agency}
            for task in tasks
        }
        there = await self._store.existing(set().union(*ids.values()))
        return [task for task in tasks if there.isdisjoint(ids[task.task_id])]

    async def revoke(self, submission: Submission, data: ordered.DirectiveRevoked, cause: Cause) -> str | Problem:
        """The directive is withdrawn: nothing opens any more, and its open tasks end without result."""
        province = submission.entry.province
        if await self._store.directive(province, data.directive) is None:
            return Problem(ProblemKind.UNKNOWN_DIRECTIVE, f"No directive {data.directive} was issued.")
        await self._store.revoke_directive(province, data.directive)
        await self._registry.tell_revocation(submission, data, cause)
        revocation = Revocation(data.reason, wire.document(data.document), cause)
        for state in (await self._store.obligations_of(province, data.directive)).values():
            await self._change(
                state.obligation.obligation_id, lambda one: replace(one, withdrawn=True, revoked=revocation)
            )
        rules = self._rulebook.of(province)

        async def step(task: Task) -> Decision | None:
            return _end(task, revocation, rules)

        ids = await self._store.open_task_ids(province, data.directive)
        ended = await self._change_tasks(ids, step, of=as_step(submission))
        return f"{ended} open tasks ended"

    # -- single obligations ----------------------------------------------------------------------------------------

    async def trigger(self, submission: Submission, data: ordered.ObligationTriggered, cause: Cause) -> str | Problem:
        """The condition occurred: tasks of their own open."""
        province = submission.entry.province
        obligation = await self._obligation(province, data.directive, data.clause)
        if isinstance(obligation, Problem):
            return obligation
        if not isinstance(obligation.due, ConditionalRule):
            return Problem(ProblemKind.NOT_CONDITIONAL, f"clause {data.clause} has no condition; its tasks are open")
        if data.occurred_on > local_day(cause.received_at):
            return Problem(ProblemKind.OCCURRED_IN_FUTURE, f"occurred_on {data.occurred_on} lies after the receipt")
        if data.occurred_on.isoformat() < FIRST_NAME:
            return Problem(ProblemKind.DAY_TOO_EARLY, f"occurred_on {data.occurred_on} lies before {FIRST_NAME}")
        agencies, edges = await self._registry.agencies(province)
        named = members(data.agencies or obligation.leads, agencies, edges, cause.received_at)
        if isinstance(named, Problem):
            return named
        allowed = with_successors(obligation.leads, edges)
        foreign = next((code for code in named if code not in allowed), None)
        if foreign is not None:
            return Problem(ProblemKind.UNKNOWN_AGENCY, f"agency {foreign} is no lead of clause {data.clause}")
        document = wire.document(data.document) if data.document is not None else None
        rules = self._rulebook.of(province)
        now = as_of(obligation, edges, cause.received_at)
        tasks = list(occurrence_tasks(now, named, data.occurred_on, document, cause=cause, rules=rules))
        tasks = await self._without_inherited(tasks, edges, cause.received_at)
        created = await self._writer.create(tasks, submission.event)
        if created == 0:
            there = await self._store.tasks([task.task_id for task in tasks])
            if all(one.task.assigned.event_id != cause.event_id for one in there.values()):
                return Problem(
                    ProblemKind.ALREADY_TRIGGERED, f"the occurrence of {data.occurred_on} has its tasks already"
                )
        return f"{created} tasks opened"

    async def give_day(self, submission: Submission, data: ordered.ObligationDated, cause: Cause) -> str | Problem:
        """Open tasks without a day get one."""
        province = submission.entry.province
        obligation = await self._obligation(province, data.directive, data.clause)
        if isinstance(obligation, Problem):
            return obligation
        rule = wire.due_rule(data.due, local_day(cause.received_at))
        assert isinstance(rule, FixedRule), "the contract takes no other"
        document, rules = wire.document(data.document), self._rulebook.of(province)

        async def step(task: Task) -> Decision | None:
            return correction.give_day(task, rule, document, cause=cause, rules=rules)

        ids = await self._store.open_task_ids(province, data.directive, data.clause)
        if await self._is_closed(submission):
            # Whoever slept over it finds tasks here that were opened after it.
            return "dated by another process"
        dated = await self._change_tasks(ids, step, of=as_step(submission))
        return f"{dated} tasks dated, {len(ids) - dated} had a day"

    async def pause(
        self, submission: Submission, data: ordered.ObligationSuspended | ordered.ObligationResumed, cause: Cause
    ) -> str | Problem:
        """Nothing opens from now on; or periods open again."""
        province = submission.entry.province
        obligation = await self._obligation(province, data.directive, data.clause)
        if isinstance(obligation, Problem):
            return obligation
        if not isinstance(obligation.due, RecurringRule):
            return Problem(ProblemKind.NOT_RECURRING, f"clause {data.clause} does not recur; suspend its tasks")
        if isinstance(data, ordered.ObligationResumed):
            if obligation.pause is None and not obligation.was_resumed_by(cause):
                return Problem(ProblemKind.NOT_SUSPENDED, f"clause {data.clause} is not suspended")
            await self._change(obligation.obligation_id, lambda one: one.resumed(cause), opens_after=cause.received_at)
            return f"periods open again from {local_day(cause.received_at)} on"
        if obligation.pause is not None and not obligation.was_paused_by(cause):
            return Problem(ProblemKind.ALREADY_SUSPENDED, f"clause {data.clause} is suspended already")
        begun = Pause(cause, wire.document(data.document))
        await self._change(obligation.obligation_id, lambda one: one.paused(begun))
        ids = await self._store.open_task_ids(province, data.directive, data.clause)
        paused = (await self._store.obligations([obligation.obligation_id]))[obligation.obligation_id].obligation

        async def step(task: Task) -> Decision | None:
            return correction.leave_out(task, paused, (await self._former(task))[-1], cause=cause)

        too_early = await self._change_tasks(ids, step)
        return f"no period opens from {local_day(cause.received_at)} on; {too_early} opened since then ended"

    async def _is_closed(self, submission: Submission) -> bool:
        """Whether some process did all that is to be done for a submission. What follows it may be done by now, too."""
        key = submission.entry.key
        return (await self._store.ledger([key]))[key].outcome.final

    async def _obligation(self, province: str, directive: str, clause: str) -> Obligation | Problem:
        known = await self._store.directive(province, directive)
        if known is None:
            return Problem(ProblemKind.UNKNOWN_DIRECTIVE, f"No directive {directive} was issued.")
        if known.revoked:
            return Problem(ProblemKind.DIRECTIVE_REVOKED, f"Directive {directive} was revoked.")
        obligation_id = f"{province}/{directive}/{clause}"
        state = (await self._store.obligations([obligation_id])).get(obligation_id)
        if state is None or state.obligation.withdrawn:
            return Problem(ProblemKind.UNKNOWN_CLAUSE, f"Directive {directive} has no clause {clause}.")
        return state.obligation

    async def _change(
        self, obligation_id: str, change: Callable[[Obligation], Obligation], *, opens_after: datetime | None = None
    ) -> None:
        for _ in range(RACES_MAX):
            state = (await self._store.obligations([obligation_id]))[obligation_id]
            obligation = change(state.obligation)
            following = state.next_at
            if opens_after is not None:
                # A partition that is behind has still to open what began before: it leaves out what a pause covers.
                ahead = (state.next_at, _next_opening(obligation, opens_after))
                following = min((one for one in ahead if one is not None), default=None)
            if obligation.withdrawn:
                following = None
            if await self.save_obligation(replace(state, obligation=obligation, next_at=following)):
                return
        raise TransientError(f"obligation {obligation_id} is written by others all the time")


def expand(
    data: ordered.DirectiveIssued,
    agencies: Mapping[str, Agency],
    edges: Mapping[str, Edge],
    province: str,
    cause: Cause,
) -> list[Obligation] | Problem:
    """The obligations of a directive with their agencies named one by one."""
    at = cause.received_at
    standing = standing_agency(agencies, edges, at)
    found = []
    for item in data.obligations:
        if item.reviewer is None and standing is None:
            return Problem(ProblemKind.NO_STANDING_AGENCY, f"{item.clause}: nobody can judge its results")
        reviewers = members([item.reviewer or str(standing)], agencies, edges, at)
        leads = members(item.leads, agencies, edges, at)
        cooperating = members(item.cooperating, agencies, edges, at)
        for problem in (reviewers, leads, cooperating):
            if isinstance(problem, Problem):
                return Problem(problem.reason, f"{item.clause}: {problem.detail}")
        assert not isinstance(reviewers, Problem), "checked above"
        assert not isinstance(leads, Problem), "checked above"
        assert not isinstance(cooperating, Problem), "checked above"
        found.append(
            wire.obligation(
                item,
                data,
                province=province,
                leads=leads,
                cooperating=cooperating,
                reviewer=reviewers[0],
                cause=cause,
            )
        )
    return found


def _end(task: Task, revocation: Revocation, rules: Rules) -> Decision:
    command = Cancel(revocation.reason, revocation.document)
    return decide(task, command, cause=revocation.cause, rules=rules, time_passes=False)


def _next_opening(obligation: Obligation, after: datetime) -> datetime | None:
    due = obligation.due
    return next_opening(due, after) if isinstance(due, RecurringRule) and not obligation.withdrawn else None


def _last_day(obligation: Obligation, rules: Rules) -> date | None:
    if isinstance(obligation.due, RecurringRule):
        return None
    first = single_deadline(obligation.due, rules.calendar, cause=obligation.issued, document=None)
    return first.nominal if first is not None else None


def _flags(obligations: Iterable[Obligation]) -> list[str]:
    """What the author of the directive should see at once."""
    return [
        f"{one.clause} needs {needed.clause}, whose deadline is {needed.conflict.removesuffix('_deadline')}"
        for one in obligations
        for needed in one.dependencies
        if needed.conflict is not None
    ]
