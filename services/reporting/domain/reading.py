"""Who sees what on the board (ADR 0010): who supervises sees the province, an agency what concerns it."""

from collections.abc import Collection, Set
from dataclasses import dataclass
from datetime import date
from typing import Final

from shared.supervision import EVENTS_WRITE, TASKS_READ, sees_province


@dataclass(frozen=True, slots=True)
class Registered:
    """An agency's role, and the days on which it has it."""

    role: str
    valid_from: date
    valid_to: date | None
    """Its last day; None while it exists."""

    def role_on(self, day: date) -> str | None:
        """The role on a day; None before its first day and after its last."""
        began = self.valid_from <= day
        return self.role if began and (self.valid_to is None or day <= self.valid_to) else None


@dataclass(frozen=True, slots=True)
class Reader:
    """How far somebody sees. The province's aggregates compare agencies and are everybody's."""

    province: str | None
    """None: every province, which no token gives."""
    agency: str | None = None
    """None: all agencies of the province."""
    sees_tasks: bool = True
    """Whether tasks are shown at all: `reports:read` alone gives aggregates."""

    @property
    def sees_all(self) -> bool:
        """Whether all of the province is shown."""
        return self.agency is None and self.sees_tasks

    def sees_agency(self, code: str) -> bool:
        """Whether an agency's page is shown."""
        return self.sees_tasks and self.agency in {None, code}

    def sees_task(self, province: str, concerns: Collection[str]) -> bool:
        """Whether a task is shown, whole or not at all. `concerns`: who leads, who cooperates, who judges."""
        is_here = self.province in {None, province}
        return is_here and self.sees_tasks and (self.agency is None or self.agency in concerns)


EVERYTHING: Final = Reader(None)


def reader_of(province: str, agency: str, scopes: Set[str], role: str | None) -> Reader:
    """How far a token sees. `role` is what the registry says of its agency today; None for one that it knows not."""
    if sees_province(scopes, role):
        return Reader(province)
    return Reader(province, agency, sees_tasks=not scopes.isdisjoint({TASKS_READ, EVENTS_WRITE}))
