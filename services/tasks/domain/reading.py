"""Who may read what (ADR 0010). An agency reads what concerns it, who supervises the province, nobody more."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from services.tasks.domain.task import Task
from shared.supervision import AUTHORITY_WRITE, EVENTS_WRITE, TASKS_READ, sees_province

SCOPES: Final = (TASKS_READ, EVENTS_WRITE, AUTHORITY_WRITE)
"""Each of these lets a token read something: who may send must be able to follow what was sent."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How far somebody sees."""

    province: str | None
    """None: every province, which no token gives."""
    agency: str | None = None
    """None: all agencies of the province."""


EVERYTHING: Final = Reader(None)


def reader_of(province: str, agency: str, scopes: Set[str], role: str | None) -> Reader:
    """How far a token sees. `role` is what the registry says of its agency; None for one that it does not know."""
    return Reader(province) if sees_province(scopes, role) else Reader(province, agency)


def readers(task: Task) -> frozenset[str]:
    """The agencies that a task concerns: who leads, who cooperates, who judges."""
    return frozenset({task.agency, *task.cooperating, task.reviewer})


def may_read(reader: Reader, task: Task) -> bool:
    """Whether a task is shown: whole or not at all."""
    return reader.province in {None, task.province} and (reader.agency is None or reader.agency in readers(task))
