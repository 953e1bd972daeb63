"""Until when nothing is due: what spares the database most of the sweep's questions."""

from collections.abc import Collection, Mapping
from datetime import datetime


class Horizon:
    """By partition, the earliest instant at which something can be due, as far as this replica knows.

    What this replica writes is noted at once. What others write under these partitions (a directive makes tasks in all
    of them) is learnt when the sweep looks again.
    """

    def __init__(self) -> None:
        self._earliest: dict[int, datetime | None] = {}
        """None: nothing is planned. A partition that is not here has to be asked for."""
        self._noted: dict[int, datetime] = {}

    def forget(self) -> None:
        """Nothing is known any more."""
        self._earliest.clear()

    def note(self, partition: int, at: datetime | None) -> None:
        """Something is planned, said after it was written."""
        if at is None:
            return
        self._noted[partition] = min(at, self._noted.get(partition, at))
        if partition in self._earliest:
            known = self._earliest[partition]
            self._earliest[partition] = at if known is None else min(at, known)

    def unknown(self, times: Mapping[int, datetime]) -> list[int]:
        """Partitions where something may be due by these times."""
        return [
            partition
            for partition, now in times.items()
            if partition not in self._earliest or ((known := self._earliest[partition]) is not None and known <= now)
        ]

    def asks(self, partitions: Collection[int]) -> None:
        """These are about to be asked for: what is noted from here on may be missing in the answer."""
        for partition in partitions:
            self._noted.pop(partition, None)

    def learns(self, partitions: Collection[int], earliest: Mapping[int, datetime]) -> None:
        """The answer: the earliest instant of each of these partitions that has one."""
        for partition in partitions:
            found = [at for at in (earliest.get(partition), self._noted.get(partition)) if at is not None]
            self._earliest[partition] = min(found, default=None)
