"""Who may read which alerts (ADR 0010): an agency those that concern it, who supervises those of the province."""

from collections.abc import Set
from typing import Final

TASKS_READ, EVENTS_WRITE, AUTHORITY_WRITE = "tasks:read", "events:write", "authority:write"
SCOPES: Final = (TASKS_READ, EVENTS_WRITE, AUTHORITY_WRITE)
"""Each of these lets a token read something."""
SUPERVISING: Final = frozenset({"standing", "chairman_office"})
"""Roles of the registry that look after the whole province."""


def sees_province(scopes: Set[str], role: str | None) -> bool:
    """Whether a token shows the alerts of all agencies. `role`: of its agency, as the registry has it today."""
    return AUTHORITY_WRITE in scopes or (TASKS_READ in scopes and role in SUPERVISING)
