"""Knows whether the process's own loops make progress. `/livez` asks it; a stuck process ends itself."""

import asyncio
import time
from dataclasses import dataclass, field

import structlog

from shared.runtime.crash import Crash, crash_process
from shared.runtime.metrics import STALLED_SECONDS

log = structlog.get_logger()


@dataclass(slots=True)
class Watchdog:
    """Loops beat; a loop that has not beaten for `stuck_seconds` (real, monotonic) is stuck.

    Waiting for Kafka or MongoDB to come back is progress: whoever waits beats while it waits, because a restart
    would not bring them back.
    """

    stuck_seconds: float
    crash: Crash = crash_process
    _beats: dict[str, float] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def beat(self, loop: str) -> None:
        """A turn of `loop` was made."""
        self._beats[loop] = time.monotonic()

    def beat_all(self) -> None:
        """Somebody waits for the world, perhaps under a lock that others wait for: that is nobody's fault."""
        for loop in self._beats:
            self.beat(loop)

    def stuck(self) -> str | None:
        """The name of a stuck loop, if any."""
        now = time.monotonic()
        for loop, last in self._beats.items():
            STALLED_SECONDS.labels(loop).set(now - last)
            if now - last > self.stuck_seconds:
                return loop
        return None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(), name="watchdog")

    async def stop(self) -> None:
        """Stop watching, before the loops stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.stuck_seconds / 4))
            if loop := self.stuck():
                self.crash(f"loop {loop!r} made no progress for {self.stuck_seconds:.0f} s")
