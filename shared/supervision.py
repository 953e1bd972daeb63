"""Who sees a whole province (ADR 0010): one rule, which every service asks of a token and its own registry."""

from collections.abc import Set
from typing import Final

TASKS_READ, EVENTS_WRITE, AUTHORITY_WRITE = "tasks:read", "events:write", "authority:write"
SUPERVISING: Final = frozenset({"standing", "chairman_office"})
"""Roles of the registry that look after the whole province."""


def sees_province(scopes: Set[str], role: str | None) -> bool:
    """Whether a token shows what concerns any agency. `role`: of its agency, as the registry has it today; None: none.

    Who may decide on every agency's tasks may read them. Who may only send reads as an agency, whatever its role: a
    machine's token that leaks then shows what that machine could send.
    """
    return AUTHORITY_WRITE in scopes or (TASKS_READ in scopes and role in SUPERVISING)
