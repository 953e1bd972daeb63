"""structlog set-up: JSON lines, or colours on a terminal. Tokens and payloads are never logged."""

import asyncio
import atexit
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from io import TextIOBase
from typing import Any, Final, Literal, TextIO

import orjson
import structlog

WRITE_SECONDS: Final = 0.02
"""How long a line may wait for others: each write is a system call, and cost a fifth of a request."""


def configure_logs(
    service: str, *, log_format: Literal["json", "console"], level: str, stream: TextIO | None = None
) -> None:
    """Set up logging of the whole process; libraries' own logs join at warning level."""
    renderer: structlog.types.Processor
    stamps: list[structlog.types.Processor] = [_Stamp(service)]
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer()
        stamps.append(structlog.processors.TimeStamper(fmt="iso", utc=True, key="logged_at"))
    out: Any = stream or _stdout()
    shared: list[structlog.types.Processor] = [*stamps, _tell_error]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )

    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[_drop_record, renderer], foreign_pre_chain=shared)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # aiokafka reports every connection attempt of an outage; one line of ours says it once.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)


class _Stamp:
    """Whose line it is, how grave and of when. One step instead of three: a line is a tenth of a request."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event["service"] = self._service
        event["level"] = "error" if method == "exception" else method
        event["logged_at"] = datetime.now(UTC)
        return event


def _tell_error(logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return structlog.processors.format_exc_info(logger, method, event) if "exc_info" in event else event


def _drop_record(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(None, "", event)


def _to_json(event: structlog.types.EventDict, default: Callable[[Any], Any], **_: Any) -> str:
    return orjson.dumps(event, default=default, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode()


class LineBuffer(TextIOBase):
    """Writes lines together: those of the event loop after a moment, all others at once."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._lines: list[str] = []
        # Reentrant: writing may collect garbage, whose end may be worth a line.
        self._lock = threading.RLock()
        self._waits = self._drains = False

    def write(self, text: str) -> int:
        """Take a line."""
        with self._lock:
            self._lines.append(text)
        return len(text)

    def flush(self) -> None:
        """Called after each line."""
        if self._waits:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.drain()
        else:
            self._waits = True
            loop.call_later(WRITE_SECONDS, self.drain)

    def drain(self) -> None:
        """Write what waits."""
        with self._lock:
            if self._drains:
                return
            self._drains = True
            try:
                while self._lines:
                    lines, self._lines = self._lines, []
                    self._out.write("".join(lines))
                    self._out.flush()
            finally:
                self._drains = self._waits = False


@cache
def _stdout() -> LineBuffer:
    """The one of this process."""
    atexit.register(drain_logs)
    return LineBuffer(sys.stdout)


def drain_logs() -> None:
    """Write every line that waits; before a process ends without cleaning up."""
    _stdout().drain()
