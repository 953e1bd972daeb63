"""What reporting needs from outside."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from services.reporting.domain.ledger import Sums
from services.reporting.domain.occasions import Occasions
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import Head, LateFact, Report
from services.reporting.domain.scopes import Labels
from services.reporting.domain.trace import Moment, Trace


@dataclass(frozen=True, slots=True)
class Listed:
    """What lists and searches of tasks look at, as far as is known by now."""

    clause: str
    period: str | None
    title: str
    result: str
    is_open: bool
    legal: date | None
    """The legal last day in force."""
    late_from: datetime | None
    """When it became overdue, or will; None where it is done, waits for a verdict or has no deadline."""
    concerns: tuple[str, ...] = ()
    """Who leads, cooperates or judges."""
    is_obstructed: bool = False
    """Whether it is open with an obstacle that is not cleared."""


@dataclass(frozen=True, slots=True)
class KeptTask:
    """The latest word on a task: whole, as it came, and what was made of it."""

    id: str
    seq: int
    province: str
    partition: int
    labels: Labels
    trace: Trace
    rules: str
    """By which rules the trace was made."""
    listed: Listed
    occasions: Occasions
    """What lists of a report find it by."""
    snapshot: str
    """JSON: what no report reads today is there tomorrow."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a ledger counts of a task."""

    id: str
    seq: int
    province: str
    labels: Labels
    trace: Trace
    rules: str
    """By which rules the trace was made."""


class Registry(StrEnum):
    """The smaller documents, each with its topic."""

    AGENCIES = "agencies"
    INDICATORS = "indicators"
    DIRECTIVES = "directives"


@dataclass(frozen=True, slots=True)
class Entry:
    """The latest word on an agency, an indicator or a directive, whole, as it came."""

    id: str
    seq: int
    province: str
    snapshot: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many tasks, and the sum of their versions. Two of them are equal only where all versions are."""

    tasks: int = 0
    seqs: int = 0


@dataclass(frozen=True, slots=True)
class Generations:
    """Where what is derived from the topics is kept: facts, registries, ledgers and portions (ADR 0025)."""

    serving: int = 1
    """What is counted and read."""
    filling: int | None = None
    """What a rebuild fills: every fact goes there as well."""
    filled: float = 0.0
    """How much of it is read, from 0 to 1."""
    lost: bool = False
    """The database was lost: facts that were applied once are not there. Nothing may be counted or published."""


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """A replica's ledgers as they were written last."""

    epoch: int
    """Larger: made later. Of two that hold the same partition, the later one is right."""
    partitions: frozenset[int]
    reached: Moment
    portions: Mapping[str, Mapping[date, int]] = field(default_factory=dict)
    """Province → cut-off → which version of its portion."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event to publish."""

    topic: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """A period that has a report, for a list of periods."""

    id: str
    final: bool
    kind: Kind


class Reading(Protocol):
    """What the API reads."""

    async def provinces(self) -> list[str]:
        """Every province with a report, in order."""
        ...

    async def periods(self, province: str) -> list[PeriodRow]:
        """Periods with a report, the latest cut-off first."""
        ...

    async def reports(self, province: str, period: str) -> list[Report]:
        """All reports of a period, in no order."""
        ...

    async def report(self, key: str) -> Report | None:
        """One report as it stands."""
        ...

    async def some_reports(self, keys: Collection[str]) -> Mapping[str, Report]:
        """Report key → the report, where there is one."""
        ...

    async def revision(self, key: str, revision: int) -> Report | None:
        """One revision: the one that stands, or a final one that was replaced. Others are not kept."""
        ...

    async def kept_revisions(self, key: str, limit: int) -> list[Report]:
        """The revision that stands and the final ones that it replaced, the newest first."""
        ...

    async def stood_at(self, province: str, period: str, instant: datetime) -> list[Report]:
        """Of each scope of a period the revision that stood at an instant, in no order; of those kept."""
        ...


class Store(Reading, Protocol):
    """What reporting remembers. tests/contract/test_reporting_store.py says what every implementation must do.

    Facts, registries and ledgers are those of the serving generation, as far as this process has heard; whoever must
    be sure asks for `generations` and works on one of them by `of`.
    """

    # -- generations

    async def generations(self) -> Generations:
        """What serves now, and what is filled. Never older than what any step knew that ended before this began."""
        ...

    def of(self, generation: int) -> "Store":
        """The same store with the facts, registries and ledgers of one generation, whichever serves."""
        ...

    # -- facts

    async def counted(self, ids: Collection[str]) -> Mapping[str, Counted]:
        """What is kept of these tasks now."""
        ...

    async def keep_tasks(self, kept: Collection[KeptTask], new: Collection[str] = ()) -> set[str]:
        """Keep what is newer by `seq`. Returns the ids of those that are not: somebody wrote a version as new.

        `new`: those of which probably nothing is kept yet, which is cheaper.
        """
        ...

    def scan(self, partitions: Collection[int]) -> AsyncIterator[list[Counted]]:
        """All tasks of these partitions, some at a time."""
        ...

    async def snapshots(self, ids: Collection[str]) -> Mapping[str, str]:
        """The tasks' snapshots, as they came."""
        ...

    async def retrace(self, traced: Collection[Counted]) -> None:
        """Put these traces in place of those that other rules made; where a newer version is kept, nothing happens."""
        ...

    async def tally(self, partitions: Collection[int]) -> Mapping[str, Tally]:
        """Province → tally of its tasks in these partitions."""
        ...

    async def keep_entries(self, registry: Registry, kept: Collection[Entry]) -> int:
        """Keep what is newer by `seq`. Returns how many were."""
        ...

    async def entries(self, registry: Registry, province: str) -> list[Entry]:
        """All of a province."""
        ...

    async def tally_entries(self, registry: Registry, province: str) -> Tally:
        """How many there are, and the sum of their versions: equal only where nothing changed."""
        ...

    # -- time

    async def note_progress(self, times: Mapping[int, datetime]) -> None:
        """Note how far partitions have come. A partition's time never goes back, whoever writes."""
        ...

    async def progress(self) -> Mapping[int, datetime]:
        """How far each partition has come."""
        ...

    # -- ledgers

    async def next_epoch(self) -> int:
        """A number larger than any given before."""
        ...

    async def write_ledger(self, head: LedgerHead, changed: Mapping[tuple[str, date], Sums]) -> None:
        """Write the changed portions (province, cut-off), then the head that names them: seen together or not at all.

        Portions that no head names any more are thrown away some time later.
        """
        ...

    async def ledgers(self) -> list[LedgerHead]:
        """All ledgers, of replicas gone as well."""
        ...

    async def drop_ledgers(self, epochs: Collection[int]) -> None:
        """Forget ledgers whose partitions later ones hold."""
        ...

    async def portions(
        self, wanted: Collection[tuple[int, str, date, int]]
    ) -> Mapping[tuple[int, str, date, int], Sums]:
        """(epoch, province, cut-off, version) → its portion; those thrown away meanwhile are missing."""
        ...

    async def note_late(
        self, province: str, facts: Mapping[LateFact, tuple[date, tuple[str, ...]]], at: datetime
    ) -> None:
        """Note what came in after a close: fact → the first cut-off and the scopes that it touches. Safe to repeat."""
        ...

    async def late(self, province: str, scope: str, *, until: date, since: datetime) -> list[LateFact]:
        """Facts noted since then that touch a scope at a cut-off."""
        ...

    # -- reports

    async def heads(self, province: str) -> Mapping[str, Head]:
        """Report key → its last revision in short."""
        ...

    async def save_reports(self, reports: Sequence[Report]) -> bool:
        """Write each as the successor of the revision before it, unpublished. False: another was faster with some.

        A final revision is kept before it is replaced: whatever is cut off in between, each can be read ever after.
        """
        ...

    async def revisions(self, keys: Collection[str]) -> Mapping[str, int]:
        """Report key → its last revision, where there is one."""
        ...

    async def restore_reports(self, reports: Collection[Report]) -> set[str]:
        """Write those that are newer than what is there, as published. Returns the keys of those that were."""
        ...

    async def complete_reports(self, reports: Collection[Report]) -> None:
        """Put them in place of the same revisions that were restored without all of their content."""
        ...

    async def unpublished(self, province: str, limit: int) -> list[Report]:
        """Reports written and not yet marked as published."""
        ...

    async def mark_published(self, reports: Sequence[Report]) -> None:
        """These revisions are on the topic. A later revision of the same report stays unpublished."""
        ...


class Share(Protocol):
    """Which part of the work is this replica's, and how far it has come with it."""

    def owned(self) -> frozenset[int]:
        """The partitions of the tasks topic that this replica owns now."""
        ...

    async def times(self) -> Mapping[int, datetime]:
        """The business time of each owned partition of the tasks topic, where it is known."""
        ...

    def backlog(self) -> int:
        """Records of the tasks topic that wait for this replica."""
        ...

    async def partition_count(self) -> int:
        """How many partitions the tasks topic has."""
        ...

    async def owns(self, province: str) -> bool:
        """Whether this replica publishes a province's reports: where it owns the partition of the province's code."""
        ...
