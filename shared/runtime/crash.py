"""Crash-only: a process that cannot go on ends at once with status 70 and is started again; fences make that free."""

import os
import sys
from typing import NoReturn, Protocol

import structlog

from shared.runtime.logs import drain_logs

log = structlog.get_logger()

EX_SOFTWARE = 70


class Crash(Protocol):
    """Ends the process. Injectable, because in a test's process it must not."""

    def __call__(self, reason: str, error: BaseException | None = None) -> None:
        """Say why, then end."""
        ...


def crash_process(reason: str, error: BaseException | None = None) -> NoReturn:
    """Log and end without cleaning up: whatever led here is not trusted to clean up either."""
    log.critical("process.crashed", reason=reason, exc_info=error)
    drain_logs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EX_SOFTWARE)
