"""What reporting needs from outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.reporting.domain.report import Head, Report


@dataclass(frozen=True, slots=True)
class Kept:
    """The latest word on a task or an agency, whole, as it came: what no report reads today is there tomorrow."""

    id: str
    seq: int
    province: str
    partition: int
    snapshot: str
    """JSON."""


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


class Reading(Protocol):
    """What the API reads."""

    async def provinces(self) -> Mapping[str, int]:
        """Every province with a task, and how often something of it was kept."""
        ...

    async def periods(self, province: str) -> list[PeriodRow]:
        """Periods with a report, the latest first."""
        ...

    async def reports(self, province: str, period: str) -> list[Report]:
        """All reports of a period, in no order."""
        ...


class Store(Reading, Protocol):
    """What reporting remembers. tests/contract/test_reporting_store.py says what every implementation must do."""

    async def keep_tasks(self, kept: Collection[Kept]) -> int:
        """Keep what is newer by `seq`, then count a change for each province. Returns how many were newer.

        Counts also when nothing was newer: what comes again may have been cut off between the two steps.
        """
        ...

    async def keep_agencies(self, kept: Collection[Kept]) -> int:
        """The same for agencies."""
        ...

    async def task_seqs(self, province: str) -> Mapping[str, int]:
        """Each task's id and version."""
        ...

    async def tasks(self, ids: Collection[str]) -> list[Kept]:
        """Tasks by id."""
        ...

    async def agencies(self, province: str) -> list[Kept]:
        """All agencies of a province."""
        ...

    async def note_progress(self, times: Mapping[int, datetime]) -> None:
        """Note how far partitions have come. A partition's time never goes back, whoever writes."""
        ...

    async def progress(self) -> Mapping[int, datetime]:
        """How far each partition has come."""
        ...

    async def heads(self, province: str) -> Mapping[str, Head]:
        """Report key → its last revision in short."""
        ...

    async def save_reports(self, reports: Sequence[Report]) -> bool:
        """Write each as the successor of the revision before it, unpublished. False: another was faster with some."""
        ...

    async def unpublished(self, province: str, limit: int) -> list[Report]:
        """Reports written and not yet marked as published."""
        ...

    async def mark_published(self, reports: Sequence[Report]) -> None:
        """These revisions are on the topic. A later revision of the same report stays unpublished."""
        ...


class Share(Protocol):
    """Which part of the work is this replica's, and how far it has come with it."""

    async def times(self) -> Mapping[int, datetime]:
        """The business time of each owned partition of the tasks topic, where it is known."""
        ...

    async def partition_count(self) -> int:
        """How many partitions the tasks topic has."""
        ...

    async def owns(self, province: str) -> bool:
        """Whether this replica aggregates a province: it does where it owns the partition of the province's code."""
        ...
