"""The tasks store in memory; tests/contract/test_tasks_store.py vouches for it.

It keeps documents as MongoDB would: each write touches one document in one step, instants are cut to the millisecond,
a task is read back from its JSON text. Where MongoDB leaves an order open, this store has one, so that a run repeats.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from services.tasks.documents import STEPS_KEPT
from services.tasks.domain.directive import Obligation
from services.tasks.domain.reading import EVERYTHING, Reader, readers
from services.tasks.domain.succession import parties as parties_of
from services.tasks.domain.task import Task
from services.tasks.mongo import PARKED_PAGE, UNTOLD_PAGE
from services.tasks.ports import (
    Buried,
    Change,
    DirectiveState,
    Entry,
    EntryWrite,
    LedgerEntry,
    ObligationState,
    Outcome,
    Parked,
    Registry,
    Stored,
    TaskFilter,
    Untold,
    Verdict,
    Write,
)
from shared.runtime.clock import real_seconds

_TASK = TypeAdapter(Task)
_OBLIGATION = TypeAdapter(Obligation)
ENTRIES_PAGE = 5_000
UNSETTLED = frozenset({Outcome.IN_FLIGHT, Outcome.PARKED})


def kept(instant: datetime) -> datetime:
    """An instant as MongoDB keeps it: UTC, whole milliseconds."""
    return instant.astimezone(UTC).replace(microsecond=instant.microsecond // 1000 * 1000)


def _kept(instant: datetime | None) -> datetime | None:
    return None if instant is None else kept(instant)


@dataclass(slots=True)
class _TaskDocument:
    """`version`, `token`: what guards the next write. `owed_at`: real time at which `owed` was written."""

    version: int
    partition: int
    offset: int
    steps: tuple[str, ...]
    text: bytes
    open: bool
    result: str
    due_at: datetime | None
    next_at: datetime | None
    rules: str
    token: str
    owed: Untold | None
    owed_at: float
    history: tuple[Change, ...]
    task: Task

    def stored(self) -> Stored:
        return Stored(
            self.task,
            self.text,
            self.version,
            self.partition,
            self.offset,
            self.steps,
            self.owed,
            self.next_at,
            self.rules,
        )


@dataclass(slots=True)
class _EntryDocument:
    entry: Entry
    partition: int
    owed_at: float


@dataclass(slots=True)
class MemoryTaskStore:
    """Implements ports.TaskStore and the reads of MongoTaskStore. `real`: real time, for ages of what is owed."""

    real: Callable[[], float] = real_seconds
    _tasks: dict[str, _TaskDocument] = field(default_factory=dict)
    _ledger: dict[str, LedgerEntry] = field(default_factory=dict)
    _parked: dict[str, Parked] = field(default_factory=dict)
    _directives: dict[str, DirectiveState] = field(default_factory=dict)
    _obligations: dict[str, ObligationState] = field(default_factory=dict)
    _times: dict[int, datetime] = field(default_factory=dict)
    _registries: dict[Registry, dict[str, _EntryDocument]] = field(
        default_factory=lambda: {registry: {} for registry in Registry}
    )

    async def prepare(self) -> None:
        """Nothing to prepare."""

    # -- ledger ----------------------------------------------------------------------------------------------------

    async def claim(self, entries: Sequence[LedgerEntry]) -> Mapping[str, LedgerEntry]:
        known = set()
        for entry in entries:
            if entry.key in self._ledger:
                known.add(entry.key)
            else:
                # A claim holds nothing of an outcome yet.
                self._ledger[entry.key] = entry._replace(
                    received_at=_kept(entry.received_at), reason="", detail="", reused=0
                )
        return await self.ledger(known)

    async def ledger(self, keys: Collection[str]) -> Mapping[str, LedgerEntry]:
        return {key: self._ledger[key] for key in sorted(keys) if key in self._ledger}

    async def ledger_by_id(
        self, submission_id: str, source: str | None, limit: int, reader: Reader = EVERYTHING
    ) -> list[LedgerEntry]:
        """Ledger entries with this id that a reader may see, of one source or of all."""
        found = [
            one
            for one in self._ledger.values()
            if one.id == submission_id
            and source in {None, one.source}
            and reader.province in {None, one.province}
            and reader.agency in {None, one.agency}
        ]
        return found[:limit]

    async def close(self, verdicts: Sequence[Verdict], *, recorded_at: datetime) -> None:
        for key, outcome, reason, detail in verdicts:
            known = self._ledger.get(key)
            # The first final word stands.
            if known is None or known.outcome.final:
                continue
            self._ledger[key] = known._replace(outcome=outcome, reason=reason, detail=detail)

    async def bury(self, buried: Buried, *, recorded_at: datetime) -> None:
        known = self._ledger.get(buried.key)
        if known is None:
            known = LedgerEntry(
                key=buried.key,
                source=buried.source,
                id=buried.id,
                type=buried.type,
                province=buried.province or "",
                agency=buried.agency or "",
                task_id=None,
                received_at=None,
                digest="",
                position=buried.position,
            )
        if known.outcome in UNSETTLED:
            self._ledger[buried.key] = known._replace(outcome=Outcome.DEAD, reason=buried.reason, detail=buried.detail)

    async def note_reuse(self, keys: Sequence[str]) -> None:
        for key in keys:
            if (known := self._ledger.get(key)) is not None:
                self._ledger[key] = known._replace(reused=known.reused + 1)

    # -- tasks -----------------------------------------------------------------------------------------------------

    async def tasks(self, ids: Collection[str]) -> Mapping[str, Stored]:
        return {one: self._tasks[one].stored() for one in sorted(ids) if one in self._tasks}

    async def save_tasks(self, writes: Sequence[Write]) -> frozenset[str]:
        lost = {write.task.task_id for write in writes if not self._save(write)}
        changed = [write for write in writes if write.replaces is not None]
        if not lost.isdisjoint({write.task.task_id for write in changed}):
            # As MongoDB's bulk write, which does not say which update missed: the token that is stored does.
            lost -= {write.task.task_id for write in changed}
            lost |= {write.task.task_id for write in changed if self.token(write.task.task_id) != write.untold.token}
        return frozenset(lost)

    def token(self, task_id: str) -> str | None:
        """The token of the last write of a task."""
        return self._tasks[task_id].token if task_id in self._tasks else None

    def _save(self, write: Write) -> bool:
        known = self._tasks.get(write.task.task_id)
        if (known.version if known is not None else None) != write.replaces:
            return False
        if write.heir is not None and not self._save(write.heir):
            return False
        task = _TASK.validate_json(write.text)
        self._tasks[task.task_id] = _TaskDocument(
            version=(write.replaces or 0) + 1,
            partition=write.partition,
            offset=write.offset,
            steps=tuple(write.steps[-STEPS_KEPT:]),
            text=write.text,
            open=task.is_open,
            result=task.result.value,
            due_at=_kept(task.deadline.due_at) if task.deadline else None,
            next_at=_kept(write.next_at),
            rules=write.rules,
            token=write.untold.token,
            owed=write.untold,
            owed_at=self.real(),
            history=(*(known.history if known else ()), *(_kept_change(change) for change in write.history)),
            task=task,
        )
        return True

    async def told(self, tokens: Mapping[str, str]) -> None:
        for task_id, token in tokens.items():
            known = self._tasks.get(task_id)
            if known is not None and known.owed is not None and known.owed.token == token:
                known.owed = None

    async def untold(self, partitions: Collection[int], *, older_than_seconds: float) -> Mapping[str, Untold]:
        before = self.real() - older_than_seconds
        found = sorted(
            (one.partition, one.owed_at, task_id)
            for task_id, one in self._tasks.items()
            if one.owed is not None and one.partition in partitions and one.owed_at <= before
        )
        return {one: owed for _, _, one in found[:UNTOLD_PAGE] if (owed := self._tasks[one].owed) is not None}

    async def due(self, times: Mapping[int, datetime], limit: int) -> Mapping[str, Stored]:
        found = sorted(
            (one.next_at, task_id)
            for task_id, one in self._tasks.items()
            if one.next_at is not None and one.partition in times and one.next_at <= kept(times[one.partition])
        )
        return {task_id: self._tasks[task_id].stored() for _, task_id in found[:limit]}

    async def earliest_due(self, partitions: Collection[int]) -> Mapping[int, datetime]:
        return _earliest(partitions, [(one.partition, one.next_at) for one in self._tasks.values()])

    async def open_task_ids(self, province: str, directive: str, clause: str | None = None) -> Sequence[str]:
        return [
            task_id
            for task_id, one in self._tasks.items()
            if one.open
            and (one.task.province, one.task.directive) == (province, directive)
            and clause in {None, one.task.clause}
        ]

    async def open_tasks_with(
        self, province: str, parties: Collection[str], partition: int, *, after: str, limit: int
    ) -> Mapping[str, Stored]:
        found = [
            task_id
            for task_id, one in sorted(self._tasks.items())
            if task_id > after
            and one.partition == partition
            and one.task.province == province
            and not set(parties).isdisjoint(parties_of(one.task))
        ]
        return {task_id: self._tasks[task_id].stored() for task_id in found[:limit]}

    async def open_tasks_by_other_rules(
        self, rules: Mapping[str | None, str], partitions: Collection[int], limit: int
    ) -> Mapping[str, Stored]:
        found = [
            task_id
            for task_id, one in self._tasks.items()
            if one.open and one.partition in partitions and one.rules < rules.get(one.task.province, rules[None])
        ]
        return {task_id: self._tasks[task_id].stored() for task_id in found[:limit]}

    # -- parked ----------------------------------------------------------------------------------------------------

    async def park(self, parked: Sequence[Parked]) -> None:
        for one in parked:
            self._parked.setdefault(one.key, replace(one, received_at=kept(one.received_at)))

    async def parked_task_ids(self, partitions: Collection[int]) -> frozenset[str]:
        return frozenset(one.task_id for one in self._parked.values() if one.position.partition in partitions)

    async def parked_by(self, partitions: Collection[int], received_by: datetime, limit: int) -> Sequence[Parked]:
        before = kept(received_by)
        mine = (one for one in self._parked.values() if one.position.partition in partitions)
        return _in_order(one for one in mine if one.received_at <= before)[:limit]

    async def existing(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(one for one in ids if one in self._tasks)

    async def parked_for(self, task_ids: Collection[str]) -> Sequence[Parked]:
        return _in_order(one for one in self._parked.values() if one.task_id in task_ids)[:PARKED_PAGE]

    async def unpark(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._parked.pop(key, None)

    # -- registry --------------------------------------------------------------------------------------------------

    async def entries(self, registry: Registry, ids: Collection[str]) -> Mapping[str, Entry]:
        known = self._registries[registry]
        return {one: known[one].entry for one in sorted(ids) if one in known}

    async def entries_with(self, registry: Registry, equals: Mapping[str, Any]) -> Mapping[str, Entry]:
        found = {
            one: document.entry
            for one, document in self._registries[registry].items()
            if all(document.entry.data.get(name) == value for name, value in equals.items())
        }
        return dict(list(found.items())[:ENTRIES_PAGE])

    async def ended_agencies(self) -> Mapping[str, Entry]:
        return {
            one: document.entry
            for one, document in self._registries[Registry.AGENCIES].items()
            if document.entry.data.get("valid_to") is not None
        }

    async def save_entry(self, registry: Registry, write: EntryWrite) -> bool:
        known = self._registries[registry].get(write.id)
        if (known.entry.version if known is not None else None) != write.replaces:
            return False
        version = (write.replaces or 0) + 1
        entry = Entry(write.id, dict(write.data), version, tuple(write.steps[-STEPS_KEPT:]), write.untold)
        # `partition` of a document follows its last write.
        self._registries[registry][write.id] = _EntryDocument(entry, write.partition, self.real())
        return True

    async def entry_told(self, registry: Registry, entry_id: str, token: str) -> None:
        known = self._registries[registry].get(entry_id)
        if known is not None and known.entry.untold is not None and known.entry.untold.token == token:
            known.entry = replace(known.entry, untold=None)

    async def untold_entries(
        self, registry: Registry, partitions: Collection[int], *, older_than_seconds: float
    ) -> Mapping[str, Untold]:
        before = self.real() - older_than_seconds
        found = sorted(
            (one.partition, one.owed_at, entry_id)
            for entry_id, one in self._registries[registry].items()
            if one.entry.untold is not None and one.partition in partitions and one.owed_at <= before
        )
        known = self._registries[registry]
        return {one: owed for _, _, one in found[:UNTOLD_PAGE] if (owed := known[one].entry.untold) is not None}

    # -- directives and obligations --------------------------------------------------------------------------------

    async def directive(self, province: str, directive: str) -> DirectiveState | None:
        return self._directives.get(f"{province}/{directive}")

    async def save_directive(self, province: str, directive: str, revision: int, key: str) -> None:
        known = self._directives.get(f"{province}/{directive}")
        if known is None or known.revision < revision:
            revoked = known.revoked if known is not None else False
            self._directives[f"{province}/{directive}"] = DirectiveState(revision, key, revoked)

    async def revoke_directive(self, province: str, directive: str) -> None:
        known = self._directives.get(f"{province}/{directive}")
        if known is not None:
            self._directives[f"{province}/{directive}"] = replace(known, revoked=True)

    async def obligations(self, ids: Collection[str]) -> Mapping[str, ObligationState]:
        return {one: self._obligations[one] for one in sorted(ids) if one in self._obligations}

    async def obligations_of(self, province: str, directive: str) -> Mapping[str, ObligationState]:
        return {
            obligation_id: one
            for obligation_id, one in self._obligations.items()
            if (one.obligation.province, one.obligation.directive) == (province, directive)
        }

    async def save_obligation(self, state: ObligationState) -> bool:
        obligation_id = state.obligation.obligation_id
        known = self._obligations.get(obligation_id)
        if (known.version if known is not None else None) != state.version:
            return False
        obligation = _OBLIGATION.validate_json(_OBLIGATION.dump_json(state.obligation))
        self._obligations[obligation_id] = ObligationState(
            obligation, state.partition, _kept(state.next_at), (state.version or 0) + 1
        )
        return True

    async def obligations_due(self, times: Mapping[int, datetime], limit: int) -> Sequence[ObligationState]:
        found = sorted(
            (one.next_at, obligation_id)
            for obligation_id, one in self._obligations.items()
            if one.next_at is not None and one.partition in times and one.next_at <= kept(times[one.partition])
        )
        return [self._obligations[obligation_id] for _, obligation_id in found[:limit]]

    async def earliest_opening(self, partitions: Collection[int]) -> Mapping[int, datetime]:
        return _earliest(partitions, [(one.partition, one.next_at) for one in self._obligations.values()])

    async def next_opening(self, obligation_id: str) -> datetime | None:
        known = self._obligations.get(obligation_id)
        return known.next_at if known is not None else None

    async def note_times(self, times: Mapping[int, datetime]) -> None:
        for partition, now in times.items():
            known = self._times.get(partition)
            if known is None or known < kept(now):
                self._times[partition] = kept(now)

    async def time_of(self, partition: int) -> datetime | None:
        return self._times.get(partition)

    async def slowest_time(self) -> datetime | None:
        return min(self._times.values(), default=None)

    # -- reading ---------------------------------------------------------------------------------------------------

    async def list_tasks(self, wanted: TaskFilter, *, after: str | None, limit: int) -> list[Task]:
        """Tasks in order of id, after a cursor."""
        due_before = _kept(wanted.due_before)
        found = [
            one.task
            for task_id, one in sorted(self._tasks.items())
            if (after is None or task_id > after)
            and wanted.province in {None, one.task.province}
            and wanted.agency in {None, one.task.agency}
            and wanted.directive in {None, one.task.directive}
            and wanted.result in {None, one.result}
            and (due_before is None or (one.due_at is not None and one.due_at < due_before))
            and (not wanted.open_with_deadline or (one.open and one.due_at is not None))
            and (not wanted.awaiting_succession or (one.open and one.task.succession is not None))
            and (wanted.reader is None or wanted.reader in readers(one.task))
        ]
        return found[:limit]

    async def history(self, task_id: str) -> list[Change] | None:
        """Every change of a task in order; None for an unknown task."""
        known = self._tasks.get(task_id)
        return list(known.history) if known is not None else None


def _earliest(partitions: Collection[int], planned: Iterable[tuple[int, datetime | None]]) -> dict[int, datetime]:
    found: dict[int, datetime] = {}
    for partition, at in planned:
        if partition in partitions and at is not None:
            found[partition] = min(at, found.get(partition, at))
    return found


def _in_order(parked: Iterable[Parked]) -> list[Parked]:
    return sorted(parked, key=lambda one: one.position)


def _kept_change(change: Change) -> Change:
    return change._replace(received_at=kept(change.received_at), recorded_at=kept(change.recorded_at))
