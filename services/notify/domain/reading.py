"""Who may read alerts (ADR 0010): an agency those that concern it, who supervises those of the province."""

from typing import Final

from shared.supervision import AUTHORITY_WRITE, EVENTS_WRITE, TASKS_READ

SCOPES: Final = (TASKS_READ, EVENTS_WRITE, AUTHORITY_WRITE)
"""Each of these lets a token read something."""
