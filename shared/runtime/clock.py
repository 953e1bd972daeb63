"""The one source of business time. `datetime.now` appears here and nowhere else."""

import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Business time; differs from real time only in demos and tests."""

    def now(self) -> datetime:
        """The present business instant, aware, UTC."""
        ...

    def at(self, real: float) -> datetime:
        """The business instant at a real instant (seconds since the epoch, as `time.time()` gives)."""
        ...


def real_seconds() -> float:
    """Real time, for ages that other processes compare: a rehearsal's business time would not do."""
    return time.time()


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def at(self, real: float) -> datetime:
        return datetime.fromtimestamp(real, UTC)


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Business time that starts at `start` at the real instant `epoch` and runs `speed` times as fast.

    `limit`: business time stops there until a later clock takes over.
    """

    start: datetime
    speed: float
    epoch: float
    limit: datetime | None = None

    def now(self) -> datetime:
        return self.at(real_seconds())

    def at(self, real: float) -> datetime:
        instant = self.start + timedelta(seconds=max(0.0, real - self.epoch) * self.speed)
        return instant if self.limit is None or instant < self.limit else self.limit


@dataclass(slots=True)
class FileClock:
    """A scaled clock that another process steers through a file, so that all services of a rehearsal agree.

    The file holds `{"start", "speed", "epoch", "limit"}` and is replaced in one rename. A steerer starts each piece
    where the piece before was limited, so business time never goes back.
    """

    path: Path
    _mtime_ns: int = field(default=-1, init=False)
    _piece: ScaledClock | None = field(default=None, init=False)

    def now(self) -> datetime:
        return self.at(real_seconds())

    def at(self, real: float) -> datetime:
        mtime_ns = os.stat(self.path).st_mtime_ns
        if self._piece is None or mtime_ns != self._mtime_ns:
            self._piece, self._mtime_ns = read_piece(self.path), mtime_ns
        return self._piece.at(real)


def read_piece(path: Path) -> ScaledClock:
    """Read a steering file."""
    piece = json.loads(path.read_text())
    limit = piece.get("limit")
    return ScaledClock(
        start=_instant(piece["start"]),
        speed=float(piece["speed"]),
        epoch=float(piece["epoch"]),
        limit=_instant(limit) if limit else None,
    )


def write_piece(path: Path, piece: ScaledClock) -> None:
    """Replace a steering file in one step: readers see the old piece or the new one, never half of one."""
    content = {
        "start": piece.start.isoformat(),
        "speed": piece.speed,
        "epoch": piece.epoch,
        "limit": piece.limit.isoformat() if piece.limit else None,
    }
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write e.g. 2024-10-11T08:00:00+07:00")
    return instant.astimezone(UTC)


def clock_from(spec: str | None) -> Clock:
    """Read `DONDOC_CLOCK`: empty → real time; `<start>@<speed>@<real epoch>`; `file:<path>` → a steered clock."""
    if not spec:
        return SystemClock()
    if spec.startswith("file:"):
        return FileClock(Path(spec.removeprefix("file:")))
    try:
        start, speed, epoch = spec.split("@")
        return ScaledClock(_instant(start), float(speed), float(epoch))
    except ValueError as error:
        raise ValueError(
            f"DONDOC_CLOCK is {spec!r}; write <start>@<speed>@<real epoch>, "
            "e.g. 2024-10-11T08:00:00+07:00@86400@1795500000"
        ) from error
