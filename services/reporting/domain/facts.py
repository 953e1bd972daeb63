"""What the reports need to know of a task: each fact with the instant it was received."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Literal

ICT = timezone(timedelta(hours=7), "ICT")
"""Asia/Ho_Chi_Minh: UTC+7, no daylight saving."""


def local_day(instant: datetime) -> date:
    """The calendar day in Vietnam at an instant."""
    return instant.astimezone(ICT).date()


def start_of(day: date) -> datetime:
    """The instant at which a local day begins, which is the instant at which the day before it ends."""
    return datetime(day.year, day.month, day.day, tzinfo=ICT)


@dataclass(frozen=True, slots=True)
class Deadline:
    """One version of a task's deadline; the highest version known is in force."""

    version: int
    legal: date
    operational: date
    due_at: datetime
    granted: bool
    """More time by a document; False for what the directive, a correction or a resumption says."""
    received_at: datetime
    suspended_days: bool = False
    """It only gives back the days of a suspension, which makes no result earlier that was handed in before."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result that was handed in, and the verdict on it."""

    received_at: datetime
    verdict: Literal["accepted", "returned"] | None
    judged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """An obstacle, open until cleared."""

    received_at: datetime
    cleared_at: datetime | None


@dataclass(frozen=True, slots=True)
class Allocation:
    """Money given for the task."""

    allocation_id: str
    amount_vnd: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Disbursement:
    """Money paid out until a day, cumulative."""

    as_of: date
    cumulative_vnd: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Suspension:
    """A time in which the deadline's clock stands still."""

    received_at: datetime
    resumed_at: datetime | None


@dataclass(frozen=True, slots=True)
class End:
    """How the task ended without a result."""

    how: Literal["discontinued", "transferred"]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task, as far as reports are concerned."""

    task_id: str
    seq: int
    agency: str
    assigned_at: datetime
    deadlines: tuple[Deadline, ...] = ()
    results: tuple[Result, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    disbursements: tuple[Disbursement, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    ended: End | None = None

    def instants(self) -> Iterator[datetime]:
        """Every instant at which the judgement on this task may change, apart from the start of a new day."""
        yield self.assigned_at
        for deadline in self.deadlines:
            yield deadline.received_at
            yield deadline.due_at
        for result in self.results:
            yield result.received_at
            if result.judged_at is not None:
                yield result.judged_at
        for obstacle in self.obstacles:
            yield obstacle.received_at
            if obstacle.cleared_at is not None:
                yield obstacle.cleared_at
        for allocation in self.allocations:
            yield allocation.received_at
        for disbursement in self.disbursements:
            yield disbursement.received_at
        for suspension in self.suspensions:
            yield suspension.received_at
            if suspension.resumed_at is not None:
                yield suspension.resumed_at
        if self.ended is not None:
            yield self.ended.received_at
