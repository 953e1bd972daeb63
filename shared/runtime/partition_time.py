"""A partition's own time: how far timers may go without calling anybody late whose report is still on its way."""

from collections.abc import Callable
from datetime import datetime

SILENCE_SECONDS = 5.0
"""A broker that says nothing for so long was away; it answers an idle fetch within some milliseconds."""


class PartitionTime:
    """The clock, as far as the broker has confirmed that nothing older is waiting; else what records have reached.

    A backlog, an outage or a silent broker delays what timers do, and never invents an overdue. After a silence time
    stands for a grace: what ingest kept in its outbox meanwhile was received before, and comes first.
    """

    def __init__(self, *, grace_seconds: float, heard: "PartitionTime | None" = None) -> None:
        """`heard`: of the partitions that this process had before, the one whose broker answered last."""
        self._grace_seconds = grace_seconds
        self._heard = heard.answered if heard is not None else None
        self._reached: datetime | None = None
        """The latest `received_at` applied."""
        self._answered: float | None = None
        """When the broker's latest answer arrived, in seconds of real time."""
        self._confirmed: float | None = None
        """When the answer before it arrived."""
        self._stands_until: float = heard._stands_until if heard is not None else 0.0
        self._now: datetime | None = None

    @property
    def answered(self) -> float | None:
        """When the broker answered last, as far as this process knows."""
        return self._heard if self._answered is None else self._answered

    @property
    def is_known(self) -> bool:
        """Whether the broker has answered for this partition at all."""
        return self._answered is not None

    def reach(self, at: datetime) -> None:
        """A record received at that instant is applied."""
        if self._reached is None or at > self._reached:
            self._reached = at

    def look(self, answered: float, *, nothing_waits: bool, clock_at: Callable[[float], datetime]) -> datetime | None:
        """The partition's time; None while it is not known.

        `answered`: when the broker's latest answer arrived (real seconds); `nothing_waits`: everything up to the end
        it told is applied; `clock_at`: business time at a real one.
        """
        if answered != self._answered:
            before = self.answered
            if before is not None and answered - before > SILENCE_SECONDS:
                self._stands_until = answered + self._grace_seconds
            self._confirmed, self._answered = self._answered, answered
        if answered < self._stands_until:
            return self._now
        now = self._reached
        if nothing_waits and self._confirmed is not None:
            # The latest answer was asked for after the one before it had arrived. So what the broker had at that
            # earlier moment is applied; the later moment proves nothing, the event loop may have been busy since.
            confirmed = clock_at(self._confirmed)
            now = confirmed if now is None or confirmed > now else now
        if now is not None and (self._now is None or now > self._now):
            self._now = now
        return self._now


def later(one: PartitionTime | None, other: PartitionTime) -> PartitionTime:
    """The one whose broker answered last."""
    if one is None or one.answered is None or (other.answered is not None and other.answered >= one.answered):
        return other
    return one
