"""What the reports need to know of a task: each fact with the instant it was received."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal


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
    delay_cause: str | None = None
    """Why it is late, by the coded list (design §4); None where the agency did not say."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A request for more time, open until it is decided."""

    received_at: datetime
    outcome: Literal["granted", "refused"] | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """An obstacle and its stages, open until cleared."""

    received_at: datetime
    cleared_at: datetime | None
    answered_at: datetime | None = None
    forwarded_at: datetime | None = None
    """To the chairman or the committee: beyond the agency's authority."""

    def instants(self) -> Iterator[datetime]:
        """When it changed."""
        yield self.received_at
        for one in (self.cleared_at, self.answered_at, self.forwarded_at):
            if one is not None:
                yield one


@dataclass(frozen=True, slots=True)
class Allocation:
    """Money given for the task."""

    allocation_id: str
    amount_vnd: int
    received_at: datetime
    assigned: bool = True
    """By the plan of the competent authority; False: added or carried over by the province (design §5, Aggregates)."""


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
    directive: str = ""
    category: str = ""
    deadlines: tuple[Deadline, ...] = ()
    results: tuple[Result, ...] = ()
    extensions: tuple[Extension, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    disbursements: tuple[Disbursement, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    ended: End | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is judged by its deadlines and results alone."""
        return not (
            self.extensions
            or self.obstacles
            or self.allocations
            or self.disbursements
            or any(one.granted for one in self.deadlines)
        )

    def instants(self) -> Iterator[datetime]:
        """When something was received that the judgement may rest on. The passing of time is not among them."""
        yield self.assigned_at
        for deadline in self.deadlines:
            yield deadline.received_at
        for result in self.results:
            yield result.received_at
            if result.judged_at is not None:
                yield result.judged_at
        for extension in self.extensions:
            yield extension.received_at
            if extension.decided_at is not None:
                yield extension.decided_at
        for obstacle in self.obstacles:
            yield from obstacle.instants()
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
