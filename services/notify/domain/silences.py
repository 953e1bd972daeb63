"""Silences: an officer asks for quiet about an agency, a directive or a task, with a reason and an end."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notify.domain.alert import Alert, AlertKind, TaskState

LONGEST = timedelta(days=92)
"""A quarter. Whoever needs longer says so again."""

NEVER_SILENCED = frozenset({AlertKind.OVERDUE_RETRACTED})
"""It corrects what was said."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Quiet about whatever matches all that is named."""

    silence_id: str
    province: str
    agency: str | None
    directive: str | None
    task_id: str | None
    reason: str
    by: str
    """Who asked for it: the code of the officer's agency."""
    starts_at: datetime
    ends_at: datetime
    """When it ends, or was ended."""

    def covers(self, alert: Alert) -> bool:
        """Whether an alert is about what is silenced."""
        return alert.kind not in NEVER_SILENCED and self._names(alert)

    def covers_task(self, task: TaskState) -> bool:
        """Whether a task is silenced, which then stands in no digest either."""
        return self._names(task)

    def _names(self, one: Alert | TaskState) -> bool:
        return (
            self.province == one.province
            and self.agency in {None, one.agency}
            and self.directive in {None, one.directive}
            and self.task_id in {None, one.task_id}
        )

    def is_active(self, now: datetime) -> bool:
        """Whether it holds at an instant."""
        return self.starts_at <= now < self.ends_at


def silencing(alert: Alert, silences: Iterable[Silence], *, now: datetime) -> Silence | None:
    """The silence that holds an alert back; of several the one that lasts longest."""
    found = [one for one in silences if one.is_active(now) and one.covers(alert)]
    return max(found, key=lambda one: (one.ends_at, one.silence_id), default=None)


def fault(silence: Silence, *, now: datetime) -> str | None:
    """Say what is wrong with a silence that somebody asks for, or None."""
    if silence.agency is None and silence.directive is None and silence.task_id is None:
        return "name what is to be silent: agency, directive or task_id"
    if not silence.reason.strip():
        return "give the reason"
    if silence.ends_at <= max(now, silence.starts_at):
        return "ends_at must lie in the future, after starts_at"
    if silence.ends_at - max(now, silence.starts_at) > LONGEST:
        return f"a silence lasts {LONGEST.days} days at most"
    return None
