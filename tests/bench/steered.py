"""What a bench needs whose service has a clock in our hands, and a database of its own for each process."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy.local.stack import Stack
from shared.runtime.clock import ScaledClock, write_piece
from shared.runtime.mongodb import Client
from tests.bench.probes import Counters


@dataclass(frozen=True, slots=True)
class Steered:
    """The stack, and the file that says what time it is."""

    stack: Stack
    client: Client
    counters: Counters
    clock: Path

    def stands(self, at: datetime) -> None:
        """From now on it is this instant."""
        write_piece(self.clock, ScaledClock(at, 0, time.time()))

    def env(self, prefix: str) -> dict[str, str]:
        """What a process on this database is told beside the address of everything."""
        return {"DONDOC_CLOCK": f"file:{self.clock}", "DONDOC_DATABASE_PREFIX": prefix}
