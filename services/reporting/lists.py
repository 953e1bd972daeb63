"""What the board asks of the store. Every question is bounded: by a limit, or by how few there are."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, Protocol

from services.reporting.domain.report import Report
from services.reporting.domain.scopes import ScopeKind
from services.reporting.ports import Entry, Reading, Registry, Tally

AGENCIES_MAX: Final = 500
"""So many agencies of one period are compared; a province has some hundreds."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task in a list."""

    id: str
    directive: str
    clause: str
    period: str | None
    agency: str
    title: str
    result: str
    is_open: bool
    legal: date | None
    late_from: datetime | None
    """See ports.Listed."""

    @property
    def after(self) -> "After":
        """Where the next page begins."""
        return After(self.late_from, self.id)


@dataclass(frozen=True, slots=True)
class Where:
    """Whose tasks."""

    province: str
    agency: str | None = None
    directive: str | None = None


@dataclass(frozen=True, slots=True)
class After:
    """The last row of a page: the next one begins after it."""

    late_from: datetime | None
    id: str


@dataclass(frozen=True, slots=True)
class Window:
    """Between two instants: later than the first, up to the second."""

    since: datetime | None
    until: datetime | None


class State(StrEnum):
    """Which tasks a search is for."""

    OPEN = "open"
    OVERDUE = "overdue"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Sought:
    """What a search is for. All of it is to hold."""

    province: str
    words: tuple[str, ...]
    """See domain.search.terms_of; at least one."""
    now: datetime
    concerns: tuple[str, ...] = ()
    """Agencies, each of which leads, cooperates or judges."""
    agency: str | None = None
    """Who leads."""
    directive: str | None = None
    state: State | None = None


class TooBroadError(Exception):
    """A search took longer than anybody should wait, and longer than the others on the server should."""


class Kept(Reading, Protocol):
    """What the board reads of ports.Store."""

    async def snapshots(self, ids: Collection[str]) -> Mapping[str, str]:
        """See ports.Store."""
        ...

    async def entries(self, registry: Registry, province: str) -> list[Entry]:
        """See ports.Store."""
        ...

    async def tally_entries(self, registry: Registry, province: str) -> Tally:
        """See ports.Store."""
        ...

    async def progress(self) -> Mapping[int, datetime]:
        """See ports.Store."""
        ...


class Lists(Protocol):
    """tests/contract/test_reporting_lists.py says what every implementation must do."""

    async def agency_reports(self, province: str, period: str) -> list[Report]:
        """One for each agency that has one, AGENCIES_MAX at most."""
        ...

    async def entry(self, registry: Registry, entry_id: str) -> Entry | None:
        """One record; None where there is none."""
        ...

    async def version(self, province: str) -> str:
        """A word that is another one once figures of the province have changed."""
        ...

    async def open_dated(self, where: Where, window: Window, *, after: After | None, limit: int) -> list[TaskRow]:
        """Open tasks that become overdue, or became so, within the window: the earliest first, then by id."""
        ...

    async def open_undated(self, where: Where, *, after: After | None, limit: int) -> list[TaskRow]:
        """Open tasks that are not going to be overdue, as things stand: no deadline, or handed in. By id."""
        ...

    async def of_clause(
        self, where: Where, directive: str, clause: str | None, *, after: After | None, limit: int
    ) -> list[TaskRow]:
        """All tasks of a clause, or of the whole directive, ended ones included, by id."""
        ...

    async def obstructed(self, province: str, agency: str, *, after: str | None, limit: int) -> list[str]:
        """Snapshots of an agency's open tasks with an obstacle that is not cleared, by id."""
        ...

    async def funded(self, province: str, agency: str, *, after: str | None, limit: int) -> list[str]:
        """Snapshots of an agency's tasks that money was ever given for, by id."""
        ...

    async def search(self, sought: Sought, *, after: str | None, limit: int) -> list[TaskRow]:
        """Tasks by wording (domain.search.wording_id), then by id. TooBroadError rather than a long wait."""
        ...

    async def overdue_totals(self, province: str, period: str, kind: ScopeKind, limit: int) -> list[tuple[str, int]]:
        """Scopes of a kind with overdue tasks, by name, and how many as a period's reports say: the most first."""
        ...

    async def overdue_cells(
        self, province: str, directives: Collection[str], now: datetime
    ) -> Mapping[tuple[str, str], int]:
        """(agency, directive) → its open tasks that are overdue now, of these directives; those without are missing."""
        ...
