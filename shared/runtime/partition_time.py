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
        self._latest: float | None = None
        """When the broker's latest word arrived, in seconds of real time."""
        self._polled: float | None = None
        """When its latest answer to a fetch arrived."""
        self._confirmed: float | None = None
        """When the answer before that arrived."""
        self._asked: float | None = None
        """When it was asked how far the partition goes, and all of that is applied."""
        self._stands_until: float = heard._stands_until if heard is not None else 0.0
        self._now: datetime | None = None

    @property
    def answered(self) -> float | None:
        """When the broker answered last, as far as this process knows."""
        return self._heard if self._latest is None else self._latest

    @property
    def is_known(self) -> bool:
        """Whether the broker has answered for this partition at all."""
        return self._polled is not None

    def reach(self, at: datetime) -> None:
        """A record received at that instant is applied."""
        if self._reached is None or at > self._reached:
            self._reached = at

    def look(self, answered: float, *, nothing_waits: bool, clock_at: Callable[[float], datetime]) -> datetime | None:
        """The partition's time; None while it is not known.

        `answered`: when the broker's latest answer arrived (real seconds); `nothing_waits`: everything up to the end
        it told is applied; `clock_at`: business time at a real one.
        """
        if answered != self._polled:
            self._hear(answered)
            self._confirmed, self._polled = self._polled, answered
        if self._latest is not None and self._latest < self._stands_until:
            return self._now
        # The latest answer was asked for after the one before it had arrived. So what the broker had at that earlier
        # moment is applied; the later moment proves nothing, the event loop may have been busy since.
        confirmed = [self._confirmed] if nothing_waits else []
        reached = [clock_at(one) for one in (*confirmed, self._asked) if one is not None]
        for now in (*reached, self._reached):
            if now is not None and (self._now is None or now > self._now):
                self._now = now
        return self._now

    def confirm(self, asked: float, answered: float) -> None:
        """The broker was asked how far the partition goes, and all of it is applied. Both in real seconds.

        So what it had when it was asked is applied, for good.
        """
        self._hear(answered)
        if self._asked is None or asked > self._asked:
            self._asked = asked

    def _hear(self, at: float) -> None:
        """The broker said something."""
        before = self.answered
        if before is not None and at <= before:
            return
        if before is not None and at - before > SILENCE_SECONDS:
            self._stands_until = at + self._grace_seconds
        self._latest = at


def later(one: PartitionTime | None, other: PartitionTime) -> PartitionTime:
    """The one whose broker answered last."""
    if one is None or one.answered is None or (other.answered is not None and other.answered >= one.answered):
        return other
    return one
