"""How much one agency may send: what it has saved up at once, then a steady number of events a second."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

AGENCIES_MAX: Final = 10_000


@dataclass(slots=True)
class Rates:
    """A token bucket for each agency, in events. A batch is let in whole; what it takes too much is owed.

    `now`: seconds on any clock that only goes forward.
    """

    per_second: float
    burst: int
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, init=False)
    """Agency → what was left, and when. Whoever was silent longest is forgotten first, and has saved up anew."""

    def wait_seconds(self, agency: str, now: float) -> float:
        """0 where the agency may send; else how long until it may."""
        left = self._left_of(agency, now)
        return max(0.0, (1 - left) / self.per_second)

    def charge(self, agency: str, events: int, now: float) -> None:
        """Count events of an agency, also those that were refused."""
        self._left[agency] = (self._left_of(agency, now) - events, now)
        self._left.move_to_end(agency)
        if len(self._left) > AGENCIES_MAX:
            self._left.popitem(last=False)

    def _left_of(self, agency: str, now: float) -> float:
        left, at = self._left.get(agency, (float(self.burst), now))
        return min(float(self.burst), left + (now - at) * self.per_second)
