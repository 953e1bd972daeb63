"""What the handlers need from outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from services.tasks.domain.directive import Obligation
from services.tasks.domain.task import Task


class Outcome(StrEnum):
    """What became of a submission."""

    IN_FLIGHT = "in_flight"
    PARKED = "parked"
    APPLIED = "applied"
    REJECTED = "rejected"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        """Whether it will not change any more."""
        return self in {Outcome.APPLIED, Outcome.REJECTED, Outcome.DEAD}


class Position(NamedTuple):
    """Where a record stands in the submissions topic."""

    partition: int
    offset: int


class LedgerEntry(NamedTuple):
    """What is remembered of a submission, for ever."""

    key: str
    """`{source}#{id}`"""
    source: str
    id: str
    type: str
    province: str
    agency: str
    task_id: str | None
    received_at: datetime | None
    """None only for a dead record that did not say."""
    digest: str
    position: Position
    outcome: Outcome = Outcome.IN_FLIGHT
    reason: str = ""
    detail: str = ""
    reused: int = 0
    """How often the id came again with other content."""


class Verdict(NamedTuple):
    """The outcome of one submission, to be written into the ledger."""

    key: str
    outcome: Outcome
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Buried:
    """A record in the dead letters, as far as it could be read."""

    key: str
    source: str
    id: str
    type: str
    reason: str
    detail: str
    position: Position
    province: str = ""
    agency: str = ""
    """Who sent it; without it nobody could ask what became of it."""


class Message(NamedTuple):
    """A platform event to publish."""

    topic: str
    key: str
    value: bytes


class Change(NamedTuple):
    """One line of a task's history."""

    seq: int
    what: str
    reason: str
    event_id: str
    actor: str
    received_at: datetime
    recorded_at: datetime
    previous: str
    new: str


@dataclass(frozen=True, slots=True)
class Untold:
    """What a document's write still owes the world: events to publish, ledger entries to close."""

    token: str
    messages: tuple[Message, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A task with what makes its next write safe."""

    task: Task
    text: bytes
    """The task as JSON, as it was told last (`wire.snapshot_json`)."""
    version: int
    partition: int
    offset: int
    """Offset of the last record of `partition` that is in the value: the fence."""
    steps: tuple[str, ...] = ()
    """Keys of the events from other partitions that are in the value."""
    untold: Untold | None = None
    next_at: datetime | None = None
    """When time will next do something to it."""
    rules: str = ""
    """By which version of the province's rules its dates stand."""


@dataclass(frozen=True, slots=True)
class Write:
    """A new state of one task, replacing version `replaces` (None: it must not exist yet)."""

    task: Task
    text: bytes
    """The task as JSON, as its last fact tells it (`wire.snapshot_json`)."""
    partition: int
    offset: int
    steps: tuple[str, ...]
    untold: Untold
    replaces: int | None
    next_at: datetime | None = None
    rules: str = ""
    """By which version of the province's rules its dates stand."""
    history: tuple[Change, ...] = ()
    since: Stored | None = None
    """What it replaces, as it was read: what did not change need not be written again."""
    heir: "Write | None" = None
    """The first write of the task that goes on where this one ends: both are written, or neither."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A submission for a task not known yet."""

    key: str
    task_id: str
    position: Position
    received_at: datetime
    value: bytes


@dataclass(frozen=True, slots=True)
class ObligationState:
    """An obligation and, where it recurs, when its next period opens."""

    obligation: Obligation
    partition: int
    next_at: datetime | None
    version: int | None = None
    """Of the document that a save replaces; None: there must be none yet."""


@dataclass(frozen=True, slots=True)
class DirectiveState:
    """What is known of a directive."""

    revision: int
    key: str
    """Of the event that brought this revision."""
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are asked for."""

    province: str | None = None
    agency: str | None = None
    result: str | None = None
    directive: str | None = None
    due_before: datetime | None = None
    open_with_deadline: bool = False
    """Only open tasks that have a deadline."""
    awaiting_succession: bool = False
    """Only tasks whose agency is no more and whose next one a human must choose."""
    reader: str | None = None
    """Only tasks that concern this agency."""


class Registry(StrEnum):
    """Small documents beside the tasks, told on topics of their own."""

    AGENCIES = "agencies"
    INDICATORS = "indicators"
    TARGETS = "targets"
    DIRECTIVES = "directive_records"
    """What is told of directives. What the steps of applying one rest on (`DirectiveState`) stands by itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A registry document as stored: contract-shaped data and what makes its next write safe."""

    id: str
    data: Mapping[str, Any]
    version: int
    steps: tuple[str, ...] = ()
    untold: Untold | None = None


@dataclass(frozen=True, slots=True)
class EntryWrite:
    """A new state of a registry document."""

    id: str
    data: Mapping[str, Any]
    partition: int
    steps: tuple[str, ...]
    untold: Untold
    replaces: int | None


class TaskStore(Protocol):
    """Task truth. Every write is one document, guarded by its version."""

    async def claim(self, entries: Sequence[LedgerEntry]) -> Mapping[str, LedgerEntry]:
        """Insert ledger entries that do not exist. Returns those that did, as they are."""
        ...

    async def ledger(self, keys: Collection[str]) -> Mapping[str, LedgerEntry]:
        """Ledger entries by key."""
        ...

    async def close(self, verdicts: Sequence[Verdict], *, recorded_at: datetime) -> None:
        """Write outcomes into the ledger. The first final one of an entry stands."""
        ...

    async def bury(self, buried: Buried, *, recorded_at: datetime) -> None:
        """Note that a record went to the dead letters, unless its id has a final outcome already."""
        ...

    async def note_reuse(self, keys: Sequence[str]) -> None:
        """An id came again with other content."""
        ...

    async def tasks(self, ids: Collection[str]) -> Mapping[str, Stored]:
        """Tasks by id; unknown ones are absent."""
        ...

    async def save_tasks(self, writes: Sequence[Write]) -> frozenset[str]:
        """Write; returns the ids that lost to another writer (or exist already) and must be read again.

        A task also loses whose heir's id is taken.
        """
        ...

    async def told(self, tokens: Mapping[str, str]) -> None:
        """Forget what was owed: id → token."""
        ...

    async def untold(self, partitions: Collection[int], *, older_than_seconds: float) -> Mapping[str, Untold]:
        """Tasks of these partitions that still owe something, by id, a bounded number."""
        ...

    async def due(self, times: Mapping[int, datetime], limit: int) -> Mapping[str, Stored]:
        """Tasks of each partition whose next milestone is due by that partition's time, earliest first."""
        ...

    async def earliest_due(self, partitions: Collection[int]) -> Mapping[int, datetime]:
        """When time will next do something to a task of each partition; those without are absent."""
        ...

    async def park(self, parked: Sequence[Parked]) -> None:
        """Keep submissions whose task is not known."""
        ...

    async def parked_task_ids(self, partitions: Collection[int]) -> frozenset[str]:
        """Task ids that submissions of these partitions wait for."""
        ...

    async def parked_by(self, partitions: Collection[int], received_by: datetime, limit: int) -> Sequence[Parked]:
        """Parked submissions received by an instant, in the order they came."""
        ...

    async def existing(self, ids: Collection[str]) -> frozenset[str]:
        """Those of these task ids that exist."""
        ...

    async def parked_for(self, task_ids: Collection[str]) -> Sequence[Parked]:
        """Parked submissions for these tasks, in the order they came; at most some thousands."""
        ...

    async def unpark(self, keys: Sequence[str]) -> None:
        """Forget parked submissions."""
        ...

    async def entries(self, registry: Registry, ids: Collection[str]) -> Mapping[str, Entry]:
        """Registry documents by id; unknown ones are absent."""
        ...

    async def entries_with(self, registry: Registry, equals: Mapping[str, Any]) -> Mapping[str, Entry]:
        """Registry documents whose data has these values; at most some thousands."""
        ...

    async def ended_agencies(self) -> Mapping[str, Entry]:
        """Agencies of all provinces that were reorganised."""
        ...

    async def save_entry(self, registry: Registry, write: EntryWrite) -> bool:
        """Write; False when another writer was first and the document must be read again."""
        ...

    async def entry_told(self, registry: Registry, entry_id: str, token: str) -> None:
        """Forget what a registry document owed."""
        ...

    async def untold_entries(
        self, registry: Registry, partitions: Collection[int], *, older_than_seconds: float
    ) -> Mapping[str, Untold]:
        """Registry documents of these partitions that still owe something."""
        ...

    async def directive(self, province: str, directive: str) -> DirectiveState | None:
        """What is known of a directive."""
        ...

    async def save_directive(self, province: str, directive: str, revision: int, key: str) -> None:
        """Remember a directive; a revision never replaces a higher one."""
        ...

    async def revoke_directive(self, province: str, directive: str) -> None:
        """Remember that a directive was withdrawn."""
        ...

    async def open_task_ids(self, province: str, directive: str, clause: str | None = None) -> Sequence[str]:
        """Ids of a directive's, or of one clause's, tasks that have not ended."""
        ...

    async def open_tasks_with(
        self, province: str, parties: Collection[str], partition: int, *, after: str, limit: int
    ) -> Mapping[str, Stored]:
        """Open tasks of a partition that these agencies hold or review, in order of id."""
        ...

    async def open_tasks_by_other_rules(
        self, rules: Mapping[str | None, str], partitions: Collection[int], limit: int
    ) -> Mapping[str, Stored]:
        """Open tasks whose dates stand by an older version of their province's rules. None: all other provinces."""
        ...

    async def obligations(self, ids: Collection[str]) -> Mapping[str, ObligationState]:
        """Obligations by id; unknown ones are absent."""
        ...

    async def obligations_of(self, province: str, directive: str) -> Mapping[str, ObligationState]:
        """All obligations of a directive, by id."""
        ...

    async def save_obligation(self, state: ObligationState) -> bool:
        """Write; False when another writer was first and the obligation must be read again."""
        ...

    async def obligations_due(self, times: Mapping[int, datetime], limit: int) -> Sequence[ObligationState]:
        """Recurring obligations whose next period begins by their partition's time."""
        ...

    async def earliest_opening(self, partitions: Collection[int]) -> Mapping[int, datetime]:
        """When the next period of an obligation of each partition begins; those without are absent."""
        ...

    async def next_opening(self, obligation_id: str) -> datetime | None:
        """When an obligation's next period opens; None: it does not recur, has ended or is not known."""
        ...

    async def note_times(self, times: Mapping[int, datetime]) -> None:
        """Tell the other replicas how far each partition has come."""
        ...

    async def time_of(self, partition: int) -> datetime | None:
        """How far a partition has come, whoever owns it."""
        ...

    async def slowest_time(self) -> datetime | None:
        """How far the slowest partition has come."""
        ...
